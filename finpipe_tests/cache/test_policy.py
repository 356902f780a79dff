"""Bars are right until they change: minutes in a session, the next open after it, for ever once final."""

from __future__ import annotations

from datetime import UTC, date, datetime
from functools import cache
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finpipe.cache.entry import NEVER, Expiry
from finpipe.cache.policy import Session, SessionPolicy

NEW_YORK = ZoneInfo("America/New_York")
MINUTE, HOUR = 60.0, 3600.0


@cache
def policy() -> SessionPolicy:
    import exchange_calendars

    calendar = exchange_calendars.get_calendar("XNYS", start="2025-01-02", end="2025-12-31")
    return SessionPolicy(
        [
            Session.of(day.date(), calendar.session_open(day), calendar.session_close(day))
            for day in calendar.sessions
        ],
        live=5 * MINUTE,
        settle=20 * MINUTE,
        stale=30 * MINUTE,
    )


def at(month: int, day: int, hour: int, minute: int = 0) -> float:
    return datetime(2025, month, day, hour, minute, tzinfo=NEW_YORK).timestamp()


def until(instant: float) -> Expiry:
    return Expiry(instant, instant + 30 * MINUTE)


def test_the_last_bar_lives_minutes_in_a_session_and_no_longer_than_the_session_settles():
    wednesday = date(2025, 6, 11)
    assert policy().expiry(wednesday, at(6, 11, 11)) == until(at(6, 11, 11, 5))
    assert policy().expiry(None, at(6, 11, 16, 18)) == until(at(6, 11, 16, 20))


def test_after_the_close_up_to_now_lives_to_the_next_open_over_weekends_and_holidays():
    assert policy().expiry(None, at(6, 11, 16, 20)) == until(at(6, 12, 9, 30))
    assert policy().expiry(None, at(6, 13, 20)) == until(at(6, 16, 9, 30))  # Friday to Monday
    assert policy().expiry(None, at(7, 3, 20)) == until(at(7, 7, 9, 30))  # over the Fourth of July
    assert policy().expiry(None, at(6, 11, 3)) == until(at(6, 11, 9, 30))  # before the open


def test_a_finished_day_never_expires_and_a_running_or_coming_one_does():
    assert policy().expiry(date(2025, 6, 10), at(6, 11, 11)) == NEVER
    assert policy().expiry(date(2025, 6, 11), at(6, 11, 16, 20)) == NEVER
    assert policy().expiry(date(2025, 6, 11), at(6, 11, 16, 19)) != NEVER
    assert policy().expiry(date(2025, 6, 15), at(6, 14, 12)) == NEVER  # a Sunday: nothing comes before it
    assert policy().expiry(date(2025, 6, 16), at(6, 14, 12)) == until(at(6, 16, 9, 30))


def test_an_early_close_is_a_close():
    friday = date(2025, 11, 28)  # 13:00
    assert policy().expiry(friday, at(11, 28, 12, 59)) == until(at(11, 28, 13, 4))
    assert policy().expiry(friday, at(11, 28, 13, 20)) == NEVER
    assert policy().expiry(None, at(11, 28, 14)) == until(at(12, 1, 9, 30))


def test_opens_keep_their_local_hour_when_the_clocks_change():
    before, after = policy().next_open(at(3, 7, 17)), policy().next_open(at(3, 10, 17))
    assert before == at(3, 10, 9, 30)
    assert after == at(3, 11, 9, 30)
    assert datetime.fromtimestamp(policy().next_open(at(3, 6, 17)) or 0, UTC).hour == 14
    assert datetime.fromtimestamp(before or 0, UTC).hour == 13
    assert policy().expiry(None, at(10, 31, 20)) == until(at(11, 3, 9, 30))


def test_beyond_the_calendar_values_live_minutes_only():
    late = at(12, 31, 23)
    assert policy().expiry(None, late) == until(late + 5 * MINUTE)
    assert policy().expiry(date(2026, 1, 5), late) == until(late + 5 * MINUTE)
    assert policy().expiry(date(2025, 12, 31), late) == NEVER
    assert not policy().covers(late)
    assert policy().covers(at(6, 11, 11))


def test_days_before_the_calendar_are_final():
    assert policy().expiry(date(1999, 1, 4), at(6, 11, 11)) == NEVER


@settings(deadline=None)
@given(st.floats(0, 360 * 24 * HOUR), st.dates(date(2025, 1, 2), date(2025, 12, 31)) | st.none())
def test_a_value_is_never_called_fresh_across_a_moment_at_which_it_changes(offset, day):
    as_of = at(1, 2, 9, 30) + offset
    expiry = policy().expiry(day, as_of)
    opening = policy().next_open(as_of)
    assert expiry.fresh_until > as_of
    if expiry == NEVER:
        assert day is not None
        assert policy().is_final(day, as_of)
    elif policy().is_open(as_of):
        assert expiry.fresh_until <= as_of + policy().live
        assert opening is None or expiry.fresh_until <= opening
    elif opening is not None:
        assert expiry.fresh_until == opening


def test_sessions_that_cannot_be_are_refused():
    first = Session(date(2025, 1, 2), 0.0, 100.0)
    with pytest.raises(ValueError, match="sessions"):
        SessionPolicy([])
    with pytest.raises(ValueError, match="overlap"):
        SessionPolicy([first, Session(date(2025, 1, 3), 99.0, 200.0)], settle=0)
    with pytest.raises(ValueError, match="not negative"):
        SessionPolicy([first], live=-1)
    with pytest.raises(ValueError, match="time zone"):
        Session.of(date(2025, 1, 2), datetime(2025, 1, 2, 9), datetime(2025, 1, 2, 16))  # noqa: DTZ001
    with pytest.raises(ValueError, match="before it opens"):
        Session.of(date(2025, 1, 2), datetime(2025, 1, 2, 9, tzinfo=UTC), datetime(2025, 1, 2, 8, tzinfo=UTC))
    with pytest.raises(ValueError, match="gone"):
        Expiry(2.0, 1.0)
