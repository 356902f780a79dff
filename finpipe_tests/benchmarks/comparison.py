"""Compares the values of two sides of a benchmark, column by column."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

RELATIVE, ABSOLUTE = 1e-5, 1e-6
"""Tolerance of 32-bit floats at rest."""


@dataclass(frozen=True, slots=True)
class Known:
    """An intended difference: why, and the largest share of rows that the reason can explain."""

    reason: str
    share: float = 1.0


class RowsDifferError(ValueError):
    """The two sides do not have the same rows, so that no value can be compared."""


@dataclass(frozen=True, slots=True)
class Difference:
    """How far one column of the two sides is apart.

    ``outside`` counts values beyond the tolerance, ``null_mismatches`` rows where exactly one side has a value,
    ``max_rel`` is taken where the baseline is not nearly zero. ``known`` is the reason of an intended difference,
    empty where there is none or where more rows differ than it can explain.
    """

    column: str
    rows: int
    null_mismatches: int
    outside: int
    max_abs: float
    max_rel: float
    known: str = ""

    @property
    def agrees(self) -> bool:
        """Whether no value and no null differs."""
        return not self.outside and not self.null_mismatches


def compare(
    baseline: Path, candidate: Path, key: tuple[str, ...], known: Mapping[str, Known]
) -> list[Difference]:
    """Compare two parquet files with the same rows in the same order.

    Parameters
    ----------
    baseline, candidate
        The files; columns that only one of them has are left out.
    key
        Columns that must be equal.
    known
        Reasons of intended differences, by column.

    Raises
    ------
    RowsDifferError
        Names the first key that differs.
    """
    left, right = pl.scan_parquet(baseline), pl.scan_parquet(candidate)
    _require_same_keys(left.select(key).collect(), right.select(key).collect())
    names = [name for name in left.collect_schema().names() if name in right.collect_schema().names()]
    return [
        compare_column(name, *(frame.select(name).collect()[name] for frame in (left, right)), known)
        for name in names
        if name not in key
    ]


def compare_column(name: str, left: pl.Series, right: pl.Series, known: Mapping[str, Known]) -> Difference:
    """Compare two columns of equal length; text is compared for equality."""
    nulls = int((left.is_null() != right.is_null()).sum())
    both = left.is_not_null() & right.is_not_null()
    a, b = left.filter(both), right.filter(both)
    if not (a.dtype.is_numeric() or a.dtype == pl.Boolean):
        unequal = int((a.cast(pl.String) != b.cast(pl.String)).sum())
        return Difference(
            name, len(left), nulls, unequal, 0.0, 0.0, _reason(known.get(name), unequal + nulls, len(left))
        )
    x, y = a.cast(pl.Float64).to_numpy(), b.cast(pl.Float64).to_numpy()
    with np.errstate(invalid="ignore"):
        apart = np.where(x == y, 0.0, np.abs(x - y))
    apart = np.where(np.isnan(apart), np.inf, apart)
    outside = int((apart > np.where(np.isfinite(x), ABSOLUTE + RELATIVE * np.abs(x), 0.0)).sum())
    sizeable = np.isfinite(x) & (np.abs(x) > ABSOLUTE)
    relative = apart[sizeable] / np.abs(x[sizeable])
    return Difference(
        name,
        len(left),
        nulls,
        outside,
        float(apart.max(initial=0.0)),
        float(relative.max(initial=0.0)),
        _reason(known.get(name), outside + nulls, len(left)),
    )


def _reason(known: Known | None, different: int, rows: int) -> str:
    return known.reason if known is not None and different <= known.share * rows else ""


def _require_same_keys(left: pl.DataFrame, right: pl.DataFrame) -> None:
    if left.height != right.height:
        sides = [frame.with_columns(pl.col(pl.Categorical).cast(pl.String)) for frame in (left, right)]
        only = [sides[i].join(sides[1 - i], on=left.columns, how="anti") for i in (0, 1)]
        raise RowsDifferError(
            f"the baseline has {left.height:,} rows and finpipe {right.height:,}; only one side has "
            f"{only[0].rows()[:3]} and {only[1].rows()[:3]}"
        )
    for name in left.columns:
        different = left[name].cast(pl.String) != right[name].cast(pl.String)
        if different.any():
            row = different.arg_true()[0]
            raise RowsDifferError(
                f"row {row} is {left.row(row)} in the baseline, {right.row(row)} in finpipe"
            )
