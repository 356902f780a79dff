"""The compiled loop of risk parity; what it computes and why is in ``risk_parity``."""

from __future__ import annotations

import numba
import numpy as np
from numba import float64, int64

from finpipe.portfolio.problem import Floats

VECTOR = float64[::1]


@numba.njit(
    [int64(float64[:, ::1], float64, VECTOR, VECTOR, VECTOR, float64, int64)],
    cache=True,
    nogil=True,
    error_model="numpy",
)
def descend(  # noqa: PLR0917 - compiled functions take no keywords
    covariance: Floats,
    log_weight: float,
    lower: Floats,
    upper: Floats,
    weights: Floats,
    tolerance: float,
    most_sweeps: int,
) -> int:
    """Minimise 1/2 w'Cw - log_weight sum(ln w) within bounds, one weight after the other, in place.

    The best w_i given the others solves C_ii w^2 + b w - log_weight = 0 with b = sum of C_ij w_j over j != i;
    a bound cuts it off, which keeps the descent exact as bounds are separable.

    Returns
    -------
    int
        Sweeps until no weight moved by more than ``tolerance`` of itself; ``most_sweeps`` if it did not settle.
    """
    count = len(weights)
    for sweep in range(most_sweeps):
        moved = 0.0
        for i in range(count):
            pull = 0.0
            for j in range(count):
                pull += covariance[i, j] * weights[j]
            variance = covariance[i, i]
            pull -= variance * weights[i]
            root = np.sqrt(pull * pull + 4.0 * variance * log_weight)
            # Of two forms of the positive root, the one that does not cancel.
            best = 2.0 * log_weight / (pull + root) if pull > 0 else (root - pull) / (2.0 * variance)
            best = min(max(best, lower[i]), upper[i])
            moved = max(moved, abs(best - weights[i]) / max(best, 1e-300))
            weights[i] = best
        if moved < tolerance:
            return sweep + 1
    return most_sweeps
