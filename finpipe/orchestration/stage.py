"""The stage: how an asset shell becomes a Dagster asset that records what its content depends on.

A shell reads its inputs, calls one domain function and returns the frame; everything else that a
materialization has in common (schema, content hash, provenance, row counts) happens here, once.
"""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import dagster as dg
import polars as pl

from finpipe.market.schema import Table
from finpipe.orchestration import comparison, partitions
from finpipe.orchestration.check import Check
from finpipe.orchestration.events import Event
from finpipe.orchestration.provenance import PROVENANCE, Provenance, latest_materialization, node_name
from finpipe.orchestration.shelves import PanelView, Parcel
from finpipe.orchestration.steps import FORCE, Steps
from finpipe.orchestration.versions import (
    CodeProvenance,
    code_provenance,
    content_hash,
    lazy_content_hash,
    text_hash,
)
from finpipe.settings import Settings

SECONDS = "finpipe/seconds"
FAILED_CHECKS = "finpipe/failed_checks"
OFFERED = frozenset({"context", "settings", "progress"})
"""Parameters of a shell that are no inputs."""

Storage = Literal["parquet", "duckdb", "model", "html", "json", "png", "view"]


@dataclass(frozen=True, slots=True)
class Output:
    """One asset that a stage makes: where it is kept and, for frames, the table that it must follow."""

    storage: Storage = "parquet"
    table: Callable[[], Table] | None = None
    description: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What a shell returns when there is more to say than the values: facts for people, and checks."""

    values: Any
    facts: Mapping[str, Any] = field(default_factory=dict)
    checks: Mapping[str, Check] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stage:
    """A step of the graph: the assets that it makes, what they need, and the code behind them.

    Parameters
    ----------
    on_request
        Whether it is made only when somebody asks for it by name: too expensive for every run.
    """

    name: str
    group: str
    outputs: Mapping[str, Output]
    upstream: tuple[str, ...]
    partitions_def: dg.PartitionsDefinition | None
    code: CodeProvenance
    definition: dg.AssetsDefinition
    on_request: bool = False

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
    partitions_def: dg.PartitionsDefinition | None = None,
    kinds: tuple[str, ...] = (),
    checks: Mapping[str, str] | None = None,
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
    checks
        Asset checks that the shell reports, by name, with what each promises; they belong to the first asset.
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
        upstream = (*sources.values(), *deps)
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
            values = dict(result.values) if outputs else {name: result.values}
            facts = {**result.facts, SECONDS: round(time.perf_counter() - started, 3)}
            if deps and settings.database is not None:
                facts[comparison.DATABASE] = str(settings.database)
            found_checks = dict(result.checks)
            del returned, result, given
            for output in made:
                recorded = _output(output, made[output], values.pop(output), provenance, facts)
                if output == next(iter(made)):
                    found_checks |= _compared(
                        context.instance, group, known_as[0], partition, recorded, settings
                    )
                    yield from _judged(recorded, known_as[0], found_checks)
                else:
                    yield recorded
                rows: Any = recorded.metadata.get("dagster/row_count")
                seconds = time.perf_counter() - started
                tell(Event("made", nodes[output], seconds, None if rows is None else rows.value))

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
            deps=[dg.AssetKey(key.split("/")) for key in deps],
            partitions_def=partitions_def,
            check_specs=[
                dg.AssetCheckSpec(
                    check,
                    asset=dg.AssetKey(known_as[0].split("/")),
                    description=promise,
                    blocking=(group, check) in comparison.BLOCKING,
                )
                for check, promise in {**(checks or {}), **_promised(group, partitions_def)}.items()
            ],
            pool="duckdb_writer" if any(output.storage == "duckdb" for output in made.values()) else None,
        )(run)
        return Stage(name, group, keys, upstream, partitions_def, code, definition, on_request)

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


def _output(
    name: str, output: Output, value: Any, provenance: Provenance, facts: Mapping[str, Any]
) -> dg.Output[Any]:
    metadata: dict[str, Any] = {PROVENANCE: dg.MetadataValue.json(provenance.to_json()), **facts}
    if isinstance(value, pl.LazyFrame):
        value = value.collect()
    if isinstance(value, pl.DataFrame):
        table = output.table() if output.table else None
        if table is not None:
            value = table.validate(value)
        metadata["dagster/row_count"] = value.height
        metadata[comparison.NULL_SHARES] = dg.MetadataValue.json(comparison.null_shares(value))
        metadata["dagster/column_schema"] = _column_schema(value, table)
        version = content_hash(value)
    elif isinstance(value, PanelView):
        metadata["dagster/row_count"] = value.frame.select(pl.len()).collect().item()
        version = lazy_content_hash(value.frame)
    else:
        version = text_hash(
            value if isinstance(value, (str, bytes)) else "\0".join(value.to_files().values())
        )
    return dg.Output(Parcel(value), output_name=name, metadata=metadata, data_version=dg.DataVersion(version))


def _column_schema(frame: pl.DataFrame, table: Table | None) -> dg.TableSchema:
    described = {column.name: column for column in table.columns} if table else {}
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name,
                str(dtype),
                description=_describe(described[name]) if name in described else None,
            )
            for name, dtype in frame.schema.items()
        ]
    )


def _describe(column: Any) -> str:
    unit = f" [{column.unit}]" if column.unit else ""
    null = f"; null: {column.null}" if column.null else ""
    return f"{column.description}{unit}{null}"


def _promised(group: str, partitions_def: dg.PartitionsDefinition | None) -> dict[str, str]:
    names = comparison.COMPARED.get(group, ()) if partitions_def is None else ()
    return {name: comparison.PROMISES[name] for name in names}


def _compared(
    instance: dg.DagsterInstance,
    group: str,
    key: str,
    partition: str | None,
    recorded: dg.Output[Any],
    settings: Settings,
) -> dict[str, Check]:
    """Compare what is about to be stored with what was made last."""
    if partition is not None:
        return {}
    last = latest_materialization(instance, key, None)
    now, before = (
        None if metadata is None else {name: value.value for name, value in metadata.items()}
        for metadata in (recorded.metadata, None if last is None else last.metadata)
    )
    assert now is not None
    return comparison.compare(group, now, before, row_loss=settings.row_loss)


def _judged(recorded: dg.Output[Any], key: str, checks: Mapping[str, Check]) -> Iterator[Any]:
    """Yield an output and what its checks found; without the output if one of them keeps it out."""
    failed = {name: check.finding for name, check in checks.items() if not check.passed}
    bad = [check.finding for check in checks.values() if check.blocks and not check.passed]
    if not bad:
        findings = {FAILED_CHECKS: dg.MetadataValue.json(failed)} if failed else {}
        yield recorded.with_metadata({**recorded.metadata, **findings})
    for name, check in checks.items():
        yield check.result(name, key)
    if bad:
        raise dg.Failure("; ".join(bad), allow_retries=False)
