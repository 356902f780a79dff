"""What tests of faults share: commands that are killed, what a home holds by content, and what must not be left."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import polars as pl

from finpipe.orchestration.home import open_instance
from finpipe.orchestration.leftovers import UNFINISHED
from finpipe.orchestration.result_tables import ResultTables
from finpipe.orchestration.versions import content_hash, text_hash
from finpipe.settings import load_settings
from finpipe_tests.demo_home import command, environment
from finpipe_tests.processes import living
from finpipe_tests.waiting import until

TABLES = ("backtest", "trades", "holdings", "capacity", "backtest_notes", "performance", "picks")


def start(*arguments: object, **variables: str) -> subprocess.Popen[str]:
    """Start the command in a session of its own."""
    return subprocess.Popen(
        command(*arguments),
        env=environment(variables),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        start_new_session=True,
    )


def has_said(process: subprocess.Popen[str], lines: int) -> None:
    """Wait until a command has said so many lines on standard error, or ends."""
    assert process.stderr is not None
    for _ in range(lines):
        process.stderr.readline()


def in_flight(home: Path, since: float) -> int:
    """Return how many Dagster runs of a home that began after ``since`` are at work."""
    with closing(sqlite3.connect(home / "dagster" / "history" / "runs.db")) as records:
        query = "SELECT count(*) FROM runs WHERE status = 'STARTED' AND start_time >= ?"
        found: tuple[int] = records.execute(query, [since]).fetchone()
    return found[0]


def kill(process: subprocess.Popen[str], *, alone: bool = False) -> bool:
    """Kill a command; tell whether it was at work.

    Only the command itself is killed if ``alone``, its workers with it otherwise.
    """
    assert process.stderr is not None
    at_work = process.poll() is None
    if at_work:
        (os.kill if alone else os.killpg)(process.pid, signal.SIGKILL)
    process.wait(timeout=200)
    until(lambda: not living(process.pid), "the end of a command's workers")
    process.stderr.close()
    return at_work


def contents(home: Path, store: Path | None = None) -> dict[str, str]:
    """Return hashes of all that a home holds: of frames and of the rows of tables, of the bytes of other files."""
    root = store or home / "store"
    found = {
        str(path.relative_to(root)): content_hash(pl.read_parquet(path))
        if path.suffix == ".parquet"
        else text_hash(path.read_bytes())
        for path in root.rglob("*")
        if path.is_file() and not path.name.endswith(".tmp")
    }
    tables = ResultTables(home / "finpipe.duckdb")
    for table in TABLES if tables.path.exists() else ():
        frame = tables.read(f"krx/{table}", None)
        for (variant,), rows in frame.partition_by("variant", as_dict=True).items():
            found[f"{table}[{variant}]"] = content_hash(rows)
    return found


def assert_each_is_old_or_new(now: dict[str, str], old: dict[str, str], new: dict[str, str]) -> None:
    """Insist that nothing is lost, and nothing is half made."""
    odd = {name for name, found in now.items() if found not in {old.get(name), new.get(name)}}
    assert not odd, f"neither the old version nor the new one: {sorted(odd)}"
    assert not old.keys() - now.keys(), "lost"


def assert_nothing_is_left_over(home: Path) -> None:
    """Insist that no unfinished file, no lock, no pool slot and no run that seems to be at work remain."""
    assert [str(path) for path in home.rglob("*") if path.name.endswith((".tmp", ".wal"))] == []
    assert not (home / "run.json").exists()
    with open_instance(load_settings(home=home)) as instance:
        records = instance.event_log_storage
        assert records.get_concurrency_run_ids() == set()
        assert [
            records.get_concurrency_info(pool.name).claimed_slots for pool in records.get_pool_limits()
        ] == [[]]
        assert [run for run in instance.get_runs() if run.status in UNFINISHED] == []
