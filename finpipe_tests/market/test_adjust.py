from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finpipe.market.adjust import adjusted, adjustment, base_disagreements


def prices(rows: list[tuple[str, int, int | None]]) -> pl.DataFrame:
    """(stock, close, change) by stock, on consecutive days."""
    return pl.DataFrame(
        {
            "stock_code": [stock for stock, _, _ in rows],
            "date": [dt.date(2020, 1, 1) + dt.timedelta(days=i) for i in range(len(rows))],
            "close": [close for _, close, _ in rows],
            "change": [change for _, _, change in rows],
        },
        schema={"stock_code": pl.Categorical, "date": pl.Date, "close": pl.Int64, "change": pl.Int64},
    )


def with_bars(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(open="close", high="close", low="close", volume=pl.lit(100, pl.Int64))


def test_without_events_the_factor_is_exactly_one():
    frame = prices([("A", 100, 5), ("A", 103, 3), ("A", 99, -4), ("B", 7, 0), ("B", 8, 1)])
    result = adjustment(frame)
    assert result.factor.to_list() == [1.0] * 5
    assert (result.events, result.unknown) == (0, 0)


def test_a_split_of_fifty_for_one_as_samsung_in_2018():
    frame = with_bars(
        prices([("A", 2_650_000, 0), ("A", 2_650_000, 0), ("A", 51_900, -1_100), ("A", 52_600, 700)])
    )
    result = adjustment(frame)
    assert result.factor.to_list() == [1.0, 1.0, 50.0, 50.0]
    assert result.events == 1
    after = adjusted(frame, result.factor)
    assert after["adjusted_close"].to_list() == [2_650_000, 2_650_000, 2_595_000, 2_630_000]
    assert after["adjusted_volume"].to_list() == [100, 100, 2, 2]
    returns = after["adjusted_close"].pct_change().to_list()
    assert returns[2] == pytest.approx(-1_100 / 53_000)


def test_a_bonus_issue_of_one_new_for_two_old():
    frame = with_bars(prices([("A", 15_000, 100), ("A", 10_500, 500)]))
    assert adjustment(frame).factor.to_list() == [1.0, 1.5]


def test_a_capital_reduction_of_ten_to_one():
    frame = with_bars(prices([("A", 1_000, 0), ("A", 1_000, 0), ("A", 9_000, -1_000), ("A", 9_900, 900)]))
    after = adjusted(frame, adjustment(frame).factor)
    assert after["adjustment_factor"].to_list() == [1.0, 1.0, 0.1, 0.1]
    assert after["adjusted_close"].to_list() == pytest.approx([1_000, 1_000, 900, 990])
    assert after["adjusted_volume"].to_list() == pytest.approx([100, 100, 1_000, 1_000])


def test_events_of_one_stock_multiply_and_end_with_it():
    frame = prices([("A", 100, 0), ("A", 50, 0), ("A", 25, 0), ("B", 900, 3), ("B", 300, 0), ("C", 5, 0)])
    assert adjustment(frame).factor.to_list() == [1.0, 2.0, 4.0, 1.0, 3.0, 1.0]


def test_an_unknown_base_is_no_event_and_is_counted():
    frame = prices([("A", 100, None), ("A", 50, None), ("A", 50, 60), ("A", 25, 0), ("B", 5, None)])
    result = adjustment(frame)
    assert result.factor.to_list() == [1.0, 1.0, 1.0, 2.0, 1.0]
    assert (result.events, result.unknown) == (1, 2)


def test_missing_bars_stay_missing():
    frame = with_bars(prices([("A", 100, 0)])).with_columns(open=pl.lit(None, pl.Int64))
    after = adjusted(frame, adjustment(frame).factor)
    assert after["adjusted_open"].to_list() == [None]


def test_no_rows():
    result = adjustment(prices([]))
    assert (len(result.factor), result.events) == (0, 0)


histories = st.lists(
    st.lists(st.tuples(st.integers(1, 3_000_000), st.integers(1, 3_000_000)), min_size=1, max_size=12),
    min_size=1,
    max_size=5,
)


@given(histories)
@settings(deadline=None, max_examples=40)
def test_adjusted_returns_are_change_over_base(stocks):
    rows = [(f"S{i}", close, close - base) for i, days in enumerate(stocks) for close, base in days]
    frame = with_bars(prices(rows))
    after = adjusted(frame, adjustment(frame).factor)
    growth = after.select(
        pl.col("adjusted_close") / pl.col("adjusted_close").shift(1).over("stock_code")
    ).to_series()
    expected = after.select(1 + pl.col("change") / (pl.col("close") - pl.col("change"))).to_series()
    first = after.select(pl.int_range(pl.len()).over("stock_code") == 0).to_series()
    assert growth.filter(first).null_count() == first.sum()
    np.testing.assert_allclose(growth.filter(~first), expected.filter(~first), rtol=1e-9)


@given(histories)
@settings(deadline=None, max_examples=40)
def test_the_future_does_not_change_a_factor(stocks):
    rows = [(f"S{i}", close, close - base) for i, days in enumerate(stocks) for close, base in days]
    frame = prices(rows)
    half = frame.filter(pl.int_range(pl.len()).over("stock_code") < (pl.len().over("stock_code") + 1) // 2)
    whole = frame.with_columns(adjustment(frame).factor)
    kept = whole.join(half, on=["stock_code", "date"], how="semi", maintain_order="left")
    assert kept["adjustment_factor"].equals(adjustment(half).factor)


def test_bases_that_disagree_are_reported():
    frame = prices(
        [("A", 100, 0), ("A", 110, 10), ("A", 121, 11), ("A", 60, 60), ("A", 50, None), ("A", 3, 1)]
    )
    rates = [0.0, 10.0, 15.0, 0.0, 3.0, 49.99]
    wrong = base_disagreements(frame.with_columns(change_rate=pl.Series(rates)))
    assert wrong["close"].to_list() == [121, 60]
    assert wrong["base"].to_list() == [110, 0]
    assert wrong["implied_rate"][0] == pytest.approx(10.0)


def test_rounding_to_two_decimals_is_no_disagreement():
    frame = prices([("A", 3_010, 10), ("A", 2_987, -23)])
    rates = [round(10 / 3_000 * 100, 2), -0.76]
    assert base_disagreements(frame.with_columns(change_rate=pl.Series(rates))).is_empty()
