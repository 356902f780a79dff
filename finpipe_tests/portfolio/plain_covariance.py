"""Covariances with missing days, written down pair by pair."""

from __future__ import annotations

import numpy as np


def plain_pairwise(values: np.ndarray) -> np.ndarray:
    """Correlation on common days, around each ticker's own mean, times the standard deviations of all days."""
    size = values.shape[1]
    matrix = np.zeros((size, size))
    centred = values - np.nanmean(values, axis=0)
    deviation = np.nanstd(values, axis=0)
    for i in range(size):
        for j in range(size):
            both = ~np.isnan(values[:, i]) & ~np.isnan(values[:, j])
            x, y = centred[both, i], centred[both, j]
            matrix[i, j] = (
                deviation[i] * deviation[j] * (x * y).mean() / np.sqrt((x**2).mean() * (y**2).mean())
            )
    return matrix
