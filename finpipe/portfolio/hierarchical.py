"""Hierarchical risk parity: names ordered by likeness, then money split between halves by their variance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from finpipe.portfolio.problem import Floats, Indices
from finpipe.portfolio.risk_parity import check_variances


def hierarchical_risk_parity(
    covariance: Floats, lower: Floats, upper: Floats, tickers: Sequence[str]
) -> tuple[Floats, tuple[str, ...]]:
    """Weights of hierarchical risk parity (López de Prado 2016), as skfolio's ``HierarchicalRiskParity``.

    The tree joins names by Ward's method on the distance sqrt((1 - correlation) / 2), its leaves in the order
    that puts the likest side by side. The sequence of leaves is halved again and again; the halves share their
    money in inverse proportion to the variances of their inverse-variance portfolios, as far as bounds allow.

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
        Weights of shape (N,) that sum to 1, and a notice where bounds altered a split.

    Raises
    ------
    ProblemError
        A name has no variance.
    """
    check_variances(covariance, tickers)
    inverse = 1 / np.diag(covariance)
    weights = np.ones(len(covariance))
    altered = 0
    clusters = [leaf_order(covariance)]
    while clusters:
        halves: list[Indices] = []
        for cluster in clusters:
            if len(cluster) < 2:
                continue
            left, right = cluster[: len(cluster) // 2], cluster[len(cluster) // 2 :]
            risks = [_cluster_variance(covariance, inverse, half) for half in (left, right)]
            wanted = 1 - risks[0] / (risks[0] + risks[1])
            money = weights[left[0]]
            to_left = float(np.clip(wanted, lower[left].sum() / money, upper[left].sum() / money))
            to_right = float(np.clip(1 - to_left, lower[right].sum() / money, upper[right].sum() / money))
            altered += int(abs(1 - to_right - wanted) > 1e-12)
            weights[left] *= 1 - to_right
            weights[right] *= to_right
            halves += [left, right]
        clusters = halves
    if altered == 0:
        return weights, ()
    return weights, (f"the bounds of the weights altered {altered} of {len(covariance) - 1} splits",)


def leaf_order(covariance: Floats) -> Indices:
    """Positions of the names as the leaves of the ordered tree; shape (N,)."""
    from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering

    deviation = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(deviation, deviation)
    distance = np.sqrt(np.clip((1 - correlation) / 2, 0.0, 1.0))
    condensed = distance[np.triu_indices(len(distance), 1)]
    order: Indices = leaves_list(optimal_leaf_ordering(linkage(condensed, method="ward"), condensed)).astype(
        np.int64
    )
    return order


def _cluster_variance(covariance: Floats, inverse: Floats, names: Indices) -> float:
    share = inverse[names] / inverse[names].sum()
    return float(share @ covariance[np.ix_(names, names)] @ share)
