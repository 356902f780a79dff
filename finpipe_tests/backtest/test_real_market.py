"""A simulation on two years of real KOSPI prices trades only what traded, and its accounts balance."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from finpipe.backtest.rules import Rules
from finpipe.backtest.simulate import simulate

FIRST, LAST = dt.date(2021, 1, 1), dt.date(2022, 12, 31)


@pytest.fixture(scope="module")
def real(shared_data: Path) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Prices, stocks and momentum ranks of the most traded stocks."""
    path = shared_data / "kr" / "kospi_daily_2020_2024.parquet"
    if not path.exists():
        pytest.skip(f"real prices are absent: {path}")
    raw = pl.read_parquet(path).filter(pl.col("date").is_between(dt.date(2020, 9, 1), LAST))
    prices = (
        raw.with_columns(
            pl.col("stock_code").cast(pl.Categorical),
            *(pl.when(pl.col(name) > 0).then(pl.col(name)) for name in ("open", "high", "low")),
            value=pl.col("close") * pl.col("volume"),
            adjustment_factor=pl.lit(1.0),
        )
        .with_columns(
            adjusted_open=pl.col("open").cast(pl.Float64), adjusted_close=pl.col("close").cast(pl.Float64)
        )
        .sort("stock_code", "date")
    )
    close = pl.col("adjusted_close")
    scored = (
        prices.with_columns(
            score=(close / close.shift(60) - 1).over("stock_code"),
            liquid=pl.col("value").rolling_mean(20).over("stock_code"),
        )
        .filter((pl.col("date") >= FIRST) & (pl.col("liquid") > 1e10) & (pl.col("volume") > 0))
        .drop_nulls("score")
    )
    predictions = scored.select("stock_code", "date", "score").with_columns(
        rank=pl.col("score").rank("ordinal", descending=True).over("date").cast(pl.Int32),
        test_year=pl.col("date").dt.year().cast(pl.Int32),
    )
    last = prices.group_by("stock_code").agg(delisting_date=pl.col("date").max())
    gone = pl.when(pl.col("delisting_date") < prices["date"].max()).then(pl.col("delisting_date"))
    return prices, last.with_columns(gone.alias("delisting_date")), predictions


@pytest.mark.parametrize("whole", [False, True])
def test_real_prices(real, whole):
    prices, stocks, predictions = real
    rules = Rules(n=30, horizon=10, cohorts=2, stop_loss=0.1, hold_rank=45, whole_shares=whole)
    simulation = simulate(predictions, prices, rules, stocks=stocks)
    daily, trades = simulation.daily, simulation.trades
    assert daily["date"].to_list() == sorted(
        prices.filter(pl.col("date") > predictions["date"].min())["date"].unique()
    )
    assert daily["cash"].min() >= 0
    held = simulation.holdings.group_by("date").agg(pl.col("value").sum())
    joined = daily.join(held, on="date", how="left").with_columns(pl.col("value").fill_null(0))
    assert np.allclose(joined["cash"] + joined["value"], joined["equity"], atol=0.01)
    spent = pl.col("commission") + pl.col("tax") + pl.col("slippage")
    sign = pl.when(pl.col("side").cast(pl.String) == "buy").then(1).otherwise(-1)
    flow = trades.group_by("date").agg(flow=(sign * pl.col("value") + spent).sum())
    replayed = rules.initial_capital - daily.join(flow, on="date", how="left")["flow"].fill_null(0).cum_sum()
    assert np.allclose(replayed, daily["cash"], atol=0.01)
    orders = trades.filter(pl.col("reason").cast(pl.String) != "delisting").join(
        prices, on=["stock_code", "date"], how="left"
    )
    assert orders["volume"].min() > 0
    assert orders["price"].equals(orders["open"].cast(pl.Float64), null_equal=False)
    if whole:
        assert (trades["shares"] == trades["shares"].round()).all()
