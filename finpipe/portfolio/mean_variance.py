"""Portfolios on expected return and variance: the programs behind Sharpe ratio, volatility and return targets.

Throughout, the return of weights is what trading leaves of it, mu'w - cost x sum(|w - current|), and the
risk is w'(covariance + l2 I)w.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import sqrt

import numpy as np

from finpipe.portfolio.problem import Floats, Indices, InfeasibleError, Problem
from finpipe.portfolio.region import Region
from finpipe.portfolio.solver import Rows, likely_names, solve, stack

AT_MOST = 1e-9
"""Relative slack within which a target counts as reached."""


@dataclass(frozen=True, slots=True)
class Market:
    """What a mean-variance program is about.

    Parameters
    ----------
    expected
        Expected simple returns per year; shape (N,).
    covariance
        Annual, positive semidefinite; shape (N, N).
    region
        The weights that are allowed.
    problem
        Where the figures of cost, l2 and the risk-free rate come from.
    """

    expected: Floats
    covariance: Floats
    region: Region
    problem: Problem

    @property
    def risk(self) -> Floats:
        """Covariance + l2 I; shape (N, N)."""
        if self.problem.l2 == 0:
            return self.covariance
        return self.covariance + self.problem.l2 * np.eye(len(self.covariance))

    def net_return(self) -> Rows:
        """The row of mu'w - cost x turnover."""
        gross = self.region.row(self.expected)
        return gross if self.problem.cost == 0 else gross.minus(self.region.turnover, self.problem.cost)

    def net_return_of(self, weights: Floats) -> float:
        """Return mu'w - cost x sum(|w - current|) of weights."""
        cost = self.problem.cost * self.region.turnover_of(weights) if self.problem.cost > 0 else 0.0
        return float(self.expected @ weights) - cost

    def volatility_of(self, weights: Floats) -> float:
        """Annual volatility of weights, without l2."""
        return sqrt(max(float(weights @ self.covariance @ weights), 0.0))


def max_return(market: Market, feasible: Indices) -> Floats:
    """Weights of the highest expected return; shape (N,)."""
    best = np.argsort(-market.expected, kind="stable")[:64]
    program = market.region.program(linear=-market.net_return())
    return solve(program, np.union1d(best, feasible)).weights


def min_turnover(market: Market) -> Floats:
    """Weights that the least trading reaches; shape (N,). The region may not limit the turnover itself."""
    first = np.union1d(market.region.traded, np.arange(min(64, len(market.expected))))
    return solve(market.region.program(linear=market.region.turnover), first).weights


def min_volatility(market: Market, feasible: Indices) -> Floats:
    """Weights that minimise w'(covariance + l2 I)w + cost x turnover; shape (N,)."""
    risk = market.risk
    linear = None
    if market.problem.cost > 0:
        linear = market.region.row().minus(market.region.turnover, -market.problem.cost)
    program = market.region.program(quadratic=2 * risk, linear=linear)
    return solve(program, np.union1d(likely_names(None, risk), feasible)).weights


def max_sharpe(market: Market, feasible: Indices, highest: Floats) -> Floats:
    """Weights of the highest (net return - risk-free) / sqrt(w'(covariance + l2 I)w); shape (N,).

    Solved as the quadratic program in y = k w that minimises the risk of an excess return fixed (Cornuejols
    and Tütüncü 2006, section 8.2), which keeps bounds and limits as rows in y and k.

    Parameters
    ----------
    highest
        Weights of the highest return.

    Raises
    ------
    InfeasibleError
        No allowed portfolio returns more than the risk-free rate.
    """
    risk_free = market.problem.risk_free
    best = market.net_return_of(highest)
    if best - risk_free <= AT_MOST * max(abs(risk_free), 1e-3):
        raise InfeasibleError(
            f"no portfolio within these limits beats the risk-free rate: the highest expected return is "
            f"{best:.4g} per year, the risk-free rate {risk_free:.4g}; a Sharpe ratio needs a risk-free rate below "
            f"{best:.4g}, or choose min-volatility"
        )
    risk = market.risk
    excess = market.net_return().shifted(-risk_free)
    plain = market.region.program(quadratic=2 * risk)
    program = replace(
        plain, equal=stack(market.region.budget, excess), equal_to=np.array([0.0, best - risk_free])
    )
    first = np.union1d(likely_names(market.expected - risk_free, risk), feasible)
    return solve(program, first).weights


def target_return(market: Market, target: float, feasible: Indices) -> Floats:
    """Weights of the least risk among those with a net return of at least ``target``; shape (N,)."""
    risk = market.risk
    enough = market.net_return().shifted(-target)
    return solve(market.region.program(quadratic=2 * risk, at_least=enough), feasible).weights


def target_volatility(market: Market, target: float, feasible: Indices) -> Floats:
    """Weights of the highest net return - l2 w'w among those of at most the volatility ``target``; shape (N,)."""
    squares = 2 * market.problem.l2 * np.eye(len(market.expected)) if market.problem.l2 > 0 else None
    program = market.region.program(
        quadratic=squares, linear=-market.net_return(), capped=market.covariance, cap=target
    )
    return solve(program, feasible).weights
