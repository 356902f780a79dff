"""Schedules: when the graph is refreshed by the clock."""

from __future__ import annotations

import datetime as dt

import dagster as dg
import numpy as np

from finpipe.orchestration.jobs import Job, job_name
from finpipe.orchestration.partitions import TICKER_GROUP
from finpipe.orchestration.provenance import latest_record
from finpipe.orchestration.refresh import REFRESH, SESSION
from finpipe.orchestration.ticker_groups import BARS, bars_version, groups_in_use
from finpipe.settings import Settings

SEOUL = "Asia/Seoul"
AFTER_CLOSE = "0 18 * * 1-5"
"""The exchange closes at 15:30, at 16:30 on days that begin an hour late; loaders need a while after that."""
EVERY_HOUR = "40 * * * *"
"""Exchanges close on the hour or half past; a day's bar is taken as final twenty minutes later."""


def schedules(settings: Settings, jobs: list[Job]) -> list[dg.ScheduleDefinition]:
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

    portfolio = next((job for job in jobs if job.name == job_name((TICKER_GROUP,))), None)
    if portfolio is None:
        return [after_close]

    @dg.schedule(job=portfolio, cron_schedule=EVERY_HOUR)
    def groups_after_close(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        """Optimise the portfolios of the ticker groups in use after each session of their exchanges.

        Exchanges close at all hours, so every hour is looked whether a session is over that was not when the prices
        of a group were last looked at. Groups that have no prices in this home are not touched.
        """
        at, requests, failed = context.scheduled_execution_time, [], {}
        for name in groups_in_use(context.instance):
            try:
                version = bars_version(settings, name, at)
            except (ValueError, OSError) as error:
                failed[name] = str(error)
                continue
            record = latest_record(context.instance, BARS, name)
            if record is None or record.data_version != version:
                tags = {SESSION: version.split()[1]}
                requests.append(dg.RunRequest(run_key=f"{name} {version}", partition_key=name, tags=tags))
        if not requests:
            why = "; ".join(f"{name} is left out: {reason}" for name, reason in failed.items())
            return dg.SkipReason(why or "no session is over that the groups in use do not have")
        return requests

    return [after_close, groups_after_close]


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
