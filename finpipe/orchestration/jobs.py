"""Jobs: the parts of the graph that people and sensors launch by name, one for each set of partitions."""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from finpipe.orchestration.graph import graph
from finpipe.orchestration.partitions import TEST_YEAR, TICKER_GROUP, VARIANT
from finpipe.orchestration.refresh import refresh_job
from finpipe.orchestration.stage import Stage
from finpipe.orchestration.warming import warm_job

Job = dg.JobDefinition | UnresolvedAssetJobDefinition

PARTS = {
    (): ("research", "From the database to the training panel."),
    (TEST_YEAR,): (
        "yearly_windows",
        "What the models of a test year may see of the panel, and what they predict.",
    ),
    (TEST_YEAR, VARIANT): (
        "walk_forward",
        "One ranker and its predictions per test year and study; launch it as a backfill. Needs the windows of the "
        "years and the parameters of the study.",
    ),
    (VARIANT,): ("report", "Simulate a study's portfolio, evaluate it and write its report and picks."),
    (TICKER_GROUP,): (
        "portfolio",
        "Bring the prices of a ticker group up to date and optimise its portfolio, with frontier and report.",
    ),
}
"""Name and description of the job by the partition dimensions of the assets that it makes."""


def jobs() -> list[Job]:
    """Return the jobs: one for each set of partitions, one for what is made on request, one for everything."""
    usual = [stage for stage in graph().stages if not stage.on_request]
    asked = [stage for stage in graph().stages if stage.on_request and stage.dimensions == (VARIANT,)]
    parts = [
        (name, [stage for stage in usual if stage.dimensions == dimensions], description)
        for dimensions, (name, description) in PARTS.items()
    ]
    safety = "Run the stress battery of a study: it trains every year's model again several times."
    chosen = [*parts, ("safety_battery", asked, safety)]
    return [
        refresh_job(),
        warm_job(),
        *(_job(name, stages, description) for name, stages, description in chosen if stages),
    ]


def job_name(dimensions: tuple[str, ...]) -> str:
    """Return the name of the job that makes assets with these partition dimensions."""
    name, _ = PARTS[dimensions]
    return name


def _job(name: str, stages: Iterable[Stage], description: str) -> UnresolvedAssetJobDefinition:
    keys = [key.split("/") for stage in stages for key in stage.outputs]
    return dg.define_asset_job(name, dg.AssetSelection.assets(*keys), description=description)
