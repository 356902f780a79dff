"""The portfolio of least conditional value at risk over daily scenarios, as a linear program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from finpipe.portfolio.mean_variance import Market
from finpipe.portfolio.problem import Floats, Indices, ProblemError
from finpipe.portfolio.solver import Rows, solve

FEWEST_DAYS = 60
"""Days with a return of every ticker that scenarios need."""


def conditional_value_at_risk(returns: Floats, confidence: float = 0.95) -> float:
    """Return the mean loss of the worst (1 - confidence) of days, a fraction per day; positive is a loss.

    min over a of a + mean(max(-r - a, 0)) / (1 - confidence) (Rockafellar and Uryasev 2000), which counts the
    day on the border of the tail in part.

    Parameters
    ----------
    returns
        Daily returns of a portfolio; shape (T,).
    """
    losses = np.sort(-np.asarray(returns, dtype=np.float64))[::-1]
    tail = (1 - confidence) * len(losses)
    whole = min(int(tail), len(losses) - 1)
    return float((losses[:whole].sum() + (tail - whole) * losses[whole]) / tail)


def complete_scenarios(scenarios: Floats, tickers: Sequence[str]) -> tuple[Floats, tuple[str, ...]]:
    """Days on which every ticker has a return, and a notice of those left out.

    Raises
    ------
    ProblemError
        Shapes do not fit, or fewer than 60 days are left; names the ticker that costs the most days.
    """
    returns = np.asarray(scenarios, dtype=np.float64)
    if returns.ndim != 2 or returns.shape[1] != len(tickers):
        raise ProblemError(
            f"scenarios of shape {returns.shape} do not fit {len(tickers)} tickers: give (days, tickers)"
        )
    known = np.isfinite(returns)
    complete = known.all(axis=1)
    days, missing = int(complete.sum()), (~known).sum(axis=0)
    worst = int(np.argmax(missing)) if len(returns) else 0
    if len(returns) < FEWEST_DAYS:
        raise ProblemError(
            f"min-cvar needs {FEWEST_DAYS} days of returns, here are {len(returns)}: take a longer period"
        )
    if days < FEWEST_DAYS:
        raise ProblemError(
            f"only {days} of {len(returns)} days have a return of every ticker, min-cvar needs {FEWEST_DAYS}: "
            f"{tickers[worst]} lacks {int(missing[worst])} days, leave it out or take a longer period"
        )
    if days == len(returns):
        return returns, ()
    return returns[complete], (
        f"{len(returns) - days} of {len(returns)} days without a return of every ticker are left out of the "
        f"scenarios; {tickers[worst]} lacks the most, {int(missing[worst])}",
    )


def min_cvar(market: Market, returns: Floats, feasible: Indices) -> Floats:
    """Weights of the least daily CVaR + l2 w'w + cost x turnover; shape (N,).

    With a the value at risk and u the losses beyond it: minimise a + sum(u) / ((1 - confidence) T) subject to
    u_t >= -r_t'w - a and u_t >= 0 (Rockafellar and Uryasev 2000).

    Parameters
    ----------
    returns
        Daily simple returns without a gap; shape (T, N).
    """
    problem = market.problem
    days, count = returns.shape
    own = market.region.budget.extra.shape[1]
    allowed = market.region.widened(1 + days)
    beyond = np.concatenate([np.zeros((days, own)), np.ones((days, 1)), np.eye(days)], axis=1)
    positive = beyond.copy()
    positive[:, own] = 0.0
    tail = Rows(
        np.concatenate([returns, np.zeros((days, count))]),
        np.zeros(2 * days),
        np.concatenate([beyond, positive]),
    )
    linear = allowed.row()
    if problem.cost > 0:
        linear = linear.minus(allowed.turnover, -problem.cost)
    shortfall = linear.extra.copy()
    shortfall[0, own] += 1.0
    shortfall[0, own + 1 :] += 1.0 / ((1 - problem.confidence) * days)
    squares = 2 * problem.l2 * np.eye(count) if problem.l2 > 0 else None
    program = allowed.program(quadratic=squares, linear=replace(linear, extra=shortfall), at_least=tail)
    # Names that lose least on the market's worst days are the ones likely to be held.
    market_return = returns.mean(axis=1)
    worst = np.argsort(market_return)[: max(int((1 - problem.confidence) * days), 1)]
    likely = np.argsort(-returns[worst].mean(axis=0), kind="stable")[:64]
    return solve(program, np.union1d(likely, feasible)).weights


def objective(market: Market, returns: Floats, weights: Floats) -> float:
    """Return what ``min_cvar`` minimises, at ``weights``."""
    problem = market.problem
    cost = problem.cost * market.region.turnover_of(weights) if problem.cost > 0 else 0.0
    risk = conditional_value_at_risk(returns @ weights, problem.confidence)
    return risk + problem.l2 * float(weights @ weights) + cost
