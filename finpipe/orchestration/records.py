"""Records: the databases in which Dagster writes down what was made of what, their copy, and what their errors mean.

The store can be made again from the market database, at the price of hours; which of its files are fresh stands
only here. So each command that ends well leaves a copy of the records behind.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from finpipe.orchestration import temporary
from finpipe.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy.exc import DBAPIError

DATABASES = ("history/runs.db", "history/runs/index.db", "schedules/schedules.db")
"""What is copied; the logs of single runs, which only people read, are not."""
ROOM = 1 << 18
"""Free bytes below which a disk counts as full: SQLite calls many things an I/O error."""


def copy_folder(settings: Settings) -> Path:
    """Return where the copy is kept."""
    return settings.home / "dagster.copy"


def keep_copy(settings: Settings) -> None:
    """Bring the copy up to date, as far as the records have changed; damaged ones never take its place.

    To be called while nobody else writes. A copy that cannot be written is left as it was.
    """
    for name in DATABASES:
        source, target = settings.dagster_home / name, copy_folder(settings) / name
        written = max(_written(source), _written(source.with_name(f"{source.name}-wal")))
        if written > _written(target):
            with contextlib.suppress(OSError, sqlite3.Error):
                _copy(source, target)


def restore(settings: Settings) -> None:
    """Put the copy, if there is one, in the place of records that were moved away."""
    kept = copy_folder(settings)
    if not kept.is_dir():
        return
    unfinished = temporary.beside(settings.dagster_home)
    shutil.copytree(kept, unfinished, ignore=shutil.ignore_patterns("*.tmp"))
    unfinished.rename(settings.dagster_home)


def explain(settings: Settings, error: DBAPIError) -> str:
    """Return what an error of the records means, and what to do about it."""
    folder, said = settings.dagster_home, str(error.orig)
    if not os.access(folder, os.W_OK):
        what = (
            "written to: it is read-only, or belongs to somebody else. Make the home writable, or name another with "
            "--home DIR"
        )
    elif "is full" in said or shutil.disk_usage(folder).free < ROOM:
        what = (
            "written to: the disk is full. Make room there; what was made before is untouched, and the same command "
            "goes on from there"
        )
    elif "locked" in said:
        what = f"used: another program holds it ({said}). Close it and try again"
    else:
        again = (
            f"goes on with the copy that the last command left in {copy_folder(settings).name}"
            if copy_folder(settings).is_dir()
            else "begins a new record and makes everything again"
        )
        what = f"read: {said}. If it is damaged, move it away: `finpipe run` {again}"
    return f"{folder}, where runs are recorded, cannot be {what}"


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = temporary.beside(target)
    try:
        with closing(sqlite3.connect(source)) as live, closing(sqlite3.connect(unfinished)) as copy:
            live.backup(copy)
            sound = copy.execute("PRAGMA quick_check(1)").fetchone() == ("ok",)
        if sound:
            unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)


def _written(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except FileNotFoundError:
        return 0
