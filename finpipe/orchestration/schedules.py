"""Schedules: when the graph is refreshed by the clock."""

from __future__ import annotations

import datetime as dt

import dagster as dg
import numpy as np

from finpipe.orchestration.jobs import Job
from finpipe.orchestration.refresh import REFRESH, SESSION

SEOUL = "Asia/Seoul"
AFTER_CLOSE = "0 18 * * 1-5"
"""The exchange closes at 15:30, at 16:30 on days that begin an hour late; loaders need a while after that."""


def schedules(jobs: list[Job]) -> list[dg.ScheduleDefinition]:
    """Return the schedules, which are off until somebody turns them on."""
    refresh = next(job for job in jobs if job.name == REFRESH)

    @dg.schedule(job=refresh, cron_schedule=AFTER_CLOSE, execution_timezone=SEOUL)
    def after_close(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        """Refresh everything at 18:00 in Seoul after each session of the Korea Exchange.

        The fingerprints of the source tables are exact then, so that rows that were changed in place are found,
        which the sensor cannot see in large tables.
        """
        day = context.scheduled_execution_time.astimezone(_seoul()).date()
        if not is_session(day):
            return dg.SkipReason(
                f"{day:%A, %d %B %Y}: the Korea Exchange is closed; next session {_next(day)}"
            )
        return dg.RunRequest(run_key=day.isoformat(), tags={SESSION: day.isoformat()})

    return [after_close]


def is_session(day: dt.date) -> bool:
    """Return whether the Korea Exchange trades on ``day``."""
    from finpipe.market.calendar import xkrx_sessions

    return len(xkrx_sessions(day, day)) == 1


def _next(day: dt.date) -> np.datetime64:
    from finpipe.market.calendar import next_xkrx_session

    return next_xkrx_session(day)


def _seoul() -> dt.tzinfo:
    from zoneinfo import ZoneInfo

    return ZoneInfo(SEOUL)
