"""L1 for all processes of a machine: tables in memory-mapped Arrow files, read without a copy.

A folder holds files written by ``publish``, each a plain Arrow IPC file of one record batch; its schema
metadata say which rows belong to which key. A file is replaced as a whole by renaming: who has the old one
mapped reads on in it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from finpipe.cache.entry import Clock, Entry, Expiry, UncacheableError
from finpipe.cache.tier import TierState

log = logging.getLogger(__name__)

_INDEX = b"finpipe.hot_set"
_VERSION = 1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,100}")


@dataclass(frozen=True, slots=True)
class Cut:
    """Rows of a published entry under a key of their own: ``rows`` of them from the row ``first`` of ``of``."""

    of: str
    first: int
    rows: int


def publish(
    folder: Path, name: str, entries: Mapping[str, Entry], cuts: Mapping[str, Cut] | None = None
) -> Path:
    """Write ``entries`` as ``{folder}/{name}.arrow`` in place of the file there, and return its path.

    Parameters
    ----------
    entries
        Tables of one schema by key. None at all makes an empty file: nothing of this name is hot.
    cuts
        Parts of ``entries`` by their keys, with the instants of what they are cut from; they take no room.

    Raises
    ------
    UncacheableError
        An entry is no table, or its schema differs from the first one's: names the key.
    ValueError
        The name is no file name, or a cut is not within an entry: names its key.
    """
    import pyarrow as pa

    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot name a hot set: use letters, digits, '_', '.' and '-'")
    index: dict[str, list[float | None]] = {}
    tables: list[Any] = []
    first = 0
    for key, entry in entries.items():
        table = entry.payload
        if isinstance(table, bytes):
            raise UncacheableError(f"{key} is JSON: a hot set holds tables")
        table = table.replace_schema_metadata(None)
        if tables and table.schema != tables[0].schema:
            raise UncacheableError(
                f"{key} has the schema {table.schema.to_string()!r}, unlike the first of {name!r}: "
                "publish tables of another schema under another name"
            )
        times = (entry.stored_at, entry.expiry.fresh_until, entry.expiry.expires_at)
        index[key] = [first, table.num_rows, *(None if time == math.inf else time for time in times)]
        tables.append(table)
        first += table.num_rows
    for key, cut in (cuts or {}).items():
        start, rows, *instants = index.get(cut.of, (0, -1))
        if start is None or rows is None or not 0 <= cut.first <= cut.first + cut.rows <= rows:
            raise ValueError(f"{key} is cut from rows that {cut.of} does not have in {name!r}")
        index[key] = [start + cut.first, cut.rows, *instants]
    whole = pa.concat_tables(tables).combine_chunks() if tables else pa.table({})
    text = json.dumps({"version": _VERSION, "entries": index})
    whole = whole.replace_schema_metadata({_INDEX: text.encode()})
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.arrow"
    temporary = folder / f".{name}.{os.getpid()}.tmp"
    try:
        with temporary.open("wb") as file:
            with pa.ipc.new_file(
                file, whole.schema, options=pa.ipc.IpcWriteOptions(unify_dictionaries=True)
            ) as writer:
                writer.write_table(whole)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


@dataclass(slots=True)
class _Mapped:
    stamp: tuple[int, int, int]
    bytes: int = 0
    table: Any = None
    index: dict[str, list[float | None]] = field(default_factory=dict)


class HotSet:
    """The tables published in ``folder``, by key; safe for any number of threads.

    Parameters
    ----------
    folder
        Where ``publish`` writes; it need not exist yet.
    clock
        Seconds since 1970.
    look_every
        Seconds after which the folder is looked at again for replaced files.
    """

    name = "hot_set"

    def __init__(self, folder: Path, clock: Clock, *, look_every: float = 1.0) -> None:
        self.folder = folder
        self._clock, self._look_every = clock, look_every
        self._files: dict[Path, _Mapped] = {}
        self._where: dict[str, _Mapped] = {}
        self._looked_at = -math.inf
        self._undecodable = 0
        self._lock = Lock()

    def get(self, key: str) -> Entry | None:
        """Return the entry under ``key``, its table a view into the mapped file; None if it may not be used."""
        now = self._clock()
        if now - self._looked_at >= self._look_every:
            self._look(now)
        mapped = self._where.get(key)
        if mapped is None:
            return None
        first, rows, *times = mapped.index[key]
        stored_at, fresh_until, expires_at = (math.inf if time is None else time for time in times)
        if now >= expires_at:
            return None
        table = mapped.table.slice(int(first or 0), int(rows or 0))
        return Entry(table, stored_at, Expiry(fresh_until, expires_at))

    def put(self, key: str, entry: Entry) -> None:
        """Do nothing: a hot set is published as a whole."""

    def delete(self, key: str) -> None:
        """Do nothing: see ``clear``."""

    def clear(self, prefix: str = "") -> int:
        """Remove the files if ``prefix`` covers every key in them, and return how many entries they had.

        Files that hold other keys as well stay: publish them anew.
        """
        self._look(self._clock())
        gone = 0
        for path, mapped in list(self._files.items()):
            if all(key.startswith(prefix) for key in mapped.index):
                path.unlink(missing_ok=True)
                gone += len(mapped.index)
        self._look(self._clock())
        return gone

    def state(self) -> TierState:
        """Return what is mapped; the bytes are those of the files and belong to no process alone."""
        self._look(self._clock())
        return TierState(
            name=self.name,
            entries=len(self._where),
            bytes=sum(mapped.bytes for mapped in self._files.values()),
            undecodable=self._undecodable,
        )

    def _look(self, now: float) -> None:
        with self._lock:
            self._looked_at = now
            files: dict[Path, _Mapped] = {}
            for path in sorted(self.folder.glob("*.arrow")):
                with contextlib.suppress(FileNotFoundError):
                    files[path] = self._current(path)
            if files.keys() == self._files.keys() and all(files[path] is self._files[path] for path in files):
                return
            self._files = files
            self._where = {key: mapped for mapped in files.values() for key in mapped.index}

    def _current(self, path: Path) -> _Mapped:
        found = path.stat()
        stamp = (found.st_ino, found.st_mtime_ns, found.st_size)
        known = self._files.get(path)
        if known is not None and known.stamp == stamp:
            return known
        mapped = _Mapped(stamp, found.st_size)
        try:
            mapped.table, mapped.index = _read(path)
        except FileNotFoundError:
            raise
        except Exception as error:  # noqa: BLE001 whatever a damaged file does, it is a miss
            self._undecodable += 1
            log.warning("hot set %s cannot be read and counts as empty: %s", path.name, error)
        return mapped


def _read(path: Path) -> tuple[Any, dict[str, list[float | None]]]:
    import pyarrow as pa

    table = pa.ipc.open_file(pa.memory_map(str(path), "r")).read_all()
    table.validate()
    described = json.loads(table.schema.metadata[_INDEX])
    if described["version"] != _VERSION:
        raise ValueError(f"version {described['version']} is not known")
    entries = described["entries"]
    rows = table.num_rows
    for key, (first, count, *times) in entries.items():
        if len(times) != 3 or first < 0 or count < 0 or first + count > rows:
            raise ValueError(f"{key} lies outside of its {rows} rows")
    return table.replace_schema_metadata(None), entries
