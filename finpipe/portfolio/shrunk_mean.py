"""Historical means drawn towards what they have in common, as a mean alone says little about the next year.

The Bayes-Stein estimator of Jorion, P. (1986), "Bayes-Stein estimation for portfolio analysis", Journal of Financial
and Quantitative Analysis 21.
"""

from __future__ import annotations

import numpy as np

from finpipe.portfolio.returns import TRADING_DAYS, Floats


def bayes_stein(means: Floats, covariance: Floats, days: float) -> tuple[Floats, float]:
    """Shrink means towards that of the minimum-variance portfolio.

    Parameters
    ----------
    means
        Annual arithmetic means, (N,).
    covariance
        Annual, (N, N), positive definite.
    days
        Number of daily returns behind the means.

    Returns
    -------
    tuple[Floats, float]
        (1 - w) means + w target, and w = (N + 2) / (N + 2 + T d' S^-1 d), with d the distance of the daily means
        from the target and S the daily covariance.
    """
    size = len(means)
    ones = np.ones(size)
    by_ones = np.linalg.solve(covariance, ones)
    target = float(by_ones @ means / by_ones.sum())
    distance = means - target
    squared = float(distance @ np.linalg.solve(covariance, distance)) / TRADING_DAYS
    weight = (size + 2) / (size + 2 + days * squared)
    shrunk: Floats = (1 - weight) * means + weight * target
    return shrunk, weight
