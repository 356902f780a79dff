"""What is written down of a value, and that one which breaks its promise is not stored."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from finpipe.market.schema import Column, Table
from finpipe.orchestration import steps
from finpipe.orchestration.build import build_definitions
from finpipe.orchestration.check import SCHEMA, SCHEMA_PROMISE
from finpipe.orchestration.partitions import test_years as years  # not a test
from finpipe.orchestration.provenance import latest_materialization
from finpipe.orchestration.stage import Output, Result, stage
from finpipe.settings import Settings
from finpipe_tests.orchestration.toy import SOURCE, Toy, begin_with, toy_graph, world

TABLE = Table(
    "toy/days",
    "Numbers by day.",
    (
        Column("date", pl.Date, "day"),
        Column("number", pl.Int64, "number of the day", "pieces", null="not counted"),
    ),
    key=("date",),
)
COUNTS = Table("toy/count", "How many.", (Column("len", pl.UInt32, "rows"),), key=())
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@stage(
    group="toy",
    prefix="toy",
    deps=(SOURCE,),
    outputs={"plain": Output(), "days": Output("parquet", lambda: TABLE)},
)
def two(settings: dg.ResourceParam[Settings]) -> dict[str, Any]:
    """A page without a schema, and a table with one."""
    first = dt.date(2024, 1, 2)
    numbers = world(settings.home)["numbers"]
    days = [first + dt.timedelta(days=offset) for offset in world(settings.home).get("offsets", [0, 1, 2])]
    frame = pl.DataFrame({"date": days, "number": numbers}, schema={"date": pl.Date, "number": pl.Int64})
    return {"plain": frame.select("number"), "days": frame}


@stage(group="toy", prefix="toy", checks={SCHEMA: SCHEMA_PROMISE})
def count(days: pl.DataFrame, settings: dg.ResourceParam[Settings]) -> Result:
    """A table whose schema comes with it."""
    table = COUNTS if settings.min_price else COUNTS.with_columns([Column("more", pl.Int8, "absent")])
    return Result(days.select(pl.len()), table=table)


@stage(group="toy", prefix="toy", partitions_def=years, table=lambda: COUNTS)
def yearly_count(days: pl.DataFrame) -> pl.DataFrame:
    """The same for each year."""
    return days.select(pl.len())


@pytest.fixture
def recorded(tmp_path: Path) -> Iterator[Toy]:
    with toy_graph(tmp_path / "home", (two, count, yearly_count)) as toy:
        begin_with(toy, Toy.run)
        yield toy


def test_days_columns_and_constraints_are_written_down(recorded):
    made = latest_materialization(recorded.instance, "toy/days", None)
    assert made is not None
    known = {name: value.value for name, value in made.metadata.items()}
    assert (known["dagster/row_count"], known["first_day"], known["last_day"]) == (
        3,
        "2024-01-02",
        "2024-01-04",
    )
    schema = known["dagster/column_schema"]
    assert schema.constraints.other == ["sorted by and unique in (date)"]
    assert [column.constraints.nullable for column in schema.columns] == [False, True]
    assert schema.columns[1].description == "number of the day [pieces]; null: not counted"
    assert known["finpipe/checks"] == {SCHEMA: "2 columns as promised, sorted by and unique in (date)"}
    assert "finpipe/failed_checks" not in known


@pytest.mark.parametrize("offsets", [[0, 0, 1], [1, 0, 2]])
def test_of_several_assets_none_is_stored_if_one_breaks_its_promise(recorded, offsets):
    before = {name: recorded.file(f"{name}.parquet").read_bytes() for name in ("plain", "days")}
    recorded.change_world(numbers=[7, 8, 9], offsets=offsets)
    recorded.observe("second")
    outcome = recorded.run()
    assert "must be sorted by and unique in (date)" in outcome.failed["toy/days"]
    assert set(outcome.blocked) >= {"toy/count"}
    assert not outcome.materialized
    for name, content in before.items():
        assert recorded.file(f"{name}.parquet").read_bytes() == content, "not even the asset that was right"
    recorded.change_world(offsets=[0, 1, 2])
    assert "toy/days" in recorded.made()


def test_the_ui_sees_the_check_that_failed(recorded):
    recorded.change_world(offsets=[0, 0, 1])
    recorded.observe("second")
    done = (
        build_definitions(recorded.settings)
        .resolve_job_def("research")
        .execute_in_process(instance=recorded.instance, raise_on_error=False, run_config=QUIET)
    )
    (found,) = done.get_asset_check_evaluations()
    assert (found.check_name, found.passed, found.severity) == (SCHEMA, False, dg.AssetCheckSeverity.ERROR)
    assert found.asset_key == dg.AssetKey(["toy", "days"])
    assert not done.get_asset_materialization_events()


def test_a_schema_that_comes_with_the_value_is_held_too(recorded):
    recorded.changes["min_price"] = 0.0
    outcome = recorded.run()
    assert "column(s) more are missing" in outcome.failed["toy/count"]


def test_a_fresh_partition_stays_although_its_check_lies_far_back(recorded, monkeypatch):
    """Evaluations of many partitions of one check bury each other; what was found is in the materialization too."""
    monkeypatch.setattr(steps, "RECENT", 1)
    job = build_definitions(recorded.settings).resolve_job_def("yearly_windows")
    for year in ("2020", "2021"):
        done = job.execute_in_process(instance=recorded.instance, partition_key=year, run_config=QUIET)
        assert done.success
        (found,) = done.get_asset_check_evaluations()
        assert (found.check_name, found.passed, found.description) == (SCHEMA, True, "1 columns as promised")
        made = latest_materialization(recorded.instance, "toy/yearly_count", year)
        assert made is not None
        first = recorded.file(f"yearly_count/{year}.parquet").stat()
    for year in ("2020", "2021"):
        job.execute_in_process(instance=recorded.instance, partition_key=year, run_config=QUIET)
    assert recorded.file("yearly_count/2021.parquet").stat() == first, "nothing was written again"
