"""Automation: what Dagster starts by itself when assets change, where neither the sensor nor a schedule does.

A change of the database is followed by the sensor, the clock by the schedule, and a command makes all that it
names. A backfill of test years, from the UI or a program, makes models and scores and leaves the results of the
study behind: those follow by themselves. Nothing is ever trained, and what is made on request stays so.
"""

from __future__ import annotations

import dagster as dg

from finpipe.orchestration.graph import Graph
from finpipe.orchestration.partitions import TEST_YEAR, VARIANT
from finpipe.orchestration.resources import BACKFILL
from finpipe.orchestration.stage import Stage

SENSOR = "results_follow_backfills"
INTERVAL_S = 30


def conditions(graph: Graph) -> dict[str, dg.AutomationCondition[dg.AssetKey | dg.AssetCheckKey]]:
    """Return the condition of each asset that follows backfills, by key: results of studies."""
    return dict.fromkeys((key for stage in results(graph) for key in stage.outputs), _after_backfill())


def results(graph: Graph) -> list[Stage]:
    """Return the stages that bring together what the years of a study brought."""
    yearly = [
        key
        for stage in graph.stages
        if {TEST_YEAR, VARIANT} <= set(stage.dimensions)
        for key in stage.outputs
    ]
    return [
        stage
        for stage in graph.downstream_of(yearly)
        if stage.dimensions == (VARIANT,) and not stage.on_request
    ]


def automation(graph: Graph) -> list[dg.AutomationConditionSensorDefinition]:
    """Return the sensor that evaluates the conditions, which is off until somebody turns it on."""
    keys = conditions(graph)
    if not keys:
        return []
    return [
        dg.AutomationConditionSensorDefinition(
            SENSOR,
            target=dg.AssetSelection.assets(*(key.split("/") for key in keys)),
            default_status=dg.DefaultSensorStatus.STOPPED,
            minimum_interval_seconds=INTERVAL_S,
            description="After a backfill of test years, make the results of the study: predictions, simulation, "
            "picks and report. Trains nothing, and waits until the last year is done.",
        )
    ]


def _after_backfill() -> dg.AutomationCondition[dg.AssetKey | dg.AssetCheckKey]:
    """An input came out of a backfill, or is about to be made for that reason, and none is at work any more."""
    from_backfill = dg.AutomationCondition.newly_updated() & (
        dg.AutomationCondition.any_new_update_has_run_tags(tag_keys={BACKFILL})
    )
    follows = from_backfill | dg.AutomationCondition.will_be_requested()
    at_work = dg.AutomationCondition.any_deps_in_progress() | dg.AutomationCondition.in_progress()
    changed = dg.AutomationCondition.any_deps_match(follows).since_last_handled()
    return (changed & ~at_work).with_label("a backfill has brought new years")
