"""Reading source tables as the catalogue declares them: typed, KRX's blanks made null, faults named by example.

What the rows mean and how the market's tables are made from them stands in ``krx_database`` and ``filings``.
"""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import polars as pl

from finpipe.market.snapshot import LOCK_TIMEOUT_S, Extract, connect, extract, quoted, row_ranges
from finpipe.market.source_tables import Kind, SourceColumn, SourceError, SourceTable


class _Marks(NamedTuple):
    """Numbers that stand in for cells which are none: beyond anything a column holds, exact in decimal."""

    blank: float
    wrong: float


_MARKS = {Kind.INTEGER: _Marks(-(2**63) + 1, -(2**63)), Kind.REAL: _Marks(-(2.0**61), -(2.0**62))}
_WRONG_TEXT = "\x01"


@dataclass(frozen=True, slots=True)
class SourceRows:
    """The rows of one source table.

    Parameters
    ----------
    frame
        The catalogue's columns under the catalogue's names; rows in the order of the file.
    blanks
        Per column of numbers or dates, how many ``''`` and ``'-'`` became null; columns without any are left out.
    absent
        The table is not in the database; ``frame`` has no rows.
    """

    frame: pl.DataFrame
    blanks: Mapping[str, int]
    absent: bool = False


def read_tables(
    database: Path,
    tables: Sequence[SourceTable],
    *,
    where: Mapping[str, str] | None = None,
    timeout_s: float = LOCK_TIMEOUT_S,
) -> dict[str, SourceRows]:
    """Read whole tables as they were at one moment, also while another process writes.

    Parameters
    ----------
    database
        Path of ``krx_stock_data.db``; it is never written to.
    tables
        What to read; only the catalogue's columns are required and read.
    where
        SQL condition on the rows, by name of the table. A condition that hides malformed values hides
        them from the checks too.
    timeout_s
        How long to wait for a lock.

    Returns
    -------
    dict
        The rows by name of the table.

    Raises
    ------
    DatabaseUnavailable
        If the file is absent, no database, or locked.
    SourceError
        If a table or column is missing or a column holds something else than its kind.
    """
    conditions = where or {}

    def plan(connection: sqlite3.Connection) -> list[Extract]:
        return [_extract(connection, table, conditions.get(table.name, "")) for table in tables]

    def convert(position: int, frame: pl.DataFrame) -> _Part:
        return _typed(tables[position], frame)

    parts = extract(database, plan, convert, timeout_s=timeout_s)
    return {
        table.name: _joined(database, table, of_table, conditions.get(table.name, ""))
        for table, of_table in zip(tables, parts, strict=True)
    }


def table_columns(connection: sqlite3.Connection, table: str) -> list[str]:
    """Names of the columns of a table or view as the database spells them; empty if there is no such table."""
    return [name for (name,) in connection.execute("SELECT name FROM pragma_table_xinfo(?)", (table,))]


@dataclass(frozen=True, slots=True)
class _Wrong:
    """How many rows of a part hold a wrong value in a column, and which marks stand in for it there."""

    column: SourceColumn
    rows: int
    marks: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class _Part:
    columns: dict[str, pl.Series]
    blanks: Counter[str]
    wrong: list[_Wrong]

    def note_wrong(self, column: SourceColumn, cells: pl.Series, marks: tuple[object, ...]) -> None:
        if rows := int(cells.sum()):
            self.wrong.append(_Wrong(column, rows, marks))


def _extract(connection: sqlite3.Connection, table: SourceTable, where: str) -> Extract:
    names = _spelled(connection, table)
    columns = [(column, quoted((names or {}).get(column.name, column.name))) for column in table.columns]
    conditions = row_ranges(connection, table.name) if names else ()
    return Extract(
        select=_select(table, [cell for _, cell in columns]),
        guarded_select=_select(table, [_guarded(cell, column.kind) for column, cell in columns]),
        schema=_schema(table),
        conditions=tuple(f"{rows} AND ({where})" if where else rows for rows in conditions),
    )


def _select(table: SourceTable, expressions: Sequence[str]) -> str:
    return f"SELECT {', '.join(expressions)} FROM {quoted(table.name)}"


def _spelled(connection: sqlite3.Connection, table: SourceTable) -> dict[str, str] | None:
    """The database's name of each column; None for an optional table that is absent."""
    present = table_columns(connection, table.name)
    if not present:
        if table.optional:
            return None
        rows = connection.execute(
            "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY name"
        )
        others = ", ".join(name for (name,) in rows) or "no tables at all"
        raise SourceError(f"the database has no such table; it has {others}", table=table.name)
    by_lower = {name.lower(): name for name in present}
    found = {
        column.name: next(
            (by_lower[name] for name in (column.name, *column.aliases) if name in by_lower), None
        )
        for column in table.columns
    }
    if missing := [name for name, spelling in found.items() if spelling is None]:
        raise SourceError(
            f"column{'s' * (len(missing) > 1)} {', '.join(missing)} missing; the table has {', '.join(present)}",
            table=table.name,
            column=missing[0],
        )
    return {name: spelling for name, spelling in found.items() if spelling is not None}


_TYPES: dict[Kind, type[pl.DataType]] = {
    Kind.TEXT: pl.String,
    Kind.LABEL: pl.String,
    Kind.DAY: pl.String,
    Kind.INTEGER: pl.Int64,
    Kind.REAL: pl.Float64,
}


def _schema(table: SourceTable) -> dict[str, type[pl.DataType]]:
    return {column.name: _TYPES[column.kind] for column in table.columns}


def _guarded(column: str, kind: Kind) -> str:
    """The cell if it has the right type, null if it is null, else one of the marks."""
    if _TYPES[kind] is pl.String:
        return (
            f"CASE typeof({column}) WHEN 'text' THEN {column} WHEN 'null' THEN NULL ELSE '{_WRONG_TEXT}' END"
        )
    marks = _MARKS[kind]
    whole = f"CAST({column} AS INTEGER)"
    numbers = {
        Kind.INTEGER: f"WHEN 'real' THEN iif({column} = {whole}, {whole}, {marks.wrong!r})",
        Kind.REAL: f"WHEN 'real' THEN {column}",
    }[kind]
    return (
        f"CASE typeof({column}) WHEN 'integer' THEN {column} WHEN 'null' THEN NULL {numbers} "
        f"ELSE iif(trim({column}) IN ('', '-'), {marks.blank!r}, {marks.wrong!r}) END"
    )


def _typed(table: SourceTable, raw: pl.DataFrame) -> _Part:
    part = _Part({}, Counter(), [])
    for column, cells in zip(table.columns, raw, strict=True):
        part.columns[column.name] = _TYPED[column.kind](column, cells, part)
    return part


def _typed_text(column: SourceColumn, raw: pl.Series, part: _Part) -> pl.Series:
    part.note_wrong(column, raw == _WRONG_TEXT, (_WRONG_TEXT,))
    text = raw.replace(["", "-"], [None, None]) if raw.is_in(["", "-"]).any() else raw
    return text.cast(pl.Categorical) if column.kind is Kind.LABEL else text


def _typed_number(column: SourceColumn, raw: pl.Series, part: _Part) -> pl.Series:
    marks = _MARKS[column.kind]
    if not raw.is_in(marks).any():
        return raw
    part.blanks[column.name] += int((raw == marks.blank).sum())
    part.note_wrong(column, raw == marks.wrong, (marks.wrong,))
    return raw.replace(marks.blank, None)


def _typed_day(column: SourceColumn, raw: pl.Series, part: _Part) -> pl.Series:
    distinct = raw.drop_nulls().unique()
    if distinct.is_empty():
        return raw.cast(pl.Date)
    days = pl.Series([_day(text) for text in distinct], dtype=pl.Date)
    blank = distinct.str.strip_chars().is_in(["", "-"])
    part.blanks[column.name] += int(raw.is_in(distinct.filter(blank).implode()).sum())
    impossible = distinct.filter(days.is_null() & ~blank)
    part.note_wrong(column, raw.is_in(impossible.implode()), tuple(impossible))
    return raw.replace_strict(distinct, days, return_dtype=pl.Date)


def _day(text: str) -> dt.date | None:
    if not (len(text) == 8 and text.isascii() and text.isdigit()):
        return None
    try:
        return dt.date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        return None


_TYPED = {
    Kind.TEXT: _typed_text,
    Kind.LABEL: _typed_text,
    Kind.INTEGER: _typed_number,
    Kind.REAL: _typed_number,
    Kind.DAY: _typed_day,
}


def _joined(database: Path, table: SourceTable, parts: Sequence[_Part], where: str) -> SourceRows:
    if not parts:
        raw = pl.DataFrame(schema=_schema(table))
        return SourceRows(pl.DataFrame(_typed(table, raw).columns), {}, absent=True)
    if wrong := [fault for part in parts for fault in part.wrong]:
        first = min(wrong, key=lambda fault: table.columns.index(fault.column))
        raise _refusal(database, table, [fault for fault in wrong if fault.column is first.column], where)
    blanks = sum((part.blanks for part in parts), Counter[str]())
    return SourceRows(pl.concat([pl.DataFrame(part.columns) for part in parts]), dict(blanks))


def _refusal(database: Path, table: SourceTable, wrong: Sequence[_Wrong], where: str) -> SourceError:
    """The error about the wrong cells of one column, with the first of them as example."""
    column, rows = wrong[0].column, sum(fault.rows for fault in wrong)
    marks = sorted({mark for fault in wrong for mark in fault.marks}, key=repr)
    with connect(database) as connection:
        names = _spelled(connection, table) or {}
        cell = quoted(names[column.name])
        shown = [*(key for key in table.key if key != column.name), column.name]
        found = connection.execute(
            f"SELECT {', '.join(quoted(names[name]) for name in shown if name in names)} "
            f"FROM {quoted(table.name)} WHERE {_guarded(cell, column.kind)} IN "
            f"({', '.join('?' * len(marks))}) {f'AND ({where})' if where else ''} LIMIT 1",
            marks,
        ).fetchone()
        (declared,) = connection.execute(
            "SELECT type FROM pragma_table_xinfo(?) WHERE name = ?", (table.name, names[column.name])
        ).fetchone()
    return SourceError(
        f"{rows:,} row{'s' * (rows > 1)} hold{'s' * (rows == 1)} something else than {column.kind.value} "
        f"(the column is declared {declared or 'without a type'}). "
        "Correct the cells in the database, or load the rows again.",
        table=table.name,
        column=column.name,
        example=", ".join(f"{name} {value!r}" for name, value in zip(shown, found or (), strict=False)),
    )
