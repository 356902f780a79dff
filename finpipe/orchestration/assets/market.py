"""Market data: the user's database read, typed, validated and adjusted."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import dagster as dg
import polars as pl

from finpipe.market import schema
from finpipe.orchestration import checks, market_checks
from finpipe.orchestration.stage import Result, stage
from finpipe.settings import Settings

if TYPE_CHECKING:
    from finpipe.market.krx_database import MarketTable


def _facts(read: MarketTable) -> dict[str, int | str]:
    """What was mended while reading, counted; and what was not there."""
    warnings = {"warnings": "\n".join(read.warnings)} if read.warnings else {}
    return {**read.counts, **warnings}


def _today() -> dt.date:
    return dt.datetime.now(ZoneInfo("Asia/Seoul")).date()


@stage(
    group="market",
    table=lambda: schema.DAILY_PRICES,
    deps=("krx/source/daily_prices",),
    kinds=("sqlite", "polars"),
    checks={
        "base_agrees": "The base price implied by change and by change_rate agree to rounding.",
        **market_checks.PROMISES,
    },
    blocking=tuple(market_checks.PROMISES),
)
def daily_prices(settings: dg.ResourceParam[Settings]) -> Result:
    """Daily bars of every KRX stock, raw as traded and adjusted for splits and capital changes."""
    from finpipe.market.adjust import base_disagreements
    from finpipe.market.krx_database import read_daily_prices

    read = read_daily_prices(settings.database)
    found = {
        "base_agrees": checks.base_agrees(base_disagreements(read.frame), read.frame.height),
        market_checks.DAYS: market_checks.dates_in_calendar(read.frame["date"], _today()),
        market_checks.PRICES: market_checks.prices_sane(read.frame),
    }
    return Result(read.frame, facts=_facts(read), checks=found)


@stage(
    group="market",
    table=lambda: schema.STOCKS,
    deps=("krx/source/stocks", "krx/source/delistings"),
    kinds=("sqlite", "polars"),
)
def stocks(settings: dg.ResourceParam[Settings]) -> Result:
    """Every stock's latest name, market and shares, and its last day if it was delisted."""
    from finpipe.market.krx_database import read_stocks

    read = read_stocks(settings.database)
    return Result(read.frame, facts=_facts(read))


@stage(
    group="market",
    table=lambda: schema.INDEX_LEVELS,
    deps=("krx/source/indices",),
    kinds=("sqlite", "polars"),
    checks={"benchmark_present": "The database has levels of the benchmark."},
)
def index_levels(settings: dg.ResourceParam[Settings]) -> Result:
    """Daily levels of market, derivative and bond indices."""
    from finpipe.market.krx_database import read_index_levels

    read = read_index_levels(settings.database)
    present = checks.benchmark_present(read.frame, settings.benchmark)
    return Result(read.frame, facts=_facts(read), checks={"benchmark_present": present})


@stage(group="market", table=lambda: schema.FILINGS, deps=("krx/source/filings",), kinds=("sqlite", "polars"))
def filings(daily_prices: pl.LazyFrame, settings: dg.ResourceParam[Settings]) -> Result:
    """One row per filing and vintage, point in time, with trailing-twelve-month flows."""
    from finpipe.market.filings import read_filings

    days = daily_prices.select(pl.col("date").unique().sort()).collect().to_series()
    read = read_filings(settings.database, days.to_numpy())
    return Result(read.frame, facts=dict(read.counts))
