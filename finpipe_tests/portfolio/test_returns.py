from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finpipe.portfolio.returns import adjusted_prices, annual_mean, annual_volatility, simple_returns
from finpipe_tests.portfolio.sample_bars import bars_of, real_bars

NAN = np.nan


def test_returns_are_simple_and_late_listings_shorten_nobody():
    returns = simple_returns(
        bars_of({"OLD": [100, 110, 99, 99], "NEW": [None, None, 50, 60], "GAP": [10, None, 11, 22]})
    )
    assert returns.tickers == ("GAP", "NEW", "OLD")
    assert returns.dates.dtype == "datetime64[D]"
    np.testing.assert_allclose(
        returns.values.T, [[NAN, NAN, 1.0], [NAN, NAN, 0.2], [0.1, -0.1, 0.0]], equal_nan=True, atol=1e-15
    )


def test_dates_are_the_union_of_the_tickers_days():
    prices = adjusted_prices(bars_of({"A": [1, None, 3], "B": [None, 2, None]}))
    assert len(prices.dates) == 3
    np.testing.assert_array_equal(prices.values, [[1, NAN], [NAN, 2], [3, NAN]])


def test_prices_that_are_none_count_as_absent():
    bars = bars_of({"A": [1, 2, 3, 4]}).with_columns(adjusted_close=pl.Series([1.0, 0.0, None, np.inf]))
    np.testing.assert_array_equal(adjusted_prices(bars).values[:, 0], [1, NAN, NAN, NAN])


@settings(deadline=None, max_examples=50)
@given(st.data())
def test_alignment_equals_a_pivot(data):
    series = st.lists(st.none() | st.floats(0.01, 1e6), min_size=2, max_size=12).filter(any)
    made = data.draw(st.dictionaries(st.sampled_from(["A", "BRK-B", "005930.KS", "Z"]), series, min_size=1))
    bars = bars_of(made)
    prices = adjusted_prices(bars.sample(fraction=1, shuffle=True, seed=1))
    pivot = bars.pivot("ticker", index="date", values="adjusted_close").sort("date")
    np.testing.assert_array_equal(prices.dates, pivot["date"].to_numpy())
    for i, ticker in enumerate(prices.tickers):
        np.testing.assert_array_equal(prices.values[:, i], pivot[ticker].to_numpy())


def test_two_bars_of_a_day_are_named():
    bars = bars_of({"A": [1, 2], "B": [1, 2]})
    with pytest.raises(ValueError, match="B has more than one bar of 2015-01-02"):
        adjusted_prices(pl.concat([bars, bars.tail(1)]))


def test_no_bars_and_an_unknown_ticker_are_errors():
    bars = bars_of({"A": [1, 2]})
    with pytest.raises(ValueError, match="no bars"):
        adjusted_prices(bars.clear())
    with pytest.raises(ValueError, match="no prices of X; there are those of A"):
        adjusted_prices(bars).pick(["X"])


def test_picking_keeps_the_given_order():
    prices = adjusted_prices(bars_of({"A": [1, 2], "B": [3, 4], "C": [5, 6]}))
    assert prices.pick(["C", "A"]).tickers == ("C", "A")
    np.testing.assert_array_equal(prices.pick(["C", "A"]).values, [[5, 1], [6, 2]])
    np.testing.assert_allclose(prices.returns().pick(["B"]).values, [[1 / 3]])


def test_annual_figures_use_252_days_and_leave_out_what_is_missing():
    values = np.array([[0.01, NAN, NAN], [0.03, 0.02, NAN], [NAN, 0.02, NAN]])
    np.testing.assert_allclose(annual_mean(values), [0.02 * 252, 0.02 * 252, NAN])
    np.testing.assert_allclose(
        annual_volatility(values), [np.std([0.01, 0.03], ddof=1) * np.sqrt(252), 0, NAN], atol=1e-15
    )


def test_the_real_market_keeps_its_late_listings(shared_data):
    bars = real_bars(shared_data, dt.date(2012, 1, 1), dt.date(2016, 12, 31))
    returns = simple_returns(bars)
    counts = bars.group_by("ticker").len().sort("ticker")
    assert returns.values.shape == (counts["len"].max() - 1, counts.height)
    np.testing.assert_array_equal((~np.isnan(returns.values)).sum(axis=0), counts["len"].to_numpy() - 1)
