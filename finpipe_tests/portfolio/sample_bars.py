"""Bars for tests of the portfolio line: small synthetic ones, and the real S&P 500 where its file is at hand."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from finpipe.market.daily_bars import BAR_SCHEMA

REAL = "sp500_daily_2010_2016.parquet"
FIRST = dt.date(2015, 1, 1)


def weekdays(days: int, first: dt.date = FIRST) -> np.ndarray:
    return np.busday_offset(np.datetime64(first, "D"), np.arange(days), roll="forward")


def bars_of(prices: dict[str, Sequence[float | None]], *, volume: int = 1_000_000) -> pl.DataFrame:
    """Bars whose open, high, low, close and adjusted close are all the given price; None is a day without a bar."""
    frames = []
    for ticker, series in sorted(prices.items()):
        dates = pl.Series("date", weekdays(len(series))).cast(pl.Date)
        close = pl.Series("close", series, dtype=pl.Float64)
        frames.append(
            pl.DataFrame({"ticker": [ticker] * len(series), "date": dates, "close": close}).drop_nulls(
                "close"
            )
        )
    every = pl.col("close")
    return (
        pl.concat(frames)
        .with_columns(
            open=every,
            high=every,
            low=every,
            adjusted_close=every,
            volume=pl.lit(volume, pl.Int64),
            dividend=pl.lit(0.0),
            split_ratio=pl.lit(1.0),
        )
        .select(BAR_SCHEMA.names())
        .cast(dict(BAR_SCHEMA))
    )


def random_prices(
    tickers: Sequence[str], days: int, *, seed: int = 7, drift: float = 0.0004, factor: float = 0.5
) -> dict[str, np.ndarray]:
    """Geometric random walks with one common factor and volatilities of 1% to 2.5% a day."""
    random = np.random.default_rng(seed)
    market = random.standard_normal((days, 1))
    own = random.standard_normal((days, len(tickers)))
    sigma = np.linspace(0.01, 0.025, len(tickers))
    log = drift + sigma * (np.sqrt(factor) * market + np.sqrt(1 - factor) * own)
    levels = 100 * np.exp(np.cumsum(log, axis=0))
    return {ticker: levels[:, i] for i, ticker in enumerate(tickers)}


def real_bars(folder: Path, start: dt.date, end: dt.date) -> pl.DataFrame:
    """The real S&P 500 members between two days, in the columns of bars; skips the test where there is no file."""
    path = folder / "us" / REAL
    if not path.is_file():
        pytest.skip(f"the real S&P 500 bars are absent: {path}")
    return (
        pl.scan_parquet(path)
        .filter(pl.col("date").is_between(start, end))
        .rename({"adj_close": "adjusted_close"})
        .with_columns(pl.col("volume").cast(pl.Int64))
        .select(BAR_SCHEMA.names())
        .sort("ticker", "date")
        .collect()
    )
