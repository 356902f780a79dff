"""Every rolling kernel equals its plain definition, for any window and any missing or wild value."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finpipe.panel import rolling
from finpipe_tests.panel import windows

compared = settings(deadline=None, max_examples=60)


@compared
@given(windows.stocks(), windows.spans())
def test_sum_and_mean_equal_fresh_ones(series, span):
    rows, starts = windows.flat(series)
    scale = windows.rolled(series, *span, lambda present: math.fsum(map(abs, present)))
    expected = windows.rolled(series, *span, math.fsum)
    count = windows.rolled(series, *span, len)
    close(rolling.total(rows, starts, *span), expected, scale)
    close(rolling.mean(rows, starts, *span), expected / count, scale / count)


@compared
@given(windows.stocks(), windows.spans())
def test_std_equals_the_exact_one(series, span):
    rows, starts = windows.flat(series)
    expected = windows.rolled(series, *span, windows.exact_std)
    close(rolling.std(rows, starts, *span), expected, expected)


@compared
@given(windows.stocks(), windows.spans())
def test_extremes_and_count_are_exact(series, span):
    rows, starts = windows.flat(series)
    np.testing.assert_array_equal(rolling.maximum(rows, starts, *span), windows.rolled(series, *span, max))
    np.testing.assert_array_equal(rolling.minimum(rows, starts, *span), windows.rolled(series, *span, min))
    window = span[0]
    np.testing.assert_array_equal(rolling.count(rows, starts, window), windows.rolled(series, window, 0, len))


@compared
@given(st.data(), windows.spans())
def test_moments_equal_the_exact_ones_over_complete_pairs(data, span):
    window, min_periods = span
    x = data.draw(windows.stocks())
    y = [data.draw(st.lists(windows.values, min_size=len(stock), max_size=len(stock))) for stock in x]
    rows, starts = windows.flat(x)
    others, _ = windows.flat(y)
    samples = [sample if len(sample) >= max(min_periods, 1) else [] for sample in windows.pairs(x, y, window)]
    cov = np.array([windows.exact_covariance(sample) for sample in samples])
    var_x = np.array([windows.exact_covariance([(a, a) for a, _ in sample]) for sample in samples])
    var_y = np.array([windows.exact_covariance([(b, b) for _, b in sample]) for sample in samples])

    found_cov, found_var = rolling.moments(rows, others, starts, *span)
    close(found_cov, cov, np.sqrt(var_x) * np.sqrt(var_y))
    close(found_var, var_x, var_x)
    np.testing.assert_array_equal(rolling.covariance(rows, others, starts, *span), found_cov)


@compared
@given(windows.stocks(st.one_of(windows.quiet, windows.missing)), windows.spans())
def test_pandas_agrees_on_windows_and_missing_values(series, span):
    rows, starts = windows.flat(series)
    stock = np.repeat(np.arange(len(series)), np.diff(starts))
    frame = pd.DataFrame({"stock": stock, "value": np.where(np.isfinite(rows), rows, np.nan)})
    rolled = frame.groupby("stock")["value"].rolling(span[0], min_periods=span[1])
    np.testing.assert_allclose(rolling.mean(rows, starts, *span), rolled.mean(), rtol=1e-9, atol=1e-6)
    # Running sums leave pandas an error of about sqrt(epsilon), 1.5e-8, times the values that have left the window.
    largest = frame["value"].abs().max() if frame["value"].notna().any() else 0.0
    np.testing.assert_allclose(rolling.std(rows, starts, *span), rolled.std(), rtol=1e-6, atol=4e-8 * largest)
    np.testing.assert_array_equal(rolling.maximum(rows, starts, *span), rolled.max())


@compared
@given(windows.stocks(), st.integers(0, 70))
def test_lag_is_the_row_before(series, by):
    rows, starts = windows.flat(series)
    expected = [stock[row - by] if row >= by else math.nan for stock in series for row in range(len(stock))]
    np.testing.assert_array_equal(rolling.lag(rows, starts, by), expected)


@given(windows.quiet, st.integers(1, 80), windows.spans())
@compared
def test_a_constant_run_has_a_deviation_of_exactly_zero(value, size, span):
    rows, starts = windows.flat([[math.nan, *[value] * size]])
    found = rolling.std(rows, starts, *span)
    assert set(found[~np.isnan(found)]) <= {0.0}


@pytest.mark.parametrize("spike", [1e8, 1e15, -1e15])
@pytest.mark.parametrize("window", [5, 20, 252])
def test_a_spike_that_has_left_leaves_nothing_behind(spike, window):
    calm = np.random.default_rng(1).normal(1.0, 0.01, 3000)
    other = np.random.default_rng(2).normal(1.0, 0.01, 3000)
    starts = np.array([0, 3000])
    wild = calm.copy()
    wild[::997] = spike
    gone = np.ones(3000, dtype=bool)
    for row in range(0, 3000, 997):
        gone[row : row + window] = False
    for statistic in (rolling.mean, rolling.total, rolling.std, rolling.minimum, rolling.maximum):
        expected = statistic(calm, starts, window, 2)
        found = statistic(wild, starts, window, 2)
        np.testing.assert_allclose(found[gone], expected[gone], rtol=1e-12)
    for found, expected in zip(
        rolling.moments(wild, other, starts, window, 2),
        rolling.moments(calm, other, starts, window, 2),
        strict=True,
    ):
        np.testing.assert_allclose(found[gone], expected[gone], rtol=1e-9, atol=1e-18)


def test_windows_are_right_from_the_first_row_that_has_min_periods():
    rows, starts = windows.flat([[1.0, 3.0, 5.0], [7.0], [2.0, math.nan, 4.0, 6.0]])
    found = rolling.mean(rows, starts, window=3, min_periods=2)
    np.testing.assert_array_equal(found, [math.nan, 2.0, 3.0, math.nan, math.nan, math.nan, 3.0, 5.0])


def test_beta_of_a_line_is_its_slope_and_of_a_constant_market_missing():
    market = np.array([0.01, -0.02, 0.03, 0.0, 0.01])
    starts = np.array([0, 5])
    np.testing.assert_allclose(rolling.beta(market, 2 * market + 1, starts, 5, 2)[1:], 2.0)
    assert np.isnan(rolling.beta(np.ones(5), market, starts, 5, 2)).all()


def test_no_rows_give_no_values():
    rows, starts = windows.flat([])
    assert rolling.mean(rows, starts, 5, 2).size == 0
    assert rolling.std(rows, starts, 5, 2).size == 0
    assert rolling.maximum(rows, starts, 5, 2).size == 0
    assert rolling.lag(rows, starts, 1).size == 0


@pytest.mark.parametrize(("window", "min_periods"), [(5, 0), (5, 6), (0, 0)])
def test_impossible_windows_are_refused(window, min_periods):
    rows, starts = windows.flat([[1.0, 2.0]])
    with pytest.raises(ValueError, match=f"min_periods {min_periods} must lie between 1 and the window"):
        rolling.mean(rows, starts, window, min_periods)


def test_a_negative_lag_would_look_ahead():
    rows, starts = windows.flat([[1.0, 2.0]])
    with pytest.raises(ValueError, match="look ahead"):
        rolling.lag(rows, starts, -1)


def close(found, expected, scale):
    """``found`` is ``expected`` to 1e-9 of ``scale``, missing in the same rows."""
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    error = np.abs(found - expected)
    present = ~np.isnan(expected)
    assert (error[present] <= 1e-9 * scale[present]).all()
