"""From moments to a described portfolio or frontier: what a request asks for, put to the optimiser."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np
import polars as pl

from finpipe.market.daily_bars import listed
from finpipe.portfolio.allocation import whole_shares
from finpipe.portfolio.efficient_frontier import efficient_frontier
from finpipe.portfolio.optimizer import optimal_weights
from finpipe.portfolio.problem import Problem
from finpipe.portfolio.requests import FrontierRequest, MomentsRequest, OptimizeRequest
from finpipe.portfolio.results import FrontierResult, Moments, OptimizedPortfolio

LIMITS = ("risk_free", "min_weight", "max_weight", "l2")
"""Fields of every request about weights that are fields of the problem under the same name."""
AIMS = (
    "objective",
    "target_return",
    "target_volatility",
    "current_weights",
    "cost",
    "max_turnover",
    "confidence",
)
"""Those of a request for optimal weights."""

Told = Callable[[float], None]


def problem_of(request: MomentsRequest) -> Problem:
    """Return the problem that a request poses; raises ProblemError if it makes no sense."""
    names = LIMITS + (AIMS if isinstance(request, OptimizeRequest) else ())
    return Problem(sector_limits=request.sector_limits, **{name: getattr(request, name) for name in names})


def optimize_moments(
    moments: Moments,
    request: OptimizeRequest,
    *,
    benchmark: pl.DataFrame | None = None,
    seconds: Mapping[str, float] | None = None,
) -> OptimizedPortfolio:
    """Return the portfolio of ``request`` on ``moments``.

    Parameters
    ----------
    benchmark
        ``date`` and ``close`` (adjusted) of what the portfolio is compared with; None: nothing.
    seconds
        Time that the stages before took, by name.

    Raises
    ------
    ProblemError, InfeasibleError
        As :func:`finpipe.portfolio.optimizer.optimal_weights` and :func:`finpipe.portfolio.allocation.whole_shares`.
    """
    started = time.perf_counter()
    tickers = moments.tickers
    solution = optimal_weights(
        moments.expected.values,
        moments.covariance.matrix,
        problem_of(request),
        tickers=tickers,
        sectors=moments.sectors,
        scenarios=moments.returns.values,
    )
    solved = time.perf_counter()
    order = [int(at) for at in np.argsort(-solution.weights, kind="stable") if solution.weights[at] != 0]
    weights = {tickers[at]: float(solution.weights[at]) for at in order}
    allocation = None
    if request.budget is not None:
        allocation = whole_shares(weights, moments.prices, request.budget)
    frontier = None
    if request.frontier_points:
        frontier = efficient_frontier(
            moments.expected.values,
            moments.covariance.matrix,
            problem_of(request),
            request.frontier_points,
            tickers=tickers,
            sectors=moments.sectors,
        )
    ended = time.perf_counter()
    stages = {**(seconds or {}), "optimise": solved - started, "describe": ended - solved}
    return OptimizedPortfolio(
        request=request,
        moments=moments,
        weights=weights,
        expected_return=solution.expected_return,
        volatility=solution.volatility,
        sharpe=solution.sharpe,
        risk_contributions={tickers[at]: float(solution.risk_contributions[at]) for at in order},
        notices=(
            *moments.notices,
            *_idle_limits(moments, request),
            *solution.notices,
            *(allocation.notices if allocation else ()),
        ),
        allocation=allocation,
        frontier=frontier,
        benchmark=benchmark,
        seconds={**stages, "total": sum(stages.values())},
    )


def frontier_of_moments(
    moments: Moments,
    request: FrontierRequest,
    *,
    seconds: Mapping[str, float] | None = None,
    told: Told | None = None,
) -> FrontierResult:
    """Return the efficient frontier of ``request`` on ``moments``; raises as ``optimize_moments``."""
    started = time.perf_counter()
    frontier = efficient_frontier(
        moments.expected.values,
        moments.covariance.matrix,
        problem_of(request),
        request.points,
        tickers=moments.tickers,
        sectors=moments.sectors,
        progress=told,
    )
    stages = {**(seconds or {}), "frontier": time.perf_counter() - started}
    return FrontierResult(
        request=request,
        moments=moments,
        frontier=frontier,
        notices=(*moments.notices, *_idle_limits(moments, request), *frontier.notices),
        seconds={**stages, "total": sum(stages.values())},
    )


def _idle_limits(moments: Moments, request: MomentsRequest) -> tuple[str, ...]:
    there = sorted(set(moments.sectors.values()))
    idle = [sector for sector in request.sector_limits if sector not in there]
    if not idle:
        return ()
    return (
        f"no ticker is in {listed(idle)}, so that limit does nothing; the sectors here are {listed(there, 12)}",
    )
