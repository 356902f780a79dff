"""Rolling windows over whole stocks: O(n) for any window, aware of missing values and free of drift.

Every function takes the values of consecutive stocks and ``starts``, the offsets that delimit them;
no window reaches into another stock. NaN and infinities are missing. No window ever subtracts what
leaves it: a series is cut into chunks as long as the window, and a window is the tail of one chunk
joined with the head of the next (van Herk 1992, Gil and Werman 1993). A value that has left the window
was therefore never part of the result, however wild it was. Second moments are taken around a value
inside the window (Chan, Golub and LeVeque 1983), so that they keep their digits and a constant run
has a standard deviation of exactly 0.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from finpipe.panel import rolling_kernels

Floats: TypeAlias = NDArray[np.float64]
Offsets: TypeAlias = NDArray[np.int64]


def mean(values: Floats, starts: Offsets, window: int, min_periods: int) -> Floats:
    """Mean of the last ``window`` rows; NaN where fewer than ``min_periods`` of them are present.

    Parameters
    ----------
    values
        One value per row, shape (rows,).
    starts
        Offsets of the stocks, shape (stocks + 1,), from 0 to the number of rows.
    window, min_periods
        Rows per window, the current one included, and how many of them must be present.

    Returns
    -------
    numpy.ndarray
        Shape (rows,), in the unit of ``values``.

    Raises
    ------
    ValueError
        If not 1 <= min_periods <= window.
    """
    out = _result(values, window, min_periods)
    rolling_kernels.sums(values, starts, window, min_periods, True, out)
    return out


def total(values: Floats, starts: Offsets, window: int, min_periods: int) -> Floats:
    """Sum of the last ``window`` rows; parameters and missing values as for :func:`mean`."""
    out = _result(values, window, min_periods)
    rolling_kernels.sums(values, starts, window, min_periods, False, out)
    return out


def std(values: Floats, starts: Offsets, window: int, min_periods: int) -> Floats:
    """Sample standard deviation (ddof 1) of the last ``window`` rows; parameters as for :func:`mean`.

    A single present value has none (NaN); equal values give exactly 0.
    """
    out = _result(values, window, min_periods)
    rolling_kernels.deviations(values, starts, window, min_periods, out)
    return out


def minimum(values: Floats, starts: Offsets, window: int, min_periods: int) -> Floats:
    """Smallest of the last ``window`` rows; parameters as for :func:`mean`."""
    out = _result(values, window, min_periods)
    rolling_kernels.extremes(values, starts, window, min_periods, -1.0, out)
    return out


def maximum(values: Floats, starts: Offsets, window: int, min_periods: int) -> Floats:
    """Largest of the last ``window`` rows; parameters as for :func:`mean`."""
    out = _result(values, window, min_periods)
    rolling_kernels.extremes(values, starts, window, min_periods, 1.0, out)
    return out


def count(values: Floats, starts: Offsets, window: int) -> Floats:
    """How many of the last ``window`` rows are present, as floats; never NaN."""
    return total(np.isfinite(values).astype(np.float64), starts, window, 1)


def covariance(x: Floats, y: Floats, starts: Offsets, window: int, min_periods: int) -> Floats:
    """Sample covariance (ddof 1) over the rows of the window where both ``x`` and ``y`` are present.

    Needs ``min_periods`` such pairs; other parameters as for :func:`mean`.
    """
    return moments(x, y, starts, window, min_periods)[0]


def beta(x: Floats, y: Floats, starts: Offsets, window: int, min_periods: int) -> Floats:
    """Slope of the regression of ``y`` on ``x`` over the pairs of the window; NaN where ``x`` is constant.

    Parameters as for :func:`covariance`.
    """
    cov, var = moments(x, y, starts, window, min_periods)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(var > 0, cov / var, np.nan)


def moments(x: Floats, y: Floats, starts: Offsets, window: int, min_periods: int) -> tuple[Floats, Floats]:
    """Covariance of ``x`` and ``y`` and variance of ``x``, both over the pairs of the window (ddof 1).

    Parameters as for :func:`covariance`.
    """
    cov, var = _result(x, window, min_periods), np.empty_like(x)
    rolling_kernels.pair_moments(x, y, starts, window, min_periods, cov, var)
    return cov, var


def lag(values: Floats, starts: Offsets, rows: int) -> Floats:
    """Value ``rows`` earlier of the same stock; NaN where the stock has no such row.

    Raises
    ------
    ValueError
        If ``rows`` is negative: that would look ahead.
    """
    if rows < 0:
        raise ValueError(f"a lag of {rows} rows would look ahead; lags are 0 or more")
    out = np.empty_like(values)
    out[rows:] = values[: max(values.size - rows, 0)]
    for begin, end in pairwise(starts):
        out[begin : min(begin + rows, end)] = np.nan
    return out


def _result(values: Floats, window: int, min_periods: int) -> Floats:
    if not 1 <= min_periods <= window:
        raise ValueError(f"min_periods {min_periods} must lie between 1 and the window, {window}")
    return np.empty_like(values)
