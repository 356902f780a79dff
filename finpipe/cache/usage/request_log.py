"""The log of requests: what was asked for and when, in files that are only ever added; nothing about who asked.

A row is a set of items asked for together: by one request, or by requests that the caller marks as belonging
together. The mark lives in memory until the row is written and is never stored; times are whole minutes.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any

from finpipe.cache.entry import Clock

log = logging.getLogger(__name__)

_MINUTE = 60


@dataclass(frozen=True, slots=True)
class Asked:
    """Items asked for together, in the order of asking and without repeats, and the instant (a full minute)."""

    at: float
    kind: str
    items: tuple[str, ...]


@dataclass(slots=True)
class _Together:
    at: float
    last: float
    kind: str
    items: dict[str, None] = field(default_factory=dict)


class RequestLog:
    """Writes rows in batches of one parquet file each; safe for any number of threads and processes.

    Logging never fails a request: what cannot be written waits, and beyond ``most_waiting`` rows the oldest
    are dropped and counted.

    Parameters
    ----------
    folder
        Where the batches are; made when it is missing.
    clock
        Seconds since 1970.
    batch
        Rows after which they are written.
    every
        Seconds after which rows are written even if they are few.
    together_for
        Seconds without a request after which those marked as belonging together are a row.
    most_waiting
        Rows kept in memory while they cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        clock: Clock,
        *,
        batch: int = 1000,
        every: float = 300.0,
        together_for: float = 900.0,
        most_waiting: int = 100_000,
    ) -> None:
        self._folder, self._clock = folder, clock
        self._batch, self._every, self._together_for, self._most = batch, every, together_for, most_waiting
        self._rows: list[Asked] = []
        self._open: dict[str, _Together] = {}
        self._written_at = clock()
        self._number = 0
        self._lock = Lock()
        self.dropped = self.errors = 0

    def record(self, items: Iterable[str], *, kind: str = "prices", together: str | None = None) -> None:
        """Note that ``items`` were asked for now.

        Parameters
        ----------
        items
            What was asked for, e.g. tickers.
        kind
            Of request.
        together
            A mark that requests of one sitting share; make it at random, not from anything about the person.
        """
        now = self._clock()
        with self._lock:
            if together is None:
                self._add(Asked(_minute(now), kind, tuple(dict.fromkeys(items))))
            else:
                mark = f"{kind}\0{together}"
                sitting = self._open.setdefault(mark, _Together(now, now, kind))
                sitting.last = now
                sitting.items.update(dict.fromkeys(items))
            due = len(self._rows) >= self._batch or now - self._written_at >= self._every
        if due:
            self.flush(all_sittings=False)

    def flush(self, *, all_sittings: bool = True) -> None:
        """Write what waits; those sittings too that are not over, unless ``all_sittings`` is false."""
        now = self._clock()
        with self._lock:
            over = [
                mark
                for mark, sitting in self._open.items()
                if all_sittings or now - sitting.last >= self._together_for
            ]
            for mark in over:
                sitting = self._open.pop(mark)
                self._add(Asked(_minute(sitting.at), sitting.kind, tuple(sitting.items)))
            rows, self._rows = self._rows, []
            self._written_at = now
            self._number += 1
            number = self._number
        if not rows:
            return
        try:
            _write(self._folder / f"{_stamp(now)}-{os.getpid()}-{number}.parquet", _table(rows))
        except OSError as error:
            with self._lock:
                if self.errors == 0:
                    log.warning("the request log cannot be written, rows wait in memory: %s", error)
                self.errors += 1
                self._rows = rows + self._rows
                self._drop()

    def read(self, since: float = 0.0, until: float = float("inf")) -> Iterator[Asked]:
        """Yield the rows written, oldest first, whose minute is in [since, until); whoever wrote them."""
        return read_requests(self._folder, since, until)

    def _add(self, row: Asked) -> None:
        if row.items:
            self._rows.append(row)
            self._drop()

    def _drop(self) -> None:
        excess = len(self._rows) - self._most
        if excess > 0:
            del self._rows[:excess]
            self.dropped += excess


def read_requests(folder: Path, since: float = 0.0, until: float = float("inf")) -> Iterator[Asked]:
    """Yield the rows in ``folder``, oldest first, whose minute is in [since, until).

    A batch that cannot be read is left out with a warning in the log.
    """
    rows: list[Asked] = []
    for path in sorted(folder.glob("*.parquet")):
        rows += [row for row in _rows(path) if since <= row.at < until]
    return iter(sorted(rows, key=lambda row: row.at))


def merge_batches(folder: Path, keep_since: float = 0.0) -> int:
    """Replace the batches in ``folder`` by a single one without rows from before ``keep_since``.

    To be called by one process at a time; batches that others write meanwhile stay. Killed halfway it may
    leave rows twice, never lose any. Returns the number of rows kept.
    """
    old = sorted(folder.glob("*.parquet"))
    kept = sorted(
        (row for path in old for row in _rows(path) if row.at >= keep_since), key=lambda row: row.at
    )
    merged = folder / f"{_stamp(kept[-1].at if kept else 0.0)}-{os.getpid()}-merged.parquet"
    if kept:
        _write(merged, _table(kept))
    for path in old:
        if path != merged or not kept:
            path.unlink(missing_ok=True)
    return len(kept)


def _rows(path: Path) -> list[Asked]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        columns = pq.read_table(path, columns=["minute", "kind", "items"]).to_pydict()
    except (OSError, pa.ArrowException) as error:
        log.warning("a batch of the request log cannot be read and is left out: %s: %s", path.name, error)
        return []
    times = (at.replace(tzinfo=UTC).timestamp() for at in columns["minute"])
    return [
        Asked(at, kind, tuple(items))
        for at, kind, items in zip(times, columns["kind"], columns["items"], strict=True)
    ]


def _table(rows: list[Asked]) -> Any:  # noqa: ANN401 pyarrow carries no types
    import pyarrow as pa

    schema = pa.schema(
        [("minute", pa.timestamp("s")), ("kind", pa.string()), ("items", pa.list_(pa.string()))]
    )
    columns = {
        "minute": [int(row.at) for row in rows],
        "kind": [row.kind for row in rows],
        "items": [list(row.items) for row in rows],
    }
    return pa.table(columns, schema=schema)


def _write(path: Path, table: Any) -> None:  # noqa: ANN401 pyarrow carries no types
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        pq.write_table(table, temporary, compression="zstd")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _minute(at: float) -> float:
    return float(at // _MINUTE * _MINUTE)


def _stamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y%m%dT%H%M%S%f")
