"""Covariances with missing days, written down pair by pair."""

from __future__ import annotations

import numpy as np


def plain_pairwise(values: np.ndarray) -> np.ndarray:
    """Correlation on common days, around each ticker's own mean, times the standard deviations of all days.

    Pairs with fewer than 21 common days, but days enough of their own, are uncorrelated.
    """
    return _pairs(values)[0]


def plain_ledoit_wolf(values: np.ndarray) -> tuple[np.ndarray, float]:
    """Shrink the pairwise covariance; the noise of each entry is the variance of its mean over its own days."""
    size = values.shape[1]
    matrix, variances = _pairs(values)
    target = np.eye(size) * np.trace(matrix) / size
    distance = ((matrix - target) ** 2).sum()
    shrinkage = min(variances.sum(), distance) / distance if variances.sum() > 0 else 0.0
    return (1 - shrinkage) * matrix + shrinkage * target, shrinkage


def _pairs(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    size = values.shape[1]
    matrix, variances = np.zeros((size, size)), np.zeros((size, size))
    centred = values - np.nanmean(values, axis=0)
    deviation = np.nanstd(values, axis=0)
    days = (~np.isnan(values)).sum(axis=0)
    for i in range(size):
        for j in range(size):
            both = ~np.isnan(values[:, i]) & ~np.isnan(values[:, j])
            x, y = centred[both, i], centred[both, j]
            scale = deviation[i] * deviation[j] / np.sqrt((x**2).mean() * (y**2).mean())
            if both.sum() >= min(21, days[i], days[j]):
                matrix[i, j] = (x * y).mean() * scale
            variances[i, j] = ((x * y * scale) ** 2).mean() - matrix[i, j] ** 2
            variances[i, j] /= both.sum()
    return matrix, variances
