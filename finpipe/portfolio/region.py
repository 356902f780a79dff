"""The weights that a problem allows, and its turnover, as rows of a program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from finpipe.portfolio.problem import Floats, Indices, Problem, feasible_bounds, sector_members
from finpipe.portfolio.solver import Program, Rows, no_rows, stack


@dataclass(frozen=True, slots=True)
class Region:
    """What bounds, sector limits and turnover allow.

    Parameters
    ----------
    lower, upper
        Bounds of the weights; shape (N,).
    budget
        Row that is 0 where the weights sum to the scale.
    limits
        Rows that are at least 0 inside the limits.
    turnover
        Row of sum(|w - current|): exact where it is priced or limited, and at least that elsewhere.
    current
        Weights held now; shape (N,), 0 without any.
    sold
        Sum of |weight| held now in names that are not among the tickers, all to be sold.
    traded
        Names whose trade needs a variable of its own, as they may be bought or sold.
    notices
        What was relaxed, in words.
    """

    lower: Floats
    upper: Floats
    budget: Rows
    limits: Rows
    turnover: Rows
    current: Floats
    sold: float
    traded: Indices
    notices: tuple[str, ...]

    def turnover_of(self, weights: Floats) -> float:
        """Return sum(|w - current|), names that are no longer wanted included."""
        return float(np.abs(weights - self.current).sum()) + self.sold

    def widened(self, extras: int) -> Region:
        """The same region with so many further variables behind its own."""

        def wide(rows: Rows) -> Rows:
            return Rows(rows.assets, rows.scale, np.pad(rows.extra, ((0, 0), (0, extras))))

        return replace(self, budget=wide(self.budget), limits=wide(self.limits), turnover=wide(self.turnover))

    def program(
        self,
        *,
        quadratic: Floats | None = None,
        linear: Rows | None = None,
        at_least: Rows | None = None,
        capped: Floats | None = None,
        cap: float = 0.0,
    ) -> Program:
        """A program over these weights, with a scale of 1."""
        one = self.row(scale=1.0)
        return Program(
            lower=self.lower,
            upper=self.upper,
            quadratic=quadratic,
            linear=self.row() if linear is None else linear,
            equal=stack(self.budget, one),
            equal_to=np.array([0.0, 1.0]),
            at_least=self.limits if at_least is None else stack(self.limits, at_least),
            capped=capped,
            cap=cap,
        )

    def row(self, assets: Floats | None = None, scale: float = 0.0) -> Rows:
        """One row over the variables of this region."""
        count, extras = len(self.lower), self.budget.extra.shape[1]
        return Rows(
            np.zeros((1, count)) if assets is None else assets[None, :].astype(np.float64),
            np.array([float(scale)]),
            np.zeros((1, extras)),
        )


def region(problem: Problem, tickers: Sequence[str], sectors: Mapping[str, str] | None = None) -> Region:
    """Return the weights that ``problem`` allows on ``tickers``.

    Raises
    ------
    ProblemError, InfeasibleError
        As :func:`finpipe.portfolio.problem.feasible_bounds`.
    """
    bounds = feasible_bounds(problem, tickers, sectors)
    members = sector_members(problem, tickers, sectors)
    count = len(tickers)
    lower, upper, notices = bounds.lower, bounds.upper, list(bounds.notices)
    current = np.zeros(count)
    sold, traded = 0.0, np.zeros(0, dtype=np.int64)
    if problem.current_weights is not None:
        current = np.array([problem.current_weights.get(ticker, 0.0) for ticker in tickers])
        gone = sorted(set(problem.current_weights) - set(tickers))
        sold = float(sum(abs(problem.current_weights[ticker]) for ticker in gone))
        if sold > 0:
            notices.append(f"held now but not among the tickers, so sold: {', '.join(gone)} ({sold:.1%})")
        if problem.cost > 0 or problem.max_turnover is not None:
            traded = np.flatnonzero(current > lower)
    extras = len(traded)
    still = np.ones(count)
    still[traded] = 0.0
    turnover = Rows(still[None, :], np.array([sold - float(still @ current)]), np.ones((1, extras)))
    limits = []
    for sign in (1.0, -1.0):
        of_traded = np.zeros((extras, count))
        of_traded[np.arange(extras), traded] = -sign
        limits.append(Rows(of_traded, sign * current[traded], np.eye(extras)))
    for sector, found in members.items():
        least, most = problem.sector_range(sector)
        inside = np.zeros((1, count))
        inside[0, found] = 1.0
        if most < 1:
            limits.append(Rows(-inside, np.array([most]), np.zeros((1, extras))))
        if least > float(lower[found].sum()):
            limits.append(Rows(inside, np.array([-least]), np.zeros((1, extras))))
    if problem.max_turnover is not None and np.isfinite(problem.max_turnover):
        limits.append((-turnover).shifted(problem.max_turnover))
    budget = Rows(np.ones((1, count)), np.array([-1.0]), np.zeros((1, extras)))
    return Region(
        lower=lower,
        upper=upper,
        budget=budget,
        limits=stack(*limits) if limits else no_rows(budget),
        turnover=turnover,
        current=current,
        sold=sold,
        traded=traded,
        notices=tuple(notices),
    )
