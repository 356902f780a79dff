"""The job ``refresh``: what ``finpipe run`` does, as a run that people, schedules and programs can launch.

A Dagster run makes all that it selects, at one partition. This one lets the planner walk the whole graph: it
makes what is missing or stale, years side by side, each part in a run of its own that the UI shows too.
"""

from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from finpipe.orchestration.events import Event
from finpipe.settings import Settings

if TYPE_CHECKING:
    from finpipe.orchestration.execution import Outcome

REFRESH = "refresh"


class RefreshConfig(dg.Config):
    """What to refresh; everything that the home knows unless something is named."""

    assets: list[str] = Field([], description="keys of assets, e.g. krx/picks; with all that they need")
    years: list[int] = Field([], description="test years")
    variants: list[str] = Field([], description="studies, e.g. top_n-h21")


def refresh_job() -> dg.JobDefinition:
    """Return the job."""

    @dg.op(description="Let the planner find out what is missing or stale, and make it.")
    def walk(
        context: dg.OpExecutionContext, config: RefreshConfig, settings: dg.ResourceParam[Settings]
    ) -> None:
        from finpipe.orchestration.workspace import Workspace

        def tell(event: Event) -> None:
            if event.kind in {"made", "failed", "blocked"}:
                context.log.info("%s %s %s", event.kind, event.node, event.message)

        with Workspace(settings) as workspace:
            outcome = workspace.refresh(
                config.assets,
                variants=config.variants or None,
                years=config.years or None,
                tell=tell,
                waiting=context.log.info,
            )
        context.add_output_metadata(_summary(outcome))
        if outcome.failed:
            raise dg.Failure("; ".join(f"{name}: {why}" for name, why in outcome.failed.items()))

    @dg.job(name=REFRESH, description="Make what is missing or stale of all studies, as `finpipe run` does.")
    def everything() -> None:
        walk()

    return everything


def _summary(outcome: "Outcome") -> dict[str, dg.JsonMetadataValue]:
    return {
        "made": dg.MetadataValue.json(outcome.materialized),
        "fresh already": dg.MetadataValue.json(outcome.skipped),
    }
