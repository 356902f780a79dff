from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from finpipe.orchestration.build import build_definitions
from finpipe.orchestration.schedules import AFTER_CLOSE, SEOUL
from finpipe.settings import load_settings


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> dg.RepositoryDefinition:
    home = tmp_path_factory.mktemp("home")
    return build_definitions(load_settings(home=home)).get_repository_def()


def after_close(repository: dg.RepositoryDefinition, day: dt.date) -> dg.RunRequest | dg.SkipReason:
    """What the schedule does at 18:00 in Seoul on ``day``."""
    time = dt.datetime.combine(day, dt.time(18), tzinfo=ZoneInfo(SEOUL)).astimezone(dt.UTC)
    context = dg.build_schedule_context(
        dg.DagsterInstance.ephemeral(), scheduled_execution_time=time, repository_def=repository
    )
    found = repository.get_schedule_def("after_close").evaluate_tick(context)
    return found.run_requests[0] if found.run_requests else dg.SkipReason(found.skip_message)


@pytest.mark.parametrize(
    ("day", "open_"),
    [
        (dt.date(2024, 9, 13), True),
        (dt.date(2024, 9, 14), False),
        (dt.date(2024, 9, 16), False),  # Chuseok, Monday to Wednesday
        (dt.date(2024, 12, 31), False),  # the exchange's own holiday
        (dt.date(2025, 1, 2), True),  # opens an hour late
        (dt.date(2022, 11, 17), True),  # the day of the university entrance examination: open until 16:30
    ],
)
def test_it_refreshes_after_each_session_and_says_why_not_on_other_days(repository, day, open_):
    found = after_close(repository, day)
    if open_:
        assert found.run_key == day.isoformat()
        assert found.tags["finpipe/session"] == day.isoformat()
    else:
        assert f"{day:%d %B %Y}" in found.skip_message
        assert "closed; next session 202" in found.skip_message


def test_every_session_is_over_by_then():
    import exchange_calendars

    calendar = exchange_calendars.get_calendar("XKRX", start="2015-01-01", end="2025-12-30")
    closes = calendar.closes.dt.tz_convert(SEOUL)
    assert AFTER_CLOSE.split()[:2] == ["0", "18"]
    assert max(close.time() for close in closes) < dt.time(17)
    assert closes.max().tzinfo is not None


def test_it_is_off_until_somebody_turns_it_on(repository):
    schedule = repository.get_schedule_def("after_close")
    assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED
    assert schedule.execution_timezone == SEOUL
    assert schedule.job_name == "refresh"
