"""The stage: how an asset shell becomes a Dagster asset that records what its content depends on.

A shell reads its inputs, calls one domain function and returns the frame; everything else that a
materialization has in common happens here, once; what is written down of it is in ``recording``.
"""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import dagster as dg
import polars as pl  # noqa: F401 the annotations of shells are resolved here

from finpipe.market.schema import Table
from finpipe.orchestration import comparison, links, partitions
from finpipe.orchestration.check import FAILED_CHECKS, SCHEMA, SCHEMA_PROMISE, Check
from finpipe.orchestration.events import Event
from finpipe.orchestration.price_shelf import GroupBars  # noqa: F401 and here
from finpipe.orchestration.provenance import Provenance, latest_materialization, node_name
from finpipe.orchestration.recording import Lineage, Recorded, record, refused
from finpipe.orchestration.steps import FORCE, Steps
from finpipe.orchestration.versions import CodeProvenance, code_provenance
from finpipe.panel.memory import give_back_freed_memory
from finpipe.settings import Settings

__all__ = ["FAILED_CHECKS", "Output", "Result", "Stage", "stage"]

SECONDS = "finpipe/seconds"
OFFERED = frozenset({"context", "settings", "progress"})
"""Parameters of a shell that are no inputs."""

Storage = Literal["parquet", "duckdb", "bars", "tier", "model", "html", "json", "png", "view"]


@dataclass(frozen=True, slots=True)
class Output:
    """One asset that a stage makes: where it is kept and, for frames, the table that it must follow."""

    storage: Storage = "parquet"
    table: Callable[[], Table] | None = None
    description: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What a shell returns when there is more to say than the values: facts for people, and checks.

    Parameters
    ----------
    table
        What the first asset must follow, where that depends on settings; the stage says so by ``SCHEMA`` among
        its checks.
    """

    values: Any
    facts: Mapping[str, Any] = field(default_factory=dict)
    checks: Mapping[str, Check] = field(default_factory=dict)
    table: Table | None = None


@dataclass(frozen=True, slots=True)
class Stage:
    """A step of the graph: the assets that it makes, what they need, and the code behind them.

    Parameters
    ----------
    on_request
        Whether it is made only when somebody asks for it by name: too expensive for every run.
    as_they_are
        Those of ``upstream`` that it does without, and that are not made for its sake.
    """

    name: str
    group: str
    outputs: Mapping[str, Output]
    upstream: tuple[str, ...]
    partitions_def: dg.PartitionsDefinition | None
    code: CodeProvenance
    definition: dg.AssetsDefinition
    on_request: bool = False
    as_they_are: frozenset[str] = frozenset()

    @property
    def needs(self) -> tuple[str, ...]:
        """Keys of what must be there before it can be made."""
        return tuple(key for key in self.upstream if key not in self.as_they_are)

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Names of its partition dimensions, in key order."""
        return partitions.dimensions(self.partitions_def)


def stage(
    *,
    group: str,
    outputs: Mapping[str, Output] | None = None,
    storage: Storage = "parquet",
    table: Callable[[], Table] | None = None,
    inputs: Mapping[str, str] | None = None,
    mappings: Mapping[str, dg.PartitionMapping] | None = None,
    deps: tuple[str, ...] = (),
    as_they_are: tuple[str, ...] = (),
    partitions_def: dg.PartitionsDefinition | None = None,
    kinds: tuple[str, ...] = (),
    checks: Mapping[str, str] | None = None,
    blocking: tuple[str, ...] = (),
    lineage: Lineage | None = None,
    on_request: bool = False,
    prefix: str = "krx",
) -> Callable[[Callable[..., Any]], Stage]:
    """Turn a shell function into a Stage; its parameters are its inputs, its docstring the description.

    Parameters
    ----------
    group
        Asset group in the UI.
    outputs
        Assets by name when the shell makes several (it then returns a dict of values); otherwise the asset is
        named like the function and ``storage`` and ``table`` describe it.
    inputs
        Asset keys of parameters that are not named like the asset they load.
    mappings
        Partition mappings of parameters, where Dagster's default is not meant.
    deps
        Asset keys that must exist first but are not loaded.
    as_they_are
        Asset keys that are looked at if they exist, at all their partitions: a change of them makes the assets
        stale, but nobody makes them for the sake of these assets.
    checks
        Asset checks that the shell reports, by name, with what each promises; they belong to the first asset.
    blocking
        Those of them that may keep the assets as they were.
    lineage
        Tells for the columns of the first asset which columns they are made of.
    on_request
        Leave the assets out of runs that do not name them.

    Notes
    -----
    Beside its inputs a shell may ask for ``context``, ``settings`` and ``progress``, a function that it
    tells in a few words what it is at.
    """

    def decorate(function: Callable[..., Any]) -> Stage:
        name = function.__name__
        made = outputs or {name: Output(storage, table, inspect.getdoc(function) or "")}
        keys = {f"{prefix}/{output}": spec for output, spec in made.items()}
        parameters = [
            parameter for parameter in inspect.signature(function).parameters if parameter not in OFFERED
        ]
        sources = {
            parameter: (inputs or {}).get(parameter, f"{prefix}/{parameter}") for parameter in parameters
        }
        code = code_provenance(function)
        upstream = (*sources.values(), *deps, *as_they_are)
        known_as = tuple(keys)

        @functools.wraps(function)
        def run(
            context: dg.AssetExecutionContext,
            settings: Settings,
            tell: Callable[[Event], None],
            steps: Steps,
            **given: Any,
        ) -> Iterator[Any]:
            partition = context.partition_key if context.has_partition_key else None
            nodes = {output: node_name(f"{prefix}/{output}", partition) for output in made}
            step = steps.open(context.instance, context.run, name, partition)
            if step.kept is not None:
                context.log.info("fresh, so it stays as it is; the run tag %s=true makes it anyway", FORCE)
                for node in nodes.values():
                    tell(Event("fresh", node))
                yield from step.kept.results()
                return
            used = {setting: getattr(settings, setting) for setting in code.settings}
            provenance = Provenance(code.modules, used, step.inputs)
            for node in nodes.values():
                tell(Event("started", node))
            started = time.perf_counter()
            first = nodes[next(iter(made))]
            offered = {
                "context": context,
                "settings": settings,
                "progress": lambda text: tell(Event("working", first, message=text)),
            }
            wanted = inspect.signature(function).parameters
            returned = function(**given, **{name: value for name, value in offered.items() if name in wanted})
            result = returned if isinstance(returned, Result) else Result(returned)
            values = result.values if outputs else {name: result.values}
            facts = {**result.facts, SECONDS: round(time.perf_counter() - started, 3)}
            if deps and partitions_def is None and settings.database is not None:
                facts[comparison.DATABASE] = str(settings.database)
            recorded = _recorded(keys, values, result, provenance, facts, lineage)
            del returned, result, given, values
            compared = _compared(
                context.instance, group, recorded[known_as[0]], known_as[0], partition, settings
            )
            recorded[known_as[0]].checks.update(compared)
            if bad := refused(recorded):
                for key, one in recorded.items():
                    yield from one.findings(key)
                raise dg.Failure("; ".join(bad), allow_retries=False)
            for (key, spec), node in zip(keys.items(), nodes.values(), strict=True):
                one = recorded.pop(key)
                yield from one.results(key, links.address(settings, spec.storage, key, partition))
                links.serve(settings, spec.storage, key, partition, warn=context.log.warning)
                tell(Event("made", node, time.perf_counter() - started, one.rows))
            give_back_freed_memory()

        run.__signature__ = _signature(function, parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {**{name: function.__annotations__[name] for name in parameters}, **_RESOURCES}
        definition = dg.multi_asset(
            name=name,
            outs={
                key.rpartition("/")[2]: dg.AssetOut(
                    key=dg.AssetKey(key.split("/")),
                    io_manager_key=output.storage,
                    description=output.description or inspect.getdoc(function),
                    group_name=group,
                    kinds={*kinds, "lightgbm" if output.storage == "model" else output.storage},
                    dagster_type=dg.Any,
                )
                for key, output in keys.items()
            },
            ins={
                parameter: dg.AssetIn(
                    key=dg.AssetKey(source.split("/")), partition_mapping=(mappings or {}).get(parameter)
                )
                for parameter, source in sources.items()
            },
            deps=[
                *(dg.AssetKey(key.split("/")) for key in deps),
                *(
                    dg.AssetDep(key.split("/"), partition_mapping=dg.AllPartitionMapping())
                    for key in as_they_are
                ),
            ],
            partitions_def=partitions_def,
            check_specs=_check_specs(group, keys, partitions_def, checks or {}, blocking),
            pool="duckdb_writer" if any(output.storage == "duckdb" for output in made.values()) else None,
        )(run)
        return Stage(
            name, group, keys, upstream, partitions_def, code, definition, on_request, frozenset(as_they_are)
        )

    return decorate


_RESOURCES = {
    "settings": dg.ResourceParam[Settings],
    "tell": dg.ResourceParam[Callable],
    "steps": dg.ResourceParam[Steps],
}


def _signature(function: Callable[..., Any], parameters: list[str]) -> inspect.Signature:
    own = inspect.signature(function).parameters
    names = ["context", *parameters, *_RESOURCES]
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    annotations = {**{parameter: own[parameter].annotation for parameter in parameters}, **_RESOURCES}
    empty = inspect.Parameter.empty
    return inspect.Signature(
        [inspect.Parameter(name, kind, annotation=annotations.get(name, empty)) for name in names]
    )


def _recorded(
    outputs: Mapping[str, Output],
    values: Mapping[str, Any],
    result: Result,
    provenance: Provenance,
    facts: Mapping[str, Any],
    lineage: Lineage | None,
) -> dict[str, Recorded]:
    """Look at every value that a shell returned; what it reports about the first one comes with that."""
    first = next(iter(outputs))
    recorded = {}
    for key, spec in outputs.items():
        own = result.table if key == first else None
        recorded[key] = record(
            key.rpartition("/")[2],
            values[key.rpartition("/")[2]],
            table=spec.table() if spec.table else own,
            provenance=provenance,
            facts=facts,
            lineage=lineage if key == first else None,
        )
    recorded[first].checks.update(result.checks)
    return recorded


def _check_specs(
    group: str,
    outputs: Mapping[str, Output],
    partitions_def: dg.PartitionsDefinition | None,
    own: Mapping[str, str],
    blocking: tuple[str, ...],
) -> list[dg.AssetCheckSpec]:
    """Return the checks of a stage: each table's schema, and of its first asset its own and the comparisons."""
    compared = comparison.COMPARED.get(group, ()) if partitions_def is None else ()
    promised = {key: {SCHEMA: SCHEMA_PROMISE} if spec.table else {} for key, spec in outputs.items()}
    promised[next(iter(outputs))] |= {**own, **{name: comparison.PROMISES[name] for name in compared}}
    return [
        dg.AssetCheckSpec(
            name,
            asset=dg.AssetKey(key.split("/")),
            description=promise,
            blocking=name == SCHEMA or name in blocking or (group, name) in comparison.BLOCKING,
        )
        for key, promises in promised.items()
        for name, promise in promises.items()
    ]


def _compared(
    instance: dg.DagsterInstance,
    group: str,
    recorded: Recorded,
    key: str,
    partition: str | None,
    settings: Settings,
) -> dict[str, Check]:
    """Compare what is about to be stored with what was made last."""
    if partition is not None:
        return {}
    last = latest_materialization(instance, key, None)
    before = None if last is None else {name: value.value for name, value in last.metadata.items()}
    return comparison.compare(group, recorded.metadata, before, row_loss=settings.row_loss)
