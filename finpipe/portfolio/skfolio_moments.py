"""Rarer covariances as skfolio estimates them, on completed returns.

Importing this module imports skfolio, which takes a second: only what needs it does so, inside a function.
"""

from __future__ import annotations

import numpy as np
from skfolio.moments import GerberCovariance

from finpipe.portfolio.definiteness import SMALLEST_VARIANCE
from finpipe.portfolio.returns import TRADING_DAYS, Floats
from finpipe.portfolio.short_histories import Completed


def gerber(whole: Completed) -> Floats:
    """Daily covariance of co-movements that are more than noise, as skfolio's ``GerberCovariance``.

    The variances are the usual ones, divided by n. A correlation is counted in days: those on which both returns are
    beyond half a standard deviation, to the same side less to opposite sides, over those on which either of them is
    (Gerber, Javid, Markowitz, Sargen and Starer 2022, "The Gerber statistic: a robust co-movement measure for portfolio
    optimization", Journal of Portfolio Management 48).

    Parameters
    ----------
    whole
        Completed returns of N tickers. A completed day counts as any other, and what its regression left unexplained
        is added to the ticker's own variance and to no covariance.

    Returns
    -------
    ndarray
        Shape (N, N), symmetric, positive semidefinite up to rounding; 0 for a ticker that hardly ever moved.
    """
    values = whole.values
    days, count = values.shape
    moving = np.flatnonzero(values.var(axis=0) * TRADING_DAYS >= SMALLEST_VARIANCE)
    daily = np.zeros((count, count))
    if len(moving):
        # The repair is ours: it is measured on correlations, and said.
        daily[np.ix_(moving, moving)] = GerberCovariance(nearest=False).fit(values[:, moving]).covariance_
    daily[whole.columns, whole.columns] += whole.missing.sum(axis=0) * whole.residual / days
    return daily
