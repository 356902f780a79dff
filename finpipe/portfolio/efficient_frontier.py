"""The efficient frontier: portfolios of least risk from that of least volatility to that of highest return."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from finpipe.portfolio import mean_variance
from finpipe.portfolio.optimizer import Solution, described, feasible_market, held
from finpipe.portfolio.problem import Floats, InfeasibleError, Problem, ProblemError

FLAT = 1e-8
"""Return between the ends of a frontier below which it is a point."""


@dataclass(frozen=True, slots=True)
class Frontier:
    """Portfolios along the efficient frontier, from the least volatility to the highest return.

    Parameters
    ----------
    frame
        ``expected_return`` (after the cost of trading), ``volatility``, ``sharpe``, ``is_tangency``; one row per
        portfolio, sorted by return. Returns are equally spaced but for the tangency portfolio among them.
    weights
        Shape (points, N).
    notices
        What was relaxed or left out, in words.
    """

    frame: pl.DataFrame
    weights: Floats
    notices: tuple[str, ...]


def efficient_frontier(
    expected: Floats,
    covariance: Floats,
    problem: Problem,
    points: int = 50,
    *,
    tickers: Sequence[str] | None = None,
    sectors: Mapping[str, str] | None = None,
    progress: Callable[[float], None] | None = None,
) -> Frontier:
    """Return ``points`` efficient portfolios, the tangency portfolio of ``problem.risk_free`` among them.

    Bounds, sector limits, turnover, cost and l2 of the problem hold for every point; its objective and its
    targets play no part. With l2 the frontier is efficient in return and w'(covariance + l2 I)w, and its
    volatility need not be convex in the return.

    Parameters
    ----------
    expected, covariance, sectors
        As :func:`finpipe.portfolio.optimizer.optimal_weights`.
    tickers
        Names of the N; None numbers them.
    progress
        Called with the share done, from 0 to 1.

    Raises
    ------
    ProblemError, InfeasibleError
        As ``optimal_weights``; also for fewer than 3 points.
    """
    if points < 3:
        raise ProblemError(f"a frontier of {points} points is no line: ask for at least 3")
    names = [str(at) for at in range(len(expected))] if tickers is None else tickers
    asked = replace(problem, objective="max-sharpe", target_return=None, target_volatility=None)
    feasible = feasible_market(expected, covariance, asked, names, sectors)
    market, notices = feasible.market, list(feasible.market.region.notices)

    plain = replace(market, problem=replace(asked, cost=0.0))
    highest = mean_variance.max_return(market, feasible.names)
    safest = mean_variance.min_volatility(plain, feasible.names)
    most, least = market.net_return_of(highest), market.net_return_of(safest)
    if most - least < FLAT:
        notices.append(
            "the portfolio of least volatility also has the highest return: the frontier is a point"
        )
        return _frontier([described(market, safest, ())], None, notices)

    tangency = None
    try:
        tangency = mean_variance.max_sharpe(market, np.union1d(held(highest), held(safest)), highest)
    except InfeasibleError:
        notices.append(
            f"no portfolio beats the risk-free rate of {problem.risk_free:.4g}, so there is no tangency portfolio"
        )
    targets = np.linspace(least, most, points if tangency is None else points - 1)
    portfolios = [safest]
    for done, target in enumerate(targets[1:-1], start=1):
        first = np.union1d(held(highest), held(portfolios[-1]))
        portfolios.append(mean_variance.target_return(market, float(target), first))
        if progress is not None:
            progress(done / len(targets))
    portfolios.append(highest)
    solutions = [described(market, weights, ()) for weights in portfolios]
    best = described(market, tangency, ()) if tangency is not None else None
    if progress is not None:
        progress(1.0)
    return _frontier(solutions, best, notices)


def _frontier(solutions: list[Solution], tangency: Solution | None, notices: Sequence[str]) -> Frontier:
    rows = sorted(
        [(solution, False) for solution in solutions] + ([(tangency, True)] if tangency is not None else []),
        key=lambda row: row[0].expected_return,
    )
    frame = pl.DataFrame(
        {
            "expected_return": [solution.expected_return for solution, _ in rows],
            "volatility": [solution.volatility for solution, _ in rows],
            "sharpe": [solution.sharpe for solution, _ in rows],
            "is_tangency": [is_tangency for _, is_tangency in rows],
        }
    )
    return Frontier(frame, np.array([solution.weights for solution, _ in rows]), tuple(notices))
