"""Steps: what a step finds out before it loads anything: the versions of its inputs, and whether it is needed.

Thanks to the latter, runs from the UI, a backfill or a sensor make nothing twice. The versions are looked up
before the inputs are read: if somebody replaces an input meanwhile, the record names the older version and
the asset counts as stale, never the other way round.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
from dagster._core.storage.asset_check_execution_record import (
    COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES,
)

from finpipe.orchestration.check import CHECKED, FAILED_CHECKS
from finpipe.orchestration.home import shared
from finpipe.orchestration.provenance import latest_materialization, recorded_inputs
from finpipe.settings import Settings

if TYPE_CHECKING:
    from finpipe.orchestration.planner import Status
    from finpipe.orchestration.stage import Stage

FORCE = "finpipe/force"
"""Tag of runs; ``true`` makes assets although they are fresh."""
RECENT = 200
"""How many evaluations of a check are looked through: those of other partitions lie between."""
KEPT: Final = object()
"""Stands for the value of an asset that stays as it is."""


@dataclass(frozen=True, slots=True)
class Step:
    """A stage at one partition, about to be made.

    Attributes
    ----------
    inputs
        Data versions of everything that it reads, by node name.
    kept
        What was recorded when the assets were made, if they are still right; None if they have to be made.
    """

    inputs: Mapping[str, str]
    kept: Kept | None


@dataclass(frozen=True, slots=True)
class Kept:
    """Materializations by asset key, and what the checks found at the time."""

    made: Mapping[str, dg.AssetMaterialization]
    checked: Mapping[dg.AssetCheckKey, dg.AssetCheckEvaluation]

    def results(self) -> Iterator[Any]:
        """Yield what a step yields if all stays as it is."""
        for key, materialization in self.made.items():
            yield dg.Output(
                KEPT,
                output_name=key.rpartition("/")[2],
                metadata=dict(materialization.metadata),
                data_version=dg.DataVersion((materialization.tags or {})["dagster/data_version"]),
            )
        for check, found in self.checked.items():
            yield dg.AssetCheckResult(
                asset_key=check.asset_key,
                check_name=check.name,
                passed=found.passed,
                severity=found.severity,
                description=found.description,
                metadata=dict(found.metadata),
            )


class Steps:
    """Opens the steps of runs, each once.

    Parameters
    ----------
    planned
        Whether somebody has found out already that every step of the run is needed, and observed the sources.
    """

    def __init__(self, settings: Settings, *, planned: bool = False) -> None:
        self._settings = settings
        self._planned = planned
        self._opened: dict[tuple[str, str, str | None], Step] = {}

    def open(
        self, instance: dg.DagsterInstance, run: dg.DagsterRun, name: str, partition: str | None
    ) -> Step:
        """Return the step of stage ``name`` at ``partition``, as it was when ``run`` first asked."""
        key = (run.run_id, name, partition)
        if key not in self._opened:
            self._opened[key] = self._open(instance, run, name, partition)
        return self._opened[key]

    def keeps(
        self, instance: dg.DagsterInstance, run: dg.DagsterRun, name: str, partition: str | None
    ) -> bool:
        """Return whether ``name`` is a stage whose assets are fresh, so that it need not load its inputs."""
        from finpipe.orchestration.graph import graph

        is_stage = any(stage.name == name for stage in graph().stages)
        return is_stage and self.open(instance, run, name, partition).kept is not None

    def _open(
        self, instance: dg.DagsterInstance, run: dg.DagsterRun, name: str, partition: str | None
    ) -> Step:
        from finpipe.orchestration.graph import graph
        from finpipe.orchestration.planner import Planner
        from finpipe.orchestration.shelves import shelves
        from finpipe.orchestration.sources import observe
        from finpipe.orchestration.ticker_groups import BARS, observe_groups

        known, stage = graph(), _stage(name)
        if self._planned or run.tags.get(FORCE) == "true":
            return Step(recorded_inputs(instance, stage.upstream, stage.dimensions, partition), None)
        if self._settings.database is not None and not known.table_keys.isdisjoint(stage.upstream):
            observe(self._settings, instance)
        if BARS in stage.upstream and partition is not None:
            observe_groups(self._settings, instance, [partition])
        inputs = recorded_inputs(instance, stage.upstream, stage.dimensions, partition)
        status = Planner(known, self._settings, instance, shelves(self._settings)).status(stage, partition)
        return Step(inputs, _kept(instance, status) if status.state == "fresh" else None)


def steps(settings: Settings) -> dg.ResourceDefinition:
    """Return the resource that opens the steps of a run, and keeps commands out of the home meanwhile."""

    @dg.resource(description="Finds out what has to be made, and holds the home while a run works in it.")
    @contextmanager
    def opened(context: dg.InitResourceContext) -> Iterator[Steps]:
        with shared(settings, waiting=context.log.info if context.log else lambda _: None):
            yield Steps(settings)

    return opened


def _stage(name: str) -> Stage:
    from finpipe.orchestration.graph import graph

    return next(stage for stage in graph().stages if stage.name == name)


def _kept(instance: dg.DagsterInstance, status: Status) -> Kept | None:
    """Return what was recorded of a fresh stage; None if it has a check that did not look at it."""
    made = {key: latest_materialization(instance, key, status.partition) for key in status.stage.outputs}
    runs = {record.run_id for record in status.records.values() if record is not None}
    checked = {
        key: _evaluation(instance, key, runs) or _written_down(key, status)
        for key in status.stage.definition.check_keys
    }
    if None in made.values() or None in checked.values():
        return None
    return Kept(
        {key: found for key, found in made.items() if found is not None},
        {key: found for key, found in checked.items() if found is not None},
    )


def _evaluation(
    instance: dg.DagsterInstance, check: dg.AssetCheckKey, runs: Collection[str]
) -> dg.AssetCheckEvaluation | None:
    """Return what a check found in one of ``runs``."""
    history = instance.event_log_storage.get_asset_check_execution_history(
        check, limit=RECENT, status=COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES
    )
    for record in history:
        event = record.event.dagster_event if record.event is not None else None
        if record.run_id in runs and event is not None:
            return event.asset_check_evaluation_data
    return None


def _written_down(check: dg.AssetCheckKey, status: Status) -> dg.AssetCheckEvaluation | None:
    """Return what a check found as the materialization has it; evaluations of many partitions bury each other."""
    record = status.records["/".join(check.asset_key.path)]
    found = {} if record is None else record.metadata.get(CHECKED, {})
    if record is None or check.name not in found:
        return None
    return dg.AssetCheckEvaluation(
        asset_key=check.asset_key,
        check_name=check.name,
        passed=check.name not in record.metadata.get(FAILED_CHECKS, {}),
        metadata={},
        severity=dg.AssetCheckSeverity.WARN,
        description=found[check.name],
    )
