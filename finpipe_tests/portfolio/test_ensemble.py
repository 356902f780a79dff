from __future__ import annotations

import datetime as dt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finpipe.portfolio.ensemble import ensemble
from finpipe.portfolio.returns import Prices, adjusted_prices
from finpipe_tests.portfolio.plain_ensemble import plain_ensemble
from finpipe_tests.portfolio.sample_bars import real_bars, weekdays


def prices_of(values: np.ndarray) -> Prices:
    return Prices(tuple(f"T{i}" for i in range(values.shape[1])), weekdays(len(values)), values)


def test_by_hand():
    # Eleven prices on a straight line: 100, 101, ..., 110.
    line = np.arange(100.0, 111.0)
    made = ensemble(prices_of(line[:, None]))
    assert made.trend[0] == pytest.approx((110 + 253) / 110 - 1, rel=1e-12)
    assert made.history[0] == pytest.approx(np.mean(1 / line[:-1]) * 252, rel=1e-12)
    level, levels = line[0], [line[0]]
    for price in line[1:]:
        level = 0.3 * price + 0.7 * level
        levels.append(level)
    x, y = np.arange(11), np.array(levels)
    slope = ((x - 5) * (y - y.mean())).sum() / 110
    assert made.smoothing[0] == pytest.approx((y.mean() + slope * (263 - 5)) / y[-1] - 1, rel=1e-12)
    assert made.unclipped[0] == pytest.approx(
        0.4 * made.smoothing[0] + 0.3 * made.trend[0] + 0.3 * made.history[0], rel=1e-12
    )
    assert made.values[0] == 1.0


@settings(deadline=None, max_examples=80)
@given(
    days=st.integers(1, 300),
    seed=st.integers(0, 2**31),
    sigma=st.sampled_from([0.0, 0.001, 0.02, 0.08]),
    gaps=st.floats(0, 0.8),
    start=st.sampled_from([1e-3, 1.0, 1e5]),
)
def test_the_kernel_equals_the_plain_formula(days, seed, sigma, gaps, start):
    random = np.random.default_rng(seed)
    values = start * np.exp(np.cumsum(random.standard_normal((days, 4)) * sigma, axis=0))
    values[random.random(values.shape) < gaps * np.array([0, 0.5, 1, 1])] = np.nan
    values[: days // 3, 3] = np.nan
    made = ensemble(prices_of(values))
    expected = [plain_ensemble(values[:, i]) for i in range(4)]
    np.testing.assert_allclose(made.values, expected, rtol=1e-9, atol=1e-10)


def test_too_few_prices_are_neutral():
    values = np.full((40, 4), np.nan)
    values[:9, 0] = 100
    values[:19, 1] = 100
    values[:20, 2] = np.linspace(100, 100.1, 20)
    made = ensemble(prices_of(values))
    np.testing.assert_array_equal(made.is_neutral, [True, True, False, True])
    np.testing.assert_array_equal(made.values[[0, 1, 3]], 0.05)
    np.testing.assert_array_equal(made.points, [9, 19, 20, 0])


def test_stormy_prices_damp_history_alone():
    up_and_down = 100 * np.cumprod(np.tile([1.06, 1 / 1.055], 60))
    calm = 100 * np.cumprod(np.tile([1.04, 1 / 1.035], 60))
    made = ensemble(prices_of(np.column_stack([up_and_down, calm])))
    daily = [series[1:] / series[:-1] - 1 for series in (up_and_down, calm)]
    assert daily[0].std(ddof=1) > 0.05 > daily[1].std(ddof=1)
    np.testing.assert_allclose(made.history, [daily[0].mean() * 252 * 0.8, daily[1].mean() * 252], rtol=1e-9)


def test_forecasts_stay_within_bounds():
    crash, boom = np.linspace(100, 1, 100), np.linspace(1, 100, 100)
    made = ensemble(prices_of(np.column_stack([crash, boom])))
    np.testing.assert_array_equal(made.values, [-0.5, 1.0])
    assert made.unclipped[0] < -0.5
    assert made.unclipped[1] > 1.0


def test_the_real_market(shared_data):
    prices = adjusted_prices(real_bars(shared_data, dt.date(2012, 1, 1), dt.date(2016, 12, 31)))
    made = ensemble(prices)
    expected = [plain_ensemble(prices.values[:, i]) for i in range(len(prices.tickers))]
    np.testing.assert_allclose(made.values, expected, rtol=1e-9)
