from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import pytest

from finpipe.panel.memory import ALLOCATORS, keep_freed_memory, spare_memory

FREED_BELOW_WHAT_IS_USED = """
import numpy as np, psutil
from finpipe.panel.memory import give_back_freed_memory

held = lambda: psutil.Process().memory_info().rss / 2**20
arrays = [np.ones(12_000) for _ in range(2000)]
del arrays[:-1]
before = held()
give_back_freed_memory()
print(before - held())
"""
COLUMNS_AGAIN_AND_AGAIN = """
import resource
from finpipe.panel.memory import keep_freed_memory

keep_freed_memory()
import numpy as np
from finpipe.panel.columns import empty_column

def columns():
    of_numpy, of_arrow = ([empty(400_000, np.float64) for _ in range(8)] for empty in (np.empty, empty_column))
    for column in of_numpy + of_arrow:
        column.fill(1.0)

columns()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    columns()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
FREED_BY_POLARS = """
import time
import polars as pl, psutil

held = lambda: psutil.Process().memory_info().rss / 1e6
columns = [pl.repeat(1.0, 500_000, eager=True) for _ in range(100)]
before = held()
del columns
time.sleep(0.2)
for _ in range(2000):
    pl.repeat(1.0, 100, eager=True)
print(before - held())
"""
BEFORE_A_HOME_IS_OPENED = """
import sys
import finpipe.cli, finpipe.panel.memory

print({"numpy", "polars"} & set(sys.modules))
"""


def test_variables_that_are_set_stay_as_they_are(monkeypatch):
    first, *others = ALLOCATORS
    monkeypatch.setenv(first, "dirty_decay_ms:0")
    for name in others:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    keep_freed_memory()
    assert os.environ[first] == "dirty_decay_ms:0"
    assert all(os.environ[name] == ALLOCATORS[name] for name in others)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library is not glibc")
def test_columns_are_made_in_the_memory_of_those_that_were_freed():
    given = {name: value for name, value in os.environ.items() if name not in ALLOCATORS}
    done = subprocess.run(
        [sys.executable, "-c", COLUMNS_AGAIN_AND_AGAIN], capture_output=True, text=True, check=True, env=given
    )
    assert int(done.stdout) < 25_000, "of 250,000 pages"


def test_a_process_that_spares_memory_says_so_to_those_that_it_starts(monkeypatch):
    monkeypatch.setenv("_RJEM_MALLOC_CONF", "")
    monkeypatch.delenv("_RJEM_MALLOC_CONF")
    spare_memory()
    done = subprocess.run([sys.executable, "-c", FREED_BY_POLARS], capture_output=True, text=True, check=True)
    assert float(done.stdout) > 100, "of 400 MB"


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="the C library is not glibc")
def test_what_was_freed_below_what_is_in_use_is_given_back():
    done = subprocess.run(
        [sys.executable, "-c", FREED_BELOW_WHAT_IS_USED], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) > 100, "of 183 MiB"


def test_the_command_loads_no_allocator_before_it_says_how_they_are_to_work():
    done = subprocess.run(
        [sys.executable, "-c", BEFORE_A_HOME_IS_OPENED], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
