"""The annual covariance of simple returns: six estimators, missing days, and a result that is positive definite.

Missing days. A ticker that lacks days is completed from the principal components of the long histories, and what they
leave unexplained of its variance is added to its own (:mod:`finpipe.portfolio.short_histories`). So a late listing
costs the others nothing, what it has in common with them is judged over all days, and the result is positive
semidefinite by construction. With nothing missing every estimator is the textbook one. The repair at the end is for
duplicates, constant series and more tickers than days; it changes no variance, and is recorded.

References
----------
Ledoit, O. and Wolf, M. (2004), "A well-conditioned estimator for large-dimensional covariance matrices", Journal of
Multivariate Analysis 88.
Chen, Y., Wiesel, A., Eldar, Y. and Hero, A. (2010), "Shrinkage algorithms for MMSE covariance estimation", IEEE
Transactions on Signal Processing 58.
Stambaugh, R. (1997), "Analyzing investments whose histories differ in length", Journal of Financial Economics 45.
Lopez de Prado, M. (2020), "Machine learning for asset managers", section 2, Cambridge University Press.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np

from finpipe.market.daily_bars import listed
from finpipe.portfolio.definiteness import positive_definite
from finpipe.portfolio.returns import TRADING_DAYS, Floats, Returns
from finpipe.portfolio.short_histories import Completed, completed
from finpipe.settings import PortfolioCovariance

METHODS: tuple[str, ...] = get_args(PortfolioCovariance)
DEFAULT_METHOD = "ledoit-wolf"
HALF_LIFE = 126.0


@dataclass(frozen=True, slots=True)
class Covariance:
    """Covariance of annual simple returns.

    Parameters
    ----------
    tickers
        In the order of the returns.
    matrix
        float64 (N, N), symmetric, positive definite: daily covariance x 252.
    method
        One of :data:`METHODS`.
    shrinkage
        Weight of the target in ledoit-wolf and oas, between 0 and 1; None for the others.
    repaired
        Sentences about what had to be changed; empty if nothing.
    """

    tickers: tuple[str, ...]
    matrix: Floats
    method: str
    shrinkage: float | None = None
    repaired: tuple[str, ...] = ()

    @property
    def volatilities(self) -> Floats:
        """Annual standard deviations, (N,)."""
        deviations: Floats = np.sqrt(np.diag(self.matrix))
        return deviations

    @property
    def correlation(self) -> Floats:
        """Correlation matrix, (N, N), with ones on its diagonal."""
        deviations = self.volatilities
        matrix: Floats = self.matrix / np.outer(deviations, deviations)
        np.fill_diagonal(matrix, 1.0)
        return matrix


@dataclass(frozen=True, slots=True)
class _Sample:
    """What the estimators need of completed returns.

    ``deviations`` (days, N): from each ticker's mean, times the root of the day's weight.
    ``unexplained`` (days, N) or None where nothing was missing: variance to add to the squares of completed days.
    ``weight``: of all days together, without weights their number.
    ``days``: mean number of days the tickers have.
    """

    deviations: Floats
    unexplained: Floats | None
    weight: float
    days: float

    def squares(self) -> Floats:
        """Return the squared deviations, (days, N), of completed days what is expected of them."""
        squares = self.deviations**2
        return squares if self.unexplained is None else squares + self.unexplained


def covariance(returns: Returns, method: str = DEFAULT_METHOD, *, half_life: float = HALF_LIFE) -> Covariance:
    """Estimate the annual covariance.

    Parameters
    ----------
    returns
        Daily simple returns of one or more tickers, NaN where missing.
    method
        ``sample``: divided by n - 1. ``ledoit-wolf``: shrunk towards a multiple of the identity as Ledoit and Wolf
        2004 derive, divided by n. ``oas``: the same target with the oracle approximating shrinkage, divided by n.
        ``exponential``: weights 2^(-age / half-life), around the weighted mean. ``denoised``: the eigenvalues of the
        sample correlation below the Marchenko-Pastur edge become their mean, variances stay. ``gerber``: correlations
        counted from joint moves beyond half a standard deviation, by skfolio
        (:func:`finpipe.portfolio.skfolio_moments.gerber`).
    half_life
        Trading days after which a day counts half, for ``exponential``; half a year by default.

    Raises
    ------
    ValueError
        If the method is unknown, the half-life not positive, or a ticker has fewer than two returns.
    """
    if method not in METHODS:
        raise ValueError(f"no covariance method {method!r}; there are {', '.join(METHODS)}")
    if not half_life > 0:
        raise ValueError(f"the half-life is {half_life} days; it must be positive")
    _require_returns(returns)
    whole = completed(returns.values)
    shrinkage = None
    if method == "gerber":
        from finpipe.portfolio.skfolio_moments import gerber

        daily = gerber(whole)
    else:
        daily, shrinkage = _own(whole, method, half_life)
    matrix, repairs = positive_definite(daily * TRADING_DAYS, returns.tickers)
    return Covariance(
        returns.tickers, matrix, method, shrinkage, (*_completion(whole, returns.tickers), *repairs)
    )


def _own(whole: Completed, method: str, half_life: float) -> tuple[Floats, float | None]:
    """Daily covariance by one of our own estimators, and its shrinkage if it shrinks."""
    sample = _sample(whole, half_life if method == "exponential" else None)
    daily = _moments(sample, 1 if method in {"sample", "denoised"} else 0)
    shrinkage = None
    if method == "denoised":
        daily = _denoised(daily, sample.days)
    elif method in {"ledoit-wolf", "oas"}:
        shrinkage = _ledoit_wolf(sample, daily) if method == "ledoit-wolf" else _oracle(sample, daily)
        level = float(np.trace(daily)) / len(daily)
        daily *= 1 - shrinkage
        daily[np.diag_indices_from(daily)] += shrinkage * level
    return daily, shrinkage


def _require_returns(returns: Returns) -> None:
    if not returns.tickers:
        raise ValueError("there are no tickers to estimate a covariance of")
    days = (~np.isnan(returns.values)).sum(axis=0)
    short = [ticker for ticker, count in zip(returns.tickers, days, strict=True) if count < 2]
    if short:
        raise ValueError(
            f"fewer than two returns of {listed(short)}; the quality prefilter leaves such tickers out"
        )


def _completion(whole: Completed, tickers: Sequence[str]) -> tuple[str, ...]:
    """Say which tickers were completed, if any."""
    if not len(whole.columns):
        return ()
    lacking = whole.missing.sum(axis=0)
    # Those that lack most come first, as not all may be named.
    names = [tickers[whole.columns[at]] for at in np.argsort(-lacking, kind="stable")]
    return (
        f"{len(names)} of {len(tickers)} tickers lack returns of up to {int(lacking.max())} of "
        f"{len(whole.values)} days, completed by regression on {whole.components} principal components of the "
        f"{whole.long} long histories: {listed(names)}",
    )


def _sample(whole: Completed, half_life: float | None) -> _Sample:
    values = whole.values
    days = len(values)
    weight = np.ones(days) if half_life is None else 0.5 ** (np.arange(days)[::-1] / half_life)
    total = float(weight.sum())
    if half_life is None:
        deviations = values - values.sum(axis=0) / total
    else:
        deviations = values - weight @ values / total
        deviations *= np.sqrt(weight)[:, None]
    unexplained = None
    if len(whole.columns):
        unexplained = np.zeros_like(deviations)
        unexplained[:, whole.columns] = whole.missing * whole.residual * weight[:, None]
    return _Sample(deviations, unexplained, total, days - float(whole.missing.sum()) / values.shape[1])


def _moments(sample: _Sample, lost: int) -> Floats:
    """Covariances of the completed days, divided by their weight less ``lost``."""
    matrix: Floats = sample.deviations.T @ sample.deviations
    if sample.unexplained is not None:
        matrix[np.diag_indices_from(matrix)] += sample.unexplained.sum(axis=0)
    matrix /= sample.weight - lost
    return matrix


def _ledoit_wolf(sample: _Sample, daily: Floats) -> float:
    """Return the optimal weight of the identity (Ledoit and Wolf 2004, section 3.3).

    With days missing, the noise is that of the completed days, over the mean number of days the tickers have instead of
    all: a completed day tells nothing new.
    """
    size = len(daily)
    if size == 1:
        return 0.0
    squares = sample.squares()
    everything = float((daily**2).sum())
    fourth = float((squares.sum(axis=1) ** 2).sum()) / len(squares)
    noise = (fourth - everything) / (size * sample.days)
    level = float(np.trace(daily)) / size
    distance = (everything - 2 * level * float(np.trace(daily)) + size * level**2) / size
    noise = min(noise, distance)
    return noise / distance if noise > 0 else 0.0


def _oracle(sample: _Sample, daily: Floats) -> float:
    """Return the oracle approximating shrinkage (Chen et al. 2010, equation 23, without its 2 / p).

    n is the mean number of days of the tickers.
    """
    size = len(daily)
    if size == 1:
        return 0.0
    spread = float(np.mean(daily**2))
    level = (float(np.trace(daily)) / size) ** 2
    divisor = (sample.days + 1) * (spread - level / size)
    return 1.0 if divisor <= 0 else min((spread + level) / divisor, 1.0)


def _denoised(daily: Floats, days: float) -> Floats:
    """Replace the eigenvalues that pure noise could have made by their mean (Lopez de Prado 2020, section 2.5)."""
    from finpipe.portfolio.random_matrix import noise_edge

    deviations = np.sqrt(np.diag(daily))
    moving = deviations > 0
    scale = np.where(moving, deviations, 1.0)
    correlation = daily / np.outer(scale, scale)
    np.fill_diagonal(correlation, 1.0)
    eigenvalues, vectors = np.linalg.eigh(correlation)
    noisy = int(np.searchsorted(eigenvalues, noise_edge(eigenvalues, days / len(daily))))
    if noisy:
        eigenvalues[:noisy] = eigenvalues[:noisy].mean()
    clean = (vectors * eigenvalues) @ vectors.T
    unit = np.sqrt(np.diag(clean))
    matrix: Floats = clean * np.outer(deviations / unit, deviations / unit)
    return matrix
