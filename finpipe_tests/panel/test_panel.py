"""The panel indexes sorted frames by stock and by date, refuses others, and cuts blocks at stocks."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finpipe.market.schema import SchemaError
from finpipe.panel.panel import Panel
from finpipe.panel.positions import positions

DAY = dt.date(2024, 1, 1)

stock_days = st.dictionaries(st.integers(0, 20), st.sets(st.integers(0, 30), min_size=1), max_size=8)


def frame_of(stock_days: dict[int, set[int]]) -> pl.DataFrame:
    keys = [(f"{stock:06d}", DAY + dt.timedelta(day)) for stock, days in stock_days.items() for day in days]
    frame = pl.DataFrame(sorted(keys), schema={"stock_code": pl.String, "date": pl.Date}, orient="row")
    return frame.with_columns(pl.col("stock_code").cast(pl.Categorical))


@settings(deadline=None)
@given(stock_days)
def test_rows_are_found_by_stock_and_by_date(stock_days):
    frame = frame_of(stock_days)
    panel = Panel.from_frame(frame)

    assert panel.rows == frame.height
    assert panel.stocks == len(stock_days)
    assert np.diff(panel.starts).tolist() == [len(days) for _, days in sorted(stock_days.items())]
    assert panel.dates.tolist() == frame["date"].unique().sort().to_list()
    assert panel.dates[panel.days].tolist() == frame["date"].to_list()

    by_date = frame.with_row_index().sort("date", "stock_code")
    assert panel.by_date.rows.tolist() == by_date["index"].to_list()
    for day in range(panel.dates.size):
        rows = panel.by_date.rows[panel.by_date.starts[day] : panel.by_date.starts[day + 1]]
        assert set(panel.days[rows]) == {day}


@settings(deadline=None)
@given(stock_days, st.integers(1, 50))
def test_blocks_hold_every_stock_once_and_about_the_rows_asked_for(stock_days, rows):
    panel = Panel.from_frame(frame_of(stock_days))
    blocks = panel.blocks(rows)
    assert [stock for block in blocks for stock in block] == list(range(panel.stocks))
    for block in blocks:
        assert len(block) == 1 or panel.starts[block.stop] - panel.starts[block.start] <= rows


def test_codes_may_be_text_too():
    frame = frame_of({1: {0, 1}, 2: {1}}).with_columns(pl.col("stock_code").cast(pl.String))
    assert Panel.from_frame(frame).starts.tolist() == [0, 2, 3]


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ([1, 0, 2, 3], r"row 1, stock 000001 on 2024-01-01, follows 2024-01-02"),
        ([0, 0, 1, 2], r"row 1, stock 000001 on 2024-01-01, follows 2024-01-01"),
        ([0, 2, 1, 3], r"the rows of stock 00000[12] are not together"),
    ],
)
def test_rows_out_of_order_are_refused_with_an_example(order, message):
    with pytest.raises(SchemaError, match=message):
        Panel.from_frame(frame_of({1: {0, 1}, 2: {0, 1}})[order])


@pytest.mark.parametrize("column", ["stock_code", "date"])
def test_null_keys_are_refused(column):
    frame = frame_of({1: {0, 1}})
    with pytest.raises(SchemaError, match="must not be null"):
        Panel.from_frame(frame.with_columns(pl.when(pl.col("date") > DAY).then(column).alias(column)))


@given(st.lists(st.integers(-500, 500)))
def test_positions_are_those_among_the_distinct_values(numbers):
    array = np.array(numbers, dtype=np.int32)
    distinct, position = positions(array)
    assert distinct.tolist() == sorted(set(numbers))
    assert distinct[position].tolist() == numbers
