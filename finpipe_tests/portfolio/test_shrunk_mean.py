from __future__ import annotations

import numpy as np
import pytest

from finpipe.portfolio.shrunk_mean import bayes_stein


def test_equals_skfolio():
    from skfolio.moments import ShrunkMu
    from skfolio.moments.expected_returns import ShrunkMuMethods

    values = np.random.default_rng(2).standard_normal((400, 12)) * 0.01 + np.linspace(0, 0.002, 12)
    theirs = ShrunkMu(method=ShrunkMuMethods.BAYES_STEIN, vol_weighted_target=True).fit(values)
    ours, weight = bayes_stein(values.mean(axis=0) * 252, np.cov(values.T) * 252, 400)
    np.testing.assert_allclose(ours / 252, theirs.mu_, rtol=1e-10)
    assert weight == pytest.approx(theirs.beta_, rel=1e-10)


def test_more_days_shrink_less_and_equal_means_are_the_target():
    covariance = np.diag([0.04, 0.09, 0.16])
    means = np.array([0.02, 0.10, 0.20])
    few, many = (bayes_stein(means, covariance, days) for days in (100, 10_000))
    assert few[1] > many[1]
    assert np.ptp(few[0]) < np.ptp(many[0]) < np.ptp(means)
    same, weight = bayes_stein(np.full(3, 0.07), covariance, 500)
    np.testing.assert_allclose(same, 0.07)
    assert weight == pytest.approx(1)


def test_the_target_is_the_minimum_variance_portfolios_mean():
    covariance = np.array([[0.04, 0.01], [0.01, 0.09]])
    means = np.array([0.05, 0.15])
    inverse = np.linalg.inv(covariance).sum(axis=0)
    target = inverse @ means / inverse.sum()
    shrunk, weight = bayes_stein(means, covariance, 250)
    np.testing.assert_allclose(shrunk, (1 - weight) * means + weight * target)
