from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finpipe.learning.rows import AlignmentError, packed_keys, row_positions

FIRST = dt.date(2020, 1, 1)
STOCKS, DAYS = ("000020", "000010", "000030"), 4
ROWS = pl.DataFrame(
    {
        "stock_code": pl.Series(np.repeat(STOCKS, DAYS), dtype=pl.Categorical),
        "date": [FIRST + dt.timedelta(days=day) for day in range(DAYS)] * len(STOCKS),
    }
)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.booleans(), min_size=ROWS.height, max_size=ROWS.height))
def test_rows_are_found_where_they_were_taken_from(kept):
    found = row_positions("some", ROWS.filter(pl.Series(kept, dtype=pl.Boolean)), packed_keys(ROWS), "all")
    assert found.tolist() == np.flatnonzero(kept).tolist()


@pytest.mark.parametrize(
    ("rows", "first_wrong"),
    [([0, 5, 3, 7], 2), ([4, 4], 1), ([11, 0], 1)],
    ids=["another order", "twice", "the last first"],
)
def test_the_first_row_that_is_elsewhere_is_named(rows, first_wrong):
    with pytest.raises(AlignmentError, match=rf"every row of some .* of all, .* row {first_wrong} of some"):
        row_positions("some", ROWS[rows], packed_keys(ROWS), "all")


def test_a_row_that_is_nowhere_is_named():
    stranger = ROWS[:2].with_columns(date=pl.lit(dt.date(2030, 1, 1)))
    with pytest.raises(AlignmentError, match=r"row 3 of some .*2030"):
        row_positions("some", pl.concat([ROWS[:3], stranger]), packed_keys(ROWS), "all")
