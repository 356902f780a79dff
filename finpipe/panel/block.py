"""Computing formulas on blocks of whole stocks, small enough that every intermediate stays in the cache.

Formulas are written against a :class:`Block` as if it were the whole market; blocks are handed to
threads in turn and their results land in columns allocated once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numba import float32, float64, types, void
from numpy.typing import NDArray

from finpipe.panel import rolling
from finpipe.panel.columns import empty_column
from finpipe.panel.panel import Panel
from finpipe.panel.rolling import Floats, Offsets
from finpipe.panel.threads import run

# A quarter of a megabyte per array: the few in hand at a time fit a second-level cache.
ROWS_PER_BLOCK = 32_768


@dataclass(frozen=True, slots=True)
class Block:
    """Columns of a few whole stocks, with the windows that formulas need.

    All arrays have one float64 per row; NaN is null. Windows count rows of the stock itself.

    Parameters
    ----------
    starts
        Offsets of the stocks within the block; shape (stocks + 1,).
    columns
        What formulas may read, by name: source columns and the results of earlier formulas.
    """

    starts: Offsets
    columns: dict[str, Floats]

    def __getitem__(self, name: str) -> Floats:
        return self.columns[name]

    def lag(self, values: Floats, rows: int = 1) -> Floats:
        """Value ``rows`` rows earlier of the same stock."""
        return rolling.lag(values, self.starts, rows)

    def mean(self, values: Floats, window: int, min_periods: int) -> Floats:
        """Mean of the last ``window`` rows, of which ``min_periods`` must be present."""
        return rolling.mean(values, self.starts, window, min_periods)

    def total(self, values: Floats, window: int, min_periods: int) -> Floats:
        """Sum of the last ``window`` rows, of which ``min_periods`` must be present."""
        return rolling.total(values, self.starts, window, min_periods)

    def std(self, values: Floats, window: int, min_periods: int) -> Floats:
        """Sample standard deviation of the last ``window`` rows, of which ``min_periods`` must be present."""
        return rolling.std(values, self.starts, window, min_periods)

    def maximum(self, values: Floats, window: int, min_periods: int) -> Floats:
        """Largest of the last ``window`` rows, of which ``min_periods`` must be present."""
        return rolling.maximum(values, self.starts, window, min_periods)

    def minimum(self, values: Floats, window: int, min_periods: int) -> Floats:
        """Smallest of the last ``window`` rows, of which ``min_periods`` must be present."""
        return rolling.minimum(values, self.starts, window, min_periods)

    def moments(self, x: Floats, y: Floats, window: int, min_periods: int) -> tuple[Floats, Floats]:
        """Covariance of ``x`` and ``y`` and variance of ``x`` over the pairs of the last ``window`` rows."""
        return rolling.moments(x, y, self.starts, window, min_periods)


Formulas = Callable[[Block], Mapping[str, Floats]]


def compute(
    panel: Panel,
    source: Mapping[str, NDArray[Any]],
    formulas: Sequence[Formulas],
    *,
    outputs: Sequence[str],
    exact: Sequence[str] = (),
    threads: int | None = None,
) -> tuple[dict[str, NDArray[np.float32]], dict[str, Floats]]:
    """Run ``formulas`` over every block of ``panel`` and collect the columns that are asked for.

    Parameters
    ----------
    panel
        The index of the source's rows.
    source
        Columns by name, shape (rows,), of any numeric type.
    formulas
        Functions in the order in which they run; each may read what earlier ones returned.
    outputs
        Columns to keep in 32 bits, to be stored.
    exact
        Columns to keep in 64 bits, to be computed with further.
    threads
        How many threads share the blocks; None for one per processor. It does not change the result.

    Returns
    -------
    tuple of dict
        The outputs and the exact columns by name, shape (rows,) each; NaN is null, and infinities have
        become NaN.
    """
    stored = {name: empty_column(panel.rows, np.float32) for name in outputs}
    kept = {name: empty_column(panel.rows, np.float64) for name in exact}

    def fill(stocks: range) -> None:
        begin, end = panel.starts[stocks.start], panel.starts[stocks.stop]
        block = Block(
            panel.starts[stocks.start : stocks.stop + 1] - begin,
            {name: values[begin:end].astype(np.float64, copy=False) for name, values in source.items()},
        )
        with np.errstate(all="ignore"):
            for formula in formulas:
                block.columns.update(formula(block))
        for name, single in stored.items():
            _store(block[name], single[begin:end])
        for name, double in kept.items():
            double[begin:end] = np.where(np.isfinite(block[name]), block[name], np.nan)

    run(fill, panel.blocks(ROWS_PER_BLOCK), threads)
    return stored, kept


_VALUES = types.Array(float64, 1, "C", readonly=True)


@numba.njit([void(_VALUES, float32[::1])], cache=True, nogil=True, error_model="numpy")
def _store(values: Floats, out: NDArray[np.float32]) -> None:
    """Round to 32 bits; what does not fit becomes NaN."""
    for i in range(values.size):
        value = np.float32(values[i])
        out[i] = value if np.isfinite(value) else np.float32(np.nan)
