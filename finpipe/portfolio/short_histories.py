"""Completing returns whose histories differ in length, so that a covariance of all of them is one of complete data.

Follows Stambaugh (1997), "Analyzing investments whose histories differ in length", Journal of Financial Economics 45:
what a short history says is how its ticker moves with the long ones, and what the long ones did on the other days then
says the rest. A ticker's missing returns become their regression on the leading principal components of the long
histories; the part of its variance that the regression leaves unexplained is kept beside them, to be added to its own
variance for each day completed and to no covariance. The second moments of such data are positive semidefinite by
construction, those among tickers without a missing day are exactly those they would have alone, and no ticker's days
are dropped.

With 126 days the loadings on weak components are mostly noise, so the regression is a ridge regression. A component
with eigenvalue e among n long histories explains e / n of an average one's variance; taken as the prior variance of a
loading, this makes a ridge of n / e days: a few for the market, more than a hundred for a component at the edge of
noise. The ridge knows no scale and needs no tuning. In it all known days count alike, however the moments weigh them.
What two short histories share beyond the components counts only on the days both have, by their part of all days.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finpipe.portfolio.returns import Floats

FEWEST_COMPONENTS = 10
"""All components beyond the edge of noise are used, and at least so many where there are as many long histories."""

ROUNDS = 2
"""How often components and completed days are estimated in turn where the long histories have holes themselves."""


@dataclass(frozen=True, slots=True)
class Completed:
    """Returns without missing days.

    Parameters
    ----------
    values
        float64 (days, N), columns contiguous: known returns as they were, the others as the regression has them.
    columns
        Those in which something was missing, ascending, (M,).
    missing
        bool (days, M): where.
    residual
        (M,): daily variance that the regression leaves unexplained, to be added for each completed day.
    long
        Number of long histories.
    components
        Number of their principal components; 0 where nothing was missing.
    """

    values: Floats
    columns: NDArray[np.int64]
    missing: NDArray[np.bool_]
    residual: Floats
    long: int
    components: int


@dataclass(frozen=True, slots=True)
class _Components:
    """Scores (days, K) of unit variance, the ridge (K,) of a loading in days, and the long columns' part in them.

    A column's part in the scores is the outer product of its ``standard`` returns (days, n) and its ``weights`` (n, K).
    """

    scores: Floats
    ridge: Floats
    standard: Floats
    weights: Floats

    def without(self, column: int) -> Floats:
        """Return the scores as the other long histories make them, so that none explains itself."""
        return self.scores - np.outer(self.standard[:, column], self.weights[column])


def completed(values: Floats) -> Completed:
    """Complete the missing days of returns.

    Long histories are those with at least d days, where d makes d x the number of such tickers the greatest: the
    largest block of returns. Where a few tickers are short and all others whole, these are the whole ones; where all
    are short at different times, those that cover most. Their own holes are completed in the same way, each from the
    other long histories, in :data:`ROUNDS` rounds that start from the mean.

    Parameters
    ----------
    values
        (days, N) simple returns, NaN where missing; at least two known in each column.
    """
    unknown = np.isnan(values)
    columns = np.flatnonzero(unknown.any(axis=0))
    missing = unknown[:, columns]
    filled = np.array(values, dtype=np.float64, order="F")
    residual = np.zeros(len(columns))
    if not len(columns):
        return Completed(filled, columns, missing, residual, filled.shape[1], 0)
    days = len(values) - unknown.sum(axis=0)
    ranked = np.sort(days)[::-1]
    long = np.flatnonzero(days >= ranked[np.argmax(ranked * np.arange(1, len(ranked) + 1))])
    for column, lacks in zip(columns, missing.T, strict=True):
        filled[lacks, column] = filled[~lacks, column].mean()

    of_long = {int(column): place for place, column in enumerate(long)}
    holed = [at for at, column in enumerate(columns) if int(column) in of_long]
    components = _components(filled[:, long])
    for _ in range(ROUNDS if holed else 0):
        for at in holed:
            scores = components.without(of_long[int(columns[at])])
            residual[at] = _regress(filled[:, columns[at]], missing[:, at], scores, components.ridge)
        components = _components(filled[:, long])
    for at, column in enumerate(columns):
        if int(column) not in of_long:
            residual[at] = _regress(filled[:, column], missing[:, at], components.scores, components.ridge)
    return Completed(filled, columns, missing, residual, len(long), len(components.ridge))


def _components(long: Floats) -> _Components:
    """Return the leading principal components of the long histories' correlation.

    Beyond the edge of noise is an eigenvalue above (1 + sqrt(n / days))^2, the largest that the law of Marchenko and
    Pastur leaves to the correlation of n independent series.
    """
    days, size = long.shape
    deviation = long.std(axis=0)
    standard = (long - long.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0)
    eigenvalues, vectors = np.linalg.eigh(standard.T @ standard / days)
    beyond = int((eigenvalues > (1 + (size / days) ** 0.5) ** 2).sum())
    kept = min(max(beyond, FEWEST_COMPONENTS), int((eigenvalues > 1e-10 * size).sum()))
    first = size - kept
    weights = vectors[:, first:] / np.sqrt(eigenvalues[first:])
    return _Components(standard @ weights, size / eigenvalues[first:], standard, weights)


def _regress(column: Floats, lacks: NDArray[np.bool_], scores: Floats, ridge: Floats) -> float:
    """Write the regression of a column into the days it lacks, in place, and return the variance it does not explain.

    That is the variance of the known returns less that of their fitted values, so that a loading which the ridge
    shrinks takes nothing from the ticker's own variance.
    """
    known = ~lacks
    at_known = scores[known]
    middle = at_known.mean(axis=0)
    at_known -= middle
    mean = column[known].mean()
    own = column[known] - mean
    loadings = np.linalg.solve(at_known.T @ at_known + np.diag(ridge), at_known.T @ own)
    column[lacks] = mean + (scores[lacks] - middle) @ loadings
    fitted = at_known @ loadings
    return max(float(own @ own - fitted @ fitted), 0.0) / (len(own) - 1)
