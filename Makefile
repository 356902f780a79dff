# Everything a newcomer needs; `make help` lists it.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
BIN := .venv/bin
HOME_FOLDER ?= data
BENCH_DATABASE ?= $(HOME_FOLDER)/bench/krx_stock_data.db

# Tests and benchmarks start hundreds of processes, each of which would compile finpipe anew.
unexport PYTHONDONTWRITEBYTECODE
# Threads that wait for others sleep, for the processes of tests share two cores.
test: export OMP_WAIT_POLICY := passive

# pip compiles on one processor, also the tests of packages; a file that is no Python of this version stays as it is.
INSTALL := $(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check -c requirements.lock
COMPILE := $(BIN)/python -m compileall -qq -j 0 -x '/tests?/' .venv/lib || true

# numba keeps what it compiled beside the modules; the processes of tests would each compile them otherwise.
KERNELS := $(shell grep -rl --include='*.py' numba.njit finpipe)

.PHONY: help setup demo test lint format ui bench lock clean

help: ## list the targets
	@grep -hE '^[a-z_]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z_]+):.*## (.*)/  \1\t\2/' | expand -t 14

setup: $(BIN)/.ready ## make the virtual environment for running finpipe

$(BIN)/.ready: pyproject.toml requirements.lock
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(INSTALL) -e .
	$(COMPILE)
	touch $@

$(BIN)/.ready-dev: pyproject.toml requirements.lock
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(INSTALL) -e '.[dev]'
	$(COMPILE)
	touch $(BIN)/.ready $@

$(BIN)/.kernels: $(BIN)/.ready $(KERNELS)
	printf '%s\n' $(subst /,.,$(KERNELS:.py=)) | xargs -P 2 -I{} $(BIN)/python -c 'import {}'
	touch $@

demo: $(BIN)/.ready ## run the main job on a synthetic market and show what comes out
	$(BIN)/finpipe demo --home $(HOME_FOLDER)

test: $(BIN)/.ready-dev $(BIN)/.kernels ## run the tests; some wait for servers, so three share two cores
	$(BIN)/python -m pytest -n 3 --dist worksteal

lint: $(BIN)/.ready-dev ## check style, types and layers
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(BIN)/.ready-dev ## put the code in shape
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

ui: $(BIN)/.ready ## open the Dagster UI on the same home as the command
	$(BIN)/finpipe ui --home $(HOME_FOLDER)

bench: $(BENCH_DATABASE) ## time finpipe against pandas and skfolio, what little changes cost, and the service
	$(BIN)/python -m finpipe_tests.benchmarks krx --database $(BENCH_DATABASE)
	$(BIN)/python -m finpipe_tests.benchmarks little --database $(BENCH_DATABASE)
	$(BIN)/python -m finpipe_tests.benchmarks little --database $(BENCH_DATABASE) --everything --share
	$(BIN)/python -m finpipe_tests.benchmarks portfolio
	$(BIN)/python -m finpipe_tests.benchmarks service

$(BENCH_DATABASE): $(BIN)/.ready-dev
	test -f $@ || $(BIN)/finpipe database demo --out $@ --stocks 500 --days 2100

lock: $(BIN)/.ready-dev ## pin every dependency anew
	$(BIN)/pip-compile --quiet --strip-extras --all-extras --no-emit-index-url --no-emit-trusted-host \
		--no-emit-find-links --no-header --no-annotate --output-file requirements.lock pyproject.toml

clean: ## remove the virtual environment and caches, not the data
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis
