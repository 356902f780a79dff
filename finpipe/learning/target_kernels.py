"""The compiled loops behind ``targets``: returns along the rows of a stock, and labels across those of a date.

A compiled loop calls none of another file: numba keeps compiled code until the file that it stands in changes.
"""

# ruff: noqa: PLR0917 - compiled functions take their arguments by position

from __future__ import annotations

from typing import Any, TypeAlias

import numba
import numpy as np
from numba import boolean, float32, float64, int32, int64, types, uint64, void
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Singles: TypeAlias = NDArray[np.float32]
Rows: TypeAlias = NDArray[np.int64]
Days: TypeAlias = NDArray[np.int32]
Keys: TypeAlias = NDArray[np.uint64]
Mask: TypeAlias = NDArray[np.bool_]
Column: TypeAlias = NDArray[Any]

VALUES = types.Array(float64, 1, "C", readonly=True)
RETURNS = types.Array(float64, 2, "C", readonly=True)
ROWS = types.Array(int64, 1, "C", readonly=True)
DAYS = types.Array(int32, 1, "C", readonly=True)
MASK = types.Array(boolean, 1, "C", readonly=True)
BETA = types.Array(float32, 1, "C", readonly=True)
LABELS_IN = types.Array(float32, 2, "C", readonly=True)
LABELS = float32[:, :, ::1]
ROWS_OUT = int64[::1]
KEYS = uint64[::1]


@numba.njit(
    [
        void(
            ROWS,
            ROWS,
            ROWS,
            DAYS,
            MASK,
            VALUES,
            VALUES,
            ROWS,
            int64,
            int64,
            float64,
            int64,
            int64,
            float64[::1],
        )
    ],
    cache=True,
    nogil=True,
    error_model="numpy",
)
def returns(
    starts: Rows,
    places: Rows,
    rows: Rows,
    days: Days,
    traded: Mask,
    opening: Floats,
    closing: Floats,
    gone_from: Rows,
    calendar: int,
    horizon: int,
    payout: float,
    first: int,
    end: int,
    out: Floats,
) -> None:
    """Return of each of ``rows`` of the stocks from ``first`` to before ``end``, from the open of T+1 to T+1+horizon.

    A stock's rows begin at ``starts``, those of them that are asked for at ``places`` of ``rows``. NaN: no label.
    """
    for stock in range(first, end):
        last = starts[stock + 1] - 1
        for i in range(places[stock], places[stock + 1]):
            here = rows[i]
            out[i] = np.nan
            exit_day = days[here] + 1 + horizon
            if here == last or exit_day >= calendar:
                continue
            entry = here + 1
            if days[entry] != days[here] + 1 or not traded[entry] or not opening[entry] > 0:
                continue
            # Where the stock has no gap, which is nearly always, the row is simply that many rows below.
            leave = min(here + 1 + horizon, last)
            while days[leave] > exit_day:
                leave -= 1
            present = days[leave] == exit_day
            if present and traded[leave] and opening[leave] > 0:
                growth = opening[leave] / opening[entry]
            else:
                while not traded[leave]:
                    leave -= 1
                growth = closing[leave] / opening[entry]
            if not present and gone_from[stock] <= exit_day:
                growth *= payout
            out[i] = growth - 1


@numba.njit(
    [void(VALUES, int64, ROWS_OUT, ROWS_OUT, KEYS, KEYS)], cache=True, nogil=True, error_model="numpy"
)
def ascend(values: Floats, size: int, order: Rows, spare: Rows, keys: Keys, spare_keys: Keys) -> None:
    """Write the positions of the first ``size`` values into ``order`` so that they ascend, none of them being NaN.

    Radix sort by one byte after the other: an unsigned number with the bits of a float orders like it once the
    sign bit is flipped, and for a negative float all others too.
    """
    counts = np.zeros((8, 256), np.int64)
    bits = values.view(np.uint64)
    for i in range(size):
        key = bits[i]
        key = ~key if key >> np.uint64(63) else key | np.uint64(1 << 63)
        keys[i], order[i] = key, i
        for digit in range(8):
            counts[digit, (key >> np.uint64(8 * digit)) & np.uint64(255)] += 1
    for digit in range(8):
        shift, place = np.uint64(8 * digit), 0
        if size and counts[digit, (keys[0] >> shift) & np.uint64(255)] == size:
            continue
        for value in range(256):
            count = counts[digit, value]
            counts[digit, value] = place
            place += count
        for i in range(size):
            value = (keys[i] >> shift) & np.uint64(255)
            place = counts[digit, value]
            spare_keys[place], spare[place] = keys[i], order[i]
            counts[digit, value] += 1
        keys[:size], order[:size] = spare_keys[:size], spare[:size]


@numba.njit(nogil=True, error_model="numpy")
def _market(values: Floats) -> float:
    """Median of the present values."""
    present = values[np.isfinite(values)]
    return float(np.median(present)) if present.size else np.nan


@numba.njit(nogil=True, error_model="numpy")
def _rank(values: Floats, order: Rows, groups: Days, count: int, out: Floats) -> None:
    """Percent ranks within each group, where ``order`` sorts the values, none of them being NaN.

    Ties share the mean of their ranks. A walk up gives each tie its lowest rank, a walk down its highest.
    """
    members, below = np.zeros(count, np.int64), np.zeros(count, np.int64)
    latest, rank = np.empty(count, np.float64), np.zeros(count, np.int64)
    for i in order:
        group = groups[i]
        if group < 0:
            out[i] = np.nan
            continue
        members[group] += 1
        if members[group] == 1 or values[i] != latest[group]:
            rank[group], latest[group] = members[group], values[i]
        out[i] = rank[group]
    for i in order[::-1]:
        group = groups[i]
        if group < 0:
            continue
        if below[group] == 0 or values[i] != latest[group]:
            rank[group], latest[group] = members[group] - below[group], values[i]
        below[group] += 1
        out[i] = (out[i] + rank[group]) / 2.0 / members[group]


@numba.njit(nogil=True, error_model="numpy")
def _label_date(
    realized: Floats, ranked: Mask, sectors: Days, sector_count: int, limit: float, out: Singles
) -> None:
    """Write the five labels of one date's rows."""
    most = realized.size + 1
    clipped = np.minimum(np.maximum(realized, -limit), limit)
    market = _market(clipped)
    label, rank, members = np.empty(most, np.float64), np.empty(most, np.float64), np.empty(most, np.int64)
    order, spare = np.empty(most, np.int64), np.empty(most, np.int64)
    keys, spare_keys = np.empty(most, np.uint64), np.empty(most, np.uint64)
    alike, sector = np.zeros(most, np.int32), np.empty(most, np.int32)
    count = 0
    for i in range(realized.size):
        value = clipped[i]
        out[0, i], out[1, i], out[2, i] = value, realized[i], value - market
        out[3, i] = out[4, i] = np.nan
        label[count], members[count], sector[count] = value, i, sectors[i]
        count += ranked[i] and np.isfinite(value)
    ascend(label, count, order, spare, keys, spare_keys)
    _rank(label[:count], order[:count], alike[:count], 1, rank)
    for i in range(count):
        out[3, members[i]] = rank[i]
    _rank(label[:count], order[:count], sector[:count], sector_count, rank)
    for i in range(count):
        out[4, members[i]] = rank[i]


@numba.njit(nogil=True, error_model="numpy")
def _residual_date(returns: Floats, beta: Singles, ranked: Mask, out: Singles) -> None:
    """Write the residual and its rank of one date's rows."""
    most = returns.size + 1
    market = _market(returns)
    residual, rank, members = np.empty(most, np.float64), np.empty(most, np.float64), np.empty(most, np.int64)
    order, spare = np.empty(most, np.int64), np.empty(most, np.int64)
    keys, spare_keys = np.empty(most, np.uint64), np.empty(most, np.uint64)
    count = 0
    for i in range(returns.size):
        rest = returns[i] - beta[i] * market
        out[0, i], out[1, i] = rest, np.nan
        residual[count], members[count] = rest, i
        count += ranked[i] and np.isfinite(rest)
    ascend(residual, count, order, spare, keys, spare_keys)
    _rank(residual[:count], order[:count], np.zeros(count, np.int32), 1, rank)
    for i in range(count):
        out[1, members[i]] = rank[i]


@numba.njit(nogil=True, error_model="numpy")
def _side_by_side(starts: Rows, days: Days, first: int, end: int) -> tuple[Rows, Rows, Rows, Rows]:
    """Put the rows of the days from ``first`` to before ``end`` side by side, day by day.

    Returned are where each stock's rows of these days begin and end, the bounds of each day among what is put side
    by side, and the place there of each row, stock by stock.
    """
    stocks = starts.size - 1
    begins, ends = np.empty(stocks, np.int64), np.empty(stocks, np.int64)
    bounds = np.zeros(end - first + 1, np.int64)
    for stock in range(stocks):
        own = days[starts[stock] : starts[stock + 1]]
        begins[stock] = starts[stock] + np.searchsorted(own, first)
        ends[stock] = starts[stock] + np.searchsorted(own, end)
        for row in range(begins[stock], ends[stock]):
            bounds[days[row] - first + 1] += 1
    bounds = np.cumsum(bounds)
    free, places = bounds.copy(), np.empty(bounds[-1], np.int64)
    seen = 0
    for stock in range(stocks):
        for row in range(begins[stock], ends[stock]):
            places[seen] = free[days[row] - first]
            free[days[row] - first] += 1
            seen += 1
    return begins, ends, bounds, places


@numba.njit(nogil=True, error_model="numpy")
def _take(values: Column, places: Rows, begins: Rows, ends: Rows, out: Column) -> None:
    """Read the rows' values to their places side by side."""
    seen = 0
    for stock in range(begins.size):
        for row in range(begins[stock], ends[stock]):
            out[places[seen]] = values[row]
            seen += 1


@numba.njit(nogil=True, error_model="numpy")
def _put_back(made: Singles, places: Rows, begins: Rows, ends: Rows, out: Singles) -> None:
    """Write what was made of the rows at ``places`` where the rows are."""
    seen = 0
    for stock in range(begins.size):
        for row in range(begins[stock], ends[stock]):
            for line in range(made.shape[0]):
                out[line, row] = made[line, places[seen]]
            seen += 1


@numba.njit(
    [void(RETURNS, ROWS, DAYS, int64, int64, MASK, DAYS, int64, float64, LABELS)],
    cache=True,
    nogil=True,
    error_model="numpy",
)
def labels(
    realized: Floats,
    starts: Rows,
    days: Days,
    first: int,
    end: int,
    ranked: Mask,
    sectors: Days,
    sector_count: int,
    limit: float,
    out: Singles,
) -> None:
    """Labels of the days from ``first`` to before ``end``, where a stock's rows begin at ``starts``.

    ``realized`` has a line for each horizon. ``out`` has for each horizon a line each for the clipped return, the
    return, alpha, and the percent ranks of the return and of the return within the sector. Few days at a time are
    put side by side, worked on, and put back, so that memory is walked through stock by stock.
    """
    begins, ends, bounds, places = _side_by_side(starts, days, first, end)
    size = places.size
    returns_, members, groups = np.empty(size, np.float64), np.empty(size, np.bool_), np.empty(size, np.int32)
    made = np.empty((out.shape[1], size), np.float32)
    _take(ranked, places, begins, ends, members)
    _take(sectors, places, begins, ends, groups)
    for horizon in range(realized.shape[0]):
        _take(realized[horizon], places, begins, ends, returns_)
        for day in range(end - first):
            a, b = bounds[day], bounds[day + 1]
            _label_date(returns_[a:b], members[a:b], groups[a:b], sector_count, limit, made[:, a:b])
        _put_back(made, places, begins, ends, out[horizon])


@numba.njit(
    [void(LABELS_IN, ROWS, DAYS, int64, int64, BETA, MASK, LABELS)],
    cache=True,
    nogil=True,
    error_model="numpy",
)
def residuals(
    returns: Singles,
    starts: Rows,
    days: Days,
    first: int,
    end: int,
    beta: Singles,
    ranked: Mask,
    out: Singles,
) -> None:
    """What beta leaves of the clipped ``returns``, a line for each horizon; as :func:`labels`.

    ``out`` has for each horizon a line for the residual and one for its percent rank.
    """
    begins, ends, bounds, places = _side_by_side(starts, days, first, end)
    size = places.size
    returns_, betas, members = (
        np.empty(size, np.float64),
        np.empty(size, np.float32),
        np.empty(size, np.bool_),
    )
    made = np.empty((out.shape[1], size), np.float32)
    _take(beta, places, begins, ends, betas)
    _take(ranked, places, begins, ends, members)
    for horizon in range(returns.shape[0]):
        _take(returns[horizon], places, begins, ends, returns_)
        for day in range(end - first):
            a, b = bounds[day], bounds[day + 1]
            _residual_date(returns_[a:b], betas[a:b], members[a:b], made[:, a:b])
        _put_back(made, places, begins, ends, out[horizon])
