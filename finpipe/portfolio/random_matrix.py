"""Where the eigenvalues of a correlation matrix of pure noise end, by the law of Marchenko and Pastur.

Follows Lopez de Prado (2020), "Machine learning for asset managers", section 2.4: the law's variance is the one whose
density comes closest to that of the eigenvalues at hand.
"""

from __future__ import annotations

import numpy as np

from finpipe.portfolio.returns import Floats

BANDWIDTH = 0.01
POINTS = 1000


def noise_edge(eigenvalues: Floats, ratio: float) -> float:
    """Return the largest eigenvalue that noise would make.

    Parameters
    ----------
    eigenvalues
        Of a correlation matrix, (N,).
    ratio
        Days over tickers, T / N.
    """
    from scipy.optimize import minimize

    low, high = (1 - (1 / ratio) ** 0.5) ** 2, (1 + (1 / ratio) ** 0.5) ** 2

    def misfit(guess: Floats) -> float:
        variance = float(guess[0])
        at = np.linspace(variance * low, variance * high, POINTS)
        inside = np.maximum((variance * high - at) * (at - variance * low), 0.0)
        law = ratio / (2 * np.pi * variance * at) * np.sqrt(inside)
        return float(((_density(eigenvalues, at) - law) ** 2).sum())

    variance = float(minimize(misfit, x0=0.5, bounds=((1e-5, 1 - 1e-5),))["x"][0])
    return variance * float(high)


def _density(eigenvalues: Floats, at: Floats) -> Floats:
    """Gaussian kernel density of the eigenvalues."""
    distance = (at[:, None] - eigenvalues) / BANDWIDTH
    density: Floats = np.exp(-0.5 * distance**2).sum(axis=1) / (
        len(eigenvalues) * BANDWIDTH * np.sqrt(2 * np.pi)
    )
    return density
