"""A small random market with everything that features must survive: halts, flat days, holes, short lives."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl

FIRST_DAY = dt.date(2020, 1, 1)


def daily_prices(seed: int, stocks: int = 14, days: int = 420, *, calm: bool = False) -> pl.DataFrame:
    """Bars with the columns that features read.

    One stock trades on konex, one on a single day, one is listed late and one delisted early. With
    ``calm`` every stock trades on every day and no price is missing.
    """
    generator = np.random.default_rng(seed)
    frames = []
    for stock in range(stocks):
        begin, end = 0, days
        if not calm:
            begin = int(generator.integers(0, days // 2)) if stock % 3 == 0 else 0
            end = {1: begin + 1, 2: days - 60}.get(stock, days)
        frames.append(_stock(generator, stock, begin, end, calm=calm))
    return pl.concat(frames).sort("stock_code", "date")


def traded(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows that feature frames have."""
    return frame.filter((pl.col("market").cast(pl.String) != "konex") & (pl.col("volume") > 0))


def _stock(generator: np.random.Generator, stock: int, begin: int, end: int, *, calm: bool) -> pl.DataFrame:
    size = end - begin
    close = np.round(np.exp(np.cumsum(generator.standard_t(3, size) * 0.03)) * 5_000).clip(50)
    # Now and then a crash and a recovery, so that fallen angels and breakouts occur.
    close[size // 2 :] = np.round(close[size // 2 :] * generator.choice([0.45, 1.0, 2.5])).clip(50)
    high = np.round(close * (1 + abs(generator.normal(0, 0.02, size))))
    low = np.round(close * (1 - abs(generator.normal(0, 0.02, size)))).clip(1)
    volume = np.round(generator.lognormal(10, 1.2, size)) + 1
    market = "konex" if stock == 4 else ("kospi", "kosdaq")[stock % 2]
    if not calm:
        flat = generator.random(size) < 0.03
        high[flat] = low[flat] = close[flat]
        volume[generator.random(size) < 0.04] = 0
        hole = (volume == 0) | (generator.random(size) < 0.01)
        high[hole] = low[hole] = np.nan
    factor = np.where(np.arange(size) >= size // 3, 2.0, 1.0) if stock % 4 == 0 else np.ones(size)
    return pl.DataFrame(
        {
            "stock_code": pl.Series([f"{stock:05d}0"] * size, dtype=pl.Categorical),
            "date": [FIRST_DAY + dt.timedelta(day) for day in range(begin, end)],
            "market": pl.Series([market] * size, dtype=pl.Categorical),
            "close": np.round(close / factor).astype(np.int64),
            "volume": (volume * factor).astype(np.int64),
            "value": (volume * close).astype(np.int64),
            "adjusted_high": pl.Series(high, nan_to_null=True),
            "adjusted_low": pl.Series(low, nan_to_null=True),
            "adjusted_close": close,
            "adjusted_volume": volume,
        }
    )
