"""Small made-up inputs for the tests of this room: daily prices with flaws, and a training panel with a signal."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
import polars as pl

FIRST_DAY = dt.date(2020, 1, 1)


@dataclass(frozen=True)
class Bar:
    """One row of daily prices, with the fields that labels and universe look at."""

    open: float | None = 100.0
    close: float = 100.0
    volume: int = 10
    market: str = "kospi"
    market_cap: int = 10**12
    value: int = 10**11


HALT = Bar(open=None, volume=0, value=0)


def day(number: int) -> dt.date:
    return FIRST_DAY + dt.timedelta(days=number)


def daily_prices(stocks: dict[str, dict[int, Bar]], factor: float = 1.0) -> pl.DataFrame:
    """Build daily prices from the bars of each stock by day number; adjusted = raw times ``factor``."""
    rows = [
        {
            "stock_code": code,
            "date": day(number),
            "market": bar.market,
            "close": int(bar.close),
            "volume": bar.volume,
            "value": bar.value,
            "market_cap": bar.market_cap,
            "adjusted_open": None if bar.open is None else bar.open * factor,
            "adjusted_close": bar.close * factor,
        }
        for code, bars in sorted(stocks.items())
        for number, bar in sorted(bars.items())
    ]
    schema = {
        "stock_code": pl.Categorical,
        "date": pl.Date,
        "market": pl.Categorical,
        "close": pl.Int64,
        "volume": pl.Int64,
        "value": pl.Int64,
        "market_cap": pl.Int64,
        "adjusted_open": pl.Float64,
        "adjusted_close": pl.Float64,
    }
    return pl.DataFrame(rows, schema=schema)


def traded(prices: pl.DataFrame) -> pl.DataFrame:
    """The keys of the rows that features and labels have."""
    main = pl.col("market").cast(pl.String).is_in(["kospi", "kosdaq"])
    return prices.filter(main & (pl.col("volume") > 0)).select("stock_code", "date")


def constant_beta(prices: pl.DataFrame, value: float = 1.0) -> pl.DataFrame:
    return traded(prices).with_columns(rolling_beta=pl.lit(value, dtype=pl.Float32))


def stock_list(delistings: dict[str, dt.date | None], **flags: dict[str, bool]) -> pl.DataFrame:
    """A stock table of these codes; ``flags`` are is_preferred and is_spac by code, False where not given."""
    codes = sorted(delistings)
    return pl.DataFrame(
        {
            "stock_code": pl.Series(codes, dtype=pl.Categorical),
            "delisting_date": pl.Series([delistings[code] for code in codes], dtype=pl.Date),
            **{
                flag: pl.Series([flags.get(flag, {}).get(code, False) for code in codes], dtype=pl.Boolean)
                for flag in ("is_preferred", "is_spac")
            },
        }
    )


def weekdays(first: dt.date, last: dt.date) -> list[dt.date]:
    span = (last - first).days + 1
    return [d for d in (first + dt.timedelta(days=i) for i in range(span)) if d.weekday() < 5]


def signal_panel(
    years: range = range(2015, 2019),
    *,
    stocks: int = 20,
    horizon: int = 5,
    strength: float = 1.0,
    every: int = 5,
    seed: int = 0,
) -> pl.DataFrame:
    """A training panel whose label rises with ``signal`` by ``strength`` and with nothing else.

    The last ``horizon + 1`` days have no label. Features: signal, noise, patchy (a third of it null).
    """
    rng = np.random.default_rng(seed)
    days = weekdays(dt.date(years[0], 1, 1), dt.date(years[-1], 12, 31))[::every]
    codes = pl.Series([f"{i:05d}0" for i in range(stocks)], dtype=pl.Categorical)
    rows = stocks * len(days)
    signal = rng.standard_normal(rows)
    frame = pl.DataFrame(
        {
            "stock_code": codes.gather(np.repeat(np.arange(stocks), len(days))),
            "date": days * stocks,
            "signal": signal,
            "noise": rng.standard_normal(rows),
            "patchy": rng.standard_normal(rows),
            "forward": strength * signal + rng.standard_normal(rows),
            "macro_risk_score": np.tile(rng.random(len(days)), stocks),
        }
    )
    x = pl.col("forward")
    label = (x.rank() / x.count()).over("date")
    known = pl.col("date") <= days[-horizon - 2]
    return frame.with_columns(
        pl.when(pl.int_range(pl.len()) % 3 > 0).then("patchy").alias("patchy"),
        pl.when(known).then(label).alias(f"target_rank_{horizon}d"),
        close=pl.lit(10_000),
    ).with_columns(pl.col("signal", "noise", "patchy", f"target_rank_{horizon}d").cast(pl.Float32))
