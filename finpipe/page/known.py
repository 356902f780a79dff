"""What a column knows: its finite values, and the last, mean and smallest of them.

Frames may hold nulls and, where they come from elsewhere, NaN; the report treats both as not known.
"""

from __future__ import annotations

import polars as pl


def finite(column: pl.Series) -> pl.Series:
    """Return the column as float64 with null for NaN and infinities."""
    values = column.cast(pl.Float64)
    return values.set(~values.is_finite(), None)


def has(column: pl.Series) -> bool:
    """Return whether any value is known."""
    return finite(column).null_count() < len(column)


def last(column: pl.Series) -> float | None:
    """Return the last known value; None if there is none."""
    values = finite(column).drop_nulls()
    return float(values[-1]) if len(values) else None


def mean(column: pl.Series) -> float | None:
    """Return the mean of the known values; None if there is none."""
    values = finite(column).drop_nulls().to_numpy()
    return float(values.mean()) if values.size else None


def smallest(column: pl.Series) -> float | None:
    """Return the smallest known value; None if there is none."""
    values = finite(column).drop_nulls().to_numpy()
    return float(values.min()) if values.size else None
