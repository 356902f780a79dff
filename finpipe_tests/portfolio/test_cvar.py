"""The conditional value at risk of a tail worked out by hand, and scenarios with gaps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finpipe.portfolio.cvar import complete_scenarios, conditional_value_at_risk
from finpipe.portfolio.optimizer import optimal_weights
from finpipe.portfolio.problem import Problem, ProblemError
from finpipe_tests.portfolio.us_stocks import small_market


def test_the_worst_days_are_averaged():
    returns = np.array([-0.10, -0.06, *np.full(38, 0.01)])
    assert conditional_value_at_risk(returns, 0.95) == pytest.approx(0.08)


def test_the_day_on_the_border_counts_in_part():
    returns = np.array([-0.10, -0.06, -0.02, *np.full(27, 0.01)])  # 5% of 30 days is one and a half
    assert conditional_value_at_risk(returns, 0.95) == pytest.approx((0.10 + 0.5 * 0.06) / 1.5)


@given(seed=st.integers(0, 10_000), days=st.integers(2, 300), confidence=st.floats(0.5, 0.999))
@settings(deadline=None, max_examples=60)
def test_it_is_the_minimum_of_rockafellar_and_uryasev(seed, days, confidence):
    returns = np.random.default_rng(seed).normal(0, 0.02, days)
    least = min(border + np.maximum(-returns - border, 0).mean() / (1 - confidence) for border in -returns)
    assert conditional_value_at_risk(returns, confidence) == pytest.approx(least, rel=1e-9, abs=1e-12)


def test_days_with_a_gap_are_left_out_and_counted():
    market = small_market(1, 6, days=200)
    scenarios = market.returns.copy()
    scenarios[:50, 2] = np.nan
    scenarios[60, 4] = np.nan
    returns, notices = complete_scenarios(scenarios, market.tickers)
    assert len(returns) == 149
    assert "51 of 200 days" in notices[0]
    assert "T02 lacks the most, 50" in notices[0]
    solution = optimal_weights(
        market.expected,
        market.covariance,
        Problem(objective="min-cvar"),
        tickers=market.tickers,
        scenarios=scenarios,
    )
    assert solution.objective_value == pytest.approx(
        conditional_value_at_risk(returns @ solution.weights), rel=1e-12
    )
    assert notices[0] in solution.notices


def test_too_few_days_name_the_ticker_that_costs_them():
    market = small_market(1, 6, days=200)
    scenarios = market.returns.copy()
    scenarios[:160, 3] = np.nan
    with pytest.raises(ProblemError, match=r"only 40 of 200 days.*T03 lacks 160 days, leave it out"):
        complete_scenarios(scenarios, market.tickers)
    with pytest.raises(ProblemError, match="needs 60 days of returns, here are 40: take a longer period"):
        complete_scenarios(market.returns[:40], market.tickers)
    with pytest.raises(ProblemError, match=r"do not fit 5 tickers"):
        complete_scenarios(scenarios, market.tickers[:5])
