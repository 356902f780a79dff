"""Writing a demo market to SQLite, and telling demo markets from other databases."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Final

import numpy as np

from finpipe.market.demo.bars import draw_bars
from finpipe.market.demo.factors import draw_factors, draw_macro_levels
from finpipe.market.demo.filings import draw_filings, profitability_news
from finpipe.market.demo.indices import IndexKeeper
from finpipe.market.demo.industries import INDUSTRIES
from finpipe.market.demo.population import draw_population
from finpipe.market.demo.prices import simulate_prices
from finpipe.market.demo.reference_schema import (
    REFERENCE_INDEXES,
    REFERENCE_TABLES,
    create_reference_tables,
)
from finpipe.market.demo.sessions import compact_dates, trading_sessions
from finpipe.market.demo.signal import PLANTED_RANK_IC, PLANTED_WEIGHTS
from finpipe.market.demo.statements import draw_statements, quarter_ends
from finpipe.market.demo.tables import (
    DOLLAR_FUTURES,
    KOSPI_200_FUTURES,
    PRIME_BOND,
    TREASURY_BOND,
    VKOSPI,
    Rows,
    StockBook,
    balance_and_cash_flow_rows,
    bond_index_rows,
    daily_price_rows,
    delisted_rows,
    derivative_index_rows,
    financial_period_rows,
    income_rows,
    index_rows,
)

DEFAULT_STOCKS: Final = 300
DEFAULT_YEARS: Final = 8
DEFAULT_END: Final = date(2024, 12, 30)
DEFAULT_SEED: Final = 7

APPLICATION_ID: Final = 0x46504B44
"""SQLite ``application_id`` that marks a database as a demo market."""

Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class DemoSummary:
    """What a demo market holds.

    Parameters
    ----------
    path
        The database.
    stocks
        Number of stocks that ever traded.
    sessions, first_session, last_session
        Trading days.
    rows
        Rows by table.
    seed
        Seed that it was drawn from.
    planted_features
        Features that foretell the next month, with the weights of their centred percent ranks.
    planted_rank_ic
        Band of the mean daily rank information coefficient of their weighted sum for the 21-day
        open-to-open return.
    """

    path: Path
    stocks: int
    sessions: int
    first_session: date
    last_session: date
    rows: dict[str, int]
    seed: int
    planted_features: dict[str, float] = field(default_factory=lambda: dict(PLANTED_WEIGHTS))
    planted_rank_ic: tuple[float, float] = PLANTED_RANK_IC


def write_demo_market(
    path: Path,
    *,
    stocks: int = DEFAULT_STOCKS,
    years: int = DEFAULT_YEARS,
    end: date | None = None,
    days: int | None = None,
    seed: int = DEFAULT_SEED,
    progress: Progress | None = None,
    overwrite: bool = False,
) -> DemoSummary:
    """Write a synthetic ``krx_stock_data.db`` in the reference's schema.

    The same arguments give the same rows. The file appears whole or not at all: it is written beside
    ``path`` under another name and then renamed.

    Parameters
    ----------
    path
        Where the database goes; its folder is created.
    stocks
        Stocks of every kind listed on an average day, at least 20; about a quarter more come and go. Beyond
        300, mainly small companies are added. 2,500 stocks and 3,500 days make 8.7 million rows.
    years
        Calendar years of history up to ``end``.
    end
        Last day; 30 December 2024 by default.
    days
        Exact number of sessions, in place of ``years``.
    seed
        Seed of all random draws.
    progress
        Called with the stage and the fraction done of all the work.
    overwrite
        Replace a demo market that is already there.

    Raises
    ------
    FileExistsError
        If ``path`` exists and ``overwrite`` is false, or if it is anything but a demo market.
    ValueError
        If fewer than 20 stocks or 40 sessions are asked for.
    """
    _refuse_to_destroy(path, overwrite=overwrite)
    tell = progress or (lambda _stage, _fraction: None)
    tell("calendar", 0.0)
    sessions = trading_sessions(end or DEFAULT_END, years=years, days=days)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _unfinished(path) as temporary, contextlib.closing(_open(temporary)) as connection:
        create_reference_tables(connection)
        rows, traded = _write_market(connection, sessions, stocks, seed, tell)
        _create_indexes(connection, tell)
        connection.commit()
    tell("done", 1.0)
    first, last = sessions[[0, -1]].tolist()
    return DemoSummary(
        path=path,
        stocks=traded,
        sessions=sessions.size,
        first_session=first,
        last_session=last,
        rows=rows,
        seed=seed,
    )


def is_demo_market(path: Path) -> bool:
    """Whether the file is a SQLite database that ``write_demo_market`` wrote."""
    with path.open("rb") as file:
        header = file.read(72)
    return header[:15] == b"SQLite format 3" and int.from_bytes(header[68:72], "big") == APPLICATION_ID


def _write_market(
    connection: sqlite3.Connection, sessions: np.ndarray, stocks: int, seed: int, tell: Progress
) -> tuple[dict[str, int], int]:
    tell("companies and filings", 0.02)
    generators = [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(7)]
    population = draw_population(generators[0], stocks, sessions)
    quarters = quarter_ends(sessions[0] - np.timedelta64(5 * 365, "D"), sessions[-1])
    statements = draw_statements(generators[1], population, quarters)
    filings = draw_filings(generators[2], population, statements, sessions)
    factors = draw_factors(generators[3], sessions.size, len(INDUSTRIES))
    macro = draw_macro_levels(generators[4], factors)
    news = profitability_news(filings, sessions, population.size)

    dates = compact_dates(sessions)
    keeper = IndexKeeper(population, sessions)
    book = StockBook(population)
    rows: dict[str, int] = dict.fromkeys(REFERENCE_TABLES, 0)
    for block in simulate_prices(generators[6], population, factors, news):
        tell("daily prices", 0.05 + 0.6 * block.first / sessions.size)
        bars = draw_bars(generators[5], block)
        keeper.follow(block, bars)
        within = dates[block.first : block.first + block.days]
        book.follow(block, within)
        rows["daily_prices"] += _insert(
            connection, "daily_prices", daily_price_rows(population, block, bars, within)
        )
    tell("filings", 0.65)
    loaded = f"{dates[-1][:4]}-{dates[-1][4:6]}-{dates[-1][6:]} 18:00:00"
    levels = keeper.levels()
    market_indices = [(index.code, index.name, index.index_class) for index in levels.definitions]
    derivatives = [
        (code, code.removeprefix(f"DERIV_{group}_").replace("_", " "), group)
        for code, group in (
            (VKOSPI, "옵션지수"),
            (DOLLAR_FUTURES, "선물지수"),
            (KOSPI_200_FUTURES, "선물지수"),
        )
    ]
    bonds = [(code, code.removeprefix("BOND_").replace("_", " ")) for code in (PRIME_BOND, TREASURY_BOND)]
    contents: list[tuple[str, Rows]] = [
        ("financial_periods", financial_period_rows(filings, population)),
        ("financial_items_bs_cf", balance_and_cash_flow_rows(filings)),
        ("financial_items_pl", income_rows(filings)),
        ("stocks", book.stocks(loaded)),
        ("stock_history", ((None, *row) for row in book.history)),
        ("delisted_stocks", delisted_rows(population, sessions)),
        ("indices", ((*index, 1, loaded) for index in market_indices)),
        ("index_history", ((None, code, dates[0], name, group) for code, name, group in market_indices)),
        ("index_daily_prices", index_rows(levels, dates)),
        ("deriv_indices", ((*index, 1, loaded) for index in derivatives)),
        ("deriv_index_daily", derivative_index_rows(macro, levels, dates)),
        ("bond_indices", ((*index, 1, loaded) for index in bonds)),
        ("bond_index_daily", bond_index_rows(macro, dates)),
    ]
    for table, content in contents:
        rows[table] += _insert(connection, table, content)
    return rows, rows["stocks"]


def _insert(connection: sqlite3.Connection, table: str, rows: Rows) -> int:
    width = len(connection.execute(f"SELECT * FROM {table} LIMIT 0").description)
    cursor = connection.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * width)})", rows)
    return cursor.rowcount


def _create_indexes(connection: sqlite3.Connection, tell: Progress) -> None:
    for number, (name, target) in enumerate(REFERENCE_INDEXES.items()):
        tell("indexes", 0.75 + 0.25 * number / len(REFERENCE_INDEXES))
        connection.execute(f"CREATE INDEX {name} ON {target}")


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -262144", "threads = 2"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute("BEGIN")
    return connection


@contextlib.contextmanager
def _unfinished(path: Path) -> Iterator[Path]:
    """A name beside ``path`` that takes its place on success and vanishes on failure."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _refuse_to_destroy(path: Path, *, overwrite: bool) -> None:
    if not path.exists():
        return
    if not overwrite:
        raise FileExistsError(f"{path} exists already; pass overwrite to replace it, or name another file")
    if not path.is_file() or not is_demo_market(path):
        raise FileExistsError(f"{path} is not a demo market and will not be overwritten; name another file")
