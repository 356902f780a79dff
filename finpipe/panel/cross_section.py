"""Statistics across the stocks of one date: median, rank and z-score, whole market or by group.

NaN and infinities are missing: they count for nothing and get NaN. Results do not depend on the number
of threads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from finpipe.panel import cross_section_kernels as kernels
from finpipe.panel.columns import empty_column
from finpipe.panel.panel import Panel
from finpipe.panel.positions import positions
from finpipe.panel.threads import run

Floats: TypeAlias = NDArray[np.float64]
Groups: TypeAlias = NDArray[np.int32]
Offsets: TypeAlias = NDArray[np.int64]

# One row of consecutive dates shares a cache line, so dates are gathered several at a time.
_DATES_PER_PIECE = 32


def median(panel: Panel, values: Floats, threads: int | None = None) -> Floats:
    """Median of each date: the mean of the two middle values where their number is even.

    Parameters
    ----------
    panel
        The index of the rows.
    values
        One value per row, shape (rows,).
    threads
        How many threads share the dates; None for one per processor.

    Returns
    -------
    numpy.ndarray
        Shape (days,); NaN where a date has no value. Index it with ``panel.days`` for one per row.
    """
    out = np.empty(panel.dates.size)

    def of_dates(days: range) -> None:
        order = panel.by_date
        kernels.medians(values, order.rows, order.starts, days.start, days.stop, out)

    run(of_dates, _pieces(panel), threads)
    return out


def rank(panel: Panel, values: Floats, groups: Groups | None = None, threads: int | None = None) -> Floats:
    """Percent rank within each date, or each date and group: average rank of ties over the number present.

    Parameters
    ----------
    panel, values, threads
        As for :func:`median`.
    groups
        Group of each row, 0 or more, shape (rows,); a negative group is none, and its rows get NaN.

    Returns
    -------
    numpy.ndarray
        Shape (rows,), in (0, 1]: 1 is the largest value; NaN where the value or the group is missing.
    """

    def of_dates(members: Floats, group: Groups, starts: Offsets, count: int, out: Floats) -> None:
        widths = np.diff(starts)
        by_date = np.full((widths.size, widths.max(initial=0)), np.inf)
        present = np.where(np.isfinite(members), members, np.inf)
        by_date[np.arange(by_date.shape[1]) < widths[:, np.newaxis]] = present
        # One call for all dates: threads that take turns at many short ones would wait for each other. Sorting
        # NaN takes numpy far longer than sorting numbers.
        kernels.rank_sorted(members, np.argsort(by_date, axis=1), group, starts, count, out)

    return _by_date(panel, values, groups, of_dates, threads)


def zscore(
    panel: Panel,
    values: Floats,
    groups: Groups | None = None,
    least_std: float = 0.01,
    threads: int | None = None,
) -> Floats:
    """Standard score within each date, or each date and group: (value - mean) / max(std, ``least_std``).

    The standard deviation is the sample's (ddof 1).

    Parameters
    ----------
    panel, values, groups, threads
        As for :func:`rank`.
    least_std
        Lower limit of the denominator, in the unit of ``values``.

    Returns
    -------
    numpy.ndarray
        Shape (rows,); NaN where the value or the group is missing, and where the group has one member.
    """

    def of_dates(members: Floats, group: Groups, starts: Offsets, count: int, out: Floats) -> None:
        kernels.standardise(members, group, starts, count, least_std, out)

    return _by_date(panel, values, groups, of_dates, threads)


def groups(labels: pl.Series) -> Groups:
    """Number categorical ``labels`` from 0, for :func:`rank` and :func:`zscore`; null gets -1."""
    codes = labels.cast(pl.Categorical).to_physical().cast(pl.Int32).fill_null(-1).to_numpy()
    distinct, numbered = positions(codes)
    return numbered - np.int32(distinct.size > 0 and distinct[0] == -1)


def _pieces(panel: Panel) -> list[range]:
    panel.by_date  # noqa: B018 - computed once here, not by every thread at the same time
    days = panel.dates.size
    return [range(day, min(day + _DATES_PER_PIECE, days)) for day in range(0, days, _DATES_PER_PIECE)]


def _by_date(
    panel: Panel,
    values: Floats,
    groups: Groups | None,
    of_dates: Callable[[Floats, Groups, Offsets, int, Floats], None],
    threads: int | None,
) -> Floats:
    """Apply ``of_dates(values, groups, offsets of the dates, number of groups, out)`` to some dates at a time."""
    out = empty_column(panel.rows, np.float64)
    count = 1 if groups is None else int(groups.max(initial=0)) + 1

    def of_piece(days: range) -> None:
        order = panel.by_date
        starts = order.starts[days.start : days.stop + 1]
        rows = order.rows[starts[0] : starts[-1]]
        result = np.empty(rows.size)
        group = np.zeros(rows.size, np.int32) if groups is None else groups[rows]
        of_dates(values[rows], group, starts - starts[0], count, result)
        out[rows] = result

    run(of_piece, _pieces(panel), threads)
    return out
