"""Rows by (stock_code, date): do two frames have the same ones, and where do some lie among others."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

KEYS = ("stock_code", "date")


class AlignmentError(ValueError):
    """A frame does not have the rows that it must share with another one."""


def packed_keys(frame: pl.DataFrame) -> NDArray[np.int64]:
    """Return one integer per row that stands for its (stock_code, date).

    Equal integers mean equal keys in all frames of one process, because polars numbers the categories of
    every Categorical column alike. Their order means nothing.

    Parameters
    ----------
    frame
        Has ``stock_code`` (Categorical) and ``date`` (Date), neither with nulls.

    Returns
    -------
    ndarray of int64, shape (rows,)
    """
    stock, day = pl.col("stock_code").to_physical(), pl.col("date").to_physical()
    return frame.select(stock.cast(pl.Int64) * 2**32 + day).to_series().to_numpy()


def require_same_rows(
    name: str, frame: pl.DataFrame, expected: NDArray[np.int64], expected_name: str
) -> None:
    """Check that ``frame`` has exactly the rows ``expected`` (packed keys), in the same order.

    Raises
    ------
    AlignmentError
        Names both frames, and the first row that differs.
    """
    found = packed_keys(frame)
    if len(found) != len(expected):
        raise AlignmentError(
            f"{name} has {len(found):,} rows, but {expected_name} has {len(expected):,}; "
            f"both must have the same rows in the same order: materialize {name} again"
        )
    different = found != expected
    if different.any():
        row = int(different.argmax())
        raise AlignmentError(
            f"{name} and {expected_name} must have the same rows in the same order; row {row} of {name} is "
            f"{frame.select(KEYS).row(row)}: materialize {name} again"
        )


def row_positions(
    name: str, frame: pl.DataFrame, within: NDArray[np.int64], within_name: str
) -> NDArray[np.int64]:
    """Return where each row of ``frame`` lies among the rows ``within`` (packed keys).

    Both must be in the same order; ``frame`` may leave rows out.

    Returns
    -------
    ndarray of int64, shape (rows of ``frame``,), ascending

    Raises
    ------
    AlignmentError
        Names the first row of ``frame`` that ``within`` lacks or has elsewhere.
    """
    from finpipe.learning.row_kernels import find_in_order

    wanted = packed_keys(frame)
    positions = np.empty(len(wanted), np.int64)
    row = find_in_order(wanted, within, positions)
    if row == len(wanted):
        return positions
    raise AlignmentError(
        f"every row of {name} must be a row of {within_name}, in the same order; row {row} of {name} "
        f"{frame.select(KEYS).row(row)} is not: materialize {name} again"
    )
