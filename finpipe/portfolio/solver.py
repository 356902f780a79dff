"""Convex programs over portfolio weights, solved by Clarabel on the few names that can matter.

An optimal portfolio of hundreds of names holds some dozens. So a program is solved on a working set of
names, the others standing at their lower bounds; its prices then say which of the others would improve
it, those join, and the program is solved again until none would (column generation, Dantzig and Wolfe
1960). The answer is the one of the whole program. What portfolios mean by it is in ``mean_variance`` and ``cvar``.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from finpipe.portfolio.problem import Floats, Indices, InfeasibleError

FIRST_NAMES = 64
"""Names in the first working set, besides those of a known feasible portfolio."""

ALL_NAMES = 96
"""Programs with so few names are solved whole."""

GAP = 1e-9
"""Relative gap at which the solver stops."""

IMPROVEMENT = 1e-8
"""Relative improvement that names outside the working set may still promise."""


class SolverError(RuntimeError):
    """The solver gave up on a program that is not known to be infeasible."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Linear expressions in weights, scale and further variables.

    Parameters
    ----------
    assets
        Coefficients of the weights; shape (M, N).
    scale
        Coefficients of the scale, which is the constant 1 unless a program lets it vary; shape (M,).
    extra
        Coefficients of further variables; shape (M, E).
    """

    assets: Floats
    scale: Floats
    extra: Floats

    def __len__(self) -> int:
        return len(self.scale)

    def __neg__(self) -> Rows:
        return Rows(-self.assets, -self.scale, -self.extra)

    def minus(self, other: Rows, times: float) -> Rows:
        """Subtract ``times`` the other rows."""
        return Rows(
            self.assets - times * other.assets,
            self.scale - times * other.scale,
            self.extra - times * other.extra,
        )

    def shifted(self, constant: float) -> Rows:
        """Add ``constant`` x scale to every row."""
        return Rows(self.assets, self.scale + constant, self.extra)


def stack(*rows: Rows) -> Rows:
    """Stack rows over the same variables."""
    return Rows(
        np.concatenate([part.assets for part in rows]),
        np.concatenate([part.scale for part in rows]),
        np.concatenate([part.extra for part in rows]),
    )


def no_rows(like: Rows) -> Rows:
    """No row over the variables of ``like``."""
    return Rows(like.assets[:0], like.scale[:0], like.extra[:0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """Minimise 1/2 y'Qy + c(y, k, x) over weights y (N), scale k and further variables x.

    Parameters
    ----------
    lower, upper
        lower k <= y <= upper k; shape (N,).
    quadratic
        Q, positive semidefinite; None for a linear program.
    linear
        c; one row.
    equal, equal_to
        Rows that equal these numbers.
    at_least
        Rows that are at least 0.
    capped, cap
        y' capped y <= (cap k)^2.
    """

    lower: Floats
    upper: Floats
    quadratic: Floats | None
    linear: Rows
    equal: Rows
    equal_to: Floats
    at_least: Rows
    capped: Floats | None = None
    cap: float = 0.0


@dataclass(frozen=True, slots=True)
class Answer:
    """Solution of a program.

    Parameters
    ----------
    weights
        y / k; shape (N,).
    value
        Objective at y.
    rounds, names
        How often the solver ran, and on how many names the last time.
    """

    weights: Floats
    value: float
    rounds: int
    names: int


def solve(program: Program, first: Indices) -> Answer:
    """Solve a program to a relative accuracy of about 1e-8 in its objective.

    Parameters
    ----------
    first
        Names to begin with; best those of a feasible portfolio and those likely to be held.

    Raises
    ------
    InfeasibleError
        No weights meet all rows.
    SolverError
        The solver could not finish.
    """
    count = len(program.lower)
    chosen = np.zeros(count, dtype=bool)
    chosen[first] = True
    if count <= ALL_NAMES or chosen.sum() > count // 2:
        chosen[:] = True
    for rounds in range(1, count + 2):
        names = np.flatnonzero(chosen)
        try:
            y, scale, value, rates = _solve_among(program, names)
        except InfeasibleError:
            if chosen.all():
                raise
            chosen[:] = True
            continue
        # All the money beside the lower bounds, moved to the best name outside, would gain at most this.
        gains = np.where(chosen, 0.0, -rates) * max(1 - float(program.lower.sum()), 0.0) * scale
        worth = gains > IMPROVEMENT * max(abs(value), 1e-12)
        if not worth.any():
            return Answer(y / scale, value, rounds, len(names))
        joining = np.flatnonzero(worth)
        joining = joining[
            np.argsort(-gains[joining], kind="stable")[: max(FIRST_NAMES // 2, len(names) // 2)]
        ]
        chosen[joining] = True
        if chosen.sum() > 0.6 * count:
            chosen[:] = True
    raise SolverError("the working set stopped growing before it was optimal")


def likely_names(expected: Floats | None, covariance: Floats, count: int = FIRST_NAMES) -> Indices:
    """Names likely to be held: least covariance with the average name, or most return for it."""
    with_market = covariance.mean(axis=1)
    if expected is None:
        order = np.argsort(with_market, kind="stable")
    else:
        order = np.argsort(-(expected / np.maximum(with_market, 1e-12)), kind="stable")
    return order[:count].astype(np.int64)


def _solve_among(program: Program, names: Indices) -> tuple[Floats, float, float, Floats]:
    """Solve with the names outside at their lower bounds.

    Variables are v = y - lower k of the names, then k, then x. Returns y, k, the objective and, for every
    name, the rate at which the objective would change if it were held beyond its lower bound.
    """
    import clarabel

    held, lower, upper = len(names), program.lower, program.upper
    extras = program.linear.extra.shape[1]
    width = held + 1 + extras

    def over_variables(rows: Rows) -> Floats:
        at_k = rows.scale + rows.assets @ lower
        return np.concatenate([rows.assets[:, names], at_k[:, None], rows.extra], axis=1)

    room = upper[names] - lower[names]
    bounded = np.flatnonzero(room < 1 - lower.sum() - 1e-12)
    own = np.zeros((held + len(bounded), width))
    own[np.arange(held), np.arange(held)] = -1
    own[held + np.arange(len(bounded)), bounded] = 1
    own[held + np.arange(len(bounded)), held] = -room[bounded]
    blocks = [over_variables(program.equal), -over_variables(program.at_least), own]
    cones: list[Any] = [
        clarabel.ZeroConeT(len(program.equal)),
        clarabel.NonnegativeConeT(len(program.at_least) + len(own)),
    ]
    bound = np.concatenate([program.equal_to, np.zeros(len(program.at_least) + len(own))])
    if program.capped is not None:
        root = _root(_over_names(program.capped, lower, names))
        cone = np.zeros((1 + len(root), width))
        cone[0, held] = -program.cap
        cone[1:, : held + 1] = -root
        blocks.append(cone)
        cones.append(clarabel.SecondOrderConeT(len(cone)))
        bound = np.concatenate([bound, np.zeros(len(cone))])

    quadratic = np.zeros((0, 0))
    if program.quadratic is not None:
        quadratic = np.triu(_over_names(program.quadratic, lower, names))
    linear = over_variables(program.linear)[0]
    size = max(float(np.abs(quadratic).max(initial=0)), float(np.abs(linear).max()), 1e-300)
    solution = _clarabel(quadratic / size, linear / size, np.concatenate(blocks), bound, cones)

    x, z = np.asarray(solution.x), np.asarray(solution.z) * size
    scale = float(x[held])
    y = lower * scale
    y[names] += x[:held]
    equal_price, at_least_price = np.split(
        z[: len(program.equal) + len(program.at_least)], [len(program.equal)]
    )
    rates: Floats = (
        program.linear.assets[0]
        + equal_price @ program.equal.assets
        - at_least_price @ program.at_least.assets
    )
    if program.quadratic is not None:
        rates = rates + program.quadratic @ y
    if program.capped is not None:
        pull = program.capped @ y
        price = z[-len(blocks[-1])]
        rates = rates + price * pull / np.sqrt(max(float(y @ pull), 1e-300))
    return y, scale, float(solution.obj_val) * size, rates


def _clarabel(quadratic: Floats, linear: Floats, matrix: Floats, bound: Floats, cones: list[Any]) -> Any:  # noqa: ANN401 - Clarabel's classes carry no types
    import clarabel

    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.max_threads = 1
    columns = _columns(matrix, matrix.shape)
    squares = _columns(quadratic, (len(linear), len(linear)))
    for gap in (GAP, 10 * GAP):
        settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = gap
        solver = clarabel.DefaultSolver(squares, linear, columns, bound, cones, settings)
        solution = solver.solve()
        status = str(solution.status)
        if status == "Solved":
            return solution
        if status == "PrimalInfeasible":
            raise InfeasibleError("the limits of the problem leave no portfolio")
    raise SolverError(f"the solver stopped with {status} after {solution.iterations} iterations")


def _columns(matrix: Floats, shape: tuple[int, int]) -> SimpleNamespace:
    """Compressed sparse columns of a matrix filled up with zeros to ``shape``, as Clarabel reads them.

    A namespace with the right names spares importing scipy.sparse for it.
    """
    column, row = np.nonzero(matrix.T)
    starts = np.concatenate([[0], np.cumsum(np.bincount(column, minlength=shape[1]))])
    return SimpleNamespace(
        data=matrix[row, column], indices=row, indptr=starts, shape=shape, has_canonical_format=True
    )


def _over_names(matrix: Floats, lower: Floats, names: Indices) -> Floats:
    """The quadratic form in (v of the names, k) of a form in y."""
    pulled = matrix @ lower
    form = np.zeros((len(names) + 1, len(names) + 1))
    form[:-1, :-1] = matrix[np.ix_(names, names)]
    form[:-1, -1] = form[-1, :-1] = pulled[names]
    form[-1, -1] = lower @ pulled
    return form


def _root(form: Floats) -> Floats:
    """R with R'R = form, without rows of zeros."""
    values, vectors = np.linalg.eigh(form)
    kept = values > 1e-14 * values[-1]
    root: Floats = np.sqrt(values[kept])[:, None] * vectors[:, kept].T
    return root
