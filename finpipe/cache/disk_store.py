"""Bytes in one SQLite file, for all processes of a machine: a budget, least recently used out first.

SQLite in WAL mode gives what a folder of files would need rules for: writes that happen whole or not at all,
an index that never disagrees with what is stored, and two processes that don't step on each other. A file
that SQLite finds damaged, or that a full disk leaves no room to change, is begun anew: it is a cache.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import RLock

from finpipe.cache.entry import FOREVER, Clock
from finpipe.cache.store import StoreError, StoreFullError
from finpipe.cache.tier import TierState

log = logging.getLogger(__name__)

GIGABYTE = 1 << 30
_REMEMBERED_USES = 64
_TABLES = """
create table if not exists entry (
    id integer primary key, key text not null unique,
    bytes integer not null, expires_at real, used_at real not null
);
create index if not exists entry_by_use on entry (used_at, id, bytes);
create index if not exists entry_by_expiry on entry (expires_at) where expires_at is not null;
create table if not exists body (id integer primary key, data blob not null);
create table if not exists total (
    one integer primary key check (one = 1), bytes integer not null, entries integer not null
);
insert or ignore into total values (1, 0, 0);
create trigger if not exists entry_added after insert on entry begin
    update total set bytes = bytes + new.bytes, entries = entries + 1;
end;
create trigger if not exists entry_removed after delete on entry begin
    delete from body where id = old.id;
    update total set bytes = bytes - old.bytes, entries = entries - 1;
end;
"""


class DiskStore:
    """A ``Store`` in ``{folder}/cache.sqlite``; safe for any number of threads and processes.

    Parameters
    ----------
    folder
        Made when it is missing; on a local disk (SQLite's WAL does not work over a network).
    clock
        Seconds since 1970, the same for all processes.
    budget
        Bytes of values; the file is a little larger. The store never holds more.
    wait
        Seconds for which another process may hold the file before an operation counts as failed.
    largest_file
        Bytes at which the disk counts as full; None: when it is.
    """

    name = "disk"

    def __init__(
        self,
        folder: Path,
        clock: Clock,
        budget: int = 4 * GIGABYTE,
        *,
        wait: float = 2.0,
        largest_file: int | None = None,
    ) -> None:
        if budget < 0:
            raise ValueError(f"a cache of {budget} bytes cannot hold anything")
        self.path = folder / "cache.sqlite"
        self.budget = budget
        self._clock, self._wait, self._largest_file = clock, wait, largest_file
        self._lock = RLock()
        self._connection: sqlite3.Connection | None = None
        self._opened: tuple[int, int, int] | None = None
        self._uses: dict[str, float] = {}
        self._evictions = self._refused = self._rebuilt = 0

    def get(self, key: str) -> bytes | None:
        """Return what stands under ``key``; the use is written down a little later."""
        now = self._clock()
        with self._opened_file() as connection:
            row = connection.execute(
                "select data, expires_at from entry join body using (id) where key = ?", (key,)
            ).fetchone()
            if row is None or (row[1] is not None and row[1] <= now):
                return None
            self._uses[key] = now
            if len(self._uses) >= _REMEMBERED_USES:
                self._write_uses(connection)
            data: bytes = row[0]
            return data

    def put(self, key: str, data: bytes, expires_at: float) -> None:
        """Keep ``data``; what is expired and then what is least recently used makes room.

        Something larger than the whole budget is counted as refused and not kept.
        """
        if len(data) > self.budget:
            self._refused += 1
            return
        with self._opened_file() as connection:
            try:
                self._insert(connection, key, data, expires_at, self.budget)
            except sqlite3.OperationalError as error:
                if not _is_full(error):
                    raise
                self._insert_on_full_disk(connection, key, data, expires_at)

    def delete(self, key: str) -> None:
        """Forget ``key``."""
        with self._opened_file() as connection:
            connection.execute("delete from entry where key = ?", (key,))

    def clear(self, prefix: str) -> int:
        """Forget the keys that begin with ``prefix`` and return how many they were."""
        with self._opened_file() as connection:
            gone = connection.execute(
                "delete from entry where substr(key, 1, ?) = ?", (len(prefix), prefix)
            ).rowcount
            connection.execute("pragma incremental_vacuum")
            return int(gone)

    def ping(self) -> None:
        """Return if the file can be read."""
        with self._opened_file() as connection:
            connection.execute("select bytes from total").fetchone()

    def state(self) -> TierState:
        """Return what the file holds, whoever wrote it, and what this process evicted and refused."""
        with self._opened_file() as connection:
            held, entries = connection.execute("select bytes, entries from total").fetchone()
            rebuilt = f"the file was begun anew {self._rebuilt} times" if self._rebuilt else ""
            return TierState(
                name=self.name,
                entries=entries,
                bytes=held,
                budget=self.budget,
                evictions=self._evictions,
                refused=self._refused,
                detail=rebuilt,
            )

    def close(self) -> None:
        """Write down the last uses and let go of the file."""
        with self._lock:
            if self._connection is not None and self._opened is not None and self._opened[0] == os.getpid():
                try:
                    self._write_uses(self._connection)
                except sqlite3.Error as error:
                    log.debug("last uses of the disk cache are lost: %s", error)
                self._connection.close()
            self._connection = None

    def _insert(
        self, connection: sqlite3.Connection, key: str, data: bytes, expires_at: float, budget: int
    ) -> None:
        now = self._clock()
        with _transaction(connection):
            self._touch(connection)
            connection.execute("delete from entry where key = ?", (key,))
            connection.execute("delete from entry where expires_at <= ?", (now,))
            gone = self._make_room(connection, budget - len(data))
            row = connection.execute(
                "insert into entry (key, bytes, expires_at, used_at) values (?, ?, ?, ?)",
                (key, len(data), None if expires_at == FOREVER else expires_at, now),
            ).lastrowid
            connection.execute("insert into body values (?, ?)", (row, data))
        self._evictions += gone
        self._uses.clear()

    def _insert_on_full_disk(
        self, connection: sqlite3.Connection, key: str, data: bytes, expires_at: float
    ) -> None:
        held = connection.execute("select bytes from total").fetchone()[0]
        try:
            self._insert(connection, key, data, expires_at, max(len(data), held // 2))
        except sqlite3.OperationalError as error:
            if not _is_full(error) or len(data) > held // 2:
                raise
            # Deleting needs room for the log of the deletion: without any, only a new file helps.
            self._begin_anew("the disk is full")
            self._insert(self._open(), key, data, expires_at, held // 2)

    @staticmethod
    def _make_room(connection: sqlite3.Connection, budget: int) -> int:
        excess = connection.execute("select bytes from total").fetchone()[0] - budget
        gone = []
        for row, size in connection.execute("select id, bytes from entry order by used_at, id"):
            if excess <= 0:
                break
            gone.append((row,))
            excess -= size
        connection.executemany("delete from entry where id = ?", gone)
        return len(gone)

    def _write_uses(self, connection: sqlite3.Connection) -> None:
        try:
            with _transaction(connection):
                self._touch(connection)
        except sqlite3.OperationalError as error:
            # A busy or full disk costs the order of eviction, not the value that was read.
            log.debug("uses of the disk cache are not written down: %s", error)
        self._uses.clear()

    def _touch(self, connection: sqlite3.Connection) -> None:
        connection.executemany(
            "update entry set used_at = max(used_at, ?) where key = ?",
            [(used_at, key) for key, used_at in self._uses.items()],
        )

    @contextmanager
    def _opened_file(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._open()
            except sqlite3.OperationalError as error:
                if _is_full(error):
                    raise StoreFullError(f"the disk of {self.path} is full: {error}") from error
                raise StoreError(f"{self.path}: {error}") from error
            except sqlite3.DatabaseError as error:
                with contextlib.suppress(OSError):
                    self._begin_anew(str(error))
                raise StoreError(f"{self.path} was damaged: {error}") from error
            except OSError as error:
                if isinstance(error, StoreError):
                    raise
                raise StoreError(f"{self.path}: {error}") from error

    def _open(self) -> sqlite3.Connection:
        if self._connection is not None and self._opened == self._stamp():
            return self._connection
        # A fork must not use its parent's connection, nor anybody a file that was set aside.
        if self._connection is not None and self._opened is not None and self._opened[0] == os.getpid():
            self._connection.close()
        self._connection = None
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(
            self.path, timeout=self._wait, check_same_thread=False, isolation_level=None
        )
        self._opened = self._stamp()
        try:
            connection.execute("pragma auto_vacuum = incremental")
            connection.execute("pragma journal_mode = wal")
            connection.execute("pragma synchronous = normal")
            if self._largest_file is not None:
                (page,) = connection.execute("pragma page_size").fetchone()
                connection.execute(f"pragma max_page_count = {max(1, self._largest_file // page)}")
            connection.executescript(_TABLES)
        except BaseException:
            connection.close()
            raise
        self._connection, self._opened = connection, self._stamp()
        return connection

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        return os.getpid(), found.st_dev, found.st_ino

    def _begin_anew(self, reason: str) -> None:
        from filelock import FileLock

        opened = self._opened
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        # Another process may have begun anew already: its file has another stamp and stays.
        with FileLock(self.path.with_suffix(".lock"), timeout=self._wait):
            if opened is not None and opened == self._stamp():
                for ending in ("-wal", "-shm", ""):
                    Path(f"{self.path}{ending}").unlink(missing_ok=True)
        self._rebuilt += 1
        log.warning("the disk cache %s is begun anew: %s", self.path.name, reason)


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("begin immediate")
    try:
        yield
        connection.execute("commit")
    except BaseException:
        if connection.in_transaction:
            connection.execute("rollback")
        raise


def _is_full(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
