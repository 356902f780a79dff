"""Building the Dagster definitions: the graph under given settings, with resources that tests may replace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from finpipe.orchestration.automation import automation, conditions
from finpipe.orchestration.events import Tell, tell_nobody
from finpipe.orchestration.freshness import policy
from finpipe.orchestration.graph import graph
from finpipe.orchestration.jobs import jobs
from finpipe.orchestration.resources import resources
from finpipe.orchestration.schedules import schedules
from finpipe.orchestration.sensors import sensors
from finpipe.orchestration.sources import observable_assets
from finpipe.orchestration.warming import warming_schedules
from finpipe.settings import Settings, load_settings


def build_definitions(
    settings: Settings | None = None,
    *,
    tell: Tell = tell_nobody,
    overrides: Mapping[str, Any] | None = None,
) -> dg.Definitions:
    """Return the definitions under ``settings`` (those in force if None).

    Parameters
    ----------
    tell
        Told when a step begins to make a node and when it is made.
    overrides
        Resources by name that replace the usual ones.
    """
    own = settings or load_settings()
    values = own.model_dump()
    versions = {key: stage.code.version(values) for stage in graph().stages for key in stage.outputs}
    follow = conditions(graph())

    def complete(spec: dg.AssetSpec) -> dg.AssetSpec:
        key = "/".join(spec.key.path)
        return spec.replace_attributes(
            code_version=versions[key], automation_condition=follow.get(key), freshness_policy=policy(key)
        )

    stages = dg.map_asset_specs(complete, [stage.definition for stage in graph().stages])
    own_jobs = jobs()
    return dg.Definitions(
        assets=[*observable_assets(), *stages],
        jobs=own_jobs,
        sensors=[*sensors(own, own_jobs), *automation(graph())],
        schedules=[*schedules(own, own_jobs), *warming_schedules(own, own_jobs)],
        resources=resources(own, tell) | dict(overrides or {}),
        executor=dg.in_process_executor,
    )
