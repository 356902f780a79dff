from __future__ import annotations

import math
from pathlib import Path

import polars as pl
import pytest

from finpipe_tests.benchmarks.comparison import Known, RowsDifferError, compare, compare_column

NOTHING_KNOWN: dict[str, Known] = {}


def test_equal_columns_agree_with_their_nulls_and_infinities():
    values = pl.Series([1.0, None, -math.inf, 0.0])
    difference = compare_column("x", values, values.cast(pl.Float32), NOTHING_KNOWN)
    assert difference.agrees
    assert difference.max_abs == 0.0


def test_rounding_to_32_bits_is_within_the_tolerance():
    values = pl.Series([0.1, 1e9 / 3, -1e-9])
    assert compare_column("x", values, values.cast(pl.Float32), NOTHING_KNOWN).agrees


def test_values_and_nulls_that_differ_are_counted():
    left = pl.Series([1.0, 2.0, None, 4.0, 5.0])
    right = pl.Series([1.0, 2.5, 3.0, None, math.inf])
    difference = compare_column("x", left, right, {"x": Known("on purpose")})
    assert (difference.outside, difference.null_mismatches) == (2, 2)
    assert difference.max_abs == math.inf
    assert not difference.agrees
    assert difference.known == "on purpose"


def test_a_reason_explains_no_more_than_its_share_of_the_rows():
    left, right = pl.Series([1.0] * 10), pl.Series([1.0] * 8 + [2.0, 2.0])
    assert compare_column("x", left, right, {"x": Known("rounding", share=0.2)}).known == "rounding"
    assert compare_column("x", left, right, {"x": Known("rounding", share=0.1)}).known == ""


def test_an_infinite_value_agrees_with_itself_only():
    infinite = pl.Series([math.inf, math.inf, -math.inf])
    assert compare_column("x", infinite, pl.Series([1.0, -math.inf, math.nan]), NOTHING_KNOWN).outside == 3


def test_not_a_number_never_agrees():
    assert compare_column("x", pl.Series([1.0]), pl.Series([math.nan]), NOTHING_KNOWN).outside == 1


def test_labels_are_compared_as_text():
    left = pl.Series(["a", "b", None])
    right = pl.Series(["a", "c", None], dtype=pl.Categorical)
    difference = compare_column("sector", left, right, NOTHING_KNOWN)
    assert (difference.outside, difference.null_mismatches) == (1, 0)


def write(folder: Path, name: str, **columns: list[object]) -> Path:
    path = folder / f"{name}.parquet"
    pl.DataFrame(columns).write_parquet(path)
    return path


def test_only_common_columns_are_compared(tmp_path: Path):
    left = write(tmp_path, "left", key=[1, 2], x=[1.0, 2.0], only_left=[0, 0])
    right = write(tmp_path, "right", key=[1, 2], only_right=[0, 0], x=[1.0, 2.0])
    assert [difference.column for difference in compare(left, right, ("key",), NOTHING_KNOWN)] == ["x"]


def test_a_row_that_one_side_lacks_is_named(tmp_path: Path):
    left = write(tmp_path, "left", key=[1, 2], x=[1.0, 2.0])
    right = write(tmp_path, "right", key=[1, 2, 77], x=[1.0, 2.0, 3.0])
    with pytest.raises(RowsDifferError, match="77"):
        compare(left, right, ("key",), NOTHING_KNOWN)


def test_keys_in_another_order_are_named(tmp_path: Path):
    left = write(tmp_path, "left", key=[1, 2], x=[1.0, 2.0])
    right = write(tmp_path, "right", key=[2, 1], x=[1.0, 2.0])
    with pytest.raises(RowsDifferError, match="row 0"):
        compare(left, right, ("key",), NOTHING_KNOWN)
