"""The frontier is convex, ends where it must, and every point of it is efficient."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finpipe.portfolio.efficient_frontier import efficient_frontier
from finpipe.portfolio.optimizer import optimal_weights
from finpipe.portfolio.problem import Problem, ProblemError
from finpipe_tests.portfolio.plain_problems import PlainMarket
from finpipe_tests.portfolio.us_stocks import small_market, us_stocks


def slopes(frontier):
    figures = frontier.frame
    gained = np.diff(figures["expected_return"].to_numpy())
    apart = gained > 1e-7
    return np.diff(figures["volatility"].to_numpy())[apart] / gained[apart]


@pytest.fixture(scope="module")
def stocks(shared_data):
    return us_stocks(shared_data)


@pytest.fixture(scope="module")
def frontier(stocks):
    return efficient_frontier(
        stocks.expected, stocks.covariance, Problem(risk_free=0.03), tickers=stocks.tickers
    )


def test_the_frontier_of_the_index_is_convex_and_rises(frontier):
    assert frontier.frame.height == 50
    assert frontier.weights.shape == (50, 460)
    assert (np.diff(frontier.frame["expected_return"].to_numpy()) > 0).all()
    assert (np.diff(frontier.frame["volatility"].to_numpy()) > 0).all()
    assert (np.diff(slopes(frontier)) > -1e-6).all()


def test_its_ends_are_the_least_volatility_and_the_highest_return(stocks, frontier):
    calm = optimal_weights(
        stocks.expected, stocks.covariance, Problem(objective="min-volatility"), tickers=stocks.tickers
    )
    assert frontier.frame["volatility"][0] == pytest.approx(calm.volatility, rel=1e-7)
    assert frontier.frame["expected_return"][0] == pytest.approx(calm.expected_return, rel=1e-4)
    best = np.sort(stocks.expected)[-5:].mean()
    assert frontier.frame["expected_return"][-1] == pytest.approx(best, rel=1e-9)
    assert sorted(np.flatnonzero(frontier.weights[-1])) == sorted(np.argsort(stocks.expected)[-5:])


def test_the_tangency_portfolio_is_on_it_and_nothing_is_better(stocks, frontier):
    tangency = frontier.frame.filter("is_tangency")
    best = optimal_weights(
        stocks.expected, stocks.covariance, Problem(risk_free=0.03), tickers=stocks.tickers
    )
    assert tangency.height == 1
    assert tangency["sharpe"][0] == pytest.approx(best.sharpe, rel=1e-8)
    assert tangency["sharpe"][0] == frontier.frame["sharpe"].max()


def test_every_row_describes_its_weights(stocks, frontier):
    weights = frontier.weights
    assert weights.sum(axis=1) == pytest.approx(np.ones(50), abs=1e-12)
    assert (weights >= 0).all()
    assert (weights <= 0.2).all()
    assert weights @ stocks.expected == pytest.approx(frontier.frame["expected_return"].to_numpy())
    variances = np.einsum("pi,ij,pj->p", weights, stocks.covariance, weights)
    assert np.sqrt(variances) == pytest.approx(frontier.frame["volatility"].to_numpy())


def test_points_between_equal_cvxpy(stocks):
    some = stocks.some(40)
    frontier = efficient_frontier(some.expected, some.covariance, Problem(max_weight=0.3), 7)
    for target, volatility in frontier.frame.select("expected_return", "volatility").rows()[1:-1]:
        problem = Problem(objective="target-return", target_return=target, max_weight=0.3)
        plain = PlainMarket(some.expected, some.covariance, problem, some.tickers)
        assert volatility**2 == pytest.approx(plain.value(plain.best()), rel=1e-6)


@given(
    seed=st.integers(0, 10_000),
    count=st.integers(6, 15),
    most=st.floats(0.2, 1.0),
    cost=st.sampled_from([0.0, 0.02]),
    short=st.booleans(),
)
@settings(deadline=None, max_examples=20)
def test_random_frontiers_are_convex(seed, count, most, cost, short):
    market = small_market(seed, count)
    problem = Problem(
        max_weight=most,
        min_weight=-0.1 if short else 0.0,
        cost=cost,
        current_weights={"T00": 0.7, "T01": 0.3},
    )
    frontier = efficient_frontier(market.expected, market.covariance, problem, 15, tickers=market.tickers)
    if frontier.frame.height > 1:
        assert (np.diff(frontier.frame["volatility"].to_numpy()) > -1e-9).all()
        assert (np.diff(slopes(frontier)) > -1e-4).all()


def test_equal_returns_make_the_frontier_a_point():
    market = small_market(3, 8)
    frontier = efficient_frontier(np.full(8, 0.1), market.covariance, Problem())
    assert frontier.frame.height == 1
    assert "the frontier is a point" in frontier.notices[-1]


def test_without_a_return_above_the_risk_free_rate_there_is_no_tangency():
    market = small_market(3, 8)
    frontier = efficient_frontier(market.expected, market.covariance, Problem(risk_free=9.0), 10)
    assert frontier.frame.height == 10
    assert not frontier.frame["is_tangency"].any()
    assert "no tangency portfolio" in frontier.notices[-1]


def test_progress_ends_at_one_and_too_few_points_are_refused():
    market, told = small_market(3, 8), []
    efficient_frontier(market.expected, market.covariance, Problem(), 6, progress=told.append)
    assert told == sorted(told)
    assert told[-1] == 1.0
    with pytest.raises(ProblemError, match="ask for at least 3"):
        efficient_frontier(market.expected, market.covariance, Problem(), 2)
