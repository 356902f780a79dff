"""Sensors: what makes Dagster look at the world outside; here, at the market database."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import blake2b

import dagster as dg

from finpipe.market.snapshot import DatabaseUnavailable
from finpipe.market.table_counters import Counters, table_counters
from finpipe.orchestration.graph import graph
from finpipe.orchestration.home import who_holds
from finpipe.orchestration.jobs import PARTS, Job, job_name
from finpipe.orchestration.partitions import TEST_YEAR, VARIANT
from finpipe.orchestration.planner import Planner, Scope, Status
from finpipe.orchestration.resources import SIDE_BY_SIDE
from finpipe.orchestration.shelves import shelves
from finpipe.orchestration.sources import observed_state
from finpipe.orchestration.stage import Stage
from finpipe.orchestration.studies import DEFAULT_PRESET, variant_name
from finpipe.orchestration.ticker_groups import groups_in_use
from finpipe.orchestration.years import sync_test_years
from finpipe.settings import Settings, load_settings

CHANGE = "finpipe/change"
"""Tag of runs: the change of the database that they follow."""
TABLES = "finpipe/tables"
"""Tag of runs: the tables that had changed."""
INTERVAL_S = 15
LOCK_TIMEOUT_S = 2.0
"""A tick does not wait for a locked database: the next one looks again."""
IN_FLIGHT = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
LOST = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


@dataclass(frozen=True, slots=True)
class Watch:
    """What the sensor remembers from tick to tick: its cursor.

    Parameters
    ----------
    counters
        What was counted last; None before the first look.
    change
        Names the change that is being followed, or the last one: the fingerprints of all tables before and
        after it, and a number, for the database may return to an earlier state.
    number
        Number of that change; begins with the time of the first look, so that a new cursor repeats no name.
    tables
        Tables whose change is being followed; none while there is nothing to do.
    rounds
        Rounds of runs that have been requested for it.
    requested
        Names of the nodes in them: each is requested once.
    """

    counters: Counters | None = None
    change: str = ""
    number: int = 0
    tables: tuple[str, ...] = ()
    rounds: int = 0
    requested: frozenset[str] = field(default_factory=frozenset)

    @classmethod
    def parse(cls, cursor: str | None) -> Watch:
        """Return what ``to_json`` wrote."""
        if not cursor:
            return cls()
        kept = json.loads(cursor)
        return cls(
            Counters(**kept["counters"]),
            kept["change"],
            kept["number"],
            tuple(kept["tables"]),
            kept["rounds"],
            frozenset(kept["requested"]),
        )

    def to_json(self) -> str:
        """Return it as a cursor."""
        return json.dumps(asdict(self) | {"requested": sorted(self.requested)}, ensure_ascii=False)

    def after(self, counters: Counters) -> Watch:
        """Return what to remember now that ``counters`` were found."""
        if self.counters is None:
            changed, before = tuple(counters.tables), "none"
        else:
            changed, before = counters.changed_since(self.counters), _digest(self.counters)
        if not changed:
            return replace(self, counters=counters)
        number = self.number + 1 if self.number else int(time.time())
        return Watch(
            counters,
            f"{before}-{_digest(counters)}-{number}",
            number,
            tuple(dict.fromkeys((*self.tables, *changed))),
        )


def sensors(settings: Settings, jobs: Sequence[Job]) -> list[dg.SensorDefinition]:
    """Return the sensors, which are off until somebody turns them on."""
    parts = {name for name, _ in PARTS.values()}

    @dg.sensor(jobs=[job for job in jobs if job.name in parts], minimum_interval_seconds=INTERVAL_S)
    def database_changed(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        """Follow changes of the market database, with runs of just what depends on the tables that changed.

        A tick costs a millisecond while nobody writes. After a commit the tables are counted (see
        market.table_counters); changes in place in tables of more than a million rows are left to the schedule.
        Runs are requested in the rounds in which the command makes things: first everything without partitions,
        then, as far as its results have changed, windows, test years and studies that exist.
        """
        watch = Watch.parse(context.cursor)
        own = settings if settings.database is not None else load_settings(home=settings.home)
        if own.database is None:
            return _skip(watch, f"no database is known in {own.home}: `finpipe run --database PATH` names it")
        tables = [table for source in graph().sources for table in source.tables]
        try:
            counters = table_counters(own.database, tables, watch.counters, timeout_s=LOCK_TIMEOUT_S)
        except DatabaseUnavailable as error:
            return _skip(watch, f"{error}; the next tick looks again")
        return _follow(context.instance, own, watch, watch.after(counters))

    return [database_changed]


def _follow(instance: dg.DagsterInstance, settings: Settings, before: Watch, watch: Watch) -> dg.SensorResult:
    """Request the next round of runs for the change that ``watch`` follows, or say why there is none."""
    if not watch.tables:
        return _skip(watch, _idle(settings, before, watch))
    every = watch.counters is not None and len(watch.tables) == len(watch.counters.tables)
    named = "the database" if every else ", ".join(watch.tables)
    working = _runs(instance, IN_FLIGHT)
    if working:
        return _skip(watch, f"{named} changed; {len(working)} run(s) at work on it: {', '.join(working)}")
    if watch.rounds and (lost := _runs(instance, LOST, watch.change)):
        return _skip(
            replace(watch, tables=()),
            f"{named} changed, but run(s) {', '.join(lost)} did not succeed: mend the cause and launch the job "
            "refresh, or `finpipe run`; the sensor goes on with the next change",
        )
    if (who := who_holds(settings)) is not None:
        return _skip(watch, f"{named} changed; {who}; waiting for it to finish")
    batches = _next_batches(instance, settings, watch)
    if not batches:
        return _skip(replace(watch, tables=()), f"{named} changed; what depends on it is up to date")
    years = sum(TEST_YEAR in statuses[0].stage.dimensions for statuses in batches.values())
    requests = [
        _request(watch, partition, statuses, side_by_side=years > 1)
        for partition, statuses in batches.items()
    ]
    requested = {name for statuses in batches.values() for status in statuses for name in status.names}
    following = replace(watch, rounds=watch.rounds + 1, requested=watch.requested | requested)
    return dg.SensorResult(run_requests=requests, cursor=following.to_json())


def _next_batches(
    instance: dg.DagsterInstance, settings: Settings, watch: Watch
) -> dict[str | None, list[Status]]:
    """Return what can be made now, by partition."""
    assert watch.counters is not None
    known = graph()
    sources = {source.key for source in known.sources if not set(source.tables).isdisjoint(watch.tables)}
    affected = [stage for stage in known.downstream_of(sources) if not stage.on_request]
    unread = not watch.rounds and observed_state(settings) != watch.counters.commit_state
    readers = frozenset(stage.name for stage in affected if not sources.isdisjoint(stage.upstream))
    if not instance.get_dynamic_partitions(VARIANT):
        usual = variant_name(DEFAULT_PRESET, None, settings.preset, settings.horizons)
        instance.add_dynamic_partitions(VARIANT, [usual])
    if not unread:
        sync_test_years(settings, instance)
    planner = Planner(known, settings, instance, shelves(settings))
    keys = [key for stage in affected for key in stage.outputs]
    stages = [
        stage
        for stage in known.needed_for(keys)
        if stage in affected or _is_missing(planner, stage, instance)
    ]
    scope = Scope(groups=groups_in_use(instance))
    found = planner.next_round(stages, scope, force=readers if unread else frozenset(), follow=True)
    new = {
        partition: [status for status in statuses if not watch.requested.issuperset(status.names)]
        for partition, statuses in found.batches.items()
    }
    return {partition: statuses for partition, statuses in new.items() if statuses}


def _is_missing(planner: Planner, stage: Stage, instance: dg.DagsterInstance) -> bool:
    keys = Scope(groups=groups_in_use(instance)).keys(stage, instance)
    return any(planner.status(stage, partition).state == "missing" for partition in keys)


def _request(
    watch: Watch, partition: str | None, statuses: Iterable[Status], *, side_by_side: bool
) -> dg.RunRequest:
    stages = [status.stage for status in statuses]
    crowded = side_by_side and TEST_YEAR in stages[0].dimensions
    return dg.RunRequest(
        run_key=f"{watch.change}-{watch.rounds}-{partition or 'all'}",
        job_name=job_name(stages[0].dimensions),
        asset_selection=[dg.AssetKey(key.split("/")) for stage in stages for key in stage.outputs],
        partition_key=partition,
        tags={
            CHANGE: watch.change,
            TABLES: ",".join(watch.tables),
            **({SIDE_BY_SIDE: "true"} if crowded else {}),
        },
    )


def _skip(watch: Watch, reason: str) -> dg.SensorResult:
    cursor = None if watch.counters is None else watch.to_json()
    return dg.SensorResult(skip_reason=reason, cursor=cursor)


def _idle(settings: Settings, before: Watch, watch: Watch) -> str:
    if before.counters is not None and watch.counters != before.counters:
        return f"{settings.database} was written to, but no table that finpipe reads has changed"
    return f"nobody has written to {settings.database} since the last look"


def _runs(
    instance: dg.DagsterInstance, statuses: Sequence[dg.DagsterRunStatus], change: str | None = None
) -> list[str]:
    """Return the short ids of runs that follow changes of the database, or one ``change``."""
    wanted = dg.RunsFilter(statuses=list(statuses), tags={} if change is None else {CHANGE: change})
    return [run.run_id[:8] for run in instance.get_runs(wanted) if CHANGE in run.tags]


def _digest(counters: Counters) -> str:
    text = json.dumps(dict(counters.tables), sort_keys=True, ensure_ascii=False)
    return blake2b(text.encode(), digest_size=4).hexdigest()
