"""Warming follows the calendar of each group's exchange: holidays, short days, late openings."""

from __future__ import annotations

import datetime as dt

import dagster as dg
import pytest

from finpipe.orchestration import ticker_groups
from finpipe.orchestration.build import build_definitions
from finpipe.orchestration.home import open_instance
from finpipe.orchestration.warming import CACHES, OFF_PEAK, about_to_open, groups_by_exchange, just_closed
from finpipe.settings import load_settings


def utc(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("exchange", "at", "day"),
    [
        ("XNYS", "2025-07-02 13:15", "2025-07-02"),  # opens at 13:30 in summer
        ("XNYS", "2025-07-02 12:15", None),
        ("XNYS", "2025-07-02 13:30", None),
        ("XNYS", "2025-12-03 13:30", "2025-12-03"),  # and at 14:30 in winter
        ("XNYS", "2025-07-04 13:15", None),  # a holiday on a Friday
        ("XNYS", "2025-07-05 13:15", None),
        ("XKRX", "2025-07-01 23:30", "2025-07-02"),  # nine o'clock in Seoul is midnight
        ("XKRX", "2025-01-01 23:30", None),  # the first session of a year opens an hour late
        ("XKRX", "2025-01-02 00:30", "2025-01-02"),
    ],
)
def test_an_hour_before_the_open(exchange, at, day):
    assert about_to_open(exchange, utc(at)) == (None if day is None else dt.date.fromisoformat(day))


@pytest.mark.parametrize(
    ("exchange", "at", "day"),
    [
        ("XNYS", "2025-07-02 20:15", None),  # closes at 20:00
        ("XNYS", "2025-07-02 20:30", "2025-07-02"),
        ("XNYS", "2025-07-02 23:15", "2025-07-02"),
        ("XNYS", "2025-07-02 23:30", None),
        ("XNYS", "2025-07-03 17:30", "2025-07-03"),  # a short day, until 17:00
        ("XNYS", "2025-07-04 20:30", None),
        ("XKRX", "2025-07-02 07:00", "2025-07-02"),  # closes at 15:30 in Seoul
    ],
)
def test_half_an_hour_after_the_close(exchange, at, day):
    assert just_closed(exchange, utc(at)) == (None if day is None else dt.date.fromisoformat(day))


def test_a_group_is_warmed_on_each_of_its_exchanges():
    found = groups_by_exchange({"us": ["AAPL", "BRK-B"], "kr": ["005930.KS"], "both": ["AAPL", "005930.KS"]})
    assert found == {"XNYS": ["us", "both"], "XKRX": ["kr", "both"]}


@pytest.fixture
def tick(tmp_path, monkeypatch):
    """What a schedule does at a time, in a home where the groups have prices."""
    settings = load_settings(home=tmp_path, groups={"us": ["AAPL"], "kr": ["005930.KS"]})
    repository = build_definitions(settings).get_repository_def()

    def evaluate(name: str, at: str, groups: tuple[str, ...]):
        monkeypatch.setattr(ticker_groups, "groups_in_use", lambda _: groups)
        schedule = repository.get_schedule_def(name)
        assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED
        context = dg.build_schedule_context(
            instance, scheduled_execution_time=utc(at), repository_def=repository
        )
        return schedule.evaluate_tick(context)

    with open_instance(settings) as instance:
        yield evaluate


def test_only_the_groups_of_the_exchange_are_warmed_once_a_session(tick):
    first = tick("warm_before_open", "2025-07-02 12:45", ("us", "kr")).run_requests
    again = tick("warm_before_open", "2025-07-02 13:00", ("us", "kr")).run_requests
    assert [run.run_key for run in first] == [run.run_key for run in again] == ["XNYS 2025-07-02 open"]
    (run,) = first
    assert run.run_config["ops"]["fill"]["config"] == {"groups": ["us"], "assets": list(CACHES)}
    (run,) = tick("warm_after_close", "2025-07-02 07:00", ("us", "kr")).run_requests
    assert run.run_config["ops"]["fill"]["config"] == {"groups": ["kr"], "assets": [*CACHES, *OFF_PEAK]}


@pytest.mark.parametrize(
    ("groups", "said"), [((), "no ticker group has prices"), (("us",), "no time to warm for XNYS")]
)
def test_otherwise_it_says_why_not(tick, groups, said):
    found = tick("warm_before_open", "2025-07-04 13:15", groups)
    assert not found.run_requests
    assert said in found.skip_message
