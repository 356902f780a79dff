"""Fixtures that every test may ask for."""

from __future__ import annotations

import functools
import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from finpipe_tests.demo_home import (
    FOREIGN,
    WANTED,
    DemoHome,
    Said,
    make_demo_home,
    make_demo_market,
    make_once,
)

PROJECT = Path(__file__).resolve().parents[1]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kills", type=int, help="how often each of the kill tests kills a process")


WAITING = (
    ("faults/test_killed.py",),
    ("browser/test_dagster_ui.py", "faults/test_no_room.py"),
    ("integration/test_daemon.py", "integration/test_hostile.py"),
)
"""Modules that take longest, and much of it wait for other processes, by the worker that has them early."""
MEANWHILE = 300
"""Tests of the other workers while the first makes the home that these modules need."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let each worker have early what takes longest; ``--dist worksteal`` gives each an equal run of the tests."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    first: list[list[pytest.Item]] = [[] for _ in range(workers)]
    others = []
    for item in items:
        path = item.path.as_posix()
        at = next((at for at, names in enumerate(WAITING) if path.endswith(names)), None)
        (others if at is None else first[at % workers]).append(item)
    share = len(items) // workers
    ordered: list[pytest.Item] = []
    for worker, begun in enumerate(first):
        count = len(others) if worker == workers - 1 else max(0, share - len(begun))
        before = min(MEANWHILE, count) if worker else 0
        ordered += others[:before] + begun + others[before:count]
        others = others[count:]
    items[:] = ordered


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Look for garbage seldom, and not among what all tests share: that takes a tenth of their time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)


def pytest_unconfigure() -> None:
    """Let what was spared go in an orderly way."""
    gc.unfreeze()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Let no instance of another test stand in: Dagster keeps the last one at hand, and fixtures end out of turn."""
    from dagster._core.storage.defs_state.base import _current_storage

    storage = _current_storage.get()
    if storage is not None and storage._instance_weakref() is None:
        _current_storage.set(None)


@pytest.fixture(scope="session", autouse=True)
def _no_foreign_settings() -> Iterator[None]:
    """No test sees or touches the home of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(FOREIGN) and name != WANTED]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="session", autouse=True)
def _interrupts_count() -> None:
    """Ctrl-C counts in the processes of tests, also where a shell runs the tests in its background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of the session share."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def demo_market(shared_folder: Path) -> Path:
    """The database of a small demo market; not to be changed."""
    return make_once(shared_folder / "demo_market", make_demo_market) / "krx_stock_data.db"


@pytest.fixture(scope="session")
def demo_home(shared_folder: Path, demo_market: Path) -> DemoHome:
    """A home in which everything has been made from ``demo_market``; not to be changed."""
    folder = make_once(shared_folder / "demo_home", make_demo_home(demo_market))
    return DemoHome(demo_market, folder / "home")


@pytest.fixture
def own_home(demo_home: DemoHome, tmp_path: Path) -> DemoHome:
    """A copy of ``demo_home`` that the test may change, on the same database."""
    return demo_home.copy(tmp_path / "home")


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The lengths of the series that Prophet was fitted to, one after the other."""
    pytest.importorskip("prophet", reason="the extra prophet is not installed")
    from finpipe.portfolio import prophet_forecast

    found: list[int] = []
    fitted = prophet_forecast._fitted

    def counted(days: Any, values: Any) -> Any:
        found.append(len(days))
        return fitted(days, values)

    monkeypatch.setattr(prophet_forecast, "_fitted", counted)
    return found


@functools.cache
def _parsed_command() -> Callable[[], Any]:
    """The command with all its verbs and options, which take a while to be looked through."""
    from typer.main import get_command

    from finpipe import cli

    return get_command(cli.app)


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Said]:
    """The ``finpipe`` command in this process, with one worker."""
    from finpipe import cli
    from finpipe.console.terminal import err, out

    monkeypatch.setattr(cli, "app", _parsed_command())
    monkeypatch.setenv("FINPIPE_WORKERS", "1")
    for terminal in (out, err):
        monkeypatch.setattr(terminal, "_width", 250)

    def run(*arguments: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["finpipe", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return Said(int(ended.value.code or 0), said.out, said.err)

    return run


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real market data kept outside the project; absent data skips the test and says so."""
    folder = Path(os.environ.get("FINPIPE_TEST_DATA", PROJECT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real market data is absent: {folder} (set FINPIPE_TEST_DATA)")
    return folder


@pytest.fixture(scope="session")
def golden(shared_data: Path) -> Path:
    """Folder of golden values, beside the real market data."""
    folder = shared_data.parent / "golden"
    if not folder.is_dir():
        pytest.skip(f"golden values are absent: {folder}")
    return folder
