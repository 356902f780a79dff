"""Maximum diversification equals plain cvxpy, HERC equals skfolio as it comes, and both keep to their limits."""

from __future__ import annotations

import subprocess
import sys
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finpipe.portfolio.optimizer import optimal_weights
from finpipe.portfolio.problem import Problem, ProblemError
from finpipe_tests.portfolio import skfolio_portfolios
from finpipe_tests.portfolio.plain_problems import PRECISE, cp
from finpipe_tests.portfolio.us_stocks import small_market, us_stocks


@pytest.fixture(scope="module")
def real(shared_data):
    return us_stocks(shared_data).some(100)


def solved(stocks, objective, **limits):
    problem = Problem(objective=objective, **limits)
    return optimal_weights(
        stocks.expected, stocks.covariance, problem, tickers=stocks.tickers, sectors=stocks.sectors
    )


def ratio(weights, covariance):
    return weights @ np.sqrt(np.diag(covariance)) / np.sqrt(weights @ covariance @ weights)


def plainly_most_diversified(stocks, least=0.0, most=1.0, sectors=None):
    """The highest ratio: weights of any scale whose mean volatility is 1, at the least variance."""
    scaled, scale = cp.Variable(len(stocks.tickers)), cp.Variable()
    limits = [scaled >= least * scale, scaled <= most * scale, cp.sum(scaled) == scale]
    for sector, (low, high) in (sectors or {}).items():
        inside = [at for at, ticker in enumerate(stocks.tickers) if stocks.sectors.get(ticker) == sector]
        limits += [cp.sum(scaled[inside]) <= high * scale, cp.sum(scaled[inside]) >= low * scale]
    root = np.linalg.cholesky(stocks.covariance)
    problem = cp.Problem(
        cp.Minimize(cp.sum_squares(root.T @ scaled)),
        [*limits, np.sqrt(np.diag(stocks.covariance)) @ scaled == 1],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        problem.solve(solver="CLARABEL", **PRECISE)
    return scaled.value / scale.value


def cut_by_hand(free, least, most):
    """The weights within the bounds that are closest to the rule's, each miss counted relative to the weight."""
    weights = cp.Variable(len(free))
    problem = cp.Problem(
        cp.Minimize(cp.sum_squares(cp.multiply(weights, 1 / free) - 1)),
        [cp.sum(weights) == 1, weights >= least, weights <= most],
    )
    problem.solve(solver="CLARABEL", **PRECISE)
    return weights.value


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("least", "most"), [(0.0, 1.0), (0.01, 0.12), (-0.05, 0.2)])
def test_diversification_of_random_markets_equals_plain_cvxpy(seed, least, most):
    market = small_market(seed, 12 + 5 * seed)
    solution = solved(market, "max-diversification", min_weight=least, max_weight=most)
    best = ratio(plainly_most_diversified(market, least, most), market.covariance)
    assert ratio(solution.weights, market.covariance) == pytest.approx(best, rel=1e-6)
    assert solution.objective_value == pytest.approx(best, rel=1e-6)


def test_diversification_of_real_stocks_equals_plain_cvxpy(real):
    best = ratio(plainly_most_diversified(real, most=0.2), real.covariance)
    assert solved(real, "max-diversification").objective_value == pytest.approx(best, rel=1e-6)


def test_diversification_keeps_sector_limits(real):
    limits = {"Health Care": (0.0, 0.05), "Energy": (0.15, 0.3)}
    solution = solved(real, "max-diversification", sector_limits=limits)
    best = ratio(plainly_most_diversified(real, most=0.2, sectors=limits), real.covariance)
    assert solution.objective_value == pytest.approx(best, rel=1e-6)
    for sector, (least, most) in limits.items():
        weight = sum(
            solution.weights[at]
            for at, ticker in enumerate(real.tickers)
            if real.sectors.get(ticker) == sector
        )
        assert least - 1e-6 <= weight <= most + 1e-6


def test_uncorrelated_names_are_most_diversified_by_inverse_volatility():
    deviations = np.array([0.1, 0.2, 0.4])
    solution = optimal_weights(
        np.zeros(3),
        np.diag(deviations**2),
        Problem(objective="max-diversification", max_weight=1.0),
        tickers=list("ABC"),
    )
    assert solution.weights == pytest.approx((1 / deviations) / (1 / deviations).sum(), abs=1e-4)
    assert solution.objective_value == pytest.approx(np.sqrt(3), rel=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_herc_equals_skfolio_as_it_comes(seed):
    market = small_market(seed, 5 + 6 * seed)
    ours = solved(market, "herc", max_weight=1.0)
    theirs = skfolio_portfolios.equal_risk_of_returns(market.returns)
    assert ours.weights == pytest.approx(theirs, abs=1e-8)


def test_herc_of_real_stocks_equals_skfolio_as_it_comes(real):
    ours = solved(real, "herc", max_weight=1.0)
    assert ours.weights == pytest.approx(
        skfolio_portfolios.equal_risk_of_returns(real.returns), rel=1e-8, abs=1e-8
    )
    assert ours.notices == ()


def test_herc_within_bounds_equals_skfolio(real):
    ours = solved(real, "herc", min_weight=0.003, max_weight=0.03)
    theirs = skfolio_portfolios.equal_risk_of_returns(real.returns, min_weights=0.003, max_weights=0.03)
    # skfolio leaves its solver's own tolerances.
    assert ours.weights == pytest.approx(theirs, abs=1e-5)
    assert any("the closest to it" in notice for notice in ours.notices)


@given(
    seed=st.integers(0, 100_000),
    count=st.integers(2, 25),
    spread=st.floats(0.05, 3),
    objective=st.sampled_from(["max-diversification", "herc"]),
)
@settings(deadline=None, max_examples=40)
def test_weights_sum_to_one_within_bounds(seed, count, spread, objective):
    market = small_market(seed, count)
    least, most = max(1 - spread, 0.0) / count, min((1 + spread) / count, 1.0)
    weights = solved(market, objective, min_weight=least, max_weight=most).weights
    assert abs(weights.sum() - 1) < 1e-12
    assert (weights >= least).all()
    assert (weights <= most).all()
    if objective == "herc":
        free = solved(market, objective, max_weight=1.0).weights
        if free.min() > 1e-4:
            assert weights == pytest.approx(cut_by_hand(free, least, most), abs=1e-6)


@pytest.mark.parametrize("objective", ["herc", "max-diversification"])
def test_a_name_twice_over_is_weighed(objective):
    base = small_market(2, 6).covariance
    twice = base[np.ix_([0, 0, 1, 2, 3, 4, 5], [0, 0, 1, 2, 3, 4, 5])]
    names = [f"T{at}" for at in range(7)]
    weights = optimal_weights(np.zeros(7), twice, Problem(objective=objective), tickers=names).weights
    assert np.isfinite(weights).all()
    assert weights.sum() == pytest.approx(1)


def test_a_solver_that_stops_short_is_not_taken_at_its_word(monkeypatch):
    from finpipe.portfolio import skfolio_weights

    monkeypatch.setattr(skfolio_weights, "PRECISE", {"max_iter": 1})
    with pytest.raises(ProblemError, match=r"no weights were found for max-diversification.*ledoit-wolf"):
        solved(small_market(3, 10), "max-diversification")


@pytest.mark.parametrize("objective", ["herc", "max-diversification"])
def test_a_name_without_risk_is_named(objective):
    with pytest.raises(ProblemError, match="exclude CASH"):
        optimal_weights(
            np.zeros(2),
            np.diag([0.04, 0.0]),
            Problem(objective=objective, max_weight=1.0),
            tickers=["A", "CASH"],
        )


def test_the_usual_portfolio_loads_no_skfolio():
    code = (
        "import sys, numpy as np, finpipe.portfolio, finpipe.portfolio.library, finpipe.portfolio.moments;"
        "from finpipe.portfolio.covariance import covariance;"
        "from finpipe.portfolio.optimizer import optimal_weights;"
        "from finpipe.portfolio.problem import Problem;"
        "from finpipe.portfolio.returns import Returns;"
        "days = np.arange(99).astype('datetime64[D]');"
        "found = covariance(Returns(tuple('ABCDEF'), days, np.random.default_rng(0).normal(0, 0.01, (99, 6))));"
        "optimal_weights(np.linspace(0.05, 0.1, 6), found.matrix, Problem(), tickers=found.tickers);"
        "print([name for name in ('skfolio', 'cvxpy', 'sklearn') if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
