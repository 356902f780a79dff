"""Medians, ranks and z-scores by date, and by date and group, equal their plain definitions."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finpipe.panel import cross_section
from finpipe.panel.panel import Panel
from finpipe_tests.panel import windows

DAY = dt.date(2024, 1, 1)

compared = settings(deadline=None, max_examples=60)


@st.composite
def markets(draw: st.DrawFn) -> pl.DataFrame:
    """Stocks with gaps, a value and a group per row; ties, missing values and missing groups among them."""
    rows = []
    for stock in range(draw(st.integers(0, 12))):
        for day in sorted(draw(st.sets(st.integers(0, 6), min_size=1))):
            value = draw(st.one_of(windows.quiet, windows.tied, windows.tied, windows.missing))
            rows.append((stock, DAY + dt.timedelta(day), value, draw(st.sampled_from([-1, 0, 1, 7]))))
    schema = {"stock_code": pl.Int32, "date": pl.Date, "value": pl.Float64, "group": pl.Int32}
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    present = pl.when(pl.col("value").is_finite()).then("value")
    return frame.with_columns(present=present, grouped=pl.when(pl.col("group") >= 0).then(present))


def columns(market: pl.DataFrame) -> tuple[Panel, np.ndarray, np.ndarray]:
    return Panel.from_frame(market), market["value"].to_numpy(), market["group"].to_numpy()


def expected(market: pl.DataFrame, expression: pl.Expr) -> np.ndarray:
    return market.select(expression.cast(pl.Float64)).to_series().to_numpy()


def percent_rank(name: str) -> pl.Expr:
    return pl.col(name).rank("average") / pl.col(name).count()


def score(name: str) -> pl.Expr:
    spread = pl.max_horizontal(pl.col(name).std(), pl.lit(0.01))
    return pl.when(pl.col(name).count() > 1).then((pl.col(name) - pl.col(name).mean()) / spread)


@compared
@given(markets(), st.integers(1, 2))
def test_median_is_that_of_the_present_values(market, threads):
    panel, values, _ = columns(market)
    found = cross_section.median(panel, values, threads)
    assert found.size == panel.dates.size
    np.testing.assert_allclose(
        found[panel.days], expected(market, pl.col("present").median().over("date")), rtol=1e-14
    )


@compared
@given(markets(), st.integers(1, 2))
def test_rank_averages_ties_and_divides_by_the_number_present(market, threads):
    panel, values, groups = columns(market)
    np.testing.assert_allclose(
        cross_section.rank(panel, values, threads=threads),
        expected(market, percent_rank("present").over("date")),
        rtol=1e-14,
    )
    np.testing.assert_allclose(
        cross_section.rank(panel, values, groups, threads),
        expected(market, percent_rank("grouped").over("date", "group")),
        rtol=1e-14,
    )


@compared
@given(markets(), st.integers(1, 2))
def test_zscore_is_within_the_date_and_the_group(market, threads):
    panel, values, groups = columns(market)
    for found, plain in (
        (
            cross_section.zscore(panel, values, threads=threads),
            expected(market, score("present").over("date")),
        ),
        (
            cross_section.zscore(panel, values, groups, threads=threads),
            expected(market, score("grouped").over("date", "group")),
        ),
    ):
        np.testing.assert_allclose(found, plain, rtol=1e-9, atol=1e-9)


def test_many_dates_give_the_same_bits_on_any_number_of_threads():
    generator = np.random.default_rng(5)
    dates = pl.date_range(DAY, DAY + dt.timedelta(299), eager=True)
    frame = pl.DataFrame({"stock_code": np.repeat(np.arange(40), 300), "date": pl.concat([dates] * 40)})
    panel = Panel.from_frame(frame)
    values, groups = generator.normal(size=panel.rows), generator.integers(-1, 5, panel.rows).astype(np.int32)
    for one, several in (
        (cross_section.median(panel, values, 1), cross_section.median(panel, values, 3)),
        (cross_section.rank(panel, values, groups, 1), cross_section.rank(panel, values, groups, 3)),
        (
            cross_section.zscore(panel, values, groups, threads=1),
            cross_section.zscore(panel, values, groups, threads=3),
        ),
    ):
        np.testing.assert_array_equal(one, several)


def test_a_wild_value_spoils_only_its_own_date():
    dates = [DAY, DAY + dt.timedelta(1)]
    panel = Panel.from_frame(pl.DataFrame({"stock_code": [1, 1, 2, 2, 3, 3], "date": dates * 3}))
    found = cross_section.zscore(panel, np.array([1e15, 1.0, 2.0, 2.0, 3.0, 3.0]))
    np.testing.assert_allclose(found[panel.days == 1], [-1.0, 0.0, 1.0])


def test_groups_number_labels_and_leave_nulls_out():
    labels = pl.Series(["steel", None, "banks", "steel"], dtype=pl.Categorical)
    numbered = cross_section.groups(labels)
    assert numbered[1] == -1
    assert numbered[0] == numbered[3] != numbered[2]
    assert set(numbered[[0, 2]]) == {0, 1}
    assert cross_section.groups(labels.clear()).size == 0
    assert cross_section.groups(labels.filter([False, True, False, False])).tolist() == [-1]


def test_threads_must_be_some():
    panel = Panel.from_frame(pl.DataFrame({"stock_code": [1], "date": [DAY]}))
    with pytest.raises(ValueError, match="threads is 0"):
        cross_section.median(panel, np.array([1.0]), 0)
