"""Hierarchical risk parity equals skfolio's, with and without bounds."""

from __future__ import annotations

import numpy as np
import pytest

from finpipe.portfolio.hierarchical import hierarchical_risk_parity
from finpipe.portfolio.problem import ProblemError
from finpipe_tests.portfolio import skfolio_portfolios
from finpipe_tests.portfolio.us_stocks import small_market, us_stocks


def weights_within(covariance, low=0.0, high=1.0):
    count = len(covariance)
    names = [f"T{at}" for at in range(count)]
    return hierarchical_risk_parity(covariance, np.full(count, low), np.full(count, high), names)


def test_real_stocks_equal_skfolio_as_it_comes(shared_data):
    stocks = us_stocks(shared_data).some(100)
    weights, notices = weights_within(stocks.covariance)
    assert weights == pytest.approx(skfolio_portfolios.hierarchical_of_returns(stocks.returns), rel=1e-9)
    assert notices == ()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("bounds", [(0.0, 1.0), (0.03, 0.12), (0.0, 0.06)])
def test_a_shrunk_covariance_and_bounds_equal_skfolio(seed, bounds):
    market = small_market(seed, 20 + seed)
    covariance = 0.7 * market.covariance + 0.3 * np.diag(np.diag(market.covariance))
    low, high = bounds
    weights, notices = weights_within(covariance, low, high)
    theirs = skfolio_portfolios.hierarchical(covariance, market.returns, min_weights=low, max_weights=high)
    assert weights == pytest.approx(theirs, rel=1e-9)
    assert (weights >= low - 1e-12).all()
    assert (weights <= high + 1e-12).all()
    assert weights.sum() == pytest.approx(1, abs=1e-12)
    assert bool(notices) == (bounds != (0.0, 1.0))


def test_two_names_share_by_inverse_variance():
    weights, _ = weights_within(np.diag([0.01, 0.04]))
    assert weights == pytest.approx([0.8, 0.2])


def test_a_name_twice_over_splits_its_part():
    base = small_market(2, 6).covariance
    twice = base[np.ix_([0, 0, 1, 2, 3, 4, 5], [0, 0, 1, 2, 3, 4, 5])]
    weights, _ = weights_within(twice)
    assert np.isfinite(weights).all()
    assert weights.sum() == pytest.approx(1)


def test_a_name_without_risk_is_named():
    with pytest.raises(ProblemError, match="exclude T1"):
        weights_within(np.diag([0.04, 0.0, 0.01]))
