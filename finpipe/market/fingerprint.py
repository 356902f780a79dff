"""Fingerprints of source tables: they change when a table's contents change, and only then.

Two levels keep this cheap. First the commit state of the file, some headers and times: if it is what it was at
the last fingerprint, nothing was written and the old fingerprints hold (0.2 ms, whatever the size). If it
differs, the tables asked for are read once and hashed: about a second of processor time per million rows, on
all cores, and as slow as the disk for a file that is not in memory. A write to one table thus costs a scan of
the others too, but leaves their fingerprints alone.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from finpipe.market.snapshot import LOCK_TIMEOUT_S, Extract, commit_state, extract, quoted, row_ranges

ABSENT = "absent"
"""Fingerprint of a table that the database does not have."""

BOOKKEEPING = frozenset({"created_at", "updated_at"})
"""Columns about the loading of a row, not its content: a row loaded again unchanged is the same row."""

_Bits = NDArray[np.uint64]
_ODD = "cells of another type than declared"


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """Fingerprints of tables and what lets the next call reuse them.

    Parameters
    ----------
    tables
        Fingerprint by table: 16 hexadecimal digits, or ``absent``.
    commit_state
        State of the file for which they hold.
    scanned
        Tables that had to be read for this result.
    """

    tables: Mapping[str, str]
    commit_state: str
    scanned: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """What to keep for the next call, in types that JSON knows."""
        return {"tables": dict(self.tables), "commit_state": self.commit_state}

    @classmethod
    def from_json(cls, kept: Mapping[str, object]) -> Fingerprints:
        """Make fingerprints of what :meth:`to_json` gave; anything else gives none, which is always right."""
        tables, state = kept.get("tables"), kept.get("commit_state")
        if not isinstance(tables, Mapping) or not isinstance(state, str):
            return cls({}, "")
        return cls({str(table): str(value) for table, value in tables.items()}, state)


def table_fingerprints(
    database: Path,
    tables: Sequence[str],
    previous: Fingerprints | None = None,
    *,
    timeout_s: float = LOCK_TIMEOUT_S,
) -> Fingerprints:
    """Fingerprint each table's rows, whatever their order and rowids, by all columns but the bookkeeping ones.

    Parameters
    ----------
    database
        The SQLite file.
    tables
        Names of tables; one that is absent has the fingerprint ``absent``.
    previous
        What the last call gave. Where the file's commit state is still the same, its fingerprints are reused.
    timeout_s
        How long to wait for a lock.

    Returns
    -------
    Fingerprints
        Of ``tables``, and of those in ``previous`` that still hold.

    Raises
    ------
    DatabaseUnavailable
        If the file is absent, no database, or locked for longer than ``timeout_s``.
    """
    state = commit_state(database)
    known = dict(previous.tables) if previous and previous.commit_state == state else {}
    wanted = tuple(table for table in dict.fromkeys(tables) if table not in known)
    scanned = _scan(database, wanted, timeout_s) if wanted else {}
    return Fingerprints(known | scanned, state, wanted)


def combined(fingerprints: Mapping[str, str], tables: Sequence[str]) -> str:
    """One fingerprint for several tables; that of the table itself if there is one."""
    if len(tables) == 1:
        return fingerprints[tables[0]]
    return _digest("|".join(f"{table}:{fingerprints[table]}" for table in sorted(tables)))


def _scan(database: Path, tables: Sequence[str], timeout_s: float) -> dict[str, str]:
    described: dict[int, str] = {}

    def plan(connection: sqlite3.Connection) -> list[Extract]:
        described.clear()
        extracts = []
        for position, table in enumerate(tables):
            columns = connection.execute("SELECT name, type FROM pragma_table_xinfo(?)", (table,)).fetchall()
            kept = [(name, declared) for name, declared in columns if name.lower() not in BOOKKEEPING]
            described[position] = repr(kept) if columns else ""
            extracts.append(_extract(table, kept, row_ranges(connection, table) if columns else ()))
        return extracts

    hashed = extract(
        database, plan, lambda _, frame: (frame.height, _sum_of_rows(frame)), timeout_s=timeout_s
    )
    fingerprints = {}
    for position, (table, parts) in enumerate(zip(tables, hashed, strict=True)):
        rows, total = sum(rows for rows, _ in parts), sum(total for _, total in parts) % 2**64
        whole = f"{described[position]}|{rows}|{total}"
        fingerprints[table] = _digest(whole) if described[position] else ABSENT
    return fingerprints


def _extract(table: str, columns: Sequence[tuple[str, str]], conditions: tuple[str, ...]) -> Extract:
    plain, guarded, odd = [], [], ["''"]
    schema: dict[str, type[pl.DataType]] = {}
    for name, declared in columns:
        cell = quoted(name)
        schema[name] = _type(declared)
        as_text = f"CASE typeof({cell}) WHEN 'text' THEN {cell} WHEN 'null' THEN NULL ELSE quote({cell}) END"
        if schema[name] is pl.String:
            plain.append(cell if _is_text(declared) else as_text)
            guarded.append(as_text)
            continue
        stored = "('integer', 'null')" if schema[name] is pl.Int64 else "('real', 'integer', 'null')"
        plain.append(cell)
        guarded.append(f"iif(typeof({cell}) IN {stored}, {cell}, NULL)")
        odd.append(f"iif(typeof({cell}) IN {stored}, '', {quoted(name)} || char(0) || quote({cell}))")
    schema[_ODD] = pl.String
    source = f"FROM {quoted(table)}"
    return Extract(
        select=f"SELECT {', '.join([*plain, chr(39) * 2])} {source}",
        guarded_select=f"SELECT {', '.join([*guarded, ' || '.join(odd)])} {source}",
        schema=schema,
        conditions=conditions,
    )


def _type(declared: str) -> type[pl.DataType]:
    """By SQLite's rules of type affinity."""
    upper = declared.upper()
    if "INT" in upper:
        return pl.Int64
    if any(part in upper for part in ("REAL", "FLOA", "DOUB")) and not _is_text(declared):
        return pl.Float64
    return pl.String


def _is_text(declared: str) -> bool:
    upper = declared.upper()
    return "INT" not in upper and any(part in upper for part in ("CHAR", "CLOB", "TEXT"))


def _sum_of_rows(frame: pl.DataFrame) -> int:
    """Sum of 64-bit hashes of the rows: neither their order nor how they come in parts matters."""
    rows = np.zeros(frame.height, dtype=np.uint64)
    for column in frame if frame.height else ():
        rows ^= _bits(column)
        _mix(rows)
    return int(rows.sum(dtype=np.uint64))


def _bits(column: pl.Series) -> _Bits:
    if column.dtype == pl.String:
        texts = column.fill_null("\x00")
        distinct = texts.unique()
        hashes = pl.Series([int(_digest(text), 16) for text in distinct], dtype=pl.UInt64)
        return texts.replace_strict(distinct, hashes, return_dtype=pl.UInt64).to_numpy()
    missing = -(2**63) + 11 if column.dtype == pl.Int64 else -1.234567e301
    return column.fill_null(missing).to_numpy().view(np.uint64)


def _mix(rows: _Bits) -> None:
    """Stir the bits in place (the steps of SplitMix64), so that columns and rows cannot cancel each other."""
    rows += np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        rows ^= rows >> np.uint64(shift)
        rows *= np.uint64(factor)
    rows ^= rows >> np.uint64(31)


def _digest(text: str) -> str:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
