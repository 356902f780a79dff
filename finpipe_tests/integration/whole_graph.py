"""The whole graph run in this process: a database in, the value of every asset out, nothing stored.

Each stage's own shell is called with what the stages before it returned, as Dagster calls it with what they
stored. A stage that is added to the graph takes part without a word here.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import polars as pl
from polars.testing import assert_frame_equal

from finpipe.orchestration.check import Check
from finpipe.orchestration.graph import graph
from finpipe.orchestration.partitions import TEST_YEAR, TICKER_GROUP, VARIANT, parse, upstream_keys
from finpipe.orchestration.provenance import node_name
from finpipe.orchestration.shelves import PanelView
from finpipe.orchestration.stage import OFFERED, Output, Result, Stage
from finpipe.orchestration.versions import content_hash, lazy_content_hash, text_hash
from finpipe.settings import Settings, load_settings

Partition = str | None

TESTED_YEAR = 2023
STUDY: Mapping[str, Any] = {
    "years": [TESTED_YEAR],
    "variants": ["everything-h5"],
    "train_years": 2,
    "preset": {
        "everything": {
            "base": "qepm",
            "ranker": {
                "features": "v4",
                "target": "residual",
                "risk_weighting": True,
                "early_stopping": 10,
                "rounds": 60,
            },
            "rules": {
                "n": 8,
                "buy_rank": 16,
                "hold_rank": 12,
                "cohorts": 2,
                "regime_threshold": -0.03,
                "stop_loss": 0.07,
                "max_amihud_rank": 0.9,
                "whole_shares": True,
            },
        }
    },
}
"""Arguments of ``run`` for a study with every rule at once: it decides by all that can be looked at."""


@dataclass(frozen=True, slots=True)
class WholeGraph:
    """What came out of the stages.

    Parameters
    ----------
    values
        By asset key and partition (None if the asset has none).
    checks
        Outcomes of asset checks by stage and partition, then by name.
    """

    values: Mapping[str, Mapping[Partition, Any]]
    checks: Mapping[tuple[str, Partition], Mapping[str, Check]]

    def __getitem__(self, key: str) -> Any:
        """The value of an asset that has been made for one partition, or has none."""
        (value,) = self.values[f"krx/{key}"].values()
        return value

    def of_the_market(self) -> dict[str, Any]:
        """The values that belong to no test year and no study, by name."""
        return {key.removeprefix("krx/"): made[None] for key, made in self.values.items() if None in made}

    def hashes(self) -> dict[str, str]:
        """Content hash of every value, which the graph records as its data version, by node."""
        return {
            node_name(key, partition): _content_hash(value)
            for key, made in self.values.items()
            for partition, value in made.items()
        }


def run(
    database: Path,
    assets: Iterable[str] = (),
    *,
    years: Sequence[int] = (),
    variants: Sequence[str] = (),
    given: Mapping[str, Any] | None = None,
    threads: int = 1,
    **settings: Any,
) -> WholeGraph:
    """Make ``assets`` (all usual ones of the database if none are named) and what they need.

    Assets by test year or variant are made for ``years`` and ``variants``, so not at all without any. Stages
    whose assets without partitions are ``given`` are not run. ``settings`` are those of ``finpipe.settings``; they
    win over a ``finpipe.toml`` beside the database.
    """
    chosen = load_settings(database=database, threads=threads, **settings)
    known = {TEST_YEAR: tuple(map(str, years)), VARIANT: tuple(variants)}
    values: dict[str, dict[Partition, Any]] = {
        f"krx/{asset}": {None: value} for asset, value in (given or {}).items()
    }
    checks: dict[tuple[str, Partition], Mapping[str, Check]] = {}
    named = [f"krx/{asset}" for asset in assets]
    for stage in graph().needed_for(named or usual_of_the_database()):
        if values.keys() >= stage.outputs.keys():
            continue
        for partition in upstream_keys({}, stage.dimensions, known):
            result = _call(stage, partition, values, chosen, known)
            checks[stage.name, partition] = result.checks
            several = len(stage.outputs) > 1
            for key, output in stage.outputs.items():
                value = result.values[key.rpartition("/")[2]] if several else result.values
                values.setdefault(key, {})[partition] = _validated(value, output)
    return WholeGraph(values, checks)


def usual_of_the_database() -> list[str]:
    """Return the assets that a run makes without being asked for more, and without a ticker group."""
    return [key for key in graph().usual_keys if TICKER_GROUP not in graph().dimensions(key)]


def assert_same_bits(name: str, found: pl.DataFrame, expected: pl.DataFrame) -> None:
    """Insist on equal values to the last bit in at least one row, and name the column that differs."""
    if content_hash(found) != content_hash(expected):
        assert_frame_equal(found, expected, check_exact=True)
        raise AssertionError(f"{name}: values are equal, but their bits differ")
    assert expected.height > 0, f"{name}: nothing to compare"


def shell(stage: Stage) -> Any:
    """Return the plain function that ``stage`` is made of."""
    return inspect.unwrap(stage.definition.node_def.compute_fn.decorated_fn)


def _call(
    stage: Stage,
    partition: Partition,
    values: Mapping[str, Mapping[Partition, Any]],
    settings: Settings,
    known: Mapping[str, tuple[str, ...]],
) -> Result:
    function = shell(stage)
    own = parse(partition, stage.dimensions)
    wanted = inspect.signature(function).parameters
    inputs = [name for name in wanted if name not in OFFERED]
    arguments = {
        name: _input(wanted[name].annotation, source, values, upstream_keys(own, _dimensions(source), known))
        for name, source in zip(inputs, stage.upstream, strict=False)
    }
    key = dg.MultiPartitionKey(own) if len(own) > 1 else partition
    offered = {
        "context": SimpleNamespace(partition_key=key),
        "settings": settings,
        "progress": lambda _: None,
    }
    returned = function(**arguments, **{name: value for name, value in offered.items() if name in wanted})
    return returned if isinstance(returned, Result) else Result(returned)


def _input(
    annotation: str,
    source: str,
    values: Mapping[str, Mapping[Partition, Any]],
    partitions: Sequence[Partition],
) -> Any:
    """What the IO manager would hand over: frames from parquet lazily, unless they are wanted read."""
    is_lazy = graph().stage(source).outputs[source].storage == "parquet" and annotation != "pl.DataFrame"
    found = {partition: values[source][partition] for partition in partitions}
    loaded = {partition: value.lazy() if is_lazy else value for partition, value in found.items()}
    return loaded if annotation == "dict" else loaded[partitions[0]]


def _dimensions(source: str) -> tuple[str, ...]:
    return graph().dimensions(source)


def _validated(value: Any, output: Output) -> Any:
    if isinstance(value, pl.LazyFrame):
        value = value.collect()
    return output.table().validate(value) if isinstance(value, pl.DataFrame) and output.table else value


def _content_hash(value: Any) -> str:
    if isinstance(value, PanelView):
        return lazy_content_hash(value.frame)
    if isinstance(value, pl.DataFrame):
        return content_hash(value)
    return text_hash(value if isinstance(value, (str, bytes)) else "\0".join(value.to_files().values()))
