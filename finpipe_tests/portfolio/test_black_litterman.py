from __future__ import annotations

import numpy as np
import pytest

from finpipe.portfolio.black_litterman import implied_returns, posterior_returns
from finpipe.portfolio.views import View, view_matrix

COUNTRIES = ("AU", "CA", "FR", "DE", "JP", "UK", "US")
VOLATILITIES = np.array([16.0, 20.3, 24.8, 27.1, 21.0, 20.0, 18.7]) / 100
MARKET = np.array([1.6, 2.2, 5.2, 5.5, 11.6, 12.4, 61.5])
UPPER = [
    [0.488, 0.478, 0.515, 0.439, 0.512, 0.491],
    [0.664, 0.655, 0.310, 0.608, 0.779],
    [0.861, 0.355, 0.783, 0.668],
    [0.354, 0.777, 0.653],
    [0.405, 0.306],
    [0.652],
]
"""Tables 1 and 2 of He and Litterman 1999."""


@pytest.fixture
def covariance() -> np.ndarray:
    correlation = np.eye(7)
    for i, row in enumerate(UPPER):
        correlation[i, i + 1 :] = correlation[i + 1 :, i] = row
    return correlation * np.outer(VOLATILITIES, VOLATILITIES)


def test_equilibrium_of_he_and_litterman(covariance):
    implied = implied_returns(covariance, MARKET)
    np.testing.assert_allclose(implied * 100, [3.9, 6.9, 8.4, 9.0, 4.3, 6.8, 7.6], atol=0.05)


def test_view_of_he_and_litterman(covariance):
    europe = {"DE": 1.0, "FR": -5.2 / 17.6, "UK": -12.4 / 17.6}
    views = view_matrix([View(europe, 0.05)], COUNTRIES)
    posterior = posterior_returns(implied_returns(covariance, MARKET), covariance, views)
    np.testing.assert_allclose(posterior * 100, [4.3, 7.6, 9.3, 11.0, 4.5, 7.0, 8.1], atol=0.06)


def test_equals_skfolio(covariance):
    from skfolio.moments import EquilibriumMu
    from skfolio.prior import BlackLitterman, EmpiricalPrior

    random = np.random.default_rng(4)
    values = random.multivariate_normal(np.zeros(7), covariance / 252, 500)
    ours = np.cov(values.T)
    peer = BlackLitterman(
        views=["AU == 0.001", "US - JP == 0.0005"],
        tau=0.05,
        view_confidences=[0.3, 0.8],
        prior_estimator=EmpiricalPrior(mu_estimator=EquilibriumMu(risk_aversion=2.5)),
        groups=[list(COUNTRIES)],
    )
    theirs = peer.fit(values).return_distribution_.mu
    views = view_matrix([View({"AU": 1}, 0.001, 0.3), View({"US": 1, "JP": -1}, 0.0005, 0.8)], COUNTRIES)
    posterior = posterior_returns(implied_returns(ours, np.ones(7)), ours, views)
    np.testing.assert_allclose(posterior, theirs, rtol=1e-8)


def test_certainty_is_met_and_no_confidence_changes_nothing(covariance):
    prior = implied_returns(covariance, MARKET)
    sure = posterior_returns(prior, covariance, view_matrix([View({"JP": 1}, 0.10, 1.0)], COUNTRIES))
    assert sure[4] == pytest.approx(0.10, rel=1e-9)
    ignored = posterior_returns(prior, covariance, view_matrix([View({"JP": 1}, 0.10, 0.0)], COUNTRIES))
    np.testing.assert_array_equal(ignored, prior)
    halfway = posterior_returns(prior, covariance, view_matrix([View({"JP": 1}, 0.10)], COUNTRIES))
    assert halfway[4] == pytest.approx((prior[4] + 0.10) / 2, rel=1e-9)


def test_a_view_given_twice_with_certainty_is_one(covariance):
    prior = implied_returns(covariance, MARKET)
    once = posterior_returns(prior, covariance, view_matrix([View({"JP": 1}, 0.1, 1)], COUNTRIES))
    twice = posterior_returns(prior, covariance, view_matrix([View({"JP": 1}, 0.1, 1)] * 2, COUNTRIES))
    np.testing.assert_allclose(twice, once, rtol=1e-3)


def test_tau_cancels_out(covariance):
    prior = implied_returns(covariance, MARKET)
    views = view_matrix([View({"US": 1, "DE": -1}, 0.02, 0.4)], COUNTRIES)
    some, other = (posterior_returns(prior, covariance, views, tau=tau) for tau in (0.01, 1.0))
    np.testing.assert_allclose(some, other, rtol=1e-9)


def test_market_weights_are_scaled_and_checked(covariance):
    np.testing.assert_allclose(
        implied_returns(covariance, MARKET * 7, risk_free=0.03), implied_returns(covariance, MARKET) + 0.03
    )
    with pytest.raises(ValueError, match="7 tickers need as many market weights, not 6"):
        implied_returns(covariance, MARKET[:6])
    for wrong in (MARKET - 50, MARKET * 0, MARKET * np.nan):
        with pytest.raises(ValueError, match="at least 0"):
            implied_returns(covariance, wrong)
    with pytest.raises(ValueError, match="risk aversion is -1"):
        implied_returns(covariance, MARKET, risk_aversion=-1)
