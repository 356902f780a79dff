"""Information coefficients equal plain ones by date; quantiles, spreads and their costs by hand."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finpipe.backtest.information import decay, information_coefficients, summarise
from finpipe.backtest.quantiles import quantile_dates, quantile_equity, quantile_rows, quantile_table, spread
from finpipe.backtest.significance import newey_west_t
from finpipe_tests.backtest.small_market import days


def scored(
    seed: int, n_days: int, n_stocks: int, *, signal: float = 0.0, horizon: int = 5, nulls: float = 0.0
):
    random = np.random.default_rng(seed)
    calendar = days(n_days)
    score = random.integers(0, 6, (n_stocks, n_days)) + signal * 0.0
    score = score + (random.normal(size=score.shape) if signal else 0)
    realized = signal * score + random.normal(size=score.shape)
    frame = pl.DataFrame(
        {
            "stock_code": np.repeat([f"{10 * place:06d}" for place in range(n_stocks)], n_days),
            "date": calendar * n_stocks,
            "score": score.ravel().astype(float),
            "value": realized.ravel() / 100,
        }
    ).with_columns(pl.col("stock_code").cast(pl.Categorical))
    frame = frame.with_columns(
        rank=pl.col("score").rank("ordinal", descending=True).over("date").cast(pl.Int32),
        test_year=pl.col("date").dt.year().cast(pl.Int32),
    )
    missing = pl.Series(random.random(frame.height) < nulls)
    values = pl.when(~missing).then(pl.col("value")).cast(pl.Float32)
    realised = frame.select("stock_code", "date", values.alias(f"realized_return_{horizon}d"))
    return frame.drop("value"), realised


@given(seed=st.integers(0, 10_000), n_stocks=st.integers(1, 12))
@settings(deadline=None, max_examples=30)
def test_coefficients_equal_scipy_by_date(seed, n_stocks):
    from scipy import stats

    predictions, realized = scored(seed, 6, n_stocks, nulls=0.3)
    found = information_coefficients(predictions, realized, 5)
    joined = predictions.join(realized, on=["stock_code", "date"]).drop_nulls("realized_return_5d")
    assert found["date"].to_list() == joined["date"].unique().sort().to_list()
    for row in found.iter_rows(named=True):
        part = joined.filter(pl.col("date") == row["date"])
        x, y = part["score"].to_numpy(), part["realized_return_5d"].cast(pl.Float64).to_numpy()
        assert row["n"] == len(x)
        if len(x) < 3 or np.ptp(x) == 0:
            assert row["ic"] is None
            assert row["rank_ic"] is None
        else:
            assert row["ic"] == pytest.approx(stats.pearsonr(x, y).statistic)
            assert row["rank_ic"] == pytest.approx(stats.spearmanr(x, y).statistic)


def test_nulls_are_dropped_and_not_zero():
    predictions, realized = scored(0, 1, 10, signal=100.0)
    holed = realized.with_columns(
        pl.when(pl.int_range(pl.len()) > 3).then(pl.col("realized_return_5d")).alias("realized_return_5d")
    )
    found = information_coefficients(predictions, holed, 5)
    assert found["n"].item() == 6
    assert found["rank_ic"].item() > 0.9


def test_a_summary_uses_at_least_horizon_minus_one_lags():
    values = np.random.default_rng(1).normal(0.03, 0.1, 300)
    summary = summarise([*values, np.nan], 21)
    assert summary.mean == pytest.approx(values.mean())
    assert summary.icir == pytest.approx(values.mean() / values.std(ddof=1))
    assert summary.t == pytest.approx(newey_west_t(values, 20))
    assert summarise(values, 1).t == pytest.approx(newey_west_t(values))
    assert summary.days == 300
    assert summarise([], 5).days == 0


def test_decay_has_a_row_per_horizon():
    predictions, five = scored(2, 60, 20, signal=0.5)
    _, one = scored(3, 60, 20, horizon=1)
    table = decay(predictions, five.join(one, on=["stock_code", "date"]), [5, 1])
    assert table["horizon"].to_list() == [1, 5]
    assert table["mean_rank_ic"][1] > 0.2 > abs(table["mean_rank_ic"][0])


def test_a_missing_horizon_is_named():
    predictions, realized = scored(0, 3, 5)
    with pytest.raises(KeyError, match="realized_return_21d"):
        information_coefficients(predictions, realized, 21)


def test_quantiles_split_each_date_into_fifths_whatever_is_missing_later():
    predictions, realized = scored(4, 3, 10, nulls=0.2)
    rows = quantile_rows(predictions, realized, 5)
    joined = rows.join(predictions, on=["stock_code", "date"])
    assert (joined["quantile"] == 5 - (joined["rank"] - 1) // 2).all()
    assert rows.height == realized["realized_return_5d"].drop_nulls().len()


def test_growth_and_spread_by_hand():
    """Five stocks, one per quantile, horizon 2; quantile q earns q percent each period."""
    calendar = days(5)
    codes = [f"{place:06d}" for place in range(5)]
    frame = pl.DataFrame(
        {
            "stock_code": pl.Series(codes * 5).cast(pl.Categorical),
            "date": [day for day in calendar for _ in codes],
            "rank": [1, 2, 3, 4, 5] * 5,
            "score": [5.0, 4.0, 3.0, 2.0, 1.0] * 5,
            "realized_return_2d": [0.05, 0.04, 0.03, 0.02, 0.01] * 4 + [None] * 5,
        }
    )
    predictions = frame.select("stock_code", "date", "score", "rank")
    realized = frame.select("stock_code", "date", "realized_return_2d")
    rows = quantile_rows(predictions, realized, 2)
    by_date = quantile_dates(rows)
    equity = quantile_equity(by_date, pl.Series(calendar), 2)
    assert equity["date"].to_list() == [calendar[0], calendar[2], calendar[4]]
    assert equity["q5"].to_list() == pytest.approx([1, 1.05, 1.05**2])
    assert equity["q1"].to_list() == pytest.approx([1, 1.01, 1.01**2])
    table = quantile_table(by_date, equity, 2)
    assert table["mean_return"].to_list() == pytest.approx([0.01, 0.02, 0.03, 0.04, 0.05])
    assert table["annual_return"][4] == pytest.approx(1.05**126 - 1)
    still = spread(rows, pl.Series(calendar), 2, round_trip_cost=0.01)
    assert (still.gross, still.turnover, still.monotonicity) == pytest.approx((0.04, 0, 1))
    assert still.net == pytest.approx(0.04)


def test_both_legs_of_the_spread_pay_for_what_they_replace():
    predictions, realized = scored(6, 40, 50, horizon=1)
    rows = quantile_rows(predictions, realized, 1)
    calendar = predictions["date"].unique().sort()
    found = spread(rows, calendar, 1, round_trip_cost=0.006)
    assert 0.6 < found.turnover < 1
    assert found.gross - found.net == pytest.approx(2 * found.turnover * 0.006)
