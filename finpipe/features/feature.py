"""What a feature declares about itself; the declarations themselves stand beside the code that computes them."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from finpipe.market.schema import Column


@dataclass(frozen=True, slots=True)
class Feature:
    """One column of a feature table, declared once beside the code that computes it.

    Documentation, schema checks and the inputs of the models are generated from these declarations.

    Parameters
    ----------
    name
        Column name.
    group
        Family that the feature belongs to, e.g. ``momentum``.
    formula
        The formula in words and symbols, complete enough to rebuild the column.
    window
        Number of rows, the row itself included, that a value may depend on: beyond it, older data
        change nothing. Rows are the stock's own traded rows, for macro features the market's days.
        0 where the value does not come from a window of rows (as-of joined filings, for example).
    source
        Where the formula comes from: a published work, or the section of the specification.
    null
        What a null means; empty if the column is never null.
    unit
        Unit of the values: ``fraction``, ``ratio``, ``KRW``, ``shares``, ``rank``, ``flag``, ``score``, ...
    low, high
        Bounds that the formula guarantees, both inclusive; None where it guarantees none.
    models
        Names of the feature sets that feed this column to the ranker: ``v3``, ``v4``, ``v5``.
    dtype
        Type at rest; 32-bit floats unless there is a reason.
    """

    name: str
    group: str
    formula: str
    window: int
    source: str
    null: str
    unit: str = "fraction"
    low: float | None = None
    high: float | None = None
    models: tuple[str, ...] = ()
    dtype: pl.DataType | type[pl.DataType] = pl.Float32

    @property
    def column(self) -> Column:
        """The same declaration as a column of the schema catalogue."""
        return Column(self.name, self.dtype, self.formula, self.unit, self.null)

    @property
    def range(self) -> str:
        """The guaranteed bounds as an interval, e.g. ``[0, 1]``; empty if there are none."""
        if self.low is None and self.high is None:
            return ""
        low = "(-inf" if self.low is None else f"[{self.low:g}"
        high = "inf)" if self.high is None else f"{self.high:g}]"
        return f"{low}, {high}"
