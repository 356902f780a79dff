"""The annual covariance of simple returns: five estimators, missing days, and a result that is positive definite.

Missing days. A ticker's mean and variance are those of all days it has, its correlation with another that of the days
both have (pairwise complete), so a late listing costs the others nothing and a stormy common stretch does not make a
correlation greater than 1. With nothing missing every estimator is the textbook one. Pairs with fewer than 21 common
days say too little and count as uncorrelated. Pairwise correlations need not be positive definite; the repair at the
end makes them so, changes no variance, and is recorded.

References
----------
Ledoit, O. and Wolf, M. (2004), "A well-conditioned estimator for large-dimensional covariance matrices", Journal of
Multivariate Analysis 88.
Chen, Y., Wiesel, A., Eldar, Y. and Hero, A. (2010), "Shrinkage algorithms for MMSE covariance estimation", IEEE
Transactions on Signal Processing 58.
Lopez de Prado, M. (2020), "Machine learning for asset managers", section 2, Cambridge University Press.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finpipe.market.daily_bars import listed
from finpipe.portfolio.definiteness import positive_definite
from finpipe.portfolio.returns import TRADING_DAYS, Floats, Returns

METHODS = ("ledoit-wolf", "sample", "oas", "exponential", "denoised")
DEFAULT_METHOD = "ledoit-wolf"
HALF_LIFE = 126.0
MIN_OVERLAP = 21


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
    """What the estimators need of centred returns.

    ``deviations`` (days, N): from each ticker's mean, times the root of the day's weight, 0 where missing.
    ``gappy``: columns in which something is missing; ``known`` (days, gappy): 1 where it is not.
    ``days`` (N, N): weight that each pair has in common, without weights its days.
    ``scale`` (N, N): volatility over all days of a ticker over that on the common days, times the partner's.
    """

    deviations: Floats
    gappy: NDArray[np.int64]
    known: Floats
    days: Floats
    scale: Floats


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
        sample correlation below the Marchenko-Pastur edge become their mean, variances stay.
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
    sample = _sample(returns.values, half_life if method == "exponential" else None)
    daily = _pairwise(sample, 1 if method in {"sample", "denoised"} else 0)
    notes = _separate_strangers(sample, daily)
    shrinkage = None
    if method == "denoised":
        daily = _denoised(daily, float(np.diag(sample.days).mean()))
    elif method in {"ledoit-wolf", "oas"}:
        shrinkage = _ledoit_wolf(sample, daily) if method == "ledoit-wolf" else _oracle(sample, daily)
    matrix = daily * TRADING_DAYS
    repairs: tuple[str, ...] = ()
    if shrinkage is not None:
        if len(sample.gappy):
            # Repaired first, so that shrinking lifts the raised eigenvalues as it lifts all others.
            matrix, repairs = positive_definite(matrix, returns.tickers)
        level = float(np.trace(matrix)) / len(matrix)
        matrix *= 1 - shrinkage
        matrix[np.diag_indices_from(matrix)] += shrinkage * level
    matrix, later = positive_definite(matrix, returns.tickers)
    return Covariance(returns.tickers, matrix, method, shrinkage, (*notes, *repairs, *later))


def _require_returns(returns: Returns) -> None:
    if not returns.tickers:
        raise ValueError("there are no tickers to estimate a covariance of")
    days = (~np.isnan(returns.values)).sum(axis=0)
    short = [ticker for ticker, count in zip(returns.tickers, days, strict=True) if count < 2]
    if short:
        raise ValueError(
            f"fewer than two returns of {listed(short)}; the quality prefilter leaves such tickers out"
        )


def _sample(values: Floats, half_life: float | None) -> _Sample:
    days = len(values)
    gappy = np.flatnonzero(np.isnan(values).any(axis=0))
    known = (~np.isnan(values[:, gappy])).astype(np.float64)
    deviations = np.array(values, dtype=np.float64, order="F")
    deviations[:, gappy] = np.where(known > 0, deviations[:, gappy], 0.0)
    if half_life is None:
        weight = np.ones(days)
        total = deviations.sum(axis=0)
    else:
        weight = 0.5 ** (np.arange(days)[::-1] / half_life)
        total = weight @ deviations
    own = np.full(deviations.shape[1], weight.sum())
    own[gappy] = weight @ known
    deviations -= total / own
    deviations[:, gappy] *= known
    if half_life is not None:
        deviations *= np.sqrt(weight)[:, None]

    common = np.full((len(own), len(own)), weight.sum())
    scale = np.ones_like(common)
    if len(gappy):
        block = np.ix_(gappy, gappy)
        common[gappy, :] = own[gappy, None]
        common[:, gappy] = own[gappy]
        common[block] = known.T @ (known * weight[:, None])
        squares = deviations**2
        overall = squares.sum(axis=0) / own
        on_common = squares.T @ known
        scale[:, gappy] = np.sqrt(
            np.divide(
                overall[:, None] * common[:, gappy],
                on_common,
                out=np.ones_like(on_common),
                where=on_common > 0,
            )
        )
        scale[block] *= scale[block].T.copy()
        scale[gappy, :] = scale[:, gappy].T
    return _Sample(deviations, gappy, known, common, scale)


def _pairwise(sample: _Sample, lost: int) -> Floats:
    """Covariances from the variances of all days, divided by days - ``lost``, and correlations of common days."""
    matrix: Floats = sample.deviations.T @ sample.deviations
    days = np.diag(sample.days)
    if len(sample.gappy):
        matrix *= sample.scale / np.where(sample.days > 0, sample.days, 1.0)
    else:
        matrix /= days[0]
    if lost:
        unbiased = np.sqrt(days / (days - lost))
        matrix *= np.outer(unbiased, unbiased)
    return matrix


def _separate_strangers(sample: _Sample, daily: Floats) -> tuple[str, ...]:
    """Set the covariance of pairs with hardly any common days to 0, in place."""
    if not len(sample.gappy):
        return ()
    known = sample.known
    at = np.ix_(sample.gappy, sample.gappy)
    common = known.T @ known
    # A ticker with few days has few in common with everybody; only true strangers are set apart.
    enough = np.minimum(MIN_OVERLAP, np.minimum.outer(np.diag(common), np.diag(common)))
    strangers = common < enough
    daily[at] = np.where(strangers, 0.0, daily[at])
    pairs = int(strangers.sum()) // 2
    return (
        (f"pairs of tickers with fewer than {MIN_OVERLAP} common days, taken as uncorrelated: {pairs}",)
        if pairs
        else ()
    )


def _ledoit_wolf(sample: _Sample, daily: Floats) -> float:
    """Return the optimal weight of the identity (Ledoit and Wolf 2004, section 3.3).

    With days missing, the variance of each entry is that of the mean over its own common days, sum over pairs of
    (mean(x_i^2 x_j^2) f_ij^2 - s_ij^2) / n_ij with f the scale of ``_Sample``; with nothing missing it is the formula
    as published.
    """
    size = len(daily)
    if size == 1:
        return 0.0
    squares = sample.deviations**2
    everything = float((daily**2).sum())
    if len(sample.gappy):
        whole = np.ones(size, dtype=bool)
        whole[sample.gappy] = False
        days = np.maximum(sample.days, 1)
        # Weight of an entry: what its covariance is scaled by, squared, over the common days, squared.
        weight = (sample.scale / days) ** 2
        fourth = float((squares[:, whole].sum(axis=1) ** 2).sum()) / len(squares) ** 2
        some = squares.T @ squares[:, sample.gappy]
        each = np.where(whole, 2.0, 1.0)[:, None]
        fourth += float((each * weight[:, sample.gappy] * some).sum())
        noise = (fourth - float((daily**2 / days).sum())) / size
    else:
        count = len(squares)
        fourth = float((squares.sum(axis=1) ** 2).sum()) / count
        noise = (fourth - everything) / (size * count)
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
    divisor = (float(np.diag(sample.days).mean()) + 1) * (spread - level / size)
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
