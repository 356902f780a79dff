"""Warming: when the caches of ticker groups are filled by the clock, and the job that fills them.

The clock is that of the exchange that a group trades on: holidays, short days and late openings are its calendar's.
"""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dagster as dg
from pydantic import Field

from finpipe.orchestration.events import tell_outcomes
from finpipe.settings import Settings

WARM = "warm_caches"
CACHES = ("prices/shared_cache", "prices/hot_set")
"""What a warming fills."""
OFF_PEAK = ("prices/forecasts", "prices/prophet_models")
"""What is computed for the most requested tickers when nobody trades."""
BEFORE_OPEN, AFTER_CLOSE = dt.timedelta(hours=1), dt.timedelta(minutes=30)
"""How long before a session opens, and after it closes, the caches are warm."""
LATEST = dt.timedelta(hours=3)
"""After the close, how much later a warming that was missed is still made up for."""
EVERY_QUARTER = "*/15 * * * *"
SESSION = "finpipe/session"

Occasion = Callable[[str, dt.datetime], dt.date | None]


class WarmConfig(dg.Config):
    """What to warm."""

    groups: list[str] = Field(
        [], description="ticker groups; those that have prices in this home if none is named"
    )
    assets: list[str] = Field(list(CACHES), description="keys of assets")


def warm_job() -> dg.JobDefinition:
    """Return the job."""

    @dg.op(description="Bring prices up to date, learn from requests, and fill the caches.")
    def fill(
        context: dg.OpExecutionContext, config: WarmConfig, settings: dg.ResourceParam[Settings]
    ) -> None:
        from finpipe.orchestration.workspace import Workspace

        with Workspace(settings) as workspace:
            outcome = workspace.refresh(
                config.assets,
                groups=config.groups or None,
                tell=tell_outcomes(context.log.info),
                waiting=context.log.info,
            )
        context.add_output_metadata(
            {
                "made": dg.MetadataValue.json(outcome.materialized),
                "fresh already": dg.MetadataValue.json(outcome.skipped),
            }
        )
        if outcome.failed:
            raise dg.Failure("; ".join(f"{name}: {why}" for name, why in outcome.failed.items()))

    @dg.job(name=WARM, description="Fill the caches of ticker groups, as `finpipe cache warm` does.")
    def warm() -> None:
        fill()

    return warm


def warming_schedules(settings: Settings, jobs: Sequence[Any]) -> list[dg.ScheduleDefinition]:
    """Return the schedules, which are off until somebody turns them on."""
    job = next(job for job in jobs if job.name == WARM)

    @dg.schedule(job=job, cron_schedule=EVERY_QUARTER, execution_timezone="UTC")
    def warm_before_open(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        """Fill the caches an hour before the exchange of a ticker group opens; looked at every quarter of an hour."""
        return _runs(settings, context, "open", about_to_open, CACHES)

    @dg.schedule(job=job, cron_schedule=EVERY_QUARTER, execution_timezone="UTC")
    def warm_after_close(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        """Half an hour after the exchange of a ticker group has closed: bring the day's bars, fill, forecast."""
        return _runs(settings, context, "close", just_closed, (*CACHES, *OFF_PEAK))

    return [warm_before_open, warm_after_close]


def about_to_open(exchange: str, at: dt.datetime) -> dt.date | None:
    """Return the session that opens within the hour after ``at``, None if none does."""
    for day, opens, _ in _sessions(exchange, at):
        if opens - BEFORE_OPEN <= at < opens:
            return day
    return None


def just_closed(exchange: str, at: dt.datetime) -> dt.date | None:
    """Return the session that closed half an hour before ``at``, or a little earlier; None if none did."""
    for day, _, closes in _sessions(exchange, at):
        if closes + AFTER_CLOSE <= at < closes + AFTER_CLOSE + LATEST:
            return day
    return None


def groups_by_exchange(members: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return the groups that trade on each exchange; one that trades on several is in each."""
    from finpipe.market.exchanges import exchange_of

    found: dict[str, list[str]] = {}
    for name, tickers in members.items():
        for exchange in sorted({exchange_of(ticker) for ticker in tickers}):
            found.setdefault(exchange, []).append(name)
    return found


def _runs(
    settings: Settings,
    context: dg.ScheduleEvaluationContext,
    moment: str,
    occasion: Occasion,
    assets: Sequence[str],
) -> list[dg.RunRequest] | dg.SkipReason:
    from finpipe.orchestration.ticker_groups import groups_in_use
    from finpipe.orchestration.usage_learning import members_of

    at = context.scheduled_execution_time.astimezone(dt.UTC)
    groups = groups_by_exchange(members_of(groups_in_use(context.instance), settings.groups))
    if not groups:
        return dg.SkipReason(
            "no ticker group has prices in this home: `finpipe run --group NAME` brings some"
        )
    days = {exchange: occasion(exchange, at) for exchange in groups}
    requests = [
        dg.RunRequest(
            run_key=f"{exchange} {day} {moment}",
            run_config=_config(groups[exchange], assets),
            tags={SESSION: day.isoformat(), "finpipe/exchange": exchange},
        )
        for exchange, day in days.items()
        if day is not None
    ]
    return requests or dg.SkipReason(
        f"{at:%Y-%m-%d %H:%M} UTC is no time to warm for {', '.join(sorted(groups))}"
    )


def _config(groups: Sequence[str], assets: Sequence[str]) -> dict[str, Any]:
    return {"ops": {"fill": {"config": {"groups": list(groups), "assets": list(assets)}}}}


def _sessions(exchange: str, at: dt.datetime) -> list[tuple[dt.date, dt.datetime, dt.datetime]]:
    """Day, open and close of the sessions around ``at``."""
    from finpipe.market.exchanges import trading_hours

    near = dt.timedelta(days=2)
    return trading_hours(exchange, at.date() - near, at.date() + near)
