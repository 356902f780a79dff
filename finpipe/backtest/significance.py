"""Whether a figure could be luck: t statistics, intervals, and Sharpe ratios that know of the search.

References
----------
Newey, W. and West, K. (1987), "A simple, positive semi-definite, heteroskedasticity and autocorrelation
consistent covariance matrix", Econometrica 55.
Lo, A. (2002), "The statistics of Sharpe ratios", Financial Analysts Journal 58.
Politis, D. and Romano, J. (1994), "The stationary bootstrap", JASA 89.
Bailey, D. and Lopez de Prado, M. (2012), "The Sharpe ratio efficient frontier", Journal of Risk 15.
Bailey, D. and Lopez de Prado, M. (2014), "The deflated Sharpe ratio: correcting for selection bias,
backtest overfitting and non-normality", Journal of Portfolio Management 40.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, e, floor, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

from finpipe.backtest.metrics import DAYS_PER_YEAR

EULER_GAMMA = 0.5772156649015329
BATCH = 250

Floats = NDArray[np.float64]


def newey_west_lags(n: int) -> int:
    """Return the usual number of lags for ``n`` observations: floor(4 (n / 100)^(2/9))."""
    return floor(4 * (n / 100) ** (2 / 9)) if n > 0 else 0


def newey_west_t(values: ArrayLike, lags: int | None = None) -> float:
    """Return the t statistic of the mean with a Newey-West standard error (Bartlett weights).

    Parameters
    ----------
    values
        Observations in order; NaNs are dropped.
    lags
        Autocovariances used; observations that overlap by h need at least h - 1. By default
        ``newey_west_lags``.

    Returns
    -------
    float
        mean / se with se^2 = (g0 + 2 sum_k (1 - k / (lags + 1)) g_k) / n and autocovariances g_k
        divided by n; NaN for fewer than three observations or no variation.
    """
    sample = _known(values)
    n = len(sample)
    if n < 3:
        return np.nan
    lags = min(newey_west_lags(n) if lags is None else lags, n - 1)
    deviation = sample - sample.mean()
    variance = float(deviation @ deviation) / n
    for lag in range(1, lags + 1):
        variance += 2 * (1 - lag / (lags + 1)) * float(deviation[lag:] @ deviation[:-lag]) / n
    return float(sample.mean() / sqrt(variance / n)) if variance > 1e-30 else np.nan


def lo_sharpe(returns: ArrayLike, lags: int | None = None, periods: int = DAYS_PER_YEAR) -> float:
    """Return the annual Sharpe ratio corrected for autocorrelation (Lo 2002, equation 20).

    SR(q) = SR x q / sqrt(q + 2 sum_{k<q} (q - k) rho_k) with q = ``periods``; the autocorrelations
    beyond ``lags`` (by default ``newey_west_lags``) are taken to be 0, for hundreds of noisy ones would
    drown the figure.

    Returns
    -------
    float
        NaN for fewer than three days, no variation, or autocorrelations that leave no variance.
    """
    sample = _known(returns)
    n = len(sample)
    if n < 3:
        return np.nan
    deviation = sample - sample.mean()
    power = float(deviation @ deviation)
    if power <= 1e-30:
        return np.nan
    lags = min(newey_west_lags(n) if lags is None else lags, n - 1, periods - 1)
    scale = periods + 2 * sum(
        (periods - lag) * float(deviation[lag:] @ deviation[:-lag]) / power for lag in range(1, lags + 1)
    )
    return float(sample.mean() / sample.std(ddof=1) * periods / sqrt(scale)) if scale > 0 else np.nan


def bootstrap_interval(
    returns: ArrayLike,
    statistic: Callable[[Floats], Floats],
    *,
    block: float | None = None,
    draws: int = 2000,
    level: float = 0.95,
    seed: int = 42,
) -> tuple[float, float]:
    """Return a stationary bootstrap interval of a statistic (Politis and Romano 1994).

    Days are resampled in blocks of geometric length that wrap around the end, which keeps short-term
    dependence.

    Parameters
    ----------
    returns
        In order; NaNs are dropped.
    statistic
        Maps resampled returns ``(draws, days)`` to ``(draws,)``, e.g. ``sharpe_by_row``.
    block
        Mean block length in days; by default the cube root of the number of days, rounded up.
    draws, level, seed
        Number of resamples, coverage, and seed of the generator.

    Returns
    -------
    low, high
        Percentile interval of the resamples that have a statistic; NaN if none has, or for fewer than
        three days.
    """
    sample = _known(returns)
    n = len(sample)
    if n < 3:
        return np.nan, np.nan
    length = max(block if block is not None else ceil(n ** (1 / 3)), 1.0)
    generator = np.random.default_rng(seed)
    results = []
    for done in range(0, draws, BATCH):
        rows = min(BATCH, draws - done)
        is_start = generator.random((rows, n)) < 1 / length
        is_start[:, 0] = True
        place = np.arange(n)
        since = np.maximum.accumulate(np.where(is_start, place, 0), axis=1)
        start = np.take_along_axis(generator.integers(0, n, (rows, n)), since, axis=1)
        results.append(statistic(sample[(start + place - since) % n]))
    known = _known(np.concatenate(results))
    if len(known) == 0:
        return np.nan, np.nan
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def sharpe_by_row(returns: Floats) -> Floats:
    """Return the annualised Sharpe ratio of each row of ``(rows, days)``; NaN without variation."""
    spread = returns.std(axis=1, ddof=1)
    mean = returns.mean(axis=1)
    daily = np.divide(mean, spread, out=np.full_like(mean, np.nan), where=spread > 1e-15)
    ratio: Floats = daily * np.sqrt(DAYS_PER_YEAR)
    return ratio


def annual_mean_by_row(returns: Floats) -> Floats:
    """Return the arithmetic mean return per year of each row of ``(rows, days)``."""
    mean: Floats = returns.mean(axis=1) * DAYS_PER_YEAR
    return mean


def probabilistic_sharpe(
    sharpe: float, *, n: int, threshold: float = 0.0, skewness: float = 0.0, kurtosis: float = 3.0
) -> float:
    """Return the probability that the true Sharpe ratio exceeds ``threshold`` (2012, equation 11).

    Parameters
    ----------
    sharpe, threshold
        Per observation, not annualised.
    n
        Observations.
    skewness, kurtosis
        Of the returns; a normal distribution has 0 and 3.
    """
    from scipy.stats import norm

    spread = 1 - skewness * sharpe + (kurtosis - 1) / 4 * sharpe**2
    if n < 2 or not spread > 0:
        return np.nan
    return float(norm.cdf((sharpe - threshold) * sqrt(n - 1) / sqrt(spread)))


def expected_maximum_sharpe(variance: float, trials: int) -> float:
    """Return the Sharpe ratio that the best of ``trials`` worthless strategies shows on average.

    sqrt(V) ((1 - g) Z^-1(1 - 1/N) + g Z^-1(1 - 1/(N e))) with g the Euler-Mascheroni constant
    (2014, equation 1); 0 for one trial.

    Parameters
    ----------
    variance
        Variance of the trials' Sharpe ratios, in the unit (per observation) squared of the result.
    """
    from scipy.stats import norm

    if trials <= 1:
        return 0.0
    best = (1 - EULER_GAMMA) * norm.ppf(1 - 1 / trials) + EULER_GAMMA * norm.ppf(1 - 1 / (trials * e))
    return float(sqrt(variance) * best)


def deflated_sharpe(
    sharpe: float,
    *,
    n: int,
    trials: int,
    variance: float,
    skewness: float = 0.0,
    kurtosis: float = 3.0,
) -> float:
    """Return the probability that a Sharpe ratio is more than the luck of the best of ``trials``.

    The probabilistic Sharpe ratio against ``expected_maximum_sharpe`` (2014, equation 2).

    Examples
    --------
    The paper's example: 2.5 a year over 1,250 days, the best of 100 trials with a variance of 1/2.

    >>> round(expected_maximum_sharpe(0.5 / 250, 100), 4)
    0.1132
    >>> round(deflated_sharpe(2.5 / 250**0.5, n=1250, trials=100, variance=0.5 / 250,
    ...                       skewness=-3, kurtosis=10), 4)
    0.9004
    """
    return probabilistic_sharpe(
        sharpe,
        n=n,
        threshold=expected_maximum_sharpe(variance, trials),
        skewness=skewness,
        kurtosis=kurtosis,
    )


def skewness(returns: ArrayLike) -> float:
    """Return the third standardised moment; NaN without variation."""
    return _standardised_moment(returns, 3)


def kurtosis(returns: ArrayLike) -> float:
    """Return the fourth standardised moment, 3 for a normal distribution; NaN without variation."""
    return _standardised_moment(returns, 4)


def _standardised_moment(values: ArrayLike, order: int) -> float:
    sample = _known(values)
    spread = float(sample.std()) if len(sample) else 0.0
    return float((((sample - sample.mean()) / spread) ** order).mean()) if spread > 1e-15 else np.nan


def _known(values: ArrayLike) -> Floats:
    sample = np.asarray(values, dtype=np.float64)
    known: Floats = sample[~np.isnan(sample)]
    return known
