from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finpipe.market.calendar import (
    CalendarError,
    MarketCalendar,
    next_xkrx_session,
    unexpected_days,
    xkrx_sessions,
)

DAYS = ["2024-02-07", "2024-02-08", "2024-02-13", "2024-02-14"]  # the lunar new year closes four days


@pytest.fixture
def calendar() -> MarketCalendar:
    return MarketCalendar.of(DAYS)


def test_it_is_made_of_the_dates_of_the_data_in_any_order():
    column = pl.Series([dt.date(2024, 2, 8), dt.date(2024, 2, 7), dt.date(2024, 2, 8)])
    calendar = MarketCalendar.of(column)
    assert calendar.days.tolist() == [dt.date(2024, 2, 7), dt.date(2024, 2, 8)]
    assert len(calendar) == 2


def test_positions_and_offsets(calendar):
    assert calendar.index_of("2024-02-13") == 2
    assert calendar.index_of(["2024-02-14", "2024-02-07"]).tolist() == [3, 0]
    assert calendar.offset(["2024-02-07", "2024-02-13"], 1).tolist() == [
        dt.date(2024, 2, 8),
        dt.date(2024, 2, 14),
    ]
    assert calendar.offset("2024-02-13", -1).item() == dt.date(2024, 2, 8)


def test_days_that_are_not_in_it(calendar):
    assert calendar.next_on_or_after(["2024-02-08", "2024-02-10"]).tolist() == [
        dt.date(2024, 2, 8),
        dt.date(2024, 2, 13),
    ]
    assert np.isnat(calendar.next_on_or_after("2024-02-15"))
    with pytest.raises(
        CalendarError, match=r"2024-02-10 is no trading day of the calendar 2024-02-07 to 2024-02-14"
    ):
        calendar.index_of(["2024-02-08", "2024-02-10"])
    with pytest.raises(CalendarError, match="2024-02-15"):
        calendar.index_of("2024-02-15")
    with pytest.raises(CalendarError, match=r"\+2 trading days lead out of"):
        calendar.offset("2024-02-13", 2)
    with pytest.raises(CalendarError, match="empty calendar"):
        MarketCalendar.of([]).index_of("2024-02-15")


def test_sessions_between_count_trading_days_only(calendar):
    assert calendar.sessions_between("2024-02-08", "2024-02-13") == 1
    assert calendar.sessions_between("2024-02-09", "2024-02-12") == 0
    assert calendar.sessions_between("2024-02-14", "2024-02-07") == -3


@given(st.sets(st.integers(0, 400), min_size=2), st.data())
@settings(deadline=None, max_examples=40)
def test_offset_and_sessions_between_are_inverse(offsets, data):
    calendar = MarketCalendar.of([np.datetime64("2020-01-01") + offset for offset in offsets])
    start = data.draw(st.integers(0, len(calendar) - 1))
    sessions = data.draw(st.integers(-start, len(calendar) - 1 - start))
    there = calendar.offset(calendar.days[start], sessions)
    assert calendar.sessions_between(calendar.days[start], there) == sessions
    assert calendar.next_on_or_after(there) == there


def test_the_official_calendar_knows_the_new_year_of_the_moon():
    sessions = xkrx_sessions(dt.date(2024, 2, 7), dt.date(2024, 2, 14))
    assert [str(day) for day in sessions] == DAYS
    assert next_xkrx_session(dt.date(2024, 2, 8)) == np.datetime64("2024-02-13")
    assert next_xkrx_session(np.datetime64("2024-02-10")) == np.datetime64("2024-02-13")


def test_days_unlike_the_official_calendar():
    found = unexpected_days(["2024-02-07", "2024-02-08", "2024-02-12", "2024-02-14"])
    assert [str(day) for day in found.extra] == ["2024-02-12"]
    assert [str(day) for day in found.missing] == ["2024-02-13"]
    assert len(unexpected_days([]).extra) == 0


def test_the_real_market_traded_on_the_official_days(shared_data):
    days = pl.read_parquet(shared_data / "kr" / "kospi_daily_2020_2024.parquet", columns=["date"])["date"]
    found = unexpected_days(days.cast(pl.Date))
    assert len(found.extra) == 0
    assert len(found.missing) == 0
