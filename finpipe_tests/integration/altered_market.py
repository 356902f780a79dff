"""Copies of a market database that differ from it in what lies after a day, or before one."""

from __future__ import annotations

import contextlib
import datetime as dt
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

DATED = {
    "daily_prices": "date",
    "benchmark_kospi200": "date",
    "stock_history": "effective_date",
    "financial_periods": "available_date",
    "index_history": "effective_date",
    "index_daily_prices": "date",
    "bond_index_daily": "date",
    "deriv_index_daily": "date",
    "delisted_stocks": "delisting_date",
}
"""Tables whose rows carry the day from which they were known, and the column that says so."""
OF_FILINGS = ("financial_items_bs_cf", "financial_items_pl")
"""Tables of amounts, known with the filing of their ``period_id``."""
LATEST_STATE = ("stocks", "indices", "bond_indices", "deriv_indices")
"""Tables that hold only the latest state of things."""
LEVELS = ("index_daily_prices", "bond_index_daily", "deriv_index_daily")

POISON = 1_000_000
LARGEST = 9e18
"""Just below the largest integer that SQLite keeps as one."""


def scarred(database: Path, copy: Path) -> Path:
    """Write the database with scars that real ones have, for a demo market is too clean.

    A stock lacks five days in the middle. The list of delistings also names one that only moved to another
    market, an earlier owner of a code, and an earlier move of one that is delisted for good later.
    """
    with _changed(database, copy) as connection:
        days = [day for (day,) in connection.execute("SELECT DISTINCT date FROM daily_prices ORDER BY date")]
        middle = days[len(days) // 2]
        most_traded = (
            "SELECT stock_code FROM daily_prices WHERE stock_code LIKE '%0' GROUP BY stock_code "
            "HAVING {} ORDER BY sum(value) DESC LIMIT {}"
        )
        throughout = most_traded.format("min(date) = :first AND max(date) = :last", 3)
        ends = {"first": days[0], "last": days[-1]}
        moved, reused, incomplete = [code for (code,) in connection.execute(throughout, ends)]
        departed = most_traded.format("min(date) < :middle AND max(date) > :middle AND max(date) < :last", 1)
        ends = {"middle": middle, "last": days[-1]}
        ((gone,),) = connection.execute(departed, ends).fetchall()
        connection.executemany(
            "INSERT INTO delisted_stocks (stock_code, company_name, delisting_date, reason) VALUES (?, ?, ?, ?)",
            [
                (moved, "moved", middle, "유가증권시장 상장"),
                (gone, "moved", middle, "유가증권시장 상장"),
                (reused, "earlier owner", "19990923", "자본전액잠식"),
            ],
        )
        at = days.index(middle)
        connection.execute(
            "DELETE FROM daily_prices WHERE stock_code = ? AND date BETWEEN ? AND ?",
            [incomplete, days[at], days[at + 4]],
        )
    return copy


def truncated(database: Path, copy: Path, last: dt.date) -> Path:
    """Write the database as it stood at the close of ``last``: no row of any table is younger.

    The list of stocks is rolled back to what its history told by then.
    """
    day = f"{last:%Y%m%d}"
    with _changed(database, copy) as connection:
        for table, column in DATED.items():
            connection.execute(f"DELETE FROM {table} WHERE {column} > ?", [day])
        for table in OF_FILINGS:
            connection.execute(
                f"DELETE FROM {table} WHERE period_id NOT IN (SELECT id FROM financial_periods)"
            )
        connection.execute(
            "DELETE FROM stocks WHERE stock_code NOT IN (SELECT stock_code FROM stock_history)"
        )
        connection.execute(
            "DELETE FROM indices WHERE index_code NOT IN (SELECT index_code FROM index_history)"
        )
        connection.execute(
            "UPDATE stocks SET (current_name, current_market_type, current_sector_type, shares_outstanding) = "
            "(SELECT name, market_type, sector_type, shares_outstanding FROM stock_history AS h "
            "WHERE h.stock_code = stocks.stock_code ORDER BY effective_date DESC LIMIT 1)"
        )
    return copy


def poisoned(database: Path, copy: Path, last: dt.date) -> Path:
    """Write the database with everything after ``last`` grown a million times, and every stock then delisted.

    The first change of a stock after ``last`` leads from its old price to the new one, so that its return, too,
    is a million-fold. A filing counts as after ``last`` if it was not yet public then: stated so, or within
    the legal deadline of 90 days after a year's end and 45 days after another quarter's.
    """
    day = f"{last:%Y%m%d}"
    with _changed(database, copy) as connection:
        connection.execute(
            "UPDATE daily_prices SET change = closing_price * :times - (closing_price - change) WHERE date > :day "
            "AND date = (SELECT min(date) FROM daily_prices AS later "
            "WHERE later.stock_code = daily_prices.stock_code AND later.date > :day)",
            {"times": POISON, "day": day},
        )
        connection.execute(
            "UPDATE daily_prices SET change = change * :times WHERE date > :day "
            "AND date > (SELECT min(date) FROM daily_prices AS later "
            "WHERE later.stock_code = daily_prices.stock_code AND later.date > :day)",
            {"times": POISON, "day": day},
        )
        grown = ("closing_price", "opening_price", "high_price", "low_price", "volume", "value", "market_cap")
        connection.execute(
            f"UPDATE daily_prices SET {_grown(grown, 'CAST(min({0} * 1.0 * :times, :largest) AS INTEGER)')} "
            "WHERE date > :day",
            {"times": POISON, "largest": LARGEST, "day": day},
        )
        for table in LEVELS:
            columns = _columns(connection, table, "REAL")
            connection.execute(
                f"UPDATE {table} SET {_grown(columns, '{0} * :times')} WHERE date > :day",
                {"times": POISON, "day": day},
            )
        _poison_filings(connection, last)
        (next_day,) = connection.execute(
            "SELECT min(date) FROM daily_prices WHERE date > ?", [day]
        ).fetchone()
        connection.execute("DELETE FROM delisted_stocks WHERE delisting_date > ?", [day])
        connection.execute(
            "INSERT INTO delisted_stocks (stock_code, company_name, delisting_date) "
            "SELECT stock_code, current_name, ? FROM stocks WHERE stock_code IN "
            "(SELECT stock_code FROM daily_prices WHERE date > ?)",
            [next_day, day],
        )
    return copy


def started(database: Path, copy: Path, first: dt.date) -> Path:
    """Write the database with prices and index levels from ``first`` on only; filings stay."""
    with _changed(database, copy) as connection:
        for table in ("daily_prices", *LEVELS):
            connection.execute(f"DELETE FROM {table} WHERE date < ?", [f"{first:%Y%m%d}"])
    return copy


def _poison_filings(connection: sqlite3.Connection, last: dt.date) -> None:
    connection.execute(
        "CREATE TEMP TABLE unknown AS SELECT id FROM financial_periods WHERE available_date > :day "
        "OR date(fiscal_date, CASE WHEN report_type = '사업보고서' THEN '+90 days' ELSE '+45 days' END) > :iso",
        {"day": f"{last:%Y%m%d}", "iso": last.isoformat()},
    )
    connection.execute(
        "UPDATE financial_periods SET industry_name = 'poison' WHERE id IN (SELECT id FROM unknown)"
    )
    for table in OF_FILINGS:
        amounts = [name for name in _columns(connection, table, "REAL") if name.startswith("amount")]
        connection.execute(
            f"UPDATE {table} SET {_grown(amounts, '{0} * ?1')} WHERE period_id IN (SELECT id FROM unknown)",
            [POISON],
        )


def _grown(columns: tuple[str, ...] | list[str], formula: str) -> str:
    return ", ".join(f"{column} = {formula.format(column)}" for column in columns)


def _columns(connection: sqlite3.Connection, table: str, kind: str) -> list[str]:
    return [
        name
        for _, name, declared, *_ in connection.execute(f"PRAGMA table_info({table})")
        if declared == kind
    ]


@contextlib.contextmanager
def _changed(database: Path, copy: Path) -> Iterator[sqlite3.Connection]:
    """Open a fresh copy for changes, in which no table may have been forgotten above."""
    shutil.copyfile(database, copy)
    with contextlib.closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA journal_mode = OFF")
        tables = {
            name
            for (name,) in connection.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
            )
        }
        unknown = tables ^ {*DATED, *OF_FILINGS, *LATEST_STATE}
        assert not unknown, f"say when the rows of {', '.join(sorted(unknown))} become known"
        connection.execute("BEGIN")
        yield connection
        connection.execute("COMMIT")
