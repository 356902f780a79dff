"""Optimal weights: a problem taken apart, checked against what can be reached, solved, cleaned and described."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from finpipe.portfolio import mean_variance
from finpipe.portfolio.mean_variance import AT_MOST, Market
from finpipe.portfolio.problem import (
    WITHOUT_PROGRAM,
    Floats,
    Indices,
    InfeasibleError,
    Problem,
    ProblemError,
    check_moments,
)
from finpipe.portfolio.region import region

TINY = 1e-6
"""Weights below this are cleaned away."""

DUST = 1e-7
"""Weights below this are what the solver leaves of 0; cleaning them away is not worth a word."""


@dataclass(frozen=True, slots=True)
class Solution:
    """An optimal portfolio.

    Parameters
    ----------
    weights
        Fractions of the whole that sum to 1, within the bounds; shape (N,). Those below 0.0001% are 0, unless
        they are held now and trading is limited or costs. Sector limits, targets and turnover hold to 1e-6.
    expected_return
        Per year, after the cost of trading: mu'w - ``trading_cost``.
    volatility
        Annual, sqrt(w' covariance w).
    sharpe
        (expected_return - risk_free) / volatility; NaN without volatility.
    risk_contributions
        w_i (covariance w)_i / volatility, which sum to the volatility; shape (N,).
    notices
        What was relaxed, cleaned or does not bind, in words.
    objective_value
        What was optimised. ``max-sharpe``: the ratio, with l2 in the risk. ``min-volatility`` and
        ``target-return``: w'(covariance + l2 I)w, for the former plus cost x turnover. ``target-volatility``:
        expected_return - l2 w'w. ``min-cvar``: the daily conditional value at risk plus l2 w'w and
        cost x turnover. ``max-diversification``: the sum of weights times volatilities, over the portfolio's.
        ``risk-parity``, ``hrp`` and ``herc``: the volatility.
    turnover, trading_cost
        sum(|w - current|) and its cost as a fraction of the whole; 0 without current weights.
    """

    weights: Floats
    expected_return: float
    volatility: float
    sharpe: float
    risk_contributions: Floats
    notices: tuple[str, ...]
    objective_value: float
    turnover: float = 0.0
    trading_cost: float = 0.0


@dataclass(frozen=True, slots=True)
class Feasible:
    """A market with what is known of its allowed portfolios before anything is optimised."""

    market: Market
    names: Indices
    """Names of a portfolio that meets every limit."""


def optimal_weights(
    expected: Floats,
    covariance: Floats,
    problem: Problem,
    *,
    tickers: Sequence[str],
    sectors: Mapping[str, str] | None = None,
    scenarios: Floats | None = None,
) -> Solution:
    """Return the weights that are best in the sense of ``problem``.

    Parameters
    ----------
    expected
        Expected simple returns per year; shape (N,).
    covariance
        Of simple returns, per year; shape (N, N), positive semidefinite.
    tickers
        Names of the N, for messages, current weights and sectors.
    sectors
        Ticker to sector; only needed by ``sector_limits``.
    scenarios
        Daily simple returns, for ``min-cvar`` only; shape (T, N), NaN where unknown.

    Raises
    ------
    ProblemError
        Tickers, figures or the problem make no sense as given.
    InfeasibleError
        Limits clash, or a target is out of reach; says which, with figures and what would work.
    """
    if problem.objective in WITHOUT_PROGRAM:
        return _by_rule(expected, covariance, problem, tickers)
    feasible = feasible_market(expected, covariance, problem, tickers, sectors)
    programs: Mapping[str, Callable[[Feasible], tuple[Floats, tuple[str, ...]]]] = {
        "max-sharpe": _max_sharpe,
        "min-volatility": _min_volatility,
        "target-return": _target_return,
        "target-volatility": _target_volatility,
        "max-diversification": partial(_max_diversification, tickers=tickers),
    }
    solve = programs.get(problem.objective)
    if solve is None:
        return _min_cvar(feasible, tickers, scenarios)
    weights, notices = solve(feasible)
    return described(feasible.market, weights, (*feasible.market.region.notices, *notices))


def feasible_market(
    expected: Floats,
    covariance: Floats,
    problem: Problem,
    tickers: Sequence[str],
    sectors: Mapping[str, str] | None = None,
) -> Feasible:
    """Check the request and return the market, known to allow a portfolio.

    Raises
    ------
    ProblemError, InfeasibleError
        As :func:`optimal_weights`; here for tickers, figures, bounds, sectors and turnover.
    """
    expected = np.asarray(expected, dtype=np.float64)
    covariance = np.asarray(covariance, dtype=np.float64)
    allowed = region(problem, tickers, sectors)
    check_moments(expected, covariance, tickers)
    market = Market(expected, (covariance + covariance.T) / 2, allowed, problem)
    names = np.zeros(0, dtype=np.int64)
    if problem.max_turnover is not None:
        free = replace(market, region=region(replace(problem, max_turnover=np.inf), tickers, sectors))
        nearest = mean_variance.min_turnover(free)
        least = allowed.turnover_of(nearest)
        if least > problem.max_turnover + 1e-7:
            raise InfeasibleError(
                f"max_turnover is {problem.max_turnover:.4g}, but bounds and sectors are not reached from the current "
                f"weights with less than {least:.4g}: allow that much, or widen bounds or sector limits"
            )
        names = held(nearest)
    return Feasible(market, names)


def described(
    market: Market, weights: Floats, notices: Sequence[str], objective_value: float | None = None
) -> Solution:
    """Clean solver weights and describe the portfolio that they are."""
    clean, cleaned = _cleaned(market, weights)
    problem = market.problem
    volatility = market.volatility_of(clean)
    net = market.net_return_of(clean)
    pull = market.covariance @ clean
    held_now = problem.current_weights is not None
    turnover = market.region.turnover_of(clean) if held_now else 0.0
    excess = net - problem.risk_free
    regularised = float(clean @ market.risk @ clean)
    if objective_value is None:
        objective_value = {
            "max-sharpe": excess / np.sqrt(regularised) if regularised > 0 else np.nan,
            "min-volatility": regularised + problem.cost * turnover,
            "target-return": regularised,
            "target-volatility": net - problem.l2 * float(clean @ clean),
            "max-diversification": _diversification(market, clean),
        }.get(problem.objective, volatility)
    return Solution(
        weights=clean,
        expected_return=net,
        volatility=volatility,
        sharpe=excess / volatility if volatility > 0 else np.nan,
        risk_contributions=clean * pull / volatility if volatility > 0 else np.zeros(len(clean)),
        notices=(*notices, *cleaned),
        objective_value=float(objective_value),
        turnover=turnover,
        trading_cost=problem.cost * turnover,
    )


def clean_weights(
    weights: Floats, lower: Floats, upper: Floats, kept: Indices | None = None
) -> tuple[Floats, tuple[str, ...]]:
    """Set tiny weights to 0 and bring the rest exactly into their bounds and to a sum of 1.

    What is missing or left over goes to the names between their bounds, in proportion to the room they have.

    Parameters
    ----------
    kept
        Names whose weights stay however tiny they are.

    Returns
    -------
    tuple
        Weights of shape (N,), and a notice where a weight larger than the solver's own dust was dropped.
    """
    clean = np.clip(weights, lower, upper)
    tiny = (np.abs(clean) < TINY) & (clean != 0) & (lower <= 0)
    if kept is not None:
        tiny[kept] = False
    dropped = clean[tiny & (np.abs(clean) > DUST)]
    clean[tiny] = 0.0
    for _ in range(4):
        missing = 1.0 - clean.sum()
        room = (upper - clean) if missing > 0 else (clean - lower)
        room = np.where(clean == 0.0, 0.0, room)
        # Where the names left fill their bounds exactly, rounding may put the room just below what is missing.
        if abs(missing) < 1e-16 or room.sum() < abs(missing) * (1 - 1e-4):
            break
        clean = np.clip(clean + missing * room / room.sum(), lower, upper)
    if len(dropped) == 0:
        return clean, ()
    return clean, (
        f"{len(dropped)} weights below {TINY:.4%}, {dropped.sum():.6%} in sum, were set to 0 and the rest filled up",
    )


def held(weights: Floats) -> Indices:
    """Positions of the names with a weight worth mentioning."""
    return np.flatnonzero(np.abs(weights) > DUST).astype(np.int64)


def _cleaned(market: Market, weights: Floats) -> tuple[Floats, tuple[str, ...]]:
    # Selling a tiny weight held now would be a trade, which may be limited or cost.
    return clean_weights(weights, market.region.lower, market.region.upper, market.region.traded)


def _max_sharpe(feasible: Feasible) -> tuple[Floats, tuple[str, ...]]:
    market = feasible.market
    highest = mean_variance.max_return(market, feasible.names)
    return mean_variance.max_sharpe(market, np.union1d(feasible.names, held(highest)), highest), ()


def _min_volatility(feasible: Feasible) -> tuple[Floats, tuple[str, ...]]:
    return mean_variance.min_volatility(feasible.market, feasible.names), ()


def _target_return(feasible: Feasible) -> tuple[Floats, tuple[str, ...]]:
    market, target = feasible.market, feasible.market.problem.target_return
    assert target is not None  # noqa: S101 - the problem has checked it
    highest = mean_variance.max_return(market, feasible.names)
    most = market.net_return_of(highest)
    if target > most + AT_MOST * max(abs(most), 1e-3):
        raise InfeasibleError(
            f"target_return is {target:.4g} per year, but the most that these tickers reach is {most:.4g} within "
            f"{_limits(market)}: aim at {_below(most)} or less, or widen those limits"
        )
    if target >= most * (1 - np.sign(most) * AT_MOST):
        return highest, ("the target is the highest return within reach, so the portfolio is that of it",)
    safest = mean_variance.min_volatility(replace(market, problem=_without_cost(market)), feasible.names)
    least = market.net_return_of(safest)
    if least >= target:
        return safest, (
            f"the portfolio of least volatility already returns {least:.4g} per year, more than the target of "
            f"{target:.4g}: it is the answer",
        )
    first = np.union1d(held(highest), held(safest))
    return mean_variance.target_return(market, target, first), ()


def _target_volatility(feasible: Feasible) -> tuple[Floats, tuple[str, ...]]:
    market, target = feasible.market, feasible.market.problem.target_volatility
    assert target is not None  # noqa: S101 - the problem has checked it
    plain = replace(market, problem=replace(_without_cost(market), l2=0.0))
    safest = mean_variance.min_volatility(plain, feasible.names)
    least = market.volatility_of(safest)
    if target < least * (1 - AT_MOST):
        raise InfeasibleError(
            f"target_volatility is {target:.4g} per year, but the least that these tickers reach is {least:.4g} within "
            f"{_limits(market)}: allow {_above(least)} or more, or widen those limits"
        )
    if target <= least * (1 + 1e-7):
        return safest, ("the target is the least volatility within reach, so the portfolio is that of it",)
    highest = mean_variance.max_return(market, held(safest))
    notices: tuple[str, ...] = ()
    if target >= market.volatility_of(highest):
        notices = (
            f"the portfolio of the highest return has a volatility of {market.volatility_of(highest):.4g}: "
            f"the target of {target:.4g} does not bind",
        )
    first = np.union1d(held(highest), held(safest))
    return mean_variance.target_volatility(market, target, first), notices


def _min_cvar(feasible: Feasible, tickers: Sequence[str], scenarios: Floats | None) -> Solution:
    from finpipe.portfolio.cvar import complete_scenarios, min_cvar, objective

    if scenarios is None:
        raise ProblemError("min-cvar needs scenarios: daily returns of the tickers, of shape (days, tickers)")
    returns, notices = complete_scenarios(scenarios, tickers)
    market = feasible.market
    weights = min_cvar(market, returns, feasible.names)
    clean, _ = _cleaned(market, weights)
    value = objective(market, returns, clean)
    return described(market, weights, (*market.region.notices, *notices), value)


def _max_diversification(feasible: Feasible, tickers: Sequence[str]) -> tuple[Floats, tuple[str, ...]]:
    from finpipe.portfolio.skfolio_weights import maximum_diversification

    market, allowed = feasible.market, feasible.market.region
    return maximum_diversification(
        market.covariance, allowed.lower, allowed.upper, tickers, allowed.limits
    ), ()


def _diversification(market: Market, weights: Floats) -> float:
    volatility = market.volatility_of(weights)
    mean = float(weights @ np.sqrt(np.diag(market.covariance)))
    return mean / volatility if volatility > 0 else np.nan


def _by_rule(expected: Floats, covariance: Floats, problem: Problem, tickers: Sequence[str]) -> Solution:
    feasible = feasible_market(expected, covariance, problem, tickers)
    market = feasible.market
    weights: Floats
    if problem.objective == "hrp":
        from finpipe.portfolio.hierarchical import hierarchical_risk_parity

        rule: Callable[..., tuple[Floats, tuple[str, ...]]] = hierarchical_risk_parity
    elif problem.objective == "herc":
        from finpipe.portfolio.skfolio_weights import hierarchical_equal_risk

        rule = hierarchical_equal_risk
    else:
        from finpipe.portfolio.risk_parity import risk_parity

        rule = risk_parity
    weights, notices = rule(market.covariance, market.region.lower, market.region.upper, tickers)
    return described(market, weights, (*market.region.notices, *notices))


def _without_cost(market: Market) -> Problem:
    return replace(
        market.problem, objective="min-volatility", target_return=None, target_volatility=None, cost=0.0
    )


def _limits(market: Market) -> str:
    problem = market.problem
    parts = [f"weights of {problem.min_weight:.4g} to {market.region.upper[0]:.4g}"]
    if problem.sector_limits:
        parts.append("the sector limits")
    if problem.max_turnover is not None:
        parts.append(f"a turnover of {problem.max_turnover:.4g}")
    if problem.cost > 0:
        parts.append(f"a cost of {problem.cost:.4g}")
    return " and ".join(parts)


def _below(value: float) -> str:
    return f"{np.floor(value * 1e4) / 1e4:.4f}"


def _above(value: float) -> str:
    return f"{np.ceil(value * 1e4) / 1e4:.4f}"
