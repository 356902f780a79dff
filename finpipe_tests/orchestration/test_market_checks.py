"""Days and prices that cannot be are found, said, and keep a table out if there are too many of them."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finpipe.market.calendar import xkrx_sessions
from finpipe.orchestration.market_checks import FACTOR, dates_in_calendar, prices_sane
from finpipe_tests.demo_home import VARIANT
from finpipe_tests.market.sample_database import execute

TODAY = dt.date(2024, 9, 20)
SESSIONS = pl.Series(xkrx_sessions(dt.date(2023, 9, 1), TODAY))
CHUSEOK = dt.date(2024, 9, 17)


def test_the_sessions_of_the_exchange_are_right():
    found = dates_in_calendar(pl.concat([SESSIONS, SESSIONS]), TODAY)
    assert found.passed
    assert f"{len(SESSIONS)} days; all sessions" in found.finding


def test_a_missing_session_and_a_holiday_are_named_and_block_nothing():
    missing = SESSIONS[100]
    days = pl.concat([SESSIONS.filter(missing != SESSIONS), pl.Series([CHUSEOK])])
    found = dates_in_calendar(days, TODAY)
    assert (found.passed, found.blocks) == (False, False)
    assert f"1 on which the exchange was closed: {CHUSEOK}" in found.finding
    assert f"1 session(s) are missing: {missing}" in found.finding


def test_many_days_without_a_session_keep_the_table_out():
    every_day = pl.date_range(dt.date(2023, 9, 1), TODAY, eager=True)
    found = dates_in_calendar(every_day, TODAY)
    assert (found.passed, found.blocks) == (False, True)
    assert "and " in found.finding
    assert "stays" in found.finding


@pytest.mark.parametrize("day", [TODAY + dt.timedelta(days=1), dt.date(2262, 1, 1), dt.date(1900, 1, 1)])
def test_a_day_that_cannot_be_known_keeps_the_table_out(day):
    found = dates_in_calendar(pl.concat([SESSIONS, pl.Series([day])]), TODAY)
    assert (found.passed, found.blocks) == (False, True)
    assert str(day) in found.finding
    assert str(TODAY) in found.finding


def test_a_table_without_days_has_none_that_are_wrong():
    assert dates_in_calendar(SESSIONS.clear(), TODAY).passed


def bars(**columns: list[float | None]) -> pl.DataFrame:
    """Two stocks on three days, as they should be but for ``columns``."""
    days = [dt.date(2024, 1, day) for day in (2, 3, 4)]
    right = {
        "stock_code": ["000020"] * 3 + ["000040"] * 3,
        "date": days * 2,
        "open": [100, 100, None, 9_000, 9_100, 9_200],
        "high": [110, 110, None, 9_500, 9_500, 9_500],
        "low": [90, 95, None, 8_900, 9_000, 9_000],
        "close": [105, 100, 100, 9_100, 9_200, 9_300],
        "adjusted_close": [105.0, 100.0, 100.0, 9_100.0, 9_200.0, 9_300.0],
    }
    return pl.DataFrame(right | columns, schema_overrides={"stock_code": pl.Categorical})


def test_halts_and_the_step_from_one_stock_to_the_next_are_nothing_strange():
    found = prices_sane(bars())
    assert found.passed
    assert "0 of 6 rows" in found.finding


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"low": [90, 95, None, 0, 9_000, 9_000]}, "1 not positive"),
        ({"high": [100, 110, None, 9_500, 9_500, 9_500]}, "1 outside the day's low and high"),
        ({"low": [120, 95, None, 8_900, 9_000, 9_000]}, "1 outside the day's low and high"),
        ({"open": [80, 100, None, 9_000, 9_100, 9_200]}, "1 outside the day's low and high"),
        (
            {"adjusted_close": [105.0, float("inf"), 100.0, 9_100.0, 9_200.0, 9_300.0]},
            "1 adjusted close not positive and finite",
        ),
        ({"adjusted_close": [105.0, 100.0, 19.0, 9_100.0, 9_200.0, 9_300.0]}, "1 adjusted close more than 5"),
    ],
)
def test_prices_that_cannot_be_are_counted_with_an_example(wrong, said):
    found = prices_sane(bars(**wrong))
    assert not found.passed
    assert said in found.finding
    assert "e.g. 0000" in found.finding


@given(rows=st.integers(1, 400), wrong=st.integers(0, 400))
def test_few_rows_are_believed_some_reported_and_many_refused(rows, wrong):
    wrong = min(rows, wrong)
    one = bars()[:1]
    bad = one.with_columns(close=pl.lit(1_000, dtype=one["close"].dtype))
    found = prices_sane(pl.concat([one] * (rows - wrong) + [bad] * wrong))
    assert found.passed == (wrong / rows <= 1e-4)
    assert found.blocks == (wrong / rows > 0.01)
    assert found.metadata["outside the day's low and high"] == wrong


def test_a_move_of_the_factor_itself_is_believed():
    assert prices_sane(bars(adjusted_close=[100.0, 100.0 * FACTOR, 100.0, 9_100.0, 9_200.0, 9_300.0])).passed


def test_a_day_to_come_in_the_database_leaves_everything_as_it_was(demo_home, tmp_path, say):
    own = demo_home.copy_with_database(tmp_path)
    store = own.home / "store" / "krx"
    kept = [store / "daily_prices.parquet", store / "performance_report" / f"{VARIANT}.html"]
    before = [path.read_bytes() for path in kept]
    execute(own.database, "UPDATE daily_prices SET date = '20991231' WHERE rowid = 7")
    said = say("run", "--home", own.home, "--json")
    assert said.status == 1
    assert "2099-12-31" in said.record["failed"]["krx/daily_prices"]
    assert "krx/technical_features" in said.record["blocked"]
    assert not said.record["materialized"]
    assert [path.read_bytes() for path in kept] == before
    why = say("status", "--home", own.home, "--why", "krx/daily_prices").out
    assert "the last attempt was refused by dates_in_calendar" in why
    assert "2099-12-31" in why
    execute(own.database, "DELETE FROM daily_prices WHERE date = '20991231'")
    assert say("run", "--home", own.home, "--only", "krx/daily_prices", "--json").record["materialized"]
    assert "refused" not in say("status", "--home", own.home, "--why", "krx/daily_prices").out
