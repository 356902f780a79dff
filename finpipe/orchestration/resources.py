"""Resources: what steps are given beside their inputs, under the settings in force."""

from __future__ import annotations

from typing import Any

import dagster as dg

from finpipe.orchestration.events import Tell
from finpipe.orchestration.io_managers import io_managers
from finpipe.orchestration.steps import steps
from finpipe.settings import Settings

SIDE_BY_SIDE = "finpipe/side_by_side"
"""Tag of runs; ``true`` says that others of their kind run at the same time."""
BACKFILL = "dagster/backfill"
"""Tag that Dagster gives to the runs of a backfill."""


def resources(settings: Settings, tell: Tell) -> dict[str, Any]:
    """Return the resources of every step by name."""
    return {
        "settings": settings_of_run(settings),
        "tell": tell,
        "steps": steps(settings),
        **io_managers(settings),
    }


def settings_of_run(settings: Settings) -> dg.ResourceDefinition:
    """Return the resource that hands out ``settings``, with one thread to runs that have others beside them."""

    @dg.resource(description="The settings in force; `finpipe settings` explains each.")
    def of_run(context: dg.InitResourceContext) -> Settings:
        tags = {} if context.run is None else context.run.tags
        crowded = BACKFILL in tags or tags.get(SIDE_BY_SIDE) == "true"
        return settings.model_copy(update={"threads": 1}) if crowded else settings

    return of_run
