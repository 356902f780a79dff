"""The optimiser's problems as cvxpy states them: slow, whole, and the yardstick of the fast ones."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np

from finpipe.portfolio.problem import Problem

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import cvxpy as cp

PRECISE = {"tol_gap_abs": 1e-9, "tol_gap_rel": 1e-9, "tol_feas": 1e-9}


class PlainMarket:
    """A problem on given figures, with every allowed portfolio written as constraints on one variable."""

    def __init__(
        self,
        expected: np.ndarray,
        covariance: np.ndarray,
        problem: Problem,
        tickers: Sequence[str],
        sectors: Mapping[str, str] | None = None,
        scenarios: np.ndarray | None = None,
    ) -> None:
        self.problem = problem
        self.scenarios = scenarios
        self.expected, self.covariance = expected, covariance
        self.weights = cp.Variable(len(tickers))
        held = problem.current_weights or {}
        self.current = np.array([held.get(ticker, 0.0) for ticker in tickers])
        self.sold = sum(abs(weight) for ticker, weight in held.items() if ticker not in tickers)
        self.turnover = cp.norm1(self.weights - self.current) + self.sold
        self.net = expected @ self.weights - problem.cost * self.turnover
        self.root = np.linalg.cholesky(covariance + problem.l2 * np.eye(len(tickers)))
        self.variance = cp.sum_squares(np.linalg.cholesky(covariance).T @ self.weights)
        self.risk = cp.sum_squares(self.root.T @ self.weights)
        most = 0.2 if problem.max_weight is None else problem.max_weight
        self.allowed = [cp.sum(self.weights) == 1, self.weights >= problem.min_weight, self.weights <= most]
        for sector in problem.sector_limits:
            least, most = problem.sector_range(sector)
            inside = [at for at, ticker in enumerate(tickers) if (sectors or {}).get(ticker) == sector]
            self.allowed += [cp.sum(self.weights[inside]) <= most]
            if np.isfinite(least):
                self.allowed += [cp.sum(self.weights[inside]) >= least]
        if problem.max_turnover is not None:
            self.allowed += [self.turnover <= problem.max_turnover]

    def best(self) -> np.ndarray:
        """Optimal weights of the problem."""
        problem, weights = self.problem, self.weights
        price = problem.cost * self.turnover
        if problem.objective == "max-sharpe":
            return self._best_ratio()
        if problem.objective == "min-volatility":
            return self._solved(cp.Minimize(self.risk + price))
        if problem.objective == "target-return":
            return self._solved(cp.Minimize(self.risk), self.net >= problem.target_return)
        if problem.objective == "target-volatility":
            cap = self.variance <= problem.target_volatility**2
            return self._solved(cp.Maximize(self.net - problem.l2 * cp.sum_squares(weights)), cap)
        assert problem.objective == "min-cvar"
        border = cp.Variable()
        beyond = cp.pos(-self.scenarios @ weights - border)
        tail = cp.sum(beyond) / ((1 - problem.confidence) * len(self.scenarios))
        return self._solved(cp.Minimize(border + tail + problem.l2 * cp.sum_squares(weights) + price))

    def highest_return(self) -> float:
        """The most that an allowed portfolio returns after the cost of trading."""
        problem = cp.Problem(cp.Maximize(self.net), self.allowed)
        return float(problem.solve(solver="CLARABEL"))

    def value(self, weights: np.ndarray) -> float:
        """What the problem optimises, worked out from weights alone."""
        problem = self.problem
        turnover = np.abs(weights - self.current).sum() + self.sold
        net = self.expected @ weights - problem.cost * turnover
        risk = weights @ self.covariance @ weights + problem.l2 * weights @ weights
        if problem.objective == "max-sharpe":
            return (net - problem.risk_free) / np.sqrt(risk)
        if problem.objective == "min-volatility":
            return risk + problem.cost * turnover
        if problem.objective == "target-return":
            return risk
        if problem.objective == "target-volatility":
            return net - problem.l2 * weights @ weights
        losses = -self.scenarios @ weights
        tail = min(
            border + np.maximum(losses - border, 0).mean() / (1 - problem.confidence)
            for border in np.sort(losses)[-int((1 - problem.confidence) * len(losses)) - 2 :]
        )
        return tail + problem.l2 * weights @ weights + problem.cost * turnover

    def broken_by(self, weights: np.ndarray) -> float:
        """By how much weights break a constraint; 0 when they are allowed."""
        self.weights.value = weights
        return max(float(np.max(constraint.violation())) for constraint in self.allowed)

    def _best_ratio(self) -> np.ndarray:
        # Dinkelbach (1967): the best ratio r is where max(excess - r volatility) is 0.
        ratio = cp.Parameter(value=0.0, nonneg=True)
        volatility = cp.norm(self.root.T @ self.weights)
        problem = cp.Problem(
            cp.Maximize(self.net - self.problem.risk_free - ratio * volatility), self.allowed
        )
        for _ in range(30):
            _solve(problem)
            better = self.value(self.weights.value)
            if better <= ratio.value * (1 + 1e-12):
                break
            ratio.value = better
        return self.weights.value

    def _solved(self, objective: cp.Minimize | cp.Maximize, *more: cp.Constraint) -> np.ndarray:
        _solve(cp.Problem(objective, [*self.allowed, *more]))
        assert self.weights.value is not None, "cvxpy found no portfolio"
        return self.weights.value


def _solve(problem: cp.Problem) -> None:
    """Solve as precisely as possible; what cvxpy calls inaccurate then is so by far less than what is compared."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        problem.solve(solver="CLARABEL", **PRECISE)


def is_feasible(problem: Problem, tickers: Sequence[str], sectors: Mapping[str, str]) -> bool:
    """Whether bounds and sector limits admit any weights."""
    market = PlainMarket(np.zeros(len(tickers)), np.eye(len(tickers)), problem, tickers, sectors)
    feasibility = cp.Problem(cp.Minimize(0), market.allowed)
    feasibility.solve(solver="SCIPY", scipy_options={"method": "highs"})
    return feasibility.status == "optimal"
