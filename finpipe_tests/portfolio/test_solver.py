"""Programs are solved to optimality on few names, and what has no solution says so."""

from __future__ import annotations

import numpy as np
import pytest

from finpipe.portfolio import solver
from finpipe.portfolio.problem import InfeasibleError, Problem
from finpipe.portfolio.region import region
from finpipe.portfolio.solver import Rows, likely_names, solve
from finpipe_tests.portfolio.us_stocks import small_market


def test_the_least_variance_of_two_names_is_known_by_formula():
    covariance = np.array([[0.04, 0.01], [0.01, 0.09]])
    allowed = region(Problem(), ["A", "B"])
    answer = solve(allowed.program(quadratic=covariance), np.array([0]))
    assert answer.weights == pytest.approx([0.08 / 0.11, 0.03 / 0.11], abs=1e-8)
    assert answer.value == pytest.approx(0.5 * answer.weights @ covariance @ answer.weights, rel=1e-8)


@pytest.mark.parametrize("first", [[0], [7, 11, 130], list(range(60))])
@pytest.mark.parametrize("low", [0.0, 0.001, -0.01])
def test_the_names_to_begin_with_do_not_change_the_answer(first, low):
    market = small_market(3, 140)
    problem = Problem(min_weight=low, max_weight=0.5)
    allowed = region(problem, market.tickers)
    program = allowed.program(quadratic=market.covariance, linear=-allowed.row(0.2 * market.expected))
    on_few, on_all = solve(program, np.array(first)), solve(program, np.arange(140))
    assert on_few.value == pytest.approx(on_all.value, rel=1e-7)
    assert on_all.names == 140


@pytest.mark.parametrize("is_capped", [False, True])
def test_few_names_are_enough(is_capped):
    market = small_market(5, 400, days=600)
    allowed = region(Problem(), market.tickers)
    if is_capped:
        program = allowed.program(linear=-allowed.row(market.expected), capped=market.covariance, cap=0.1)
    else:
        program = allowed.program(quadratic=market.covariance)
    answer = solve(program, likely_names(None, market.covariance))
    assert answer.names < 200
    # What the prices of the last round say of the names outside is true: none of them would help.
    assert answer.value == pytest.approx(solve(program, np.arange(400)).value, rel=1e-7)


def test_a_start_without_any_allowed_portfolio_is_no_obstacle():
    market = small_market(5, 150)
    sectors = {ticker: "A" if at < 75 else "B" for at, ticker in enumerate(market.tickers)}
    allowed = region(Problem(sector_limits={"B": (0.5, 0.6)}), market.tickers, sectors)
    answer = solve(allowed.program(quadratic=market.covariance), np.array([0, 1]))
    assert answer.weights[75:].sum() >= 0.5 - 1e-8


def test_a_program_without_solution_says_so():
    market = small_market(1, 120)
    allowed = region(Problem(), market.tickers)
    beyond = allowed.row(market.expected).shifted(-100.0)
    with pytest.raises(InfeasibleError, match="leave no portfolio"):
        solve(allowed.program(quadratic=market.covariance, at_least=beyond), np.arange(10))


def test_a_solver_that_gives_up_is_told_of(monkeypatch):
    class GivesUp:
        def __init__(self, *_):
            pass

        def solve(self):
            from types import SimpleNamespace

            return SimpleNamespace(status="MaxIterations", iterations=200)

    monkeypatch.setattr("clarabel.DefaultSolver", GivesUp)
    program = region(Problem(), ["A", "B"]).program(quadratic=np.eye(2))
    with pytest.raises(solver.SolverError, match="stopped with MaxIterations after 200"):
        solve(program, np.array([0]))


def test_rows_add_up():
    rows = Rows(np.array([[1.0, 2.0]]), np.array([3.0]), np.array([[4.0]]))
    twice = rows.minus(rows, -1.0).shifted(1.0)
    assert twice.assets.tolist() == [[2.0, 4.0]]
    assert twice.scale.tolist() == [7.0]
    assert twice.extra.tolist() == [[8.0]]
