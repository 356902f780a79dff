"""Windows of stocks one by one: the plain reference that the rolling kernels are compared with."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np
from hypothesis import strategies as st

Stocks = list[list[float]]

quiet = st.floats(-1e6, 1e6, allow_subnormal=False).map(lambda value: round(value, 3))
tied = st.integers(-2, 2).map(float)
wild = st.sampled_from([1e8, -1e8, 1e15, -1e15])
missing = st.sampled_from([math.nan, math.inf, -math.inf])
values = st.one_of(quiet, quiet, tied, tied, wild, missing)


def stocks(of: st.SearchStrategy[float] = values) -> st.SearchStrategy[Stocks]:
    """A few stocks of 0 to 60 rows, with runs of one value among them."""
    runs = st.tuples(of, st.integers(1, 8)).map(lambda run: [run[0]] * run[1])
    rows = st.lists(runs, max_size=15).map(lambda parts: list(itertools.chain(*parts)))
    return st.lists(rows, max_size=5)


@st.composite
def spans(draw: st.DrawFn) -> tuple[int, int]:
    """A window and how many of its rows must be present."""
    window = draw(st.integers(1, 25))
    return window, draw(st.integers(1, window))


def flat(series: Stocks) -> tuple[np.ndarray, np.ndarray]:
    """The rows of all stocks, and their offsets."""
    sizes = [len(stock) for stock in series]
    rows = np.array(list(itertools.chain(*series)), dtype=np.float64)
    return rows, np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)


def rolled(
    series: Stocks, window: int, min_periods: int, statistic: Callable[[list[float]], float]
) -> np.ndarray:
    """``statistic`` of the present values of every window; NaN with fewer than ``min_periods``."""
    out = []
    for stock in series:
        for row in range(len(stock)):
            present = [value for value in stock[max(row - window + 1, 0) : row + 1] if math.isfinite(value)]
            out.append(statistic(present) if len(present) >= min_periods else math.nan)
    return np.array(out)


def pairs(x: Stocks, y: Stocks, window: int) -> Iterator[list[tuple[float, float]]]:
    """The complete pairs of every window."""
    for one, other in zip(x, y, strict=True):
        for row in range(len(one)):
            window_rows = range(max(row - window + 1, 0), row + 1)
            yield [
                (one[i], other[i]) for i in window_rows if math.isfinite(one[i]) and math.isfinite(other[i])
            ]


def exact_covariance(sample: list[tuple[float, float]]) -> float:
    """Sample covariance in exact rational arithmetic; NaN for a single pair."""
    if len(sample) < 2:
        return math.nan
    x, y = [Fraction(one) for one, _ in sample], [Fraction(other) for _, other in sample]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    return float(sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / (len(x) - 1))


def exact_std(sample: list[float]) -> float:
    """Sample standard deviation in exact rational arithmetic; NaN for a single value."""
    return math.sqrt(exact_covariance([(value, value) for value in sample])) if len(sample) > 1 else math.nan
