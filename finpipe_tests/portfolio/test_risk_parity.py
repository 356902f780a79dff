"""Risk parity gives every name the same risk, up to the bounds, and equals skfolio's risk budgeting."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finpipe.portfolio.problem import ProblemError
from finpipe.portfolio.risk_parity import risk_parity
from finpipe_tests.portfolio import skfolio_portfolios
from finpipe_tests.portfolio.us_stocks import small_market, us_stocks


def contributions(weights, covariance):
    return weights * (covariance @ weights) / np.sqrt(weights @ covariance @ weights)


def unbounded(covariance):
    count = len(covariance)
    return risk_parity(covariance, np.zeros(count), np.ones(count), [f"T{at}" for at in range(count)])


@given(seed=st.integers(0, 100_000), count=st.integers(2, 30))
@settings(deadline=None, max_examples=50)
def test_contributions_are_equal(seed, count):
    covariance = small_market(seed, count).covariance
    weights, notices = unbounded(covariance)
    shares = contributions(weights, covariance)
    assert shares == pytest.approx(np.full(count, shares.mean()), rel=1e-6)
    assert weights.sum() == pytest.approx(1, abs=1e-14)
    assert notices == ()


def test_uncorrelated_names_weigh_by_inverse_volatility():
    deviations = np.array([0.1, 0.2, 0.4])
    weights, _ = unbounded(np.diag(deviations**2))
    assert weights == pytest.approx((1 / deviations) / (1 / deviations).sum(), rel=1e-9)


def test_a_hedge_does_not_stop_the_descent():
    covariance = np.array([[0.04, -0.03, 0.0], [-0.03, 0.05, 0.01], [0.0, 0.01, 0.02]])
    weights, _ = unbounded(covariance)
    shares = contributions(weights, covariance)
    assert shares == pytest.approx(np.full(3, shares.mean()), rel=1e-8)


def test_the_whole_index_equals_skfolio(shared_data):
    stocks = us_stocks(shared_data)
    weights, _ = unbounded(stocks.covariance)
    shares = contributions(weights, stocks.covariance)
    assert shares == pytest.approx(np.full(len(shares), shares.mean()), rel=1e-6)
    some = stocks.some(60)
    weights, _ = unbounded(some.covariance)
    theirs = skfolio_portfolios.risk_budgeting(some.expected, some.covariance, some.returns)
    ours_risk, their_risk = (np.sqrt(w @ some.covariance @ w) for w in (weights, theirs))
    assert ours_risk == pytest.approx(their_risk, rel=1e-6)
    assert weights == pytest.approx(theirs, abs=1e-5)


@given(seed=st.integers(0, 100_000), count=st.integers(4, 20), spread=st.floats(0.05, 0.6))
@settings(deadline=None, max_examples=50)
def test_names_at_a_bound_leave_the_others_equal(seed, count, spread):
    covariance = small_market(seed, count).covariance
    lower, upper = np.full(count, (1 - spread) / count), np.full(count, (1 + spread) / count)
    names = [f"T{at}" for at in range(count)]
    weights, notices = risk_parity(covariance, lower, upper, names)
    assert (weights >= lower - 1e-9).all()
    assert (weights <= upper + 1e-9).all()
    assert weights.sum() == pytest.approx(1, abs=1e-9)
    shares = contributions(weights, covariance)
    at_low, at_high = weights <= lower * (1 + 1e-7), weights >= upper * (1 - 1e-7)
    free = ~at_low & ~at_high
    if free.any():
        level = shares[free].mean()
        assert shares[free] == pytest.approx(np.full(free.sum(), level), rel=1e-5)
        # A bound holds a name back from, or above, what the others contribute.
        assert (shares[at_high] <= level * (1 + 1e-5)).all()
        assert (shares[at_low] >= level * (1 - 1e-5)).all()
    if (at_low | at_high).any():
        assert f"{(at_low | at_high).sum()} of {count} names stand at a bound" in notices[0]


def test_bounds_that_leave_one_portfolio_give_it():
    covariance = small_market(4, 5).covariance
    weights, _ = risk_parity(covariance, np.zeros(5), np.full(5, 0.2), list("ABCDE"))
    assert weights == pytest.approx(np.full(5, 0.2), abs=1e-9)


def test_a_name_without_risk_is_named():
    with pytest.raises(ProblemError, match="exclude CASH"):
        risk_parity(np.diag([0.04, 0.0]), np.zeros(2), np.ones(2), ["A", "CASH"])
