"""A graph of a few small stages in the place of finpipe's own: numbers from a file, signs and sums of them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from finpipe.orchestration import assets, sources
from finpipe.orchestration.events import Event
from finpipe.orchestration.execution import Execution, Outcome
from finpipe.orchestration.graph import Graph, graph
from finpipe.orchestration.partitions import (
    TEST_YEAR,
    VARIANT,
    test_year_variants,
    test_years,
    variants,
    window_of_year,
    years_of_variant,
)
from finpipe.orchestration.planner import Planner, Scope, Status
from finpipe.orchestration.provenance import node_name
from finpipe.orchestration.shelves import shelves
from finpipe.orchestration.sources import Source
from finpipe.orchestration.stage import Output, Stage, stage
from finpipe.settings import Settings, load_settings

SOURCE = "toy/source"


@stage(group="toy", prefix="toy", deps=(SOURCE,))
def numbers(settings: dg.ResourceParam[Settings]) -> pl.DataFrame:
    """The numbers of the world."""
    return pl.DataFrame({"number": world(settings.home)["numbers"]}, schema={"number": pl.Int64})


@stage(group="toy", prefix="toy")
def signs(numbers: pl.LazyFrame) -> pl.LazyFrame:
    """Their signs, which often stay when the numbers change."""
    return numbers.select(sign=pl.col("number").sign())


@stage(group="toy", prefix="toy", storage="duckdb")
def counts(signs: pl.DataFrame) -> pl.DataFrame:
    """How often each sign occurs."""
    return signs.group_by("sign").len().sort("sign")


@stage(group="toy", prefix="toy")
def raised(numbers: pl.DataFrame, settings: dg.ResourceParam[Settings]) -> pl.DataFrame:
    """The numbers plus a setting; fails where the world says so."""
    if world(settings.home).get("fails"):
        raise ValueError("the world is not in order")
    return numbers.with_columns(pl.col("number") + settings.min_price)


@stage(group="toy", prefix="toy", partitions_def=test_years)
def yearly(
    context: dg.AssetExecutionContext, signs: pl.LazyFrame, settings: dg.ResourceParam[Settings]
) -> pl.DataFrame:
    """The signs with the year."""
    year = int(context.partition_key)
    if year in world(settings.home).get("failing_years", []):
        raise ValueError(f"nothing is known of {year}")
    return signs.select("sign", year=pl.lit(year)).collect()


@stage(group="toy", prefix="toy", storage="json", partitions_def=variants)
def recipe(context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]) -> str:
    """The parameters of a variant."""
    return json.dumps({"variant": context.partition_key, "fill": settings.fill})


@stage(
    group="toy",
    prefix="toy",
    partitions_def=test_year_variants,
    mappings={"yearly": window_of_year},
    outputs={"scores": Output(), "notes": Output("html")},
)
def scores(yearly: pl.DataFrame, recipe: str) -> dict[str, Any]:
    """A frame and a page for each year and variant."""
    return {"scores": yearly.with_columns(recipe=pl.lit(recipe)), "notes": f"<p>{recipe}</p>"}


@stage(
    group="toy",
    prefix="toy",
    storage="duckdb",
    partitions_def=variants,
    mappings={"scores": years_of_variant},
)
def joined(scores: dict, raised: pl.DataFrame) -> pl.DataFrame:  # type: ignore[type-arg]
    """All years of a variant."""
    frames = [frame.collect() for frame in scores.values()]
    return pl.concat(frames).with_columns(most=raised["number"].max(), keys=pl.lit(", ".join(scores)))


STAGES = (numbers, signs, counts, raised, yearly, recipe, scores, joined)


def world(home: Path) -> dict[str, Any]:
    """Return what the world holds at the moment."""
    found: dict[str, Any] = json.loads((home / "world.json").read_text(encoding="utf-8"))
    return found


@dataclass
class Toy:
    """The toy graph in a home of its own, with two years and one variant."""

    home: Path
    instance: dg.DagsterInstance
    graph: Graph
    events: list[Event] = field(default_factory=list)
    changes: dict[str, Any] = field(default_factory=dict)

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return load_settings(home=self.home, **{"workers": 1, "threads": 1, **self.changes})

    def change_world(self, **values: Any) -> None:
        """Change what is read from outside, without telling the graph."""
        path = self.home / "world.json"
        before = world(self.home) if path.is_file() else {}
        path.write_text(json.dumps({**before, **values}), encoding="utf-8")

    def observe(self, version: str) -> None:
        """Tell the graph that the source has another version."""
        key = dg.AssetKey(SOURCE.split("/"))
        tags = {"dagster/data_version": version}
        self.instance.report_runless_asset_event(dg.AssetObservation(key, tags=tags))

    def run(
        self, *keys: str, scope: Scope | None = None, force: tuple[str, ...] = (), verify: bool = False
    ) -> Outcome:
        """Make assets (all if none is named) fresh."""
        execution = Execution(self.graph, self.settings, self.instance, self.events.append, verify=verify)
        chosen = keys or tuple(self.graph.by_key)
        return execution.run(chosen, scope or Scope(), sync=lambda: None, force=frozenset(force))

    def made(self, *keys: str, **options: Any) -> set[str]:
        """Run, and return the nodes that were made; none may fail."""
        outcome = self.run(*keys, **options)
        assert not outcome.failed, outcome.failed
        return set(outcome.materialized)

    def planner(self, *, verify: bool = False) -> Planner:
        """Return a planner under the settings in force."""
        return Planner(self.graph, self.settings, self.instance, shelves(self.settings), verify=verify)

    def status(self, key: str, partition: str | None = None) -> Status:
        """Return how an asset stands."""
        return self.planner().status(self.graph.stage(key), partition)

    def nodes(self) -> set[str]:
        """Return the names of all nodes."""
        return {
            node_name(key, partition)
            for key, stage in self.graph.by_key.items()
            for partition in Scope().keys(stage, self.instance)
        }

    def file(self, name: str) -> Path:
        """Return a file of the store."""
        return self.home / "store" / "toy" / name


@dataclass(frozen=True)
class Kept:
    """The files and the records of a toy at some moment."""

    files: dict[str, bytes]
    databases: tuple[sqlite3.Connection, ...]

    @classmethod
    def of(cls, toy: Toy) -> Kept:
        """Take a copy of a toy."""
        paths = [path for path in toy.home.rglob("*") if path.is_file()]
        copies = []
        for database in _databases(toy.instance):
            copies.append(sqlite3.connect(":memory:", check_same_thread=False))
            database.backup(copies[-1])
        return cls({str(path.relative_to(toy.home)): path.read_bytes() for path in paths}, tuple(copies))

    def put_into(self, toy: Toy) -> None:
        """Make another toy like this one."""
        for name, content in self.files.items():
            path = toy.home / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        for copy, database in zip(self.databases, _databases(toy.instance), strict=True):
            copy.backup(database)


_KEPT: dict[object, Kept] = {}


def begin_with(toy: Toy, prepare: Callable[[Toy], object]) -> None:
    """Do with a toy what many tests begin with; after the first time in a process, put in place what came of it."""
    begun = (prepare, *toy.graph.by_key)
    if begun in _KEPT:
        _KEPT[begun].put_into(toy)
        return
    prepare(toy)
    _KEPT[begun] = Kept.of(toy)


def _databases(instance: dg.DagsterInstance) -> list[sqlite3.Connection]:
    """Return the databases of an instance that is in memory only."""
    storages: tuple[Any, ...] = (instance.event_log_storage, instance.run_storage)
    return [storage._held_conn.connection.dbapi_connection for storage in storages]


@contextmanager
def toy_graph(home: Path, stages: tuple[Stage, ...] = STAGES) -> Iterator[Toy]:
    """Put the toy in the place of finpipe's own graph."""
    home.mkdir(parents=True, exist_ok=True)
    with pytest.MonkeyPatch.context() as patch, dg.DagsterInstance.ephemeral() as instance:
        patch.setattr(assets, "STAGES", stages)
        patch.setattr(sources, "SOURCES", (Source(SOURCE, ("world",), "The world."),))
        graph.cache_clear()
        try:
            toy = Toy(home, instance, graph())
            toy.change_world(numbers=[-2, 0, 3])
            toy.observe("first")
            instance.add_dynamic_partitions(TEST_YEAR, ["2020", "2021"])
            instance.add_dynamic_partitions(VARIANT, ["plain"])
            yield toy
        finally:
            graph.cache_clear()
