"""Rarer portfolios as skfolio makes them, on a given covariance: maximum diversification and HERC.

Importing this module imports skfolio, which takes a second: only what needs it does so, inside a function.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from skfolio.distance import BaseDistance, CovarianceDistance
from skfolio.exceptions import SkfolioError
from skfolio.optimization import HierarchicalEqualRiskContribution, MaximumDiversification
from skfolio.prior import BasePrior, ReturnDistribution

from finpipe.portfolio.problem import Floats, ProblemError
from finpipe.portfolio.risk_parity import check_variances
from finpipe.portfolio.solver import Rows

PRECISE = {"tol_gap_abs": 1e-9, "tol_gap_rel": 1e-9, "tol_feas": 1e-9}
INACCURATE = "Solution may be inaccurate"
"""How skfolio and cvxpy begin to say that a solver stopped short of its tolerances."""


def maximum_diversification(
    covariance: Floats, lower: Floats, upper: Floats, tickers: Sequence[str], limits: Rows
) -> Floats:
    """Weights of the highest diversification ratio (Choueifaty and Coignard 2008), as ``MaximumDiversification``.

    The ratio is that of the names' volatility, averaged by weight, to the portfolio's, sum(w_i s_i) / sqrt(w'Sw).

    Parameters
    ----------
    covariance
        Positive semidefinite with positive variances; shape (N, N).
    lower, upper
        Bounds, known to admit weights that sum to 1; shape (N,).
    tickers
        Names of the N, for messages.
    limits
        Rows on the weights alone that are at least 0 inside further limits; there may be none.

    Returns
    -------
    ndarray
        Weights of shape (N,), which meet bounds, limits and a sum of 1 to about 1e-8.

    Raises
    ------
    ProblemError
        A name has no variance, or the solver does not find the optimum.
    """
    check_variances(covariance, tickers)
    rows: dict[str, Any] = {}
    if len(limits):
        rows = {"left_inequality": -limits.assets, "right_inequality": limits.scale}
    model = MaximumDiversification(
        prior_estimator=_GivenCovariance(covariance),
        min_weights=lower,
        max_weights=upper,
        solver="CLARABEL",
        solver_params=PRECISE,
        **rows,
    )
    return _weights(model, len(covariance), "max-diversification")


def hierarchical_equal_risk(
    covariance: Floats, lower: Floats, upper: Floats, tickers: Sequence[str]
) -> tuple[Floats, tuple[str, ...]]:
    """Weights of hierarchical equal risk contribution (Raffinot 2018), as ``HierarchicalEqualRiskContribution``.

    Ward's tree on the distance sqrt((1 - correlation) / 2) is cut into as many clusters as the gaps between its levels
    suggest (Yue, Wang and Wei 2009). From the root down to the clusters, both sides of a fork share their money in
    inverse proportion to the variances of their clusters; within a cluster, names share it by inverse variance. Where
    that breaks a bound, the weights w within the bounds are taken that are closest to those of the rule, v: with the
    least sum((w_i / v_i - 1)^2).

    Parameters
    ----------
    covariance
        Positive semidefinite with positive variances; shape (N, N).
    lower, upper
        Bounds, 0 or more, known to admit weights that sum to 1; shape (N,).
    tickers
        Names of the N, for messages.

    Returns
    -------
    tuple
        Weights of shape (N,) that sum to 1, and a notice where the bounds altered them.

    Raises
    ------
    ProblemError
        A name has no variance, or the covariance is not positive semidefinite to the last digits.
    """
    check_variances(covariance, tickers)
    model = HierarchicalEqualRiskContribution(
        prior_estimator=_GivenCovariance(covariance), distance_estimator=_GivenDistance(covariance)
    )
    free = _weights(model, len(covariance), "herc")
    if (free >= lower).all() and (free <= upper).all():
        return free, ()
    broken = int(((free < lower) | (free > upper)).sum())
    return _nearest(free, lower, upper), (
        f"the rule gives {broken} of {len(free)} names a weight beyond the bounds: the weights are the closest to it "
        "within them",
    )


def _nearest(free: Floats, lower: Floats, upper: Floats) -> Floats:
    """Return the weights within the bounds of least sum((w / free - 1)^2) that sum to 1.

    They are free + a free^2, brought into the bounds, with the a that makes their sum 1; the sum rises with a along
    straight lines between the points where a weight meets a bound. skfolio puts the same to a solver, which fails where
    the rule gives one name a million times the weight of another.
    """
    squares = free**2

    def at(move: float) -> Floats:
        weights: Floats = np.clip(free + move * squares, lower, upper)
        return weights

    turns = np.sort(np.concatenate([(lower - free) / squares, (upper - free) / squares]))
    below, above = 0, len(turns) - 1
    while above - below > 1:
        middle = (below + above) // 2
        below, above = (middle, above) if at(turns[middle]).sum() < 1 else (below, middle)
    first, last = at(turns[below]), at(turns[above])
    rise = float(last.sum() - first.sum())
    share = np.clip((1 - first.sum()) / rise, 0.0, 1.0) if rise > 0 else 0.0
    weights: Floats = first + share * (last - first)
    return weights


class _GivenCovariance(BasePrior):
    """Moments that are known: the covariance, and no view on returns, which the methods here do not use."""

    def __init__(self, covariance: Floats) -> None:
        self.covariance = covariance

    def fit(self, X: Floats, y: None = None, **_: Any) -> _GivenCovariance:  # noqa: ANN401 - skfolio's signature
        del y
        self.return_distribution_ = ReturnDistribution(
            mu=np.zeros(len(self.covariance)), covariance=self.covariance, returns=X
        )
        return self


class _GivenDistance(BaseDistance):
    """sqrt((1 - correlation) / 2) of a covariance that is known."""

    def __init__(self, covariance: Floats) -> None:
        self.covariance = covariance

    def fit(self, X: Floats, y: None = None) -> _GivenDistance:
        del X, y
        measured = CovarianceDistance(covariance_estimator="precomputed").fit(self.covariance)
        self.codependence_, self.distance_ = measured.codependence_, measured.distance_
        return self


def _weights(model: Any, count: int, objective: str) -> Floats:  # noqa: ANN401 - skfolio has no types
    no_returns = np.zeros((2, count))
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", INACCURATE, UserWarning)
            weights: Floats = model.fit(no_returns).weights_
    except (SkfolioError, ValueError, UserWarning) as error:
        raise ProblemError(
            f"no weights were found for {objective}, as the covariance is close to singular or badly scaled: estimate "
            "it with ledoit-wolf, leave out tickers that are nearly the same, or choose min-volatility"
        ) from error
    return weights
