"""From a chart as yfinance returns it to daily bars as traded."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from finpipe.market.daily_bars import BAR_SCHEMA, as_traded

if TYPE_CHECKING:
    import pandas as pd


def bars_of_chart(ticker: str, chart: pd.DataFrame, start: dt.date, end: dt.date) -> tuple[pl.DataFrame, int]:
    """Bars of a ticker within ``start`` and ``end``, both included.

    Yahoo restates prices, dividends and volumes for every split up to now, also for splits after ``end``: so a chart
    reaches up to now, is divided back, and is cut then. A split or dividend on a day without a price moves to the
    next bar.

    Parameters
    ----------
    ticker
        Canonical.
    chart
        As ``history(auto_adjust=False, actions=True)`` returns it, up to the present.
    start, end
        First and last day wanted.

    Returns
    -------
    tuple[pl.DataFrame, int]
        Bars in the schema of bars, and the number of days left out for want of a price.
    """
    if chart.empty:
        return pl.DataFrame(schema=BAR_SCHEMA), 0
    days = chart.index.tz_localize(None).to_numpy().astype("datetime64[D]")  # type: ignore[attr-defined]
    splits = chart["Stock Splits"].to_numpy(dtype=np.float64)
    prices = {
        name: chart[column].to_numpy(dtype=np.float64)
        for name, column in {
            "open": "Open",
            "high": "High",
            "low": "Low",
            "close": "Close",
            "adjusted_close": "Adj Close",
            "dividend": "Dividends",
        }.items()
    }
    frame = pl.DataFrame(
        {
            "ticker": np.full(len(days), ticker),
            "date": days,
            **prices,
            "volume": chart["Volume"].to_numpy(dtype=np.int64),
            "split_ratio": np.where(splits > 0, splits, 1.0),
        }
    ).select(BAR_SCHEMA.names())
    bars = as_traded(frame.sort("date"))
    priced = pl.all_horizontal(pl.col("open", "high", "low", "close", "adjusted_close").is_finite())
    without = bars.select((~priced).sum()).item()
    if without:
        bars = _with_events_moved(bars.with_columns(priced.alias("priced")))
    return bars.filter(pl.col("date").is_between(start, end)), without


def _with_events_moved(bars: pl.DataFrame) -> pl.DataFrame:
    upcoming = pl.col("priced").cast(pl.Int64).cum_sum(reverse=True)
    return (
        bars.with_columns(
            pl.col("dividend").sum().over(upcoming), pl.col("split_ratio").product().over(upcoming)
        )
        .filter("priced")
        .drop("priced")
    )
