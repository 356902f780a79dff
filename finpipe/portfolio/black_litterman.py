"""Equilibrium returns of the market, and what views make of them.

References
----------
He, G. and Litterman, R. (1999), "The intuition behind Black-Litterman model portfolios", Goldman Sachs.
Idzorek, T. (2005), "A step-by-step guide to the Black-Litterman model"; the closed form of his confidences is from
Walters, J. (2014), "The Black-Litterman model in detail", section "Idzorek's extension".
"""

from __future__ import annotations

import numpy as np

from finpipe.portfolio.returns import Floats
from finpipe.portfolio.views import ViewMatrix

RISK_AVERSION = 2.5
TAU = 0.05


def implied_returns(
    covariance: Floats,
    market_weights: Floats,
    *,
    risk_aversion: float = RISK_AVERSION,
    risk_free: float = 0.0,
) -> Floats:
    """Return what investors must expect who hold the market: risk-free + delta S w (He and Litterman 1999).

    Parameters
    ----------
    covariance
        Annual, (N, N).
    market_weights
        (N,), scaled to sum to 1.
    risk_aversion
        delta, the market's excess return over its variance; 2.5 as in the source.
    risk_free
        Per year.

    Returns
    -------
    Floats
        Annual simple returns, (N,).

    Raises
    ------
    ValueError
        If weights are negative, not finite or all 0, or the risk aversion is not positive.
    """
    weights = np.asarray(market_weights, dtype=np.float64)
    if weights.shape != (len(covariance),):
        raise ValueError(f"{len(covariance)} tickers need as many market weights, not {weights.size}")
    if not np.isfinite(weights).all() or (weights < 0).any() or weights.sum() <= 0:
        raise ValueError("market weights must be numbers of at least 0 of which one is positive")
    if not risk_aversion > 0:
        raise ValueError(f"the risk aversion is {risk_aversion}; it must be positive")
    implied: Floats = risk_free + risk_aversion * covariance @ (weights / weights.sum())
    return implied


def posterior_returns(prior: Floats, covariance: Floats, views: ViewMatrix, *, tau: float = TAU) -> Floats:
    """Combine a prior with views: m + tau S P' (P tau S P' + Omega)^-1 (q - P m).

    Omega is diagonal, with tau p S p' (1 / c - 1) for a view p of confidence c: 0.5 is He and Litterman's own choice,
    1 is certainty, and a view of confidence 0 has no effect (Idzorek 2005, Walters 2014).

    Parameters
    ----------
    prior
        m, annual simple returns, (N,).
    covariance
        S, annual, (N, N).
    views
        P (views, N), q (views,), c (views,).
    tau
        Uncertainty of the prior as a share of the covariance. With confidences it cancels out.

    Returns
    -------
    Floats
        (N,).
    """
    believed = views.confidences > 0
    if not believed.any():
        return prior.copy()
    pick, values, confidences = views.pick[believed], views.values[believed], views.confidences[believed]
    spread = tau * covariance @ pick.T
    certain = pick @ spread
    own = np.diag(certain)
    system = certain + np.diag(own * (1 / confidences - 1))
    # Views that repeat each other with certainty leave the system singular; a breath of doubt resolves it.
    system[np.diag_indices_from(system)] += 1e-13 * own.max()
    posterior: Floats = prior + spread @ np.linalg.solve(system, values - pick @ prior)
    return posterior
