"""The compiled loops behind ``rolling``: one pass per window function, over whole stocks.

Each loop walks a stock in chunks as long as the window. ``tail_*[k]`` aggregates the last ``k`` rows of
the previous chunk; joined with the head of the current chunk it makes the window that ends at a row.
"""

# ruff: noqa: PLR0917 - compiled functions take their arguments by position

from __future__ import annotations

from typing import TypeAlias

import numba
import numpy as np
from numba import boolean, float64, int64, types, void
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Offsets: TypeAlias = NDArray[np.int64]

# Frames hand out read-only views; writable arrays convert to these signatures, the reverse would not.
IN = types.Array(float64, 1, "C", readonly=True)
STARTS = types.Array(int64, 1, "C", readonly=True)
OUT = float64[::1]


@numba.njit([void(IN, STARTS, int64, int64, boolean, OUT)], cache=True, nogil=True, error_model="numpy")
def sums(values: Floats, starts: Offsets, window: int, min_periods: int, average: bool, out: Floats) -> None:
    """Sum or, if ``average``, mean of each window."""
    # Missing values add nothing instead of being branched around, and counts are floats beside sums.
    tail_sum = np.empty(window, np.float64)
    tail_count = np.empty(window, np.float64)
    for stock in range(starts.size - 1):
        end = starts[stock + 1]
        tail_sum[:] = 0.0
        tail_count[:] = 0.0
        for begin in range(starts[stock], end, window):
            stop = min(begin + window, end)
            head = present = 0.0
            for row in range(begin, stop):
                value = values[row]
                known = np.isfinite(value)
                head += value if known else 0.0
                present += 1.0 if known else 0.0
                k = window - 1 - (row - begin)
                n = present + tail_count[k]
                sum_ = head + tail_sum[k]
                result = sum_ / n if average else sum_
                out[row] = result if n >= min_periods else np.nan
            if stop < end:
                tail = present = 0.0
                for k in range(1, window):
                    value = values[stop - k]
                    known = np.isfinite(value)
                    tail += value if known else 0.0
                    present += 1.0 if known else 0.0
                    tail_sum[k] = tail
                    tail_count[k] = present


@numba.njit(nogil=True, error_model="numpy")
def _tail_deviations(
    values: Floats, stop: int, sums_: Floats, squares: Floats, counts_: NDArray[np.int64]
) -> float:
    """Aggregate the tails of the chunk that ends before ``stop``; return the value they are taken around."""
    sum_ = square = origin = 0.0
    present = 0
    for k in range(1, sums_.size):
        value = values[stop - k]
        if np.isfinite(value):
            if present == 0:
                origin = value
            deviation = value - origin
            sum_ += deviation
            square += deviation * deviation
            present += 1
        sums_[k] = sum_
        squares[k] = square
        counts_[k] = present
    return origin


@numba.njit([void(IN, STARTS, int64, int64, OUT)], cache=True, nogil=True, error_model="numpy")
def deviations(values: Floats, starts: Offsets, window: int, min_periods: int, out: Floats) -> None:
    """Sample standard deviation of each window."""
    # Sums of deviations and of their squares around the value nearest to the chunks' border, on either
    # side: that value is in every window that uses the sum.
    tail_sum = np.empty(window, np.float64)
    tail_square = np.empty(window, np.float64)
    tail_count = np.empty(window, np.int64)
    for stock in range(starts.size - 1):
        end = starts[stock + 1]
        tail_count[:] = 0
        tail_origin = 0.0
        for begin in range(starts[stock], end, window):
            stop = min(begin + window, end)
            head = head_square = head_origin = 0.0
            present = 0
            for row in range(begin, stop):
                value = values[row]
                if np.isfinite(value):
                    if present == 0:
                        head_origin = value
                    deviation = value - head_origin
                    head += deviation
                    head_square += deviation * deviation
                    present += 1
                k = window - 1 - (row - begin)
                n = present + tail_count[k]
                if n < min_periods or n < 2:
                    out[row] = np.nan
                    continue
                sum_, square = head, head_square
                if tail_count[k] > 0:
                    shift = tail_origin - head_origin if present > 0 else 0.0
                    sum_ += tail_sum[k] + tail_count[k] * shift
                    square += tail_square[k] + shift * (2.0 * tail_sum[k] + tail_count[k] * shift)
                out[row] = np.sqrt(max(square - sum_ * sum_ / n, 0.0) / (n - 1))
            if stop < end:
                tail_origin = _tail_deviations(values, stop, tail_sum, tail_square, tail_count)


@numba.njit([void(IN, STARTS, int64, int64, float64, OUT)], cache=True, nogil=True, error_model="numpy")
def extremes(
    values: Floats, starts: Offsets, window: int, min_periods: int, sign: float, out: Floats
) -> None:
    """Largest (``sign`` 1) or smallest (``sign`` -1) value of each window."""
    tail_best = np.empty(window, np.float64)
    tail_count = np.empty(window, np.int64)
    for stock in range(starts.size - 1):
        end = starts[stock + 1]
        tail_best[:] = -np.inf
        tail_count[:] = 0
        for begin in range(starts[stock], end, window):
            stop = min(begin + window, end)
            best = -np.inf
            present = 0
            for row in range(begin, stop):
                value = sign * values[row]
                if np.isfinite(value):
                    best = max(best, value)
                    present += 1
                k = window - 1 - (row - begin)
                if present + tail_count[k] < min_periods:
                    out[row] = np.nan
                else:
                    out[row] = sign * max(best, tail_best[k])
            if stop < end:
                best = -np.inf
                present = 0
                for k in range(1, window):
                    value = sign * values[stop - k]
                    if np.isfinite(value):
                        best = max(best, value)
                        present += 1
                    tail_best[k] = best
                    tail_count[k] = present


@numba.njit(nogil=True, error_model="numpy")
def _tail_pairs(
    x: Floats, y: Floats, stop: int, tail: Floats, counts_: NDArray[np.int64]
) -> tuple[float, float]:
    """Aggregate the tails of both series, as :func:`_tail_deviations`; return the pair they are taken around."""
    sx = sy = sxx = sxy = origin_x = origin_y = 0.0
    present = 0
    for k in range(1, counts_.size):
        row = stop - k
        if np.isfinite(x[row]) and np.isfinite(y[row]):
            if present == 0:
                origin_x, origin_y = x[row], y[row]
            dx, dy = x[row] - origin_x, y[row] - origin_y
            sx += dx
            sy += dy
            sxx += dx * dx
            sxy += dx * dy
            present += 1
        tail[k, 0], tail[k, 1], tail[k, 2], tail[k, 3] = sx, sy, sxx, sxy
        counts_[k] = present
    return origin_x, origin_y


@numba.njit([void(IN, IN, STARTS, int64, int64, OUT, OUT)], cache=True, nogil=True, error_model="numpy")
def pair_moments(
    x: Floats, y: Floats, starts: Offsets, window: int, min_periods: int, cov: Floats, var: Floats
) -> None:
    """Sample covariance of ``x`` and ``y`` and variance of ``x`` over the pairs of each window."""
    # As _deviations, with both series shifted to the pair nearest to the chunks' border.
    tail = np.empty((window, 4), np.float64)
    tail_count = np.empty(window, np.int64)
    share = 1.0 / np.arange(window + 1)
    for stock in range(starts.size - 1):
        end = starts[stock + 1]
        tail_count[:] = 0
        tail_origin_x = tail_origin_y = 0.0
        for begin in range(starts[stock], end, window):
            stop = min(begin + window, end)
            head_x = head_y = head_xx = head_xy = origin_x = origin_y = 0.0
            present = 0
            for row in range(begin, stop):
                if np.isfinite(x[row]) and np.isfinite(y[row]):
                    if present == 0:
                        origin_x, origin_y = x[row], y[row]
                    dx, dy = x[row] - origin_x, y[row] - origin_y
                    head_x += dx
                    head_y += dy
                    head_xx += dx * dx
                    head_xy += dx * dy
                    present += 1
                k = window - 1 - (row - begin)
                m = tail_count[k]
                n = present + m
                if n < min_periods or n < 2:
                    cov[row] = np.nan
                    var[row] = np.nan
                    continue
                sx, sy, sxx, sxy = head_x, head_y, head_xx, head_xy
                if m > 0:
                    shift_x = tail_origin_x - origin_x if present > 0 else 0.0
                    shift_y = tail_origin_y - origin_y if present > 0 else 0.0
                    tail_x, tail_y, tail_xx, tail_xy = tail[k, 0], tail[k, 1], tail[k, 2], tail[k, 3]
                    sx += tail_x + m * shift_x
                    sy += tail_y + m * shift_y
                    sxx += tail_xx + shift_x * (2.0 * tail_x + m * shift_x)
                    sxy += tail_xy + shift_x * tail_y + shift_y * (tail_x + m * shift_x)
                cov[row] = (sxy - sx * sy * share[n]) * share[n - 1]
                var[row] = max(sxx - sx * sx * share[n], 0.0) * share[n - 1]
            if stop < end:
                tail_origin_x, tail_origin_y = _tail_pairs(x, y, stop, tail, tail_count)
