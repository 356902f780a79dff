"""Small markets for the tests of the backtest: frames in the stored schemas, built from plain lists."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from finpipe.backtest.simulate import Simulation
from finpipe.market import schema

START = dt.date(2020, 1, 1)
FREE = {"commission": 0.0, "sale_tax": 0.0, "slippage": 0.0}
A, B, C = "000010", "000020", "000030"


def days(n: int, start: dt.date = START) -> list[dt.date]:
    """Return ``n`` weekdays."""
    every = (start + dt.timedelta(days=step) for step in range(2 * n + 7))
    return [day for day in every if day.weekday() < 5][:n]


def bars(
    code: str,
    opens: Sequence[float | None],
    closes: Sequence[float],
    *,
    dates: Sequence[dt.date] | None = None,
    volumes: Sequence[int] | None = None,
    factors: Sequence[float] | None = None,
    flat: Sequence[bool] | None = None,
    value: int = 10**9,
) -> pl.DataFrame:
    """Return one stock's raw bars; a null open is a halt, ``flat`` days have one price all day.

    ``factors`` are adjustment factors: adjusted price = raw price x factor.
    """
    n = len(closes)
    dates = days(n) if dates is None else dates
    volumes = [0 if each is None else 1000 for each in opens] if volumes is None else volumes
    is_flat = [False] * n if flat is None else flat
    top = [max(o or c, c) + (0 if still else 1) for o, c, still in zip(opens, closes, is_flat, strict=True)]
    low = [min(o or c, c) - (0 if still else 1) for o, c, still in zip(opens, closes, is_flat, strict=True)]
    factor = pl.Series([1.0] * n if factors is None else factors, dtype=pl.Float64)
    raw = pl.DataFrame(
        {
            "stock_code": [code] * n,
            "date": dates,
            "market": ["kospi"] * n,
            "open": pl.Series(opens, dtype=pl.Float64).cast(pl.Int64),
            "high": pl.Series(top, dtype=pl.Float64).cast(pl.Int64),
            "low": pl.Series(low, dtype=pl.Float64).cast(pl.Int64),
            "close": pl.Series(closes, dtype=pl.Float64).cast(pl.Int64),
            "change": pl.Series([None] * n, dtype=pl.Int64),
            "change_rate": pl.Series([None] * n, dtype=pl.Float64),
            "volume": pl.Series(volumes, dtype=pl.Int64),
            "value": pl.Series([value if each else 0 for each in volumes], dtype=pl.Int64),
            "market_cap": pl.Series([10**12] * n, dtype=pl.Int64),
            "adjustment_factor": factor,
        }
    ).with_columns(pl.col("stock_code", "market").cast(pl.Categorical))
    return raw.with_columns(
        *((pl.col(name) * pl.col("adjustment_factor")).alias(f"adjusted_{name}") for name in BAR),
        adjusted_volume=pl.col("volume") / pl.col("adjustment_factor"),
    )


BAR = ("open", "high", "low", "close")


def market(*stocks: pl.DataFrame) -> pl.DataFrame:
    """Join stocks to daily prices under the schema."""
    return schema.DAILY_PRICES.validate(pl.concat(stocks).sort("stock_code", "date"))


def ranking(ranks: Mapping[dt.date, Sequence[str]]) -> pl.DataFrame:
    """Return predictions, given each day's codes from best to worst."""
    rows = [
        (code, day, float(-place), place + 1, day.year)
        for day, codes in ranks.items()
        for place, code in enumerate(codes)
    ]
    frame = pl.DataFrame(
        rows,
        schema={
            "stock_code": pl.String,
            "date": pl.Date,
            "score": pl.Float64,
            "rank": pl.Int32,
            "test_year": pl.Int32,
        },
        orient="row",
    )
    return schema.PREDICTIONS.validate(
        frame.with_columns(pl.col("stock_code").cast(pl.Categorical)).sort("stock_code", "date")
    )


def constant_ranking(codes: Sequence[str], n: int) -> pl.DataFrame:
    """Return predictions that rank the codes alike on ``n`` days."""
    return ranking(dict.fromkeys(days(n), codes))


def trades_of(simulation: Simulation, **matches: str) -> list[dict[str, Any]]:
    """Return the trades whose columns have these values."""
    wanted = [pl.col(name).cast(pl.String) == value for name, value in matches.items()]
    return simulation.trades.filter(*wanted).to_dicts()


def listed(codes: Sequence[str], delisted: Mapping[str, dt.date] | None = None) -> pl.DataFrame:
    """Return stocks with their delisting dates."""
    gone = delisted or {}
    return pl.DataFrame(
        {
            "stock_code": pl.Series(codes).cast(pl.Categorical),
            "delisting_date": pl.Series([gone.get(code) for code in codes], dtype=pl.Date),
        }
    )


def random_market(
    seed: int, *, n_stocks: int = 8, n_days: int = 40, trouble: bool = True
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Return prices, stocks and predictions of a market with halts, gaps, splits, limits, delistings."""
    random = np.random.default_rng(seed)
    calendar = days(n_days)
    codes = [f"{10 * (place + 1):06d}" for place in range(n_stocks)]
    frames, gone = [], {}
    for place, code in enumerate(codes):
        price, factor = 20_000.0 * (1 + random.random()), 1.0
        rows = []
        for _ in range(n_days):
            split = 5.0 if trouble and random.random() < 0.02 else 1.0
            base = round(price / split)
            kind = random.choice(["usual", "halt", "up", "down"], p=[0.88, 0.06, 0.03, 0.03])
            factor *= price / base
            if not trouble or kind == "usual":
                opened = max(round(base * (1 + random.normal(0, 0.01))), 10)
                closed = max(round(opened * (1 + random.normal(0, 0.03))), 10)
                rows.append((opened, closed, False, factor))
            elif kind == "halt":
                closed = base
                rows.append((None, closed, False, factor))
            else:
                closed = max(round(base * (1.3 if kind == "up" else 0.7)), 10)
                rows.append((closed, closed, True, factor))
            price = closed
        last = n_days
        if trouble and place and random.random() < 0.3:
            last = int(random.integers(n_days // 2, n_days - 2))
            gone[code] = calendar[last]
        opens, closes, flat, factors = zip(*rows[:last], strict=True)
        frame = bars(code, opens, closes, dates=calendar[:last], flat=flat, factors=factors)
        if trouble:
            frame = frame.filter((pl.int_range(pl.len()) < 2) | pl.Series(random.random(last) > 0.03))
        frames.append(frame)
    prices = market(*frames)
    traded = prices.filter(pl.col("volume") > 0).select("stock_code", "date")
    scored = traded.with_columns(score=pl.Series(random.normal(size=traded.height)))
    predictions = scored.with_columns(
        rank=pl.col("score").rank("ordinal", descending=True).over("date").cast(pl.Int32),
        test_year=pl.col("date").dt.year().cast(pl.Int32),
    )
    return prices, listed(codes, gone), schema.PREDICTIONS.validate(predictions)
