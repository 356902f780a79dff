"""Features of every traded row, and of every market day."""

from __future__ import annotations

import dagster as dg
import polars as pl

from finpipe.market.schema import Table
from finpipe.orchestration import checks
from finpipe.orchestration.lineage import lineage_of
from finpipe.orchestration.stage import Result, stage
from finpipe.settings import Settings


def _table(name: str) -> Table:
    from finpipe.features.catalogue import table

    return table(name)


@stage(
    group="features",
    table=lambda: _table("krx/technical_features"),
    lineage=lineage_of("krx/technical_features"),
    kinds=("numba", "polars"),
)
def technical_features(daily_prices: pl.LazyFrame, settings: dg.ResourceParam[Settings]) -> pl.DataFrame:
    """Momentum, volume, volatility, intuition and oscillator features of adjusted prices and volume."""
    from finpipe.features.technical import technical_features

    return technical_features(daily_prices, settings.threads)


@stage(
    group="features",
    table=lambda: _table("krx/rolling_beta"),
    lineage=lineage_of("krx/rolling_beta"),
    kinds=("numba", "polars"),
)
def rolling_beta(daily_prices: pl.LazyFrame, settings: dg.ResourceParam[Settings]) -> pl.DataFrame:
    """Betas of each stock to the median return of the market, over 252 and 60 traded days."""
    from finpipe.features.beta import rolling_beta

    return rolling_beta(daily_prices, settings.threads)


@stage(
    group="features",
    table=lambda: _table("krx/sector_features"),
    lineage=lineage_of("krx/sector_features"),
    kinds=("numba", "polars"),
)
def sector_features(
    technical_features: pl.LazyFrame,
    stocks: pl.DataFrame,
    filings: pl.DataFrame,
    settings: dg.ResourceParam[Settings],
) -> pl.DataFrame:
    """The sector of each stock as known on the day, and momentum relative to it."""
    from finpipe.features.sector import SPANS, sector_features, sector_of_rows

    momentum = technical_features.select("stock_code", "date", *(f"mom_{span}d" for span in SPANS)).collect()
    return sector_features(momentum, sector_of_rows(momentum, stocks, filings), settings.threads)


@stage(
    group="features",
    table=lambda: _table("krx/financial_features"),
    lineage=lineage_of("krx/financial_features"),
    kinds=("polars",),
    checks={"filings_cover": "Most rows of the last year have a filing in force."},
)
def financial_features(
    daily_prices: pl.LazyFrame, sector_features: pl.LazyFrame, filings: pl.DataFrame
) -> Result:
    """Quality, growth and value of the filing in force, joined as of the day."""
    from finpipe.features.financial import financial_features
    from finpipe.panel.traded import is_traded

    rows = daily_prices.filter(is_traded()).select("stock_code", "date", "market_cap").collect()
    sector = sector_features.select("sector").collect()
    features = financial_features(rows.with_columns(sector), filings)
    coverage = checks.filings_cover(features, ("roe", "operating_margin", "net_debt_to_equity", "accruals"))
    return Result(features, checks={"filings_cover": coverage})


@stage(
    group="features",
    table=lambda: _table("krx/macro_features"),
    lineage=lineage_of("krx/macro_features"),
    kinds=("polars",),
    checks={"indices_present": "Every index that a macro feature needs is in the database."},
)
def macro_features(index_levels: pl.DataFrame, daily_prices: pl.LazyFrame) -> Result:
    """Market regime, breadth, fear, dollar and bond spread of every market day."""
    from finpipe.features.macro import macro_features

    days = daily_prices.select(pl.col("date").unique().sort()).collect().to_series()
    macro = macro_features(index_levels, days)
    return Result(
        macro.frame,
        facts={"missing_indices": ", ".join(macro.missing) or "none"},
        checks={"indices_present": checks.indices_present(macro.missing)},
    )
