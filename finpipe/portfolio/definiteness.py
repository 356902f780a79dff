"""Making a symmetric matrix a covariance: positive definite, with its variances, and a record of what was changed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from finpipe.market.daily_bars import listed
from finpipe.portfolio.returns import Floats

SMALLEST_EIGENVALUE = 1e-8
"""Of the correlation matrix, whose mean eigenvalue is 1: far below what data can tell, far above rounding."""

SMALLEST_VARIANCE = 1e-8
"""Annual, a volatility of 0.01%: what a series that never moves is given."""


def positive_definite(matrix: Floats, tickers: Sequence[str]) -> tuple[Floats, tuple[str, ...]]:
    """Repair a covariance if it needs it.

    A series without variance is given one of :data:`SMALLEST_VARIANCE`. If an eigenvalue of the correlation matrix
    lies below :data:`SMALLEST_EIGENVALUE`, all those are raised to it and the matrix is scaled back to its variances.

    Parameters
    ----------
    matrix
        (N, N), annual; nearly symmetric, no NaN.
    tickers
        Names of its rows.

    Returns
    -------
    tuple[Floats, tuple[str, ...]]
        An exactly symmetric matrix that has a Cholesky factor, and a sentence for each kind of change.
    """
    variance = np.diag(matrix).copy()
    still = variance < SMALLEST_VARIANCE
    variance[still] = SMALLEST_VARIANCE
    deviation = np.sqrt(variance)
    said: list[str] = []
    if still.any():
        names = [ticker for ticker, is_still in zip(tickers, still, strict=True) if is_still]
        said.append(
            f"{listed(names)} hardly ever moved and {'was' if len(names) == 1 else 'were'} given a volatility of "
            f"{np.sqrt(SMALLEST_VARIANCE):.2%} a year"
        )
    correlation = matrix / deviation / deviation[:, None]
    correlation = (correlation + correlation.T) / 2
    correlation[still, :] = 0.0
    correlation[:, still] = 0.0
    np.fill_diagonal(correlation, 1.0)
    if not _has_factor(correlation):
        correlation, sentence = _clipped(correlation)
        said.append(sentence)
    if not said:
        return (matrix + matrix.T) / 2, ()
    return correlation * np.outer(deviation, deviation), tuple(said)


def _has_factor(correlation: Floats) -> bool:
    lowered = correlation.copy()
    lowered[np.diag_indices_from(lowered)] -= SMALLEST_EIGENVALUE / 2
    try:
        np.linalg.cholesky(lowered)
    except np.linalg.LinAlgError:
        return False
    return True


def _clipped(correlation: Floats) -> tuple[Floats, str]:
    # Only the few lowest eigenvalues are needed, and finding them takes a fraction of a whole decomposition.
    from scipy.linalg import eigh

    eigenvalues, vectors = eigh(correlation, subset_by_value=(-np.inf, 100 * SMALLEST_EIGENVALUE))
    smallest = float(eigenvalues[0])
    # Scaling back to ones on the diagonal divides by at most 1 + abs(smallest).
    floor = SMALLEST_EIGENVALUE * min(1 + abs(smallest), 100)
    low = eigenvalues < floor
    raised = vectors[:, low] * (floor - eigenvalues[low])
    clipped = correlation + raised @ vectors[:, low].T
    unit = np.sqrt(np.diag(clipped))
    result = clipped / unit / unit[:, None]
    result = (result + result.T) / 2
    np.fill_diagonal(result, 1.0)
    change = float(np.abs(result - correlation).max())
    sentence = (
        f"{int(low.sum())} of {len(correlation)} eigenvalues of the correlation were raised to {floor:.1e} "
        f"(the smallest was {smallest:.1e}); no correlation moved by more than {change:.1e}"
    )
    return result, sentence
