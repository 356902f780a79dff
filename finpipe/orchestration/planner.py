"""The planner: what is fresh, stale or missing, why, and in which rounds the rest can be made.

The status of a node is exact, hop by hop: its recorded provenance against the code, the settings and the
data versions of its inputs today. A node whose inputs are being made is settled only when they are, so
that inputs that come out unchanged stop the work there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import dagster as dg

from finpipe.orchestration import partitions
from finpipe.orchestration.graph import Graph
from finpipe.orchestration.io_managers import SIZE
from finpipe.orchestration.provenance import Ledger, Record, node_name
from finpipe.orchestration.shelves import ENDINGS, Shelf
from finpipe.orchestration.stage import FAILED_CHECKS, Stage
from finpipe.orchestration.store import Store
from finpipe.orchestration.verification import is_intact
from finpipe.settings import Settings

State = Literal["fresh", "stale", "missing"]


@dataclass(frozen=True, slots=True)
class Status:
    """How a stage stands at one partition.

    Parameters
    ----------
    own
        Reasons of its own (code, settings, missing or altered files): it must be made whatever its inputs are.
    inherited
        Inputs that have other data than it was made from.
    """

    stage: Stage
    partition: str | None
    state: State
    own: tuple[str, ...]
    inherited: tuple[str, ...]
    records: Mapping[str, Record | None]

    @property
    def names(self) -> list[str]:
        """Names of the assets at this partition."""
        return [node_name(key, self.partition) for key in self.stage.outputs]

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it is not fresh, in words."""
        return (*self.own, *self.inherited)

    def failed_checks(self, key: str) -> Mapping[str, str]:
        """Return what the asset checks of ``key`` found, for those that failed when it was made."""
        record = self.records[key]
        found: Mapping[str, str] = {} if record is None else record.metadata.get(FAILED_CHECKS, {})
        return found


@dataclass(frozen=True, slots=True)
class Scope:
    """Which partitions a run is about; None means all that are known."""

    years: tuple[str, ...] | None = None
    variants: tuple[str, ...] | None = None
    groups: tuple[str, ...] | None = None

    def keys(self, stage: Stage, known_to: dg.DagsterInstance | Ledger) -> list[str | None]:
        """Return the partition keys of ``stage`` within the scope, of those that a home knows."""
        ledger = known_to if isinstance(known_to, Ledger) else Ledger(known_to)
        known = {name: ledger.partitions(name) for name in stage.dimensions}
        chosen = {
            partitions.TEST_YEAR: self.years,
            partitions.VARIANT: self.variants,
            partitions.TICKER_GROUP: self.groups,
        }
        within = {
            name: tuple(value for value in values if chosen[name] is None or value in chosen[name])  # type: ignore[operator]
            for name, values in known.items()
        }
        return partitions.upstream_keys({}, stage.dimensions, within)


@dataclass(slots=True)
class Round:
    """Work that can be done now: nodes by partition, in topological order; what is fresh; what must wait.

    Parameters
    ----------
    blocked
        Names of nodes that need what is lost; an asset that is blocked at every partition goes by its key.
    """

    batches: dict[str | None, list[Status]] = field(default_factory=dict)
    fresh: list[Status] = field(default_factory=list)
    waiting: list[Stage] = field(default_factory=list)
    blocked: list[str] = field(default_factory=list)

    def makes(self, key: str, partition: str | None) -> bool:
        """Return whether ``key`` is made at ``partition`` in this round."""
        return any(key in status.stage.outputs for status in self.batches.get(partition, ()))

    def waits_for(self, key: str) -> bool:
        """Return whether the stage of ``key`` is among those that wait."""
        return any(key in stage.outputs for stage in self.waiting)


class Planner:
    """Answers questions about the state of the graph in one home.

    Parameters
    ----------
    verify
        Whether to read everything that is stored and compare it with what was recorded; otherwise sizes and endings
        of files are looked at.
    """

    def __init__(
        self,
        graph: Graph,
        settings: Settings,
        instance: dg.DagsterInstance,
        shelves: Mapping[str, Shelf],
        *,
        verify: bool = False,
    ) -> None:
        self._graph = graph
        self._settings = settings
        self._instance = instance
        self._shelves = shelves
        self._verify = verify
        self._verified: dict[tuple[str, str | None, str], bool] = {}

    def status(self, stage: Stage, partition: str | None) -> Status:
        """Return how ``stage`` stands at ``partition``."""
        return self._status(stage, partition, Ledger(self._instance))

    def _status(self, stage: Stage, partition: str | None, ledger: Ledger) -> Status:
        records = {key: ledger.record(key, partition) for key in stage.outputs}
        if any(record is None for record in records.values()):
            return Status(stage, partition, "missing", ("never made",), (), records)
        gone = [
            f"{node_name(key, partition)} is not as it was stored: {damage}"
            for key, record in records.items()
            if record is not None and (damage := self._damage(stage, key, partition, record))
        ]
        recorded: dict[str, Any] = next(
            record.provenance for record in records.values() if record is not None
        )
        own = (*gone, *_changed_code(stage, recorded), *self._changed_settings(stage, recorded))
        inherited = tuple(self._changed_inputs(stage, partition, recorded, ledger))
        state: State = "missing" if gone else "stale" if own or inherited else "fresh"
        return Status(stage, partition, state, own, inherited, records)

    def statuses(self, stages: Iterable[Stage], scope: Scope) -> list[Status]:
        """Return how every stage stands at every partition of the scope."""
        ledger = Ledger(self._instance)
        return [
            self._status(stage, partition, ledger)
            for stage in stages
            for partition in self._looked_up(stage, scope, ledger)
        ]

    def next_round(
        self,
        stages: Iterable[Stage],
        scope: Scope,
        *,
        force: frozenset[str] = frozenset(),
        made: Collection[str] = (),
        lost: Collection[str] = (),
        follow: bool = False,
    ) -> Round:
        """Return what can be made now of ``stages`` (in topological order, not settled by earlier rounds).

        A node is made when its inputs are settled, or right after an input of its own partition if it must be
        made whatever that input becomes. A partitioned stage waits for unpartitioned inputs: they may bring
        new partitions.

        Parameters
        ----------
        force
            Names of stages that are made although they are fresh, but for the nodes already ``made``.
        lost
            Names of nodes that failed or were blocked: what needs them is blocked too.
        follow
            Take every node that comes right after an input of its own partition into the round, for a run
            whose steps find out themselves whether they are still needed.
        """
        result = Round()
        ledger = Ledger(self._instance)
        gone = set(lost)
        for stage in stages:
            if not gone.isdisjoint(stage.needs):
                result.blocked.extend(stage.outputs)
                gone.update(stage.outputs)
                continue
            partitioned = bool(stage.dimensions)
            waits = any(
                result.waits_for(key) or (partitioned and result.makes(key, None)) for key in stage.upstream
            )
            if not waits:
                for partition in self._looked_up(stage, scope, ledger):
                    names = [node_name(key, partition) for key in stage.outputs]
                    if gone and self._is_lost(stage, partition, gone, ledger):
                        result.blocked.extend(name for name in names if name not in gone)
                        gone.update(names)
                        continue
                    forced = stage.name in force and not set(names) <= set(made)
                    status = self._status(stage, partition, ledger)
                    waits |= not self._place(result, status, ledger, forced=forced, follow=follow)
            if waits:
                result.waiting.append(stage)
        return result

    def _looked_up(self, stage: Stage, scope: Scope, ledger: Ledger) -> list[str | None]:
        """Return the partitions of ``stage`` in the scope, having looked up all of them at once."""
        found = scope.keys(stage, ledger)
        for key in stage.outputs:
            ledger.records(key, found)
        return found

    @staticmethod
    def _is_lost(stage: Stage, partition: str | None, lost: set[str], ledger: Ledger) -> bool:
        own_values = partitions.parse(partition, stage.dimensions)
        inputs = {node_name(key, needed) for key in stage.needs for needed in ledger.needed(key, own_values)}
        own = {node_name(key, partition) for key in stage.outputs}
        return not lost.isdisjoint(inputs | own)

    @staticmethod
    def _place(result: Round, status: Status, ledger: Ledger, *, forced: bool, follow: bool) -> bool:
        """Put a node where it belongs in the round; return False if it has to wait for a later one."""
        own = partitions.parse(status.partition, status.stage.dimensions)
        made_before = [
            (key, needed)
            for key in status.stage.upstream
            for needed in ledger.needed(key, own)
            if result.makes(key, needed)
        ]
        if made_before:
            same_batch = all(needed == status.partition for _, needed in made_before)
            if not (same_batch and (status.own or forced or follow)):
                return False
        elif status.state == "fresh" and not forced:
            result.fresh.append(status)
            return True
        result.batches.setdefault(status.partition, []).append(status)
        return True

    def _damage(self, stage: Stage, key: str, partition: str | None, record: Record) -> str:
        """Return what has become of a value since it was stored, in words; nothing if it is as it was."""
        storage = stage.outputs[key].storage
        size = int(record.metadata[SIZE])
        is_table = storage == "duckdb"
        where = f"table {key} of {self._settings.duckdb_path}" if is_table else ""
        if not is_table:
            store = Store(self._settings.store_url)
            paths = [store.path(key, partition, ending) for ending in ENDINGS[storage]]
            if lost := [str(path) for path in paths if not path.exists()]:
                return f"{', '.join(lost)} is missing"
            where = " and ".join(map(str, paths))
        if not self._shelves[storage].holds(key, partition, size):
            if storage == "tier":
                return f"the cache no longer holds what {where} names"
            if storage == "bars":
                return f"the bars in {self._settings.home / 'prices'} are no longer those that {where} names"
            return f"{where} does not hold its {size:,} {'rows' if is_table else 'bytes'}"
        if self._verify and not self._is_intact(stage, key, partition, record):
            return f"{where} was altered"
        return ""

    def _is_intact(self, stage: Stage, key: str, partition: str | None, record: Record) -> bool:
        moment = (key, partition, record.run_id)
        if moment not in self._verified:
            shelf = self._shelves[stage.outputs[key].storage]
            self._verified[moment] = is_intact(shelf, key, partition, record, self._graph.table(key))
        return self._verified[moment]

    def _changed_settings(self, stage: Stage, recorded: Mapping[str, Any]) -> list[str]:
        before: Mapping[str, str] = recorded["settings"]
        now = {name: repr(getattr(self._settings, name)) for name in stage.code.settings}
        return [
            f"setting {name}: {before.get(name, 'none')} → {value}"
            for name, value in now.items()
            if before.get(name) != value
        ]

    def _changed_inputs(
        self, stage: Stage, partition: str | None, recorded: Mapping[str, Any], ledger: Ledger
    ) -> list[str]:
        before: Mapping[str, str] = recorded["inputs"]
        now = ledger.inputs(stage.upstream, stage.dimensions, partition)
        changed = [
            f"{name} changed"
            if name.partition("[")[0] in self._graph.source_keys
            else f"upstream {name} was materialized with other data"
            for name, version in now.items()
            if before.get(name, "") != version
        ]
        return changed + [f"upstream {name} is gone" for name in before if name not in now and before[name]]


def _changed_code(stage: Stage, recorded: Mapping[str, Any]) -> list[str]:
    before: Mapping[str, str] = recorded["code"]
    now = stage.code.modules
    changed = [
        f"code of {_file(name)} changed" for name in now if name in before and before[name] != now[name]
    ]
    added = [f"code of {_file(name)} is used now" for name in now if name not in before]
    dropped = [f"code of {_file(name)} is no longer used" for name in before if name not in now]
    return changed + added + dropped


def _file(module: str) -> str:
    return (
        module if module.startswith("asset ") else module.removeprefix("finpipe.").replace(".", "/") + ".py"
    )
