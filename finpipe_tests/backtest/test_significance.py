"""Published examples, textbook formulas, and intervals that cover what they say."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest

from finpipe.backtest import significance


def test_the_published_example_of_the_deflated_sharpe_ratio():
    """Bailey and Lopez de Prado (2014): the best of 100 trials over five years of 250 days."""
    variance = 0.5 / 250
    daily = 2.5 / sqrt(250)
    assert significance.expected_maximum_sharpe(variance, 100) == pytest.approx(0.1132, abs=5e-5)
    deflated = significance.deflated_sharpe(
        daily, n=1250, trials=100, variance=variance, skewness=-3, kurtosis=10
    )
    assert deflated == pytest.approx(0.9004, abs=5e-5)


def test_more_trials_deflate_more():
    values = [
        significance.deflated_sharpe(0.08, n=1000, trials=trials, variance=1 / 1000)
        for trials in (1, 10, 1000)
    ]
    assert values == sorted(values, reverse=True)
    assert values[0] == significance.probabilistic_sharpe(0.08, n=1000)


def test_newey_west_without_lags_is_the_plain_t():
    values = np.random.default_rng(0).normal(0.1, 1, 200)
    plain = values.mean() / (values.std(ddof=0) / sqrt(200))
    assert significance.newey_west_t(values, lags=0) == pytest.approx(plain)


def test_newey_west_equals_the_weighted_sum_of_autocovariances():
    values = np.random.default_rng(1).normal(0.1, 1, 50).cumsum() / 10
    n, lags = len(values), 4
    centred = values - values.mean()
    total = 0.0
    for i in range(n):
        for j in range(n):
            if abs(i - j) <= lags:
                total += (1 - abs(i - j) / (lags + 1)) * centred[i] * centred[j]
    assert significance.newey_west_t(values, lags) == pytest.approx(values.mean() / sqrt(total / n**2))


def test_overlap_makes_a_t_smaller():
    daily = np.random.default_rng(2).normal(0.05, 1, 2000)
    overlapping = np.convolve(daily, np.ones(21), mode="valid")
    assert abs(significance.newey_west_t(overlapping, 20)) < 0.6 * abs(
        significance.newey_west_t(overlapping, 0)
    )


def test_lo_leaves_independent_returns_alone_and_punishes_trending_ones():
    random = np.random.default_rng(3)
    noise = random.normal(0.0005, 0.01, 5000)
    plain = noise.mean() / noise.std(ddof=1) * sqrt(252)
    assert significance.lo_sharpe(noise) == pytest.approx(plain, rel=0.1)
    assert significance.lo_sharpe(noise, lags=0) == pytest.approx(plain)
    trending = np.convolve(noise, [0.5, 0.5], mode="valid")
    naive = trending.mean() / trending.std(ddof=1) * sqrt(252)
    assert significance.lo_sharpe(trending) < 0.85 * naive


def test_the_bootstrap_is_seeded_and_about_as_wide_as_theory():
    returns = np.random.default_rng(4).normal(0.0004, 0.01, 1000)
    low, high = significance.bootstrap_interval(returns, significance.sharpe_by_row)
    assert (low, high) == significance.bootstrap_interval(returns, significance.sharpe_by_row)
    assert (low, high) != significance.bootstrap_interval(returns, significance.sharpe_by_row, seed=1)
    assert high - low == pytest.approx(2 * 1.96 * sqrt(252 / 1000), rel=0.15)


def test_a_bootstrap_block_keeps_neighbours_together():
    returns = np.tile([1.0, -1.0], 200)

    def breaks(rows):
        return (rows[:, 1:] == rows[:, :-1]).mean(axis=1)

    low, high = significance.bootstrap_interval(returns, breaks, block=50, draws=300)
    assert 0 < low < high < 0.05


def test_moments_agree_with_scipy():
    from scipy import stats

    values = np.random.default_rng(5).gamma(2, 1, 500)
    assert significance.skewness(values) == pytest.approx(stats.skew(values))
    assert significance.kurtosis(values) == pytest.approx(stats.kurtosis(values, fisher=False))


def test_too_few_days_give_no_verdict():
    with np.errstate(all="raise"):
        assert np.isnan(significance.newey_west_t([0.1, 0.2]))
        assert np.isnan(significance.newey_west_t([0.1, 0.1, 0.1]))
        assert np.isnan(significance.lo_sharpe([0.1]))
        assert np.isnan(significance.bootstrap_interval([0.1], significance.sharpe_by_row)).all()
        assert np.isnan(significance.skewness([]))
        assert significance.expected_maximum_sharpe(0.1, 1) == 0
