"""A small demo market and a finished home on it, made once in a test session by the real command.

Both are shared by every process of the session and must not be changed: tests that write take a copy.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock

from finpipe.market.demo import write_demo_market
from finpipe.settings import CONFIG_NAME, Settings, load_settings

STOCKS, YEARS = 80, 6
TEST_YEARS = (2022, 2023, 2024)
VARIANT = "top_n-h21"
OWN_PRESETS = """
[preset.top_n.ranker] # learns slowly, for a market this small, and is trained quickly
rounds = 60
learning_rate = 0.05
num_leaves = 7
min_data_in_leaf = 200

[preset.quick]
base = "quintile"
[preset.quick.ranker]
rounds = 20
num_leaves = 7
"""
FOREIGN = ("FINPIPE_", "DAGSTER_")
"""Beginnings of variables that would let the settings of whoever runs the tests into them."""
WANTED = "FINPIPE_TEST_DATA"
FIRST_RUN = "first_run.json"


@dataclass(frozen=True, slots=True)
class DemoHome:
    """A home in which everything has been made, and the database that it was made from."""

    database: Path
    home: Path

    @property
    def first_run(self) -> dict[str, Any]:
        """What the run that made it reported with ``--json``."""
        record: dict[str, Any] = json.loads(self.home.with_name(FIRST_RUN).read_text(encoding="utf-8"))
        return record

    def settings(self, **changes: object) -> Settings:
        """Return the settings of this home, with one process and one thread unless ``changes`` say otherwise."""
        flags = {"home": self.home, "database": self.database, "workers": 1, "threads": 1}
        return load_settings(**(flags | changes))

    def copy(self, folder: Path) -> DemoHome:
        """Return a copy of the home in ``folder``; stored files are linked, for they are replaced, not changed."""
        shutil.copytree(self.home / "store", folder / "store", copy_function=os.link)
        shutil.copytree(
            self.home,
            folder,
            ignore=shutil.ignore_patterns("store", "run.*", "*.tmp", "*.db-wal", "*.db-shm"),
            copy_function=_copy_as_of_now,
            dirs_exist_ok=True,
        )
        return DemoHome(self.database, folder)

    def copy_with_database(self, folder: Path) -> DemoHome:
        """Return a copy of the home that works on a copy of the database."""
        database = folder / "market" / self.database.name
        database.parent.mkdir(parents=True)
        for name in (self.database.name, CONFIG_NAME):
            shutil.copyfile(self.database.with_name(name), database.with_name(name))
        copied = self.copy(folder / "home")
        remembered = copied.home / "database.json"
        remembered.write_text(json.dumps({"database": str(database)}), encoding="utf-8")
        (copied.home / "fingerprints.json").unlink()
        return DemoHome(database, copied.home)


@dataclass(frozen=True, slots=True)
class Said:
    """What the command said, and its exit status."""

    status: int
    out: str
    err: str

    @property
    def record(self) -> Any:
        """The object that ``--json`` prints last."""
        return json.loads(self.out.splitlines()[-1])


def make_once(folder: Path, make: Callable[[Path], None]) -> Path:
    """Let the first process of the session ``make`` what belongs into ``folder``; the others wait for it."""
    with filelock.FileLock(folder.with_suffix(".lock")):
        finished = folder / "finished"
        if not finished.is_file():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            make(folder)
            finished.touch()
    return folder


def make_demo_market(folder: Path) -> None:
    """Write the demo market into ``folder``, and a ``finpipe.toml`` beside it."""
    write_demo_market(folder / "krx_stock_data.db", stocks=STOCKS, years=YEARS)
    (folder / CONFIG_NAME).write_text(OWN_PRESETS, encoding="utf-8")


def make_demo_home(database: Path) -> Callable[[Path], None]:
    """Return what makes everything of ``database`` in a folder, two years side by side."""

    def make(folder: Path) -> None:
        home = folder / "home"
        done = finpipe("run", "--database", database, "--home", home, "--json", FINPIPE_WORKERS="2")
        (folder / FIRST_RUN).write_text(done.stdout.splitlines()[-1], encoding="utf-8")

    return make


def finpipe(
    *arguments: object, status: int = 0, cwd: Path | None = None, stdin: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does and insist on its exit ``status``."""
    done = subprocess.run(
        command(*arguments),
        env=environment(variables),
        cwd=cwd,
        input=stdin,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=240,
    )
    assert done.returncode == status, f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def command(*arguments: object) -> Sequence[str]:
    """Return the command line of the installed ``finpipe``."""
    return [str(Path(sys.executable).with_name("finpipe")), *map(str, arguments)]


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without settings of whoever runs the tests, with ``variables``."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    return {**kept, "COLUMNS": "200", "NO_COLOR": "1", **variables}


def _copy_as_of_now(source: str, target: str) -> None:
    """Copy a file; an SQLite database with what its log holds, as others may have it open."""
    if not source.endswith(".db"):
        shutil.copy2(source, target)
        return
    with closing(sqlite3.connect(source)) as shared, closing(sqlite3.connect(target)) as own:
        shared.backup(own)
