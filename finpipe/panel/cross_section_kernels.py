"""The compiled loops behind ``cross_section``: selecting, ranking and standardising the values of a date."""

# ruff: noqa: PLR0917 - compiled functions take their arguments by position

from __future__ import annotations

from typing import TypeAlias

import numba
import numpy as np
from numba import float64, int32, int64, types, void
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Rows: TypeAlias = NDArray[np.int64]
Groups: TypeAlias = NDArray[np.int32]

IN = types.Array(float64, 1, "C", readonly=True)
ROWS = types.Array(int64, 1, "C", readonly=True)
ORDERS = types.Array(int64, 2, "C", readonly=True)
GROUPS = types.Array(int32, 1, "C", readonly=True)
OUT = float64[::1]


@numba.njit(nogil=True, error_model="numpy")
def _select(values: Floats, size: int, k: int) -> float:
    """The value that sorting would put at ``k``; smaller ones end up before it.

    A quickselect whose partitions move every value without branching on it.
    """
    low, high = 0, size
    while high - low > 1:
        first, middle, last = values[low], values[(low + high) // 2], values[high - 1]
        pivot = max(min(first, middle), min(max(first, middle), last))
        border = low
        for i in range(low, high):
            value = values[i]
            values[i] = values[border]
            values[border] = value
            border += value < pivot
        if k < border:
            high = border
            continue
        low = border
        for i in range(low, high):
            value = values[i]
            values[i] = values[border]
            values[border] = value
            border += value <= pivot
        if k < border:
            return float(pivot)
        low = border
    return float(values[k])


@numba.njit([void(IN, ROWS, ROWS, int64, int64, OUT)], cache=True, nogil=True, error_model="numpy")
def medians(values: Floats, rows: Rows, starts: Rows, first: int, end: int, out: Floats) -> None:
    """Median of the present values of each date from ``first`` to before ``end``."""
    widest = 0
    for day in range(first, end):
        widest = max(widest, starts[day + 1] - starts[day])
    present = np.empty(widest + 1, np.float64)
    for day in range(first, end):
        size = 0
        for i in range(starts[day], starts[day + 1]):
            value = values[rows[i]]
            present[size] = value
            size += np.isfinite(value)
        if size == 0:
            out[day] = np.nan
            continue
        half = size // 2
        upper = _select(present, size, half)
        lower = upper
        if size % 2 == 0:
            lower = present[0]
            for i in range(1, half):
                lower = max(lower, present[i])
        out[day] = (lower + upper) / 2


@numba.njit([void(IN, ORDERS, GROUPS, ROWS, int64, OUT)], cache=True, nogil=True, error_model="numpy")
def rank_sorted(values: Floats, orders: Rows, groups: Groups, starts: Rows, count: int, out: Floats) -> None:
    """Percent ranks within each date and group.

    Row ``d`` of ``orders`` sorts the values of the ``d``-th date, whatever is missing or beyond them last.
    """
    # Rows of a group keep their order of value, so one walk up gives each tie its lowest rank and one
    # walk down its highest.
    members = np.empty(count, np.int64)
    below = np.empty(count, np.int64)
    latest = np.empty(count, np.float64)
    rank_ = np.empty(count, np.int64)
    for day in range(starts.size - 1):
        first, end = starts[day], starts[day + 1]
        out[first:end] = np.nan
        members[:] = 0
        present = 0
        for k in orders[day]:
            i = first + k
            if i >= end or not np.isfinite(values[i]):
                break
            present += 1
            group = groups[i]
            if group < 0:
                continue
            members[group] += 1
            if members[group] == 1 or values[i] != latest[group]:
                rank_[group] = members[group]
                latest[group] = values[i]
            out[i] = rank_[group]
        below[:] = 0
        for k in orders[day, :present][::-1]:
            i = first + k
            group = groups[i]
            if group < 0:
                continue
            if below[group] == 0 or values[i] != latest[group]:
                rank_[group] = members[group] - below[group]
                latest[group] = values[i]
            below[group] += 1
            out[i] = (out[i] + rank_[group]) / 2.0 / members[group]


@numba.njit([void(IN, GROUPS, ROWS, int64, float64, OUT)], cache=True, nogil=True, error_model="numpy")
def standardise(
    values: Floats, groups: Groups, starts: Rows, count: int, least_std: float, out: Floats
) -> None:
    """Standard scores within each date and group."""
    members = np.empty(count, np.int64)
    mean = np.empty(count, np.float64)
    std = np.empty(count, np.float64)
    for day in range(starts.size - 1):
        rows = range(starts[day], starts[day + 1])
        members[:] = 0
        mean[:] = 0.0
        std[:] = 0.0
        for i in rows:
            group = groups[i]
            if group >= 0 and np.isfinite(values[i]):
                members[group] += 1
                mean[group] += (values[i] - mean[group]) / members[group]
        for i in rows:
            group = groups[i]
            if group >= 0 and np.isfinite(values[i]):
                std[group] += (values[i] - mean[group]) ** 2
        for group in range(count):
            std[group] = np.sqrt(std[group] / (members[group] - 1)) if members[group] > 1 else np.nan
        for i in rows:
            group = groups[i]
            if group >= 0 and np.isfinite(values[i]):
                out[i] = (values[i] - mean[group]) / max(std[group], least_std)
            else:
                out[i] = np.nan
