"""The job ``refresh``: what ``finpipe run`` does, as a run that people, schedules and programs can launch.

A Dagster run makes all that it selects, at one partition. This one lets the planner walk the whole graph: it
makes what is missing or stale, years side by side, each part in a run of its own that the UI shows too.
"""

from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from finpipe.orchestration.events import tell_outcomes
from finpipe.settings import Settings

if TYPE_CHECKING:
    from finpipe.orchestration.execution import Outcome

REFRESH = "refresh"
SESSION = "finpipe/session"
"""Tag of runs: the session of the exchange after which the schedule started them."""


class RefreshConfig(dg.Config):
    """What to refresh; everything that the home knows unless something is named."""

    assets: list[str] = Field([], description="keys of assets, e.g. krx/picks; with all that they need")
    years: list[int] = Field([], description="test years")
    variants: list[str] = Field([], description="studies, e.g. top_n-h21")
    groups: list[str] = Field([], description="ticker groups, e.g. sp500")


def refresh_job() -> dg.JobDefinition:
    """Return the job."""

    @dg.op(description="Let the planner find out what is missing or stale, and make it.")
    def walk(
        context: dg.OpExecutionContext, config: RefreshConfig, settings: dg.ResourceParam[Settings]
    ) -> None:
        from finpipe.orchestration.workspace import Workspace

        with Workspace(settings) as workspace:
            outcome = workspace.refresh(
                config.assets,
                variants=config.variants or None,
                years=config.years or None,
                groups=config.groups or None,
                tell=tell_outcomes(context.log.info),
                waiting=context.log.info,
            )
        reached = prices_until(context.instance)
        context.add_output_metadata({**_summary(outcome), "prices until": reached or "none"})
        session = context.run.tags.get(SESSION)
        if session is not None and (reached is None or reached < session):
            context.log.warning(
                "the database has no prices of %s yet, the last are of %s: has it been loaded?",
                session,
                reached,
            )
        if outcome.failed:
            raise dg.Failure("; ".join(f"{name}: {why}" for name, why in outcome.failed.items()))

    @dg.job(name=REFRESH, description="Make what is missing or stale of all studies, as `finpipe run` does.")
    def everything() -> None:
        walk()

    return everything


def prices_until(instance: dg.DagsterInstance) -> str | None:
    """Return the last day of the stored prices, YYYY-MM-DD; None before there are any."""
    from finpipe.orchestration.provenance import latest_record
    from finpipe.orchestration.years import PRICES

    record = latest_record(instance, PRICES, None)
    return None if record is None else record.metadata.get("last_day")


def _summary(outcome: "Outcome") -> dict[str, dg.JsonMetadataValue]:
    return {
        "made": dg.MetadataValue.json(outcome.materialized),
        "fresh already": dg.MetadataValue.json(outcome.skipped),
    }
