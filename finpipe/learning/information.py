"""Daily rank correlation of scores with labels, by which a model is chosen on its validation year.

How good the chosen model was on its test years is measured in the backtest, on returns.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def mean_rank_correlation(rows: pl.DataFrame, label: str, scores: Floats) -> float:
    """Return the mean over the days of the rank correlation of scores and labels (information coefficient).

    Ties share their average rank. A day whose scores are all equal counts as 0, one whose labels are all
    equal does not count. The result has the same bits on any machine load and number of threads, unlike
    the metrics that LightGBM computes itself.

    Parameters
    ----------
    rows
        Labelled rows sorted by ``date``, with ``date`` and ``label``.
    label
        Column of the labels.
    scores
        Score of each row, without NaN; shape (rows,).

    Returns
    -------
    float
        Between -1 and 1.

    Raises
    ------
    ValueError
        No day has two different labels.
    """
    days = rows["date"].rle_id().to_numpy().astype(np.int64)
    labels = rows[label].cast(pl.Float64).to_numpy()
    x, y = _centred_ranks(days, scores), _centred_ranks(days, labels)
    xx, yy, xy = (np.bincount(days, weights=products) for products in (x * x, y * y, x * y))
    counts = yy > 0
    if not counts.any():
        raise ValueError(f"no day has two different values of {label}: there is nothing to judge a model by")
    spread = np.sqrt(xx[counts] * yy[counts])
    return float(np.divide(xy[counts], spread, out=np.zeros_like(spread), where=spread > 0).mean())


def _centred_ranks(days: NDArray[np.int64], values: Floats) -> Floats:
    """Average-tie rank of each value on its day, minus the day's mean rank."""
    order = np.lexsort((values, days))
    day, value = days[order], values[order]
    begins = np.flatnonzero(np.append(True, (day[1:] != day[:-1]) | (value[1:] != value[:-1])))
    lengths = np.diff(np.append(begins, len(values)))
    ranks = np.empty(len(values))
    ranks[order] = np.repeat(begins + (lengths - 1) / 2, lengths)
    means = np.bincount(days, weights=ranks) / np.maximum(np.bincount(days), 1)
    return np.asarray(ranks - means[days])
