"""Requests that make no sense are refused with what clashes, in figures, and with what would work."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finpipe.portfolio.problem import InfeasibleError, Problem, ProblemError, check_moments, feasible_bounds
from finpipe_tests.portfolio.plain_problems import is_feasible


def names(count):
    return [f"T{at}" for at in range(count)]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (
            {"objective": "max-return"},
            "objective is max-return: it must be one of max-sharpe, min-volatility",
        ),
        ({"objective": "target-return"}, "target-return needs target_return"),
        ({"objective": "target-volatility"}, "target-volatility needs target_volatility"),
        (
            {"target_return": 0.1},
            "target_return = 0.1 belongs to the objective target-return, not to max-sharpe",
        ),
        ({"objective": "target-volatility", "target_volatility": -0.1}, "it must be above 0"),
        ({"objective": "target-return", "target_return": float("nan")}, "it must be a finite number"),
        ({"risk_free": float("nan")}, "risk_free is nan: it must be a finite number"),
        ({"max_weight": 1.5}, "max_weight is 1.5"),
        ({"max_weight": 0.0}, "max_weight is 0.0: it must be above 0"),
        (
            {"min_weight": 0.3, "max_weight": 0.2},
            r"max_weight is 0.2: it must be above 0, from min_weight \(0.3\)",
        ),
        ({"l2": -1}, "l2 is -1: it must be 0"),
        ({"cost": 0.01}, "give current_weights"),
        ({"max_turnover": 0.5}, "give current_weights"),
        ({"max_turnover": -0.5, "current_weights": {"A": 1.0}}, "max_turnover is -0.5"),
        ({"current_weights": {"A": float("inf")}}, "current weight of A is inf"),
        ({"confidence": 1.0}, "confidence is 1.0: it must be between 0 and 1"),
        ({"sector_limits": {"Energy": (0.3, 0.1)}}, "limit of sector Energy is 0.3 to 0.1"),
        (
            {"objective": "hrp", "sector_limits": {"Energy": 0.1}},
            "hrp follows a rule that knows no sector_limits",
        ),
        ({"objective": "risk-parity", "l2": 0.1}, "risk-parity follows a rule that knows no l2"),
        ({"objective": "hrp", "min_weight": -0.1}, "knows no a negative min_weight"),
        (
            {"objective": "herc", "sector_limits": {"Energy": 0.1}, "l2": 0.1},
            "herc follows a rule that knows no sector_limits and no l2: leave that out, or choose min-volatility",
        ),
        ({"objective": "herc", "min_weight": -0.1}, "knows no a negative min_weight"),
        (
            {"objective": "max-diversification", "l2": 0.1},
            "max-diversification maximises a ratio that knows no l2: leave that out, or choose min-volatility",
        ),
        (
            {
                "objective": "max-diversification",
                "current_weights": {"A": 1.0},
                "cost": 0.01,
                "max_turnover": 0.5,
            },
            "knows no cost and no max_turnover",
        ),
        (
            {"objective": "max-diversification", "target_return": 0.1},
            "belongs to the objective target-return",
        ),
    ],
)
def test_nonsense_is_refused_with_what_would_work(fields, sentence):
    with pytest.raises(ProblemError, match=sentence):
        Problem(**fields)


def test_a_single_ticker_and_duplicates_are_named():
    with pytest.raises(ProblemError, match="only AAPL is left to weigh: a portfolio needs at least two"):
        feasible_bounds(Problem(), ["AAPL"])
    with pytest.raises(ProblemError, match="no ticker is left"):
        feasible_bounds(Problem(), [])
    with pytest.raises(ProblemError, match="twice or more: AAPL, MSFT"):
        feasible_bounds(Problem(), ["MSFT", "AAPL", "AAPL", "KO", "MSFT"])


@pytest.mark.parametrize(("count", "cap"), [(2, 1.0), (3, 2 / 3), (4, 0.5)])
def test_the_default_cap_is_relaxed_where_it_cannot_hold_and_says_so(count, cap):
    bounds = feasible_bounds(Problem(), names(count))
    assert bounds.upper == pytest.approx(np.full(count, cap))
    assert "default maximum weight of 20% was relaxed" in bounds.notices[0]


def test_the_default_cap_stays_where_it_holds():
    assert feasible_bounds(Problem(), names(6)).notices == ()
    assert feasible_bounds(Problem(), names(6)).upper == pytest.approx(np.full(6, 0.2))
    assert "leaves only equal weights" in feasible_bounds(Problem(), names(5)).notices[0]


def test_the_default_cap_gives_way_to_sector_limits():
    sectors = {"T0": "Tech", **{f"T{at}": "Energy" for at in range(1, 8)}}
    bounds = feasible_bounds(Problem(sector_limits={"Energy": 0.4}), names(8), sectors)
    assert bounds.upper[0] == 1.0
    assert "was relaxed to 100.0%" in bounds.notices[0]


def test_a_cap_that_was_given_is_never_relaxed():
    with pytest.raises(
        InfeasibleError,
        match=r"3 tickers of at most 0.2 sum to 0.6, below 1: give max_weight of at least 0.3334",
    ):
        feasible_bounds(Problem(max_weight=0.2), names(3))
    assert feasible_bounds(Problem(max_weight=0.3334), names(3)).notices == ()


def test_floors_above_the_whole_are_refused():
    with pytest.raises(
        InfeasibleError, match=r"10 tickers of at least 0.15 sum to 1.5, above 1.*at most 0.1, or"
    ):
        feasible_bounds(Problem(min_weight=0.15), names(10))
    assert len(feasible_bounds(Problem(min_weight=0.1, max_weight=0.1), names(10)).lower) == 10


def test_sector_limits_that_clash_are_named_with_their_figures():
    sectors = {name: "AB"[at % 2] for at, name in enumerate(names(10))}
    cases = [
        ({"A": 0.3, "B": 0.3}, 0.1, r"at most 0.6 together \(A 0.3, B 0.3\).*raise sector limits by 0.4"),
        ({"A": (0.6, 1.0), "B": (0.6, 1.0)}, 0.2, r"must weigh at least 1.2 together \(A 0.6, B 0.6\)"),
        ({"A": 0.3}, 0.1, "the 5 other tickers 0.5, below 1"),
    ]
    for limits, most, sentence in cases:
        with pytest.raises(InfeasibleError, match=sentence):
            feasible_bounds(Problem(sector_limits=limits, max_weight=most), names(10), sectors)
    with pytest.raises(
        InfeasibleError, match=r"sector A may weigh 0.9 to 1, but its 5 tickers of 0 to 0.1 each"
    ):
        feasible_bounds(Problem(sector_limits={"A": (0.9, 1.0)}, max_weight=0.1), names(10), sectors)


def test_sectors_that_are_not_there_are_refused_if_they_must_weigh_something():
    sectors = dict.fromkeys(names(6), "Energy")
    with pytest.raises(ProblemError, match="none of the 6 tickers is in it; sectors here: Energy"):
        feasible_bounds(Problem(sector_limits={"Tech": (0.1, 0.5)}), names(6), sectors)
    with pytest.raises(ProblemError, match="sectors of the tickers are unknown"):
        feasible_bounds(Problem(sector_limits={"Tech": 0.5}), names(6))
    assert feasible_bounds(Problem(sector_limits={"Tech": 0.5}), names(6), sectors).notices == ()


@given(
    sizes=st.lists(st.integers(1, 5), min_size=2, max_size=4),
    low=st.sampled_from([-0.1, 0.0, 0.05]),
    high=st.sampled_from([0.1, 0.2, 0.5]),
    limits=st.lists(st.tuples(st.floats(0, 0.6), st.floats(0, 1)).map(sorted), min_size=3, max_size=3),
)
@settings(deadline=None, max_examples=60)
def test_bounds_are_refused_exactly_when_no_portfolio_exists(sizes, low, high, limits):
    sectors = {}
    for sector, size in zip("ABCD", sizes, strict=False):
        sectors |= {f"{sector}{at}": sector for at in range(size)}
    wanted = {
        sector: (least, most)
        for sector, (least, most) in zip("ABC", limits, strict=True)
        if sector < "ABCD"[len(sizes) - 1]
    }
    problem = Problem(min_weight=low, max_weight=high, sector_limits=wanted)
    try:
        feasible_bounds(problem, list(sectors), sectors)
        is_refused = False
    except InfeasibleError:
        is_refused = True
    assert is_refused != is_feasible(problem, list(sectors), sectors)


def test_figures_that_do_not_fit_are_named():
    fine = np.eye(3)
    with pytest.raises(ProblemError, match="no finite expected return for T1"):
        check_moments(np.array([0.1, np.nan, 0.1]), fine, names(3))
    with pytest.raises(ProblemError, match=re.escape("shapes (2,) and (3, 3)")):
        check_moments(np.ones(2), fine, names(3))
    with pytest.raises(ProblemError, match="not symmetric"):
        check_moments(np.ones(2), np.array([[1.0, 0.5], [0.2, 1.0]]), names(2))
    with pytest.raises(ProblemError, match=r"not positive semidefinite .smallest eigenvalue -1"):
        check_moments(np.ones(2), np.array([[1.0, 2.0], [2.0, 1.0]]), names(2))
    gap = fine.copy()
    gap[0, 2] = gap[2, 0] = np.nan
    with pytest.raises(ProblemError, match="no finite covariance for T0, T2"):
        check_moments(np.ones(3), gap, names(3))
