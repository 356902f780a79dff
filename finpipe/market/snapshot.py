"""Reading an SQLite file as it was at one moment, while others may be writing to it, and never writing to it.

Which tables and columns are read, and as what types, is the business of ``source_reader``.

How one moment is ensured
-------------------------
Small tables are read through one connection in one transaction. For large ones connectorx is several times
faster, as it reads parts over several connections; but each sees the latest commit of its own start. So SQLite's
``data_version`` is asked before and after, through a connection that stays open: if nothing was committed in
between, all parts are of one moment. Otherwise the read is repeated, and if the writer goes on, everything is
read in one transaction after all: slower, always consistent.

connectorx brings an SQLite of its own. Two SQLite libraries in one process break each other's locks, since
POSIX locks belong to the process: the log's index can be cut off under a connection, which ends in a bus error.
Therefore connectorx runs in a process of its own (``parallel_reader``).

A database in WAL mode that nobody has open is read as immutable: SQLite would else leave ``-wal`` and ``-shm``
files beside it, or fail in a read-only folder. Whether somebody wrote meanwhile is then seen by the file's time.
"""

from __future__ import annotations

import itertools
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar
from urllib.parse import quote

import polars as pl

LOCK_TIMEOUT_S = 30.0
"""How long a locked database is waited for."""

_T = TypeVar("_T")
_Convert = Callable[[int, pl.DataFrame], _T]
_PARALLEL_ATTEMPTS = 2
_IMMUTABLE_ATTEMPTS = 4
_LOCK_POLL_S = 0.002
_ROWS_PER_FETCH = 50_000
_ROWS_PER_PART = 100_000
_SETTLED_NS = 100_000_000
_PARALLEL_READER = Path(__file__).with_name("parallel_reader.py")


class DatabaseUnavailable(RuntimeError):  # noqa: N818  # a state of the database, which may pass
    """The database file is absent, unreadable, not an SQLite database, or locked by another process."""


@dataclass(frozen=True, slots=True)
class Extract:
    """The rows of one table that are wanted.

    Parameters
    ----------
    select
        ``SELECT columns FROM table``.
    guarded_select
        The same with expressions that keep the type of their column whatever SQLite stored in the cell.
        Slower; used for parts in which ``select`` meets a value of another type.
    schema
        Names and types of the columns: String, Int64 or Float64.
    conditions
        One per part that may be read side by side; together they give every row once.
    """

    select: str
    guarded_select: str
    schema: Mapping[str, type[pl.DataType]]
    conditions: tuple[str, ...]


def commit_state(database: Path) -> str:
    """What changes with every commit to the database, told by its files' sizes, times and change counter.

    Equal states mean equal contents; a checkpoint or a copy changes the state, not the contents. A file that
    was written to within the last tenth of a second may be written to again without its times changing: its
    state equals no other.

    Raises
    ------
    DatabaseUnavailable
        If the file is absent or not readable.
    """
    _check_is_file(database)
    log, journal = _beside(database, "-wal"), _beside(database, "-journal")
    counter = "" if log.exists() or journal.exists() else _header(database)[24:28].hex()
    state = f"{_status(database)}:{counter}|{_status(log)}|{_status(journal)}"
    return state if _settled(database) and _settled(log) else f"{state}|unsettled at {time.time_ns()}"


def settle(database: Path) -> None:
    """Wait, a tenth of a second at most, until a database that was written to a moment ago has a comparable state.

    One that is written to all the time never has.
    """
    ages = [time.time_ns() - _modified_ns(file) for file in (database, _beside(database, "-wal"))]
    time.sleep(min(max(0, _SETTLED_NS - min(ages) + 1_000_000), _SETTLED_NS + 1_000_000) / 1e9)


@contextmanager
def connect(database: Path, *, timeout_s: float = LOCK_TIMEOUT_S) -> Iterator[sqlite3.Connection]:
    """Open ``database`` for reading in one transaction: everything read inside is of one moment.

    Raises
    ------
    DatabaseUnavailable
        If the file is absent, unreadable, no SQLite database, or locked for longer than ``timeout_s``.
    """
    with _opened(database, timeout_s, immutable=_unused(database)) as connection:
        _begin(connection, timeout_s)
        yield connection


def extract(
    database: Path,
    plan: Callable[[sqlite3.Connection], Sequence[Extract]],
    convert: _Convert[_T],
    *,
    timeout_s: float = LOCK_TIMEOUT_S,
) -> list[list[_T]]:
    """Read several extracts as they were at one moment.

    Parameters
    ----------
    database
        The SQLite file.
    plan
        Decides what to read, looking at the schema through the connection that it gets. May be called again.
    convert
        What to make of each part as soon as it is read, given the position of its extract.
    timeout_s
        How long to wait for a lock.

    Returns
    -------
    list
        For each extract of the plan, its converted parts in order.

    Raises
    ------
    DatabaseUnavailable
        As :func:`connect`; whatever ``plan`` and ``convert`` raise passes through.
    """
    attempt = 0
    while True:
        immutable = attempt < _IMMUTABLE_ATTEMPTS and _unused(database)
        before = _status(database)
        with _opened(database, timeout_s, immutable=immutable) as connection:
            version = _begin(connection, timeout_s)
            extracts = plan(connection)
            large = any(len(one.conditions) > 1 for one in extracts)
            writing = _beside(database, "-journal").exists()
            if large and not writing and attempt < _PARALLEL_ATTEMPTS:
                connection.execute("COMMIT")
                result = _in_parallel(_uri(database, immutable=immutable), extracts, convert)
                valid = result is not None and _version(connection, timeout_s) == version
            else:
                result = _in_transaction(connection, extracts, convert)
                valid = True
        untouched = not immutable or (_unused(database) and _status(database) == before)
        if result is not None and valid and untouched:
            return result
        attempt += 1


def explain(database: Path, error: sqlite3.Error, timeout_s: float) -> str:
    """Say in a sentence what an error of SQLite means for ``database`` and what to do about it."""
    code = getattr(error, "sqlite_errorname", "") or ""
    log, journal = _beside(database, "-wal"), _beside(database, "-journal")
    barred = code.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN"))
    if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        what = (
            f"locked by another process for more than {timeout_s:g} s{_lock_holders(database)}. "
            "Let the loader that writes to it finish, or stop it, and try again"
        )
    elif code == "SQLITE_NOTADB":
        what = "this file is not an SQLite database (or it is encrypted)"
    elif code.startswith("SQLITE_CORRUPT"):
        what = f"the database is damaged ({error}); `PRAGMA integrity_check` in sqlite3 tells where"
    elif barred and journal.exists():
        what = (
            f"a writer stopped in the middle of a change and left {journal.name}. Open the database once with "
            "a program that may write to it, e.g. `sqlite3`, so that SQLite can undo the change"
        )
    elif barred and log.exists():
        what = (
            f"it has changes in {log.name} that cannot be read from a read-only folder. Let its writer close it, "
            "or copy the database with its -wal file to a folder of your own"
        )
    elif code.startswith("SQLITE_READONLY"):
        what = f"the file or its folder is read-only for this user ({error})"
    else:
        what = f"SQLite cannot read it: {error}"
    return f"{database}: {what}"


def row_ranges(connection: sqlite3.Connection, table: str) -> tuple[str, ...]:
    """Conditions that cut a table in parts of about equal size; one part if it is small or has no rowid."""
    name = quoted(table)
    try:
        first, last = connection.execute(  # one aggregate per SELECT: SQLite scans the table for two
            f"SELECT (SELECT min(rowid) FROM {name}), (SELECT max(rowid) FROM {name})"
        ).fetchone()
    except sqlite3.OperationalError:
        return ("TRUE",)
    if first is None or last - first < _ROWS_PER_PART:
        return ("TRUE",)
    count = round((last - first) / _ROWS_PER_PART) + 1
    edges = [first + (last + 1 - first) * part // count for part in range(count + 1)]
    return tuple(f"rowid BETWEEN {low} AND {high - 1}" for low, high in itertools.pairwise(edges))


def quoted(name: str) -> str:
    """The name of a table or column as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def _in_parallel(uri: str, extracts: Sequence[Extract], convert: _Convert[_T]) -> list[list[_T]] | None:
    """All parts by connectorx; None if it cannot read them, of which SQLite can tell more."""
    import pyarrow as pa

    jobs = [(position, condition) for position, one in enumerate(extracts) for condition in one.conditions]
    queries = [
        [
            f"{_types_row(extracts[position])} UNION ALL {select} WHERE {condition}"
            for select in (extracts[position].select, extracts[position].guarded_select)
        ]
        for position, condition in jobs
    ]
    job = json.dumps({"url": f"sqlite://{quote(uri, safe='')}", "queries": queries}).encode()
    result: list[list[_T]] = [[] for _ in extracts]
    with _parallel_reader() as (jobs_in, tables_out):
        try:
            jobs_in.write(job)
            jobs_in.close()
            for position, _ in jobs:
                with pa.ipc.open_stream(tables_out) as stream:
                    table = stream.read_all()
                result[position].append(convert(position, pl.DataFrame(table)[1:]))
        except (OSError, pa.ArrowInvalid):
            return None
    return result


@contextmanager
def _parallel_reader() -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """A process that reads: where it takes its job, and where it gives the tables."""
    command = [sys.executable, "-P", str(_PARALLEL_READER)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, **pipes) as process:  # type: ignore[call-overload]  # noqa: S603  # our own program
        try:
            yield process.stdin, process.stdout
        finally:
            process.kill()


def _in_transaction(
    connection: sqlite3.Connection, extracts: Sequence[Extract], convert: _Convert[_T]
) -> list[list[_T]]:
    result: list[list[_T]] = []
    for position, one in enumerate(extracts):
        parts = []
        for condition in one.conditions:
            cursor = connection.execute(f"{one.guarded_select} WHERE {condition}")
            while rows := cursor.fetchmany(_ROWS_PER_FETCH):
                parts.append(convert(position, pl.DataFrame(rows, schema=one.schema, orient="row")))
        if one.conditions and not parts:
            parts.append(convert(position, pl.DataFrame(schema=one.schema)))
        result.append(parts)
    return result


def _types_row(one: Extract) -> str:
    """A row of constants: connectorx cannot learn types from an expression that is null, or from no rows."""
    constants = {pl.String: "''", pl.Int64: "0", pl.Float64: "0.0"}
    return "SELECT " + ", ".join(
        f"{constants[dtype]} AS {quoted(name)}" for name, dtype in one.schema.items()
    )


@contextmanager
def _opened(database: Path, timeout_s: float, *, immutable: bool) -> Iterator[sqlite3.Connection]:
    uri = _uri(database, immutable=immutable)
    try:
        with closing(sqlite3.connect(uri, uri=True, timeout=0, isolation_level=None)) as connection:
            yield connection
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorname", "") == "SQLITE_ERROR":
            raise
        raise DatabaseUnavailable(explain(database, error, timeout_s)) from error


def _begin(connection: sqlite3.Connection, timeout_s: float) -> int:
    """Start a transaction and return the version of the data that it sees."""
    connection.execute("BEGIN")
    return _version(connection, timeout_s)


def _version(connection: sqlite3.Connection, timeout_s: float) -> int:
    """SQLite's counter of commits by others, which waits for locks.

    SQLite itself asks ever more seldom for a lock, and would starve beside a writer that commits all the time.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return int(connection.execute("PRAGMA data_version").fetchone()[0])
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(_LOCK_POLL_S)


def _uri(database: Path, *, immutable: bool) -> str:
    """The file as SQLite's URI, read-only; names with ``?``, ``#``, ``%`` and blanks are quoted."""
    path = quote(os.fsencode(database.resolve()))
    return f"file:{path}?mode=ro{'&immutable=1' if immutable else ''}"


def _unused(database: Path) -> bool:
    """Whether the database is in WAL mode, nobody has it open, and the last writing is a while ago."""
    _check_is_file(database)
    if any(_beside(database, suffix).exists() for suffix in ("-wal", "-shm", "-journal")):
        return False
    return _header(database)[18:19] == b"\x02" and _settled(database)


def _header(database: Path) -> bytes:
    """The file's first bytes, to be read only while no writer is seen: closing the file drops our own locks."""
    try:
        with database.open("rb", buffering=0) as opened:
            return opened.read(28)
    except OSError as error:
        raise DatabaseUnavailable(f"{database}: cannot be read: {error.strerror}") from error


def _settled(file: Path) -> bool:
    """Whether the file's time is old enough for the next writing to change it: clocks of files tick in steps."""
    return time.time_ns() - _modified_ns(file) > _SETTLED_NS


def _modified_ns(file: Path) -> int:
    """When the file was written to last; long ago if it is absent."""
    try:
        return file.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _status(file: Path) -> str:
    """Identity, size and times; empty if the file is absent or empty.

    The time of writing can be set back (``cp -p``, ``rsync -t``, ``touch -d``), the time of change cannot.
    """
    try:
        status = file.stat()
    except FileNotFoundError:
        return ""
    times = f"{status.st_mtime_ns}:{status.st_ctime_ns}"
    return f"{status.st_ino}:{status.st_size}:{times}" if status.st_size else ""


def _beside(database: Path, suffix: str) -> Path:
    path = database.resolve()
    return path.with_name(path.name + suffix)


def _check_is_file(database: Path) -> None:
    if not database.is_file():
        what = "is a folder, not a database file" if database.is_dir() else "there is no such database file"
        raise DatabaseUnavailable(f"{database}: {what}")


def _lock_holders(database: Path) -> str:
    """Who holds locks on the database, where the system tells (Linux); empty elsewhere."""
    try:
        inodes = {f.stat().st_ino for f in (database, _beside(database, "-shm")) if f.exists()}
        locks = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
        holders = {int(lock[4]) for lock in locks if int(lock[5].rsplit(":", 1)[1]) in inodes} - {os.getpid()}
        names = [f"{pid} ({Path(f'/proc/{pid}/comm').read_text().strip()})" for pid in sorted(holders)]
    except (OSError, ValueError, IndexError):
        return ""
    return f" (held by process {', '.join(names)})" if names else ""
