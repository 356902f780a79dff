"""Risk parity: weights with which every name contributes the same risk, by cyclical coordinate descent.

With bounds, names whose equal share of risk would break one stand at it, and all others still contribute
the same: the answer of Richard and Roncalli (2019), "Constrained risk budgeting portfolios".
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from finpipe.portfolio.problem import Floats, ProblemError

SWEEPS = 10_000
TOLERANCE = 1e-11
"""Relative change of a weight in a sweep at which the descent ends."""


def risk_parity(
    covariance: Floats, lower: Floats, upper: Floats, tickers: Sequence[str]
) -> tuple[Floats, tuple[str, ...]]:
    """Weights of equal risk contributions within bounds.

    Without bounds they minimise 1/2 x'(covariance)x - sum(ln x), scaled to sum to 1 (Spinu 2013); a coordinate
    has a closed form given the others (Griveau-Billion, Richard and Roncalli 2013). With bounds the same is
    minimised within them for the weight of the logarithm at which the weights sum to 1.

    Parameters
    ----------
    covariance
        Positive semidefinite with positive variances; shape (N, N).
    lower, upper
        Bounds, 0 or more; shape (N,).
    tickers
        Names of the N, for messages.

    Returns
    -------
    tuple
        Weights of shape (N,) that sum to 1, and a notice that names those that stand at a bound.

    Raises
    ------
    ProblemError
        A name has no variance, so nothing equals its risk.
    """
    check_variances(covariance, tickers)
    count = len(covariance)
    size = float(np.diag(covariance).mean())
    scaled = np.ascontiguousarray(covariance / size)
    start = 1 / np.sqrt(np.diag(scaled))
    nowhere = np.full(count, np.inf)
    free = _descend(scaled, 1.0, np.zeros(count), nowhere, start)
    weights = free / free.sum()
    if (weights >= lower - 1e-12).all() and (weights <= upper + 1e-12).all():
        return weights, ()

    # The sum of the weights rises with the weight of the logarithm.
    def within(log_weight: float, first: Floats) -> Floats:
        return _descend(scaled, log_weight, lower, upper, np.clip(first, lower, upper))

    guess = 1 / free.sum() ** 2
    low = high = guess
    weights = within(guess, np.maximum(weights, 1e-12))
    while weights.sum() < 1 and high < 1e12 * guess:
        low, high = high, high * 4
        weights = within(high, weights)
    while weights.sum() > 1 and low > 1e-12 * guess:
        low = low / 4
        weights = within(low, weights)
    for _ in range(200):
        middle = float(np.sqrt(low * high))
        weights = within(middle, weights)
        low, high = (middle, high) if weights.sum() < 1 else (low, middle)
        if abs(weights.sum() - 1) < 1e-12 or high / low - 1 < 1e-15:
            break
    at_bound = (weights <= lower * (1 + 1e-9)) | (weights >= upper * (1 - 1e-9))
    named = [ticker for ticker, is_at in zip(tickers, at_bound, strict=True) if is_at]
    shown = ", ".join(named[:10]) + (" …" if len(named) > 10 else "")
    return weights, (
        f"{len(named)} of {count} names stand at a bound and contribute another risk than the others, which all "
        f"contribute the same: {shown}",
    )


def check_variances(covariance: Floats, tickers: Sequence[str]) -> None:
    """Raise ``ProblemError`` that names tickers without variance."""
    variances = np.diag(covariance)
    flat = [
        ticker for ticker, value in zip(tickers, variances, strict=True) if value <= 1e-14 * variances.max()
    ]
    if flat:
        raise ProblemError(f"no risk can be shared with names that have none; exclude {', '.join(flat[:10])}")


def _descend(covariance: Floats, log_weight: float, lower: Floats, upper: Floats, start: Floats) -> Floats:
    from finpipe.portfolio.risk_parity_kernels import descend

    weights = start.copy()
    sweeps = descend(covariance, log_weight, lower, upper, weights, TOLERANCE, SWEEPS)
    if sweeps >= SWEEPS:
        raise ProblemError(
            "the risk parity weights did not settle: the covariance is close to singular, shrink it first"
        )
    return weights
