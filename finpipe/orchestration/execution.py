"""Execution: making what the planner finds stale, in process or in worker processes, and telling how it goes."""

from __future__ import annotations

import functools
import resource
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from finpipe.orchestration import records
from finpipe.orchestration.events import Event, Tell, tell_nobody
from finpipe.orchestration.graph import Graph, graph
from finpipe.orchestration.home import HomeError, open_instance
from finpipe.orchestration.partitions import TEST_YEAR
from finpipe.orchestration.planner import Planner, Scope, Status
from finpipe.orchestration.provenance import node_name
from finpipe.orchestration.shelves import shelves
from finpipe.orchestration.side_by_side import completed
from finpipe.orchestration.stage import FAILED_CHECKS, Stage
from finpipe.orchestration.steps import Steps
from finpipe.orchestration.versions import KEPT_CODE, read_code
from finpipe.settings import Settings

INTERRUPTED = dg.DagsterExecutionInterruptedError.__name__


@dataclass(slots=True)
class Outcome:
    """What a run did: names of nodes, the error of each that failed, seconds of each that was made.

    ``failed_checks`` has, by node and check, what was found: such assets are made, but somebody should look.
    """

    materialized: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    blocked: list[str] = field(default_factory=list)
    failed_checks: dict[str, dict[str, str]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    peak_rss_mb: float = 0.0


@dataclass(frozen=True, slots=True)
class Task:
    """Assets to be made in one Dagster run of one partition, by key and by node name."""

    keys: tuple[str, ...]
    names: tuple[str, ...]
    partition: str | None
    side_by_side: bool


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a task: (name, seconds, rows) of what was made, errors, what was not reached, failed checks."""

    made: tuple[tuple[str, float, int | None], ...]
    failed: Mapping[str, str]
    blocked: tuple[str, ...]
    peak_rss_mb: float
    failed_checks: Mapping[str, dict[str, str]] = field(default_factory=dict)


class Execution:
    """Makes assets fresh in one home.

    Parameters
    ----------
    tell
        Called with an Event whenever something happens to a node.
    verify
        Read everything that is stored, and make again what is not as it was.
    """

    def __init__(
        self,
        graph: Graph,
        settings: Settings,
        instance: dg.DagsterInstance,
        tell: Tell,
        *,
        verify: bool = False,
    ) -> None:
        self._graph = graph
        self._settings = settings
        self._instance = instance
        self._tell = tell
        self._planner = Planner(graph, settings, instance, shelves(settings), verify=verify)

    @functools.cached_property
    def _definitions(self) -> dg.Definitions:
        return planned_definitions(self._settings, self._tell)

    def run(
        self,
        keys: Iterable[str],
        scope: Scope,
        *,
        sync: Callable[[], None],
        force: frozenset[str] = frozenset(),
    ) -> Outcome:
        """Make ``keys`` and all that they need fresh.

        Parameters
        ----------
        sync
            Called between rounds to bring the partition sets up to date with the data.
        force
            Names of stages that are made although they are fresh.
        """
        outcome = Outcome()
        remaining: Sequence[Stage] = self._graph.needed_for(keys)
        while remaining:
            sync()
            lost = (*outcome.failed, *outcome.blocked)
            now = self._planner.next_round(
                remaining, scope, force=force, made=outcome.materialized, lost=lost
            )
            for status in now.fresh:
                self._note_fresh(status, outcome)
            self._note_blocked(now.blocked, outcome)
            self._make(now.batches, outcome)
            remaining = now.waiting
        outcome.peak_rss_mb = max(outcome.peak_rss_mb, peak_rss_mb())
        return outcome

    def _note_fresh(self, status: Status, outcome: Outcome) -> None:
        for name in status.names:
            if name not in outcome.skipped and name not in outcome.materialized:
                outcome.skipped.append(name)
                self._tell(Event("fresh", name))

    def _note_blocked(self, names: Iterable[str], outcome: Outcome) -> None:
        for name in names:
            outcome.blocked.append(name)
            self._tell(Event("blocked", name))

    def _make(self, batches: Mapping[str | None, list[Status]], outcome: Outcome) -> None:
        tasks = [self._task(partition, statuses) for partition, statuses in batches.items() if statuses]
        side_by_side = [task for task in tasks if task.side_by_side]
        if len(side_by_side) < 2 or self._settings.workers < 2:
            side_by_side = []
        for task in tasks:
            if task not in side_by_side:
                self._record(run_task(task, self._settings, self._instance, self._definitions), outcome)
        if side_by_side:
            self._make_side_by_side(side_by_side, outcome)

    def _make_side_by_side(self, tasks: list[Task], outcome: Outcome) -> None:
        one_thread = self._settings.model_copy(update={"threads": 1}).model_dump(mode="json")
        work = functools.partial(run_task_apart, settings=one_thread)
        for task, done in completed(work, tasks, self._settings.workers, self._note_started):
            if isinstance(done, BaseException):
                died = f"the worker process died ({done}); is there enough memory for {len(tasks)} years?"
                message = died if isinstance(done, BrokenProcessPool) else str(done)
                self._record(Done((), dict.fromkeys(task.names, message), (), 0.0), outcome)
                continue
            for name, seconds, rows in done.made:
                self._tell(Event("made", name, seconds, rows))
            self._record(done, outcome)

    def _note_started(self, task: Task) -> None:
        for name in task.names:
            self._tell(Event("started", name))

    def _task(self, partition: str | None, statuses: list[Status]) -> Task:
        return Task(
            tuple(key for status in statuses for key in status.stage.outputs),
            tuple(name for status in statuses for name in status.names),
            partition,
            any(TEST_YEAR in status.stage.dimensions for status in statuses),
        )

    def _record(self, done: Done, outcome: Outcome) -> None:
        for name, seconds, _ in done.made:
            outcome.materialized.append(name)
            outcome.seconds[name] = round(seconds, 3)
            if name in outcome.skipped:
                outcome.skipped.remove(name)
        for name, message in done.failed.items():
            outcome.failed[name] = message
            self._tell(Event("failed", name, message=message))
        self._note_blocked(done.blocked, outcome)
        outcome.failed_checks.update(done.failed_checks)
        outcome.peak_rss_mb = max(outcome.peak_rss_mb, done.peak_rss_mb)


def run_task(
    task: Task, settings: Settings, instance: dg.DagsterInstance, definitions: dg.Definitions
) -> Done:
    """Make the assets of ``task`` in one Dagster run in this process.

    Raises
    ------
    KeyboardInterrupt
        The run was interrupted; Dagster takes note of that and would go on.
    """
    job = definitions.resolve_implicit_global_asset_job_def()
    asset_keys = [dg.AssetKey(key.split("/")) for key in task.keys]
    result = job.execute_in_process(
        instance=instance,
        partition_key=task.partition,
        asset_selection=asset_keys,
        raise_on_error=False,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        tags={"finpipe/home": str(settings.home)},
    )
    seconds = {
        event.step_key: event.step_success_data.duration_ms / 1e3
        for event in result.get_step_success_events()
    }
    made: list[tuple[str, float, int | None]] = []
    failed_checks: dict[str, dict[str, str]] = {}
    for event in result.get_asset_materialization_events():
        rows = event.materialization.metadata.get("dagster/row_count")
        name = node_name("/".join(event.materialization.asset_key.path), task.partition)
        made.append((name, seconds.get(event.step_key, 0.0), None if rows is None else int(str(rows.value))))
        if (found := event.materialization.metadata.get(FAILED_CHECKS)) is not None:
            failed_checks[name] = dict(found.value)  # type: ignore[call-overload]
    failed = _failures(result, task.partition)
    missing = [name for name in task.names if name not in failed and name not in {done[0] for done in made}]
    if missing and not failed:
        failed = dict.fromkeys(missing, "the run ended before this step; its log in the UI says why")
    lost = tuple(name for name in missing if name not in failed)
    return Done(tuple(made), failed, lost, peak_rss_mb(), failed_checks)


def run_task_apart(task: Task, settings: Mapping[str, Any]) -> Done:
    """Make the assets of ``task`` in a worker process, which opens the home for itself."""
    from sqlalchemy.exc import DBAPIError

    own = Settings.model_validate(settings)
    try:
        with open_instance(own) as instance:
            read_code((stage.code for stage in graph().stages), own.home / KEPT_CODE)
            return run_task(task, own, instance, planned_definitions(own))
    except DBAPIError as error:
        raise HomeError(records.explain(own, error)) from error


def planned_definitions(settings: Settings, tell: Tell = tell_nobody) -> dg.Definitions:
    """Return definitions whose steps make their assets without asking: the planner has found them stale."""
    from finpipe.orchestration.build import build_definitions

    return build_definitions(settings, tell=tell, overrides={"steps": Steps(settings, planned=True)})


def peak_rss_mb() -> float:
    """Return the peak resident memory of this process in megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _failures(result: dg.ExecuteInProcessResult, partition: str | None) -> dict[str, str]:
    failed: dict[str, str] = {}
    for event in result.get_step_failure_events():
        error = event.step_failure_data.error
        if error is not None and error.cls_name == INTERRUPTED:
            raise KeyboardInterrupt
        while error is not None and error.cause is not None and (error.cls_name or "").startswith("Dagster"):
            error = error.cause
        message = "unknown error" if error is None else _plain(error.message)
        for key in _keys_of(event.step_key):
            failed[node_name(key, partition)] = message
    return failed


def _keys_of(step: str | None) -> list[str]:
    stages = {stage.name: stage for stage in graph().stages}
    return list(stages[step].outputs) if step in stages else []


def _plain(message: str) -> str:
    kind, separator, text = message.partition("\n(Background on this error")[0].strip().partition(": ")
    return text if separator and kind.replace(".", "").isidentifier() else kind + separator + text
