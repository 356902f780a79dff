"""The universe: which (stock, day) pairs may be ranked and bought, and how many each rule leaves out."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from operator import and_

import polars as pl

from finpipe.learning.rows import packed_keys, require_same_rows
from finpipe.market import schema
from finpipe.panel.traded import is_traded

REQUIRED_FEATURES = ("mom_20d", "volume_surprise", "volatility_20d")
"""Features that a member must have: without them nothing sensible is known of the stock."""

FUNNEL = schema.Table(
    "krx/universe_funnel",
    "What each rule of the universe leaves out, one rule after the other.",
    (
        schema.Column("year", pl.Int32, "calendar year"),
        schema.Column("step", pl.Int32, "order of the rule; 0 is where all start"),
        schema.Column("rule", pl.String, "the rule, in words"),
        schema.Column("dropped", pl.Int64, "rows that pass all rules before and fail this one", "rows"),
        schema.Column("kept", pl.Int64, "rows that pass this rule and all before", "rows"),
        schema.Column("stocks", pl.Int64, "different stocks among the rows kept", "stocks"),
    ),
    key=("year", "step"),
)


@dataclass(frozen=True, slots=True)
class Universe:
    """Members, and the way to them.

    Attributes
    ----------
    frame
        Member rows under ``schema.UNIVERSE``.
    funnel
        Rows dropped and kept by rule and year, under ``FUNNEL``.
    """

    frame: pl.DataFrame
    funnel: pl.DataFrame


def universe(
    daily_prices: pl.DataFrame | pl.LazyFrame,
    technical: pl.DataFrame,
    stocks: pl.DataFrame,
    *,
    min_price: float = 1_000,
    min_market_cap: float = 500e9,
    min_value: float = 10e9,
    exclude_preferred: bool = True,
    exclude_spacs: bool = True,
) -> Universe:
    """Return the rows that may be ranked and bought, judged by what was known at the close of the day.

    A member is a traded row of KOSPI or KOSDAQ, of a stock that is no preferred share and no SPAC (unless
    they are let in), has the features ``REQUIRED_FEATURES``, and meets three floors: closing price, market
    capitalisation and amount traded, all as of the day and unadjusted. Delisted companies are members up to
    their last day: what trades is listed. The dates of delisting are not asked, for they also tell of stocks
    that only moved to another market and of earlier owners of a code, and a later one would hide them.

    Parameters
    ----------
    daily_prices
        ``krx/daily_prices``.
    technical
        ``krx/technical_features``, or its keys and ``REQUIRED_FEATURES``: a row per traded row, in order.
    stocks
        ``krx/stocks``. A stock that it lacks is taken as no SPAC, and as preferred if its code does not end
        in 0.
    min_price, min_market_cap, min_value
        Floors in KRW, inclusive.
    exclude_preferred, exclude_spacs
        Whether these are left out.

    Raises
    ------
    AlignmentError
        ``technical`` does not have the traded rows of ``daily_prices``.

    Notes
    -----
    krx reference §4.3. Names and kinds of stocks are the latest known ones: a SPAC counts
    as the company that it merged with from the day that the stock list says so, for all its history.
    """
    traded = daily_prices.lazy().filter(is_traded()).select(schema.UNIVERSE.names).collect()
    require_same_rows(
        "krx/technical_features", technical, packed_keys(traded), "the traded rows of krx/daily_prices"
    )
    known = stocks.select("stock_code", "is_preferred", "is_spac")
    by_code = pl.col("stock_code").cast(pl.String).str.ends_with("0").not_()
    rows = (
        traded.with_columns(technical.select(REQUIRED_FEATURES))
        .join(known, on="stock_code", how="left", maintain_order="left")
        .with_columns(pl.col("is_preferred").fill_null(by_code), pl.col("is_spac").fill_null(value=False))
    )
    rules = {
        "no preferred share": ~pl.col("is_preferred") if exclude_preferred else None,
        "no SPAC": ~pl.col("is_spac") if exclude_spacs else None,
        f"has {', '.join(REQUIRED_FEATURES)}": pl.all_horizontal(pl.col(REQUIRED_FEATURES).is_not_null()),
        f"close of at least {min_price:,.0f} KRW": pl.col("close") >= min_price,
        f"market capitalisation of at least {min_market_cap:,.0f} KRW": pl.col("market_cap")
        >= min_market_cap,
        f"traded value of at least {min_value:,.0f} KRW": pl.col("value") >= min_value,
    }
    in_force = {name: rule for name, rule in rules.items() if rule is not None}
    passed = pl.sum_horizontal(rule.cast(pl.Int32) for rule in accumulate(in_force.values(), and_))
    rows = rows.with_columns(passed=passed)
    members = rows.filter(pl.col("passed") == len(in_force)).select(schema.UNIVERSE.names)
    return Universe(members, _funnel(rows, ["traded on KOSPI or KOSDAQ", *in_force]))


def _funnel(rows: pl.DataFrame, names: list[str]) -> pl.DataFrame:
    """Count per year the rows, and the stocks among them, that pass at least so many rules in a row."""
    by_stock = rows.group_by(pl.col("date").dt.year().alias("year"), "stock_code", "passed").len().lazy()
    steps = [
        by_stock.group_by("year")
        .agg(
            dropped=pl.col("len").filter(pl.col("passed") == step - 1).sum(),
            kept=pl.col("len").filter(pl.col("passed") >= step).sum(),
            stocks=pl.col("stock_code").filter(pl.col("passed") >= step).n_unique(),
        )
        .with_columns(step=pl.lit(step), rule=pl.lit(name))
        for step, name in enumerate(names)
    ]
    columns = [pl.col(column.name).cast(column.dtype) for column in FUNNEL.columns]
    return pl.concat(steps).select(columns).sort("year", "step").collect()
