"""Optimal portfolios agree with plain cvxpy and with skfolio, stay within their limits, and say what clashes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from finpipe.portfolio.optimizer import clean_weights, optimal_weights
from finpipe.portfolio.problem import InfeasibleError, Problem, ProblemError
from finpipe_tests.portfolio import skfolio_portfolios
from finpipe_tests.portfolio.plain_problems import PlainMarket
from finpipe_tests.portfolio.us_stocks import small_market, us_stocks

HELD = {"A": 0.3, "AEP": 0.2, "NOT-THERE-ANY-MORE": 0.1, "ZION": 0.4}

VARIANTS = {
    "max-sharpe": {"objective": "max-sharpe", "risk_free": 0.03},
    "max-sharpe, narrow": {"objective": "max-sharpe", "max_weight": 0.03, "min_weight": 0.005},
    "max-sharpe, l2": {"objective": "max-sharpe", "l2": 0.05, "risk_free": 0.01},
    "max-sharpe, sectors": {
        "objective": "max-sharpe",
        "sector_limits": {"Health Care": 0.1, "Energy": (0.08, 0.5), "Utilities": (0.05, 0.05)},
    },
    "max-sharpe, cost": {"objective": "max-sharpe", "current_weights": HELD, "cost": 0.02},
    "max-sharpe, turnover": {"objective": "max-sharpe", "current_weights": HELD, "max_turnover": 1.1},
    "max-sharpe, short": {"objective": "max-sharpe", "min_weight": -0.05, "risk_free": 0.02},
    "min-volatility": {"objective": "min-volatility"},
    "min-volatility, narrow": {"objective": "min-volatility", "max_weight": 0.02},
    "min-volatility, l2": {"objective": "min-volatility", "l2": 0.5},
    "min-volatility, cost": {"objective": "min-volatility", "current_weights": HELD, "cost": 0.002},
    "min-volatility, turnover": {
        "objective": "min-volatility",
        "current_weights": HELD,
        "max_turnover": 0.7,
        "max_weight": 0.5,
    },
    "target-return": {"objective": "target-return", "target_return": 0.25},
    "target-return, cost": {
        "objective": "target-return",
        "target_return": 0.22,
        "current_weights": HELD,
        "cost": 0.01,
        "l2": 0.01,
    },
    "target-volatility": {"objective": "target-volatility", "target_volatility": 0.14},
    "target-volatility, all": {
        "objective": "target-volatility",
        "target_volatility": 0.13,
        "l2": 0.1,
        "current_weights": HELD,
        "cost": 0.01,
        "sector_limits": {"Health Care": 0.15},
        "min_weight": 0.002,
    },
    "min-cvar": {"objective": "min-cvar"},
    "min-cvar, all": {
        "objective": "min-cvar",
        "confidence": 0.9,
        "current_weights": HELD,
        "cost": 0.001,
        "l2": 0.01,
        "max_weight": 0.1,
    },
}


@pytest.fixture(scope="module")
def stocks(shared_data):
    return us_stocks(shared_data).some(60)


@pytest.fixture(scope="module")
def all_stocks(shared_data):
    return us_stocks(shared_data)


def solved(stocks, problem):
    return optimal_weights(
        stocks.expected,
        stocks.covariance,
        problem,
        tickers=stocks.tickers,
        sectors=stocks.sectors,
        scenarios=stocks.returns,
    )


def plain(stocks, problem):
    return PlainMarket(
        stocks.expected, stocks.covariance, problem, stocks.tickers, stocks.sectors, stocks.returns
    )


@pytest.mark.parametrize("name", VARIANTS)
def test_the_objective_equals_that_of_cvxpy(stocks, name):
    problem = Problem(**VARIANTS[name])
    market, solution = plain(stocks, problem), solved(stocks, problem)
    best = market.value(market.best())
    assert market.value(solution.weights) == pytest.approx(best, rel=1e-6)
    assert solution.objective_value == pytest.approx(best, rel=1e-6)
    assert market.broken_by(solution.weights) < 1e-7


@pytest.mark.parametrize(
    ("problem", "theirs"),
    [
        (Problem(risk_free=0.03), {"objective": "maximize_ratio", "risk_free_rate": 0.03}),
        (Problem(objective="min-volatility"), {"objective": "minimize_risk"}),
        (Problem(objective="min-volatility", l2=0.2), {"measure": "variance", "l2_coef": 0.2}),
        (Problem(objective="target-return", target_return=0.25), {"min_return": 0.25}),
        (
            Problem(objective="target-volatility", target_volatility=0.14),
            {"objective": "maximize_return", "max_standard_deviation": 0.14},
        ),
        (Problem(objective="min-cvar"), {"measure": "cvar"}),
    ],
    ids=lambda each: each.objective if isinstance(each, Problem) else "",
)
def test_the_objective_equals_that_of_skfolio(stocks, problem, theirs):
    reference = skfolio_portfolios.mean_risk(stocks.expected, stocks.covariance, stocks.returns, **theirs)
    value = plain(stocks, problem).value
    assert value(solved(stocks, problem).weights) == pytest.approx(value(reference), rel=1e-6)


@pytest.mark.parametrize(
    ("problem", "theirs"),
    [
        (Problem(risk_free=0.03), {"objective": "maximize_ratio", "risk_free_rate": 0.03}),
        (Problem(objective="min-volatility"), {}),
    ],
    ids=["max-sharpe", "min-volatility"],
)
def test_the_whole_index_equals_cvxpy_and_skfolio(all_stocks, problem, theirs):
    solution, market = solved(all_stocks, problem), plain(all_stocks, problem)
    reference = skfolio_portfolios.mean_risk(
        all_stocks.expected, all_stocks.covariance, all_stocks.returns, **theirs
    )
    assert solution.objective_value == pytest.approx(market.value(reference), rel=1e-6)
    assert solution.objective_value == pytest.approx(market.value(market.best()), rel=1e-6)
    assert market.broken_by(solution.weights) < 1e-9


@pytest.mark.parametrize(
    "name", ["max-sharpe, narrow", "target-return", "target-volatility, all", "min-cvar"]
)
def test_many_names_are_solved_on_a_few_and_still_optimal(all_stocks, name):
    stocks = all_stocks.some(200)
    problem = Problem(**VARIANTS[name])
    market, solution = plain(stocks, problem), solved(stocks, problem)
    assert solution.objective_value == pytest.approx(market.value(market.best()), rel=1e-6)


@given(
    seed=st.integers(0, 10_000),
    count=st.integers(6, 12),
    objective=st.sampled_from(
        ["max-sharpe", "min-volatility", "target-return", "target-volatility", "min-cvar"]
    ),
    most=st.floats(0.2, 1.0),
    l2=st.sampled_from([0.0, 0.3]),
    cost=st.sampled_from([0.0, 0.01]),
    place=st.floats(0.05, 0.95),
)
@example(seed=20, count=6, objective="max-sharpe", most=1.0, l2=0.0, cost=0.0, place=0.5)
@settings(deadline=None, max_examples=25)
def test_random_problems_equal_cvxpy(seed, count, objective, most, l2, cost, place):
    stocks = small_market(seed, count)
    common = {"max_weight": most, "l2": l2, "cost": cost, "current_weights": {"T00": 0.5, "T01": 0.5}}
    calm = solved(stocks, Problem(objective="min-volatility", max_weight=most))
    order = np.sort(stocks.expected)[::-1]
    targets = {}
    if objective == "target-return":
        lowest = calm.expected_return - cost * 2
        targets["target_return"] = lowest + place * (order[: int(1 / most)].mean() - cost * 2 - lowest)
    if objective == "target-volatility":
        targets["target_volatility"] = calm.volatility * (1 + place)
    problem = Problem(objective=objective, risk_free=-0.5, **common, **targets)
    market = plain(stocks, problem)
    try:
        solution = solved(stocks, problem)
    except InfeasibleError:
        needed = problem.risk_free if objective == "max-sharpe" else problem.target_return
        assert objective in {"max-sharpe", "target-return"}
        assert needed is not None
        assert needed > market.highest_return() - 1e-6
        return
    assert solution.objective_value == pytest.approx(market.value(market.best()), rel=1e-6, abs=1e-9)
    assert market.broken_by(solution.weights) < 1e-7
    assert abs(solution.weights.sum() - 1) < 1e-12


@pytest.mark.parametrize(
    "objective",
    ["max-sharpe", "min-volatility", "risk-parity", "hrp", "min-cvar", "max-diversification", "herc"],
)
def test_weights_are_exactly_within_bounds_and_figures_fit_them(stocks, objective):
    problem = Problem(objective=objective, risk_free=0.02, max_weight=0.05)
    solution = solved(stocks, problem)
    weights = solution.weights
    assert (weights >= 0).all()
    assert (weights <= 0.05).all()
    assert abs(weights.sum() - 1) < 1e-14
    assert ((weights == 0) | (weights > 1e-6)).all()
    variance = weights @ stocks.covariance @ weights
    assert solution.volatility == pytest.approx(np.sqrt(variance), rel=1e-12)
    assert solution.risk_contributions.sum() == pytest.approx(solution.volatility, rel=1e-12)
    assert solution.expected_return == pytest.approx(stocks.expected @ weights, rel=1e-12)
    assert solution.sharpe == pytest.approx((solution.expected_return - 0.02) / solution.volatility)


def test_the_cost_of_trading_is_taken_off_the_expected_return(stocks):
    solution = solved(stocks, Problem(**VARIANTS["max-sharpe, cost"]))
    now = np.array([HELD.get(ticker, 0.0) for ticker in stocks.tickers])
    assert solution.turnover == pytest.approx(np.abs(solution.weights - now).sum() + 0.1)
    assert solution.trading_cost == pytest.approx(0.02 * solution.turnover)
    assert solution.expected_return == pytest.approx(
        stocks.expected @ solution.weights - solution.trading_cost
    )
    assert any("NOT-THERE-ANY-MORE" in notice for notice in solution.notices)


def test_no_trade_is_worth_a_high_cost(stocks):
    here = dict.fromkeys(stocks.tickers, 1 / 60)
    solution = solved(stocks, Problem(objective="min-volatility", current_weights=here, cost=0.5))
    assert solution.weights == pytest.approx(np.full(60, 1 / 60), abs=1e-6)


def test_a_target_below_the_least_risky_portfolio_is_that_portfolio(stocks):
    calm = solved(stocks, Problem(objective="min-volatility"))
    solution = solved(stocks, Problem(objective="target-return", target_return=0.01))
    assert solution.volatility == pytest.approx(calm.volatility, rel=1e-6)
    assert any("least volatility already returns" in notice for notice in solution.notices)


def test_a_volatility_beyond_the_highest_return_does_not_bind(stocks):
    solution = solved(stocks, Problem(objective="target-volatility", target_volatility=2.0))
    best = np.sort(stocks.expected)[-5:].mean()
    assert solution.expected_return == pytest.approx(best, rel=1e-6)
    assert any("does not bind" in notice for notice in solution.notices)


def test_the_highest_target_return_is_the_portfolio_of_the_best_names(stocks):
    best = float(np.sort(stocks.expected)[-5:].mean())
    solution = solved(stocks, Problem(objective="target-return", target_return=best))
    assert sorted(np.flatnonzero(solution.weights > 0.19)) == sorted(np.argsort(stocks.expected)[-5:])


@pytest.mark.parametrize("objective", ["max-sharpe", "min-volatility"])
def test_solving_on_all_names_at_once_gives_the_same(all_stocks, objective, monkeypatch):
    stocks, problem = all_stocks.some(150), Problem(objective=objective)
    on_few = solved(stocks, problem)
    monkeypatch.setattr("finpipe.portfolio.solver.ALL_NAMES", 1000)
    on_all = solved(stocks, problem)
    assert on_few.objective_value == pytest.approx(on_all.objective_value, rel=1e-8)
    assert on_few.weights == pytest.approx(on_all.weights, abs=1e-5)


@given(seed=st.integers(0, 10_000), count=st.integers(2, 40), noise=st.floats(0, 1e-5))
@settings(deadline=None, max_examples=50)
def test_cleaned_weights_sum_to_one_within_bounds(seed, count, noise):
    random = np.random.default_rng(seed)
    weights = random.dirichlet(np.full(count, 0.3)) + random.normal(0, noise, count)
    upper = np.full(count, 1.0)
    clean, _ = clean_weights(weights, np.zeros(count), upper)
    assert abs(clean.sum() - 1) < 1e-14
    assert (clean >= 0).all()
    assert (clean <= upper).all()
    assert ((clean == 0) | (clean >= 1e-6 * 0.99)).all()
    assert np.abs(clean - weights).max() < count * (1e-6 + 4 * noise) + 1e-9


def test_names_that_fill_their_bounds_exactly_are_filled_up():
    for seed in range(50):
        dust = 10 ** np.random.default_rng(seed).uniform(-12, -8, 5)
        clean, _ = clean_weights(np.append(0.2 - dust, dust.sum()), np.zeros(6), np.full(6, 0.2))
        assert abs(clean.sum() - 1) < 1e-12
        assert clean.max() <= 0.2


def test_a_name_twice_over_shares_the_weight_of_one(stocks):
    # A singular covariance has many optimal weights, and one optimal value.
    twice = np.concatenate([np.arange(60), np.arange(60)])
    for objective in ("max-sharpe", "min-volatility"):
        problem = Problem(objective=objective, max_weight=1.0)
        double = optimal_weights(
            stocks.expected[twice],
            stocks.covariance[np.ix_(twice, twice)],
            problem,
            tickers=[f"{at}" for at in range(120)],
        )
        assert double.objective_value == pytest.approx(solved(stocks, problem).objective_value, rel=1e-6)


def test_a_riskless_name_takes_everything_that_it_may():
    covariance = np.diag([0.0, 0.04, 0.09])
    solution = optimal_weights(
        np.array([0.02, 0.1, 0.1]),
        covariance,
        Problem(objective="min-volatility", max_weight=0.8),
        tickers=["CASH", "A", "B"],
    )
    assert solution.weights == pytest.approx([0.8, 0.2 * 9 / 13, 0.2 * 4 / 13], abs=1e-6)


def test_a_tiny_weight_that_is_held_is_not_sold_by_cleaning():
    weights = np.array([0.6, 0.4 - 5e-7, 5e-7])
    clean, notices = clean_weights(weights, np.zeros(3), np.ones(3), kept=np.array([2]))
    assert clean == pytest.approx(weights, abs=1e-12)
    assert notices == ()


def test_cleaning_says_what_it_dropped():
    clean, notices = clean_weights(np.array([0.6, 0.4 - 5e-7, 5e-7]), np.zeros(3), np.ones(3))
    assert clean[2] == 0
    assert len(notices) == 1
    assert "1 weights below" in notices[0]


# What clashes, in words


def test_a_return_out_of_reach_names_the_most_within_reach(stocks):
    most = np.sort(stocks.expected)[-5:].mean()
    with pytest.raises(
        InfeasibleError, match=f"target_return is 0.9.*reach is {most:.4g} within weights of 0 to 0.2"
    ):
        solved(stocks, Problem(objective="target-return", target_return=0.9))


def test_a_volatility_out_of_reach_names_the_least_within_reach(stocks):
    least = solved(stocks, Problem(objective="min-volatility")).volatility
    with pytest.raises(InfeasibleError, match=f"target_volatility is 0.01.*reach is {least:.4g}") as told:
        solved(stocks, Problem(objective="target-volatility", target_volatility=0.01))
    allowed = float(str(told.value).split("allow ")[1].split(" ")[0])
    assert solved(
        stocks, Problem(objective="target-volatility", target_volatility=allowed)
    ).volatility <= allowed * (1 + 1e-7)


def test_what_an_error_suggests_works(stocks):
    with pytest.raises(InfeasibleError) as told:
        solved(stocks, Problem(objective="target-return", target_return=5))
    reachable = float(str(told.value).split("aim at ")[1].split(" ")[0])
    solution = solved(stocks, Problem(objective="target-return", target_return=reachable))
    assert solution.expected_return >= reachable - 1e-9


def test_nothing_beats_a_high_risk_free_rate(stocks):
    with pytest.raises(
        InfeasibleError, match=r"beats the risk-free rate: the highest expected return is 0.*0.9"
    ):
        solved(stocks, Problem(risk_free=0.9))


def test_a_turnover_too_small_for_the_bounds_names_what_is_needed(stocks):
    problem = Problem(
        current_weights={"A": 1.0}, max_turnover=0.5, max_weight=0.3, objective="min-volatility"
    )
    with pytest.raises(InfeasibleError, match=r"not reached from the current weights with less than 1.4"):
        solved(stocks, problem)


def test_rules_still_check_tickers_and_figures():
    for objective in ("risk-parity", "hrp", "herc", "max-diversification"):
        with pytest.raises(ProblemError, match="at least two tickers"):
            optimal_weights(np.ones(1), np.eye(1), Problem(objective=objective), tickers=["A"])


def test_min_cvar_without_scenarios_says_what_it_needs(stocks):
    with pytest.raises(ProblemError, match="min-cvar needs scenarios"):
        optimal_weights(
            stocks.expected, stocks.covariance, Problem(objective="min-cvar"), tickers=stocks.tickers
        )
