"""Indexes that make selections from ``krx_stock_data.db`` quick; the only writing that finpipe does to it.

finpipe itself reads whole tables in the order of the file, which no index makes faster; selections by market
and day or by filing, as notebooks, loaders and SQL tools make them, gain.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from urllib.parse import quote

from finpipe.market.snapshot import DatabaseUnavailable, connect, explain, quoted

WRITE_TIMEOUT_S = 5.0
"""How long a locked database is waited for before writing."""

_BYTES_PER_ENTRY = 48
"""Generous size of an index entry, for the check of free space."""


@dataclass(frozen=True, slots=True)
class IndexPlan:
    """An index, why it is worth having, and how SQLite answers the query that it serves.

    Parameters
    ----------
    name, table, columns
        The index.
    reason
        What becomes quicker.
    query
        A selection that it serves.
    query_plan
        SQLite's plan for the query now, one line per step; empty if the query cannot be run.
    exists
        Whether the database has an index of this name already.
    obstacle
        Why the index cannot be created: a table or column is missing. Empty if it can.
    rows
        About how many rows the table has.
    """

    name: str
    table: str
    columns: tuple[str, ...]
    reason: str
    query: str
    query_plan: tuple[str, ...] = ()
    exists: bool = False
    obstacle: str = ""
    rows: int = 0

    @property
    def sql(self) -> str:
        """The statement that creates the index."""
        return f"CREATE INDEX IF NOT EXISTS {self.name} ON {self.table}({', '.join(self.columns)})"


@dataclass(frozen=True, slots=True)
class Optimization:
    """What :func:`optimize` did.

    Parameters
    ----------
    before, after
        The plans before and after, in the same order.
    seconds
        Time of each step: the names of the indexes that were created, then ``ANALYZE``.
    bytes_before, bytes_after
        Size of the database file.
    """

    before: tuple[IndexPlan, ...]
    after: tuple[IndexPlan, ...]
    seconds: dict[str, float]
    bytes_before: int
    bytes_after: int

    def __str__(self) -> str:
        lines = []
        for old, new in zip(self.before, self.after, strict=True):
            done = "was there already" if old.exists else f"created in {self.seconds.get(old.name, 0):.1f} s"
            lines.append(f"{old.name}: {old.obstacle or done}")
            lines += [f"  {text}" for text in (old.query, *_changes(old.query_plan, new.query_plan))]
        lines.append(f"ANALYZE in {self.seconds['ANALYZE']:.1f} s")
        lines.append(
            f"database: {self.bytes_before / 1e6:,.0f} MB before, {self.bytes_after / 1e6:,.0f} MB after"
        )
        return "\n".join(lines)


def plan(database: Path) -> list[IndexPlan]:
    """Which indexes :func:`optimize` would create, and the query plans as they are. Writes nothing.

    Raises
    ------
    DatabaseUnavailable
        If the file is absent, no database, or locked.
    """
    with connect(database) as connection:
        return [_examined(connection, index) for index in INDEXES]


def optimize(
    database: Path,
    *,
    tell: Callable[[str], None] = lambda _: None,
    timeout_s: float = WRITE_TIMEOUT_S,
) -> Optimization:
    """Create the indexes that are missing and run ANALYZE.

    Parameters
    ----------
    database
        The SQLite file; rows stay as they are, and fingerprints of tables too.
    tell
        Is told each step before it begins, as it may take minutes on a large database.
    timeout_s
        How long to wait for a lock before giving up.

    Raises
    ------
    DatabaseUnavailable
        If the file is absent, no database, locked, read-only, or the disk has no room. Indexes that were
        finished before stay.
    """
    before = plan(database)
    wanted = [index for index in before if not (index.exists or index.obstacle)]
    _check_room(database, wanted)
    size = database.stat().st_size
    seconds: dict[str, float] = {}
    uri = f"file:{quote(os.fsencode(database.resolve()))}?mode=rw"
    try:
        with closing(sqlite3.connect(uri, uri=True, timeout=timeout_s, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE").execute("COMMIT")
            for step, statement in [*((index.name, index.sql) for index in wanted), ("ANALYZE", "ANALYZE")]:
                tell(step)
                started = perf_counter()
                connection.execute(statement)
                seconds[step] = perf_counter() - started
    except sqlite3.OperationalError as error:
        raise DatabaseUnavailable(explain(database, error, timeout_s)) from error
    return Optimization(tuple(before), tuple(plan(database)), seconds, size, database.stat().st_size)


INDEXES = (
    IndexPlan(
        "idx_dp_market_date_stock",
        "daily_prices",
        ("market_type", "date", "stock_code"),
        "which stocks of a market have prices on which days",
        "SELECT date, stock_code FROM daily_prices WHERE market_type = 'kospi' "
        "AND date BETWEEN '20240101' AND '20241231' ORDER BY date, stock_code",
    ),
    IndexPlan(
        "idx_fp_consol_avail",
        "financial_periods",
        ("consolidation_type", "available_date"),
        "filings that became available since a day",
        "SELECT id, stock_code, available_date FROM financial_periods "
        "WHERE consolidation_type = '연결' AND available_date >= '20240101'",
    ),
    IndexPlan(
        "idx_bs_period_item",
        "financial_items_bs_cf",
        ("period_id", "item_code_normalized"),
        "balance sheet items of filings",
        "SELECT p.stock_code, i.amount_current FROM financial_periods p "
        "JOIN financial_items_bs_cf i ON i.period_id = p.id "
        "AND i.item_code_normalized IN ('ifrs-full_Equity', 'ifrs-full_Assets') "
        "WHERE p.consolidation_type = '연결' AND p.available_date >= '20240101'",
    ),
    IndexPlan(
        "idx_pl_period_item",
        "financial_items_pl",
        ("period_id", "item_code_normalized"),
        "income statement items of filings",
        "SELECT p.stock_code, i.amount_current_ytd FROM financial_periods p "
        "JOIN financial_items_pl i ON i.period_id = p.id "
        "AND i.item_code_normalized IN ('ifrs-full_Revenue', 'ifrs-full_ProfitLoss') "
        "WHERE p.consolidation_type = '연결' AND p.available_date >= '20240101'",
    ),
)
"""The indexes that selections in use gain most from."""


def _examined(connection: sqlite3.Connection, index: IndexPlan) -> IndexPlan:
    has = {name for (name,) in connection.execute("SELECT name FROM pragma_table_xinfo(?)", (index.table,))}
    missing = [column for column in index.columns if column not in has]
    obstacle = f"column {missing[0]} is missing" if missing else ""
    if not has:
        return replace(index, obstacle=f"table {index.table} is not in the database")
    exists = "SELECT count(*) FROM sqlite_master WHERE type = 'index' AND name = ?"
    return replace(
        index,
        exists=connection.execute(exists, (index.name,)).fetchone()[0] > 0,
        obstacle=obstacle,
        query_plan=_query_plan(connection, index.query),
        rows=_about_rows(connection, index.table),
    )


def _query_plan(connection: sqlite3.Connection, query: str) -> tuple[str, ...]:
    try:
        return tuple(detail for *_, detail in connection.execute(f"EXPLAIN QUERY PLAN {query}"))
    except sqlite3.OperationalError:
        return ()


def _about_rows(connection: sqlite3.Connection, table: str) -> int:
    try:
        return connection.execute(f"SELECT max(rowid) FROM {quoted(table)}").fetchone()[0] or 0
    except sqlite3.OperationalError:
        return 0


def _check_room(database: Path, wanted: Sequence[IndexPlan]) -> None:
    needed = sum(2 * _BYTES_PER_ENTRY * index.rows for index in wanted)
    free = shutil.disk_usage(database.resolve().parent).free
    if needed > free:
        raise DatabaseUnavailable(
            f"{database}: indexing may need {needed / 1e9:.1f} GB on its disk, which has {free / 1e9:.1f} GB left"
        )


def _changes(before: Sequence[str], after: Sequence[str]) -> list[str]:
    if before == after:
        return [f"  plan: {step}" for step in before]
    return [*(f"- before: {step}" for step in before), *(f"+ after: {step}" for step in after)]
