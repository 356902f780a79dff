"""Whole shares never cost more than the budget, come close to the weights, and say what they leave out."""

from __future__ import annotations

from math import fsum

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finpipe.portfolio.allocation import whole_shares
from finpipe.portfolio.problem import ProblemError


def test_a_small_case_by_hand():
    bought = whole_shares({"A": 0.5, "B": 0.3, "C": 0.2}, {"A": 30.0, "B": 40.0, "C": 70.0}, 200)
    # Floors buy 3 A and 1 B; of the 70 left, C is 40 short of its part, and costs just that.
    assert bought.shares == {"A": 3, "B": 1, "C": 1}
    assert (bought.spent, bought.left) == (200.0, 0.0)
    assert bought.weights == {"A": 0.45, "B": 0.2, "C": 0.35}
    assert bought.notices == ()


@given(
    seed=st.integers(0, 100_000),
    count=st.integers(1, 40),
    budget=st.floats(500, 1e7),
    invested=st.floats(0.2, 1.0),
)
@settings(deadline=None, max_examples=150)
def test_the_budget_is_never_exceeded(seed, count, budget, invested):
    random = np.random.default_rng(seed)
    weights = {f"T{at}": float(w) for at, w in enumerate(random.dirichlet(np.ones(count)) * invested)}
    prices = {ticker: float(p) for ticker, p in zip(weights, random.lognormal(4, 1, count), strict=True)}
    try:
        bought = whole_shares(weights, prices, budget)
    except ProblemError as error:
        assert "buys no share" in str(error)  # noqa: PT017
        assert all(weights[ticker] * budget < prices[ticker] for ticker in weights)
        return
    spent = fsum(number * prices[ticker] for ticker, number in bought.shares.items())
    assert spent <= budget
    assert bought.spent == spent
    assert bought.left == pytest.approx(budget - spent)
    assert bought.left >= 0
    for ticker, weight in weights.items():
        number, wanted = bought.shares.get(ticker, 0), weight * budget / prices[ticker]
        assert wanted - 1 - 1e-9 < number < wanted + 1 + 1e-9
    assert all(type(number) is int and number > 0 for number in bought.shares.values())


@given(seed=st.integers(0, 100_000), count=st.integers(2, 6))
@settings(deadline=None, max_examples=25)
def test_the_closest_allocation_is_at_least_as_close_as_the_greedy_one(seed, count):
    random = np.random.default_rng(seed)
    weights = {f"T{at}": float(w) for at, w in enumerate(random.dirichlet(np.ones(count)))}
    prices = {ticker: float(p) for ticker, p in zip(weights, random.lognormal(4, 0.5, count), strict=True)}
    budget = 3_000.0

    def distance(bought):
        return (
            sum(abs(bought.weights.get(ticker, 0) - weights[ticker]) for ticker in weights)
            + bought.left / budget
        )

    greedy, closest = (
        whole_shares(weights, prices, budget, method=method) for method in ("greedy", "closest")
    )
    assert distance(closest) <= distance(greedy) + 1e-9
    assert closest.spent <= budget


def test_the_closest_allocation_finds_what_trying_everything_finds():
    from itertools import product

    weights, prices, budget = {"A": 0.5, "B": 0.3, "C": 0.2}, {"A": 33.0, "B": 47.0, "C": 71.0}, 300.0

    def distance(counts):
        values = [number * prices[ticker] for number, ticker in zip(counts, "ABC", strict=True)]
        if sum(values) > budget:
            return np.inf
        return sum(abs(v - weights[t] * budget) for v, t in zip(values, "ABC", strict=True)) - sum(values)

    least = min(distance(counts) for counts in product(range(10), range(7), range(5)))
    found = whole_shares(weights, prices, budget, method="closest").shares
    assert distance([found.get(ticker, 0) for ticker in "ABC"]) == pytest.approx(least)


def test_who_gets_nothing_is_named():
    bought = whole_shares({"CHEAP": 0.9, "DEAR": 0.1}, {"CHEAP": 10.0, "DEAR": 5_000.0}, 1_000)
    assert bought.shares == {"CHEAP": 90}
    assert bought.left == 100
    assert "1 of 2 tickers get no share" in bought.notices[0]
    assert "DEAR" in bought.notices[0]


def test_cash_that_the_weights_leave_stays_cash():
    bought = whole_shares({"A": 0.3, "B": 0.2}, {"A": 10.0, "B": 10.0}, 1_000)
    assert bought.shares == {"A": 30, "B": 20}
    assert bought.left == 500


@pytest.mark.parametrize(
    ("weights", "prices", "budget", "sentence"),
    [
        ({"A": 0.5, "B": 0.5}, {"A": 10.0}, 100, "no price above 0 for B"),
        ({"A": 1.0}, {"A": float("nan")}, 100, "no price above 0 for A"),
        ({"A": 1.0}, {"A": 0.0}, 100, "no price above 0 for A"),
        ({"A": 1.0}, {"A": 10.0}, 0, "budget is 0: it must be a positive"),
        ({"A": 1.0}, {"A": 10.0}, float("inf"), "budget is inf"),
        ({"A": 1.0}, {"A": 500.0}, 100, "buys no share: the cheapest, A, costs 500.00"),
        ({"A": 1.1}, {"A": 10.0}, 100, "weights sum to 1.1"),
        ({"A": 1.2, "B": -0.2}, {"A": 10.0, "B": 1.0}, 100, "B weighs -0.2"),
        ({"A": 0.0}, {"A": 10.0}, 100, "no ticker has a weight above 0"),
    ],
)
def test_bad_input_says_what_is_wrong(weights, prices, budget, sentence):
    with pytest.raises(ProblemError, match=sentence):
        whole_shares(weights, prices, budget)
    with pytest.raises(ProblemError, match=r"greedy or closest"):
        whole_shares({"A": 1.0}, {"A": 1.0}, 10, method="lp")


def test_a_ticker_without_weight_needs_no_price():
    assert whole_shares({"A": 1.0, "B": 0.0}, {"A": 10.0}, 100).shares == {"A": 10}
