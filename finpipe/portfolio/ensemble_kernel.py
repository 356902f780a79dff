"""The compiled loop behind ``ensemble``: one pass over each ticker's prices."""

from __future__ import annotations

import numba
import numpy as np
from numba import float64, int64, types, void
from numpy.typing import NDArray

from finpipe.portfolio.returns import Floats

IN = types.Array(float64, 2, "C", readonly=True)
ALPHA = 0.3
SMOOTHED = 30
RECENT = 90
YEAR = 252
STORMY = 0.05
DAMPING = 0.8


@numba.njit(nogil=True, error_model="numpy")
def _line(ring: Floats, end: int, length: int) -> float:
    """Growth from the last of the ``length`` values that end before ``end`` to their line a year after it."""
    mean_y = 0.0
    for i in range(length):
        mean_y += ring[(end - length + i) % ring.size]
    mean_y /= length
    mean_x = (length - 1) / 2
    product = square = 0.0
    for i in range(length):
        product += (i - mean_x) * (ring[(end - length + i) % ring.size] - mean_y)
        square += (i - mean_x) ** 2
    slope = product / square if square > 0 else 0.0
    last = ring[(end - 1) % ring.size]
    return float((mean_y + slope * (length + YEAR - mean_x)) / last - 1)


@numba.njit([void(IN, float64[:, ::1], int64[::1])], cache=True, nogil=True, error_model="numpy")
def parts(prices: Floats, out: Floats, points: NDArray[np.int64]) -> None:
    """Fill smoothing, trend and history (``out``, one row per ticker) and the number of known prices.

    A ticker without two prices gets NaN.
    """
    smoothed = np.empty(SMOOTHED)
    recent = np.empty(RECENT)
    for ticker in range(prices.shape[0]):
        n = 0
        level = last = 0.0
        mean = squares = 0.0
        for day in range(prices.shape[1]):
            price = prices[ticker, day]
            if np.isnan(price):
                continue
            if n == 0:
                level = price
            else:
                level = ALPHA * price + (1 - ALPHA) * level
                # Welford's update: exact enough for any length and scale.
                growth = price / last - 1
                step = growth - mean
                mean += step / n
                squares += step * (growth - mean)
            smoothed[n % SMOOTHED] = level
            recent[n % RECENT] = price
            last = price
            n += 1
        points[ticker] = n
        if n < 2:
            out[ticker, :] = np.nan
            continue
        out[ticker, 0] = _line(smoothed, n, min(n, SMOOTHED))
        out[ticker, 1] = _line(recent, n, min(n, RECENT))
        deviation = np.sqrt(squares / (n - 2)) if n > 2 else 0.0
        out[ticker, 2] = mean * YEAR * (DAMPING if deviation > STORMY else 1.0)
