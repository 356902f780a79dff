"""The rows of a region say of any weights whether they are allowed, and what they cost to reach."""

from __future__ import annotations

import numpy as np
import pytest

from finpipe.portfolio.problem import Problem
from finpipe.portfolio.region import region

TICKERS = ("A", "B", "C", "D")
SECTORS = {"A": "X", "B": "X", "C": "Y"}


def slack(allowed, weights, extra=()):
    rows = allowed.limits
    return rows.assets @ weights + rows.scale + rows.extra @ np.array(extra)


def test_sector_limits_are_rows_that_turn_negative_where_broken():
    problem = Problem(sector_limits={"X": (0.2, 0.5), "Y": 0.3}, max_weight=0.6)
    allowed = region(problem, TICKERS, SECTORS)
    assert (slack(allowed, np.array([0.2, 0.2, 0.3, 0.3])) >= -1e-15).all()
    assert (slack(allowed, np.array([0.4, 0.2, 0.1, 0.3])) < 0).sum() == 1
    assert (slack(allowed, np.array([0.1, 0.0, 0.4, 0.5])) < 0).sum() == 2


def test_limits_that_cannot_bind_take_no_rows():
    assert len(region(Problem(sector_limits={"X": (0.0, 1.0)}), TICKERS, SECTORS).limits) == 0


def test_turnover_counts_what_is_bought_sold_and_no_longer_wanted():
    held = {"A": 0.5, "C": 0.3, "GONE": 0.2}
    problem = Problem(current_weights=held, max_turnover=1.0, max_weight=0.5)
    allowed = region(problem, TICKERS)
    weights = np.array([0.4, 0.2, 0.3, 0.1])
    assert allowed.turnover_of(weights) == pytest.approx(0.1 + 0.2 + 0.0 + 0.1 + 0.2)
    assert allowed.traded.tolist() == [0, 2]
    moved = np.abs(weights - allowed.current)[allowed.traded]
    row = allowed.turnover
    assert row.assets[0] @ weights + row.scale[0] + row.extra[0] @ moved == pytest.approx(0.6)
    assert (slack(allowed, weights, moved) >= -1e-15).all()
    assert (slack(allowed, weights, moved - 0.01) < 0).any()
    assert "GONE (20.0%)" in allowed.notices[0]


def test_without_a_price_or_limit_trading_takes_no_variables():
    allowed = region(Problem(current_weights={"A": 1.0}), TICKERS)
    assert len(allowed.traded) == 0
    assert allowed.turnover_of(np.array([0.5, 0.5, 0.0, 0.0])) == pytest.approx(1.0)
