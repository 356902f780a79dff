"""Refusals: newer versions that a blocking check has kept out since an asset was made last."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import dagster as dg

from finpipe.orchestration.planner import Status

PARTITION = "dagster/partition"
"""Tag that Dagster gives to runs of a partition."""


def with_refusals(instance: dg.DagsterInstance, statuses: Iterable[Status]) -> list[Status]:
    """Return the same statuses; those that are not fresh say which check refused the last attempt, and why."""
    return [
        status
        if status.state == "fresh"
        else replace(status, own=(*status.own, *_refusals(instance, status)))
        for status in statuses
    ]


def _refusals(instance: dg.DagsterInstance, status: Status) -> list[str]:
    made = max((record.timestamp for record in status.records.values() if record is not None), default=0.0)
    blocking = [spec.key for spec in status.stage.definition.check_specs if spec.blocking]
    latest = instance.event_log_storage.get_latest_asset_check_execution_by_key(blocking)
    found = []
    for record in latest.values():
        if record.event is None or record.event.timestamp < made:
            continue
        event = record.event.dagster_event
        if event is None or event.event_type is not dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            continue  # it has begun, and found nothing yet
        evaluation = event.asset_check_evaluation_data
        run = instance.get_run_by_id(record.run_id)
        if evaluation.passed or evaluation.severity != dg.AssetCheckSeverity.ERROR:
            continue
        if run is not None and run.tags.get(PARTITION) == status.partition:
            found.append(f"the last attempt was refused by {evaluation.check_name}: {evaluation.description}")
    return found
