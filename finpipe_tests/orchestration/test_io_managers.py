from __future__ import annotations

import json

import dagster as dg
import polars as pl
import pytest

from finpipe.orchestration.partitions import test_years
from finpipe.orchestration.planner import Scope
from finpipe.orchestration.stage import Output, stage
from finpipe_tests.orchestration.toy import toy_graph


@stage(group="toy", prefix="toy")
def whole() -> pl.DataFrame:
    """A frame with no partitions."""
    return pl.DataFrame({"x": [1, 2, 3]})


@stage(group="toy", prefix="toy")
def other() -> pl.DataFrame:
    """Another one."""
    return pl.DataFrame({"y": [1.5]})


@stage(group="toy", prefix="toy", storage="duckdb")
def small() -> pl.DataFrame:
    """A table with stock codes."""
    return pl.DataFrame({"stock_code": pl.Series(["005930"], dtype=pl.Categorical)})


@stage(
    group="toy",
    prefix="toy",
    partitions_def=test_years,
    outputs={"part": Output(), "page": Output("html")},
)
def part(context: dg.AssetExecutionContext) -> dict[str, object]:
    """A frame and a page for each year."""
    year = context.partition_key
    return {"part": pl.DataFrame({"year": [int(year)]}), "page": f"<p>{year}</p>"}


@stage(group="toy", prefix="toy", storage="json", inputs={"lazily": "toy/whole"})
def seen(lazily: pl.LazyFrame, other: pl.DataFrame, small: pl.DataFrame, part: dict, page: dict) -> str:  # type: ignore[type-arg]
    """What arrives."""
    return json.dumps(
        {
            "lazily": [type(lazily).__name__, lazily.collect().to_dict(as_series=False)],
            "other": [type(other).__name__, other.to_dict(as_series=False)],
            "small": [type(small).__name__, small.to_dict(as_series=False)],
            "part": {key: [type(frame).__name__, frame.collect()["year"][0]] for key, frame in part.items()},
            "page": page,
        }
    )


@stage(group="toy", prefix="toy", storage="json", partitions_def=test_years)
def one(part: pl.LazyFrame, page: str) -> str:
    """What arrives of the same partition."""
    return json.dumps([part.collect()["year"][0], page])


@pytest.fixture
def toy(tmp_path):
    with toy_graph(tmp_path, stages=(whole, other, small, part, seen, one)) as toy:
        yield toy


def test_frames_arrive_lazily_or_read_as_annotated(toy):
    toy.made("toy/seen")
    found = json.loads(toy.file("seen.json").read_text("utf-8"))
    assert found["lazily"] == ["LazyFrame", {"x": [1, 2, 3]}]
    assert found["other"] == ["DataFrame", {"y": [1.5]}]
    assert found["small"] == ["DataFrame", {"stock_code": ["005930"]}]


def test_several_partitions_arrive_as_a_dict_of_those_that_are_made(toy):
    toy.made("toy/seen", scope=Scope(years=("2021",)))
    found = json.loads(toy.file("seen.json").read_text("utf-8"))
    assert found["part"] == {"2021": ["LazyFrame", 2021]}
    assert found["page"] == {"2021": "<p>2021</p>"}
    assert toy.made("toy/seen") == {"toy/part[2020]", "toy/page[2020]", "toy/seen"}
    found = json.loads(toy.file("seen.json").read_text("utf-8"))
    assert found["part"] == {"2020": ["LazyFrame", 2020], "2021": ["LazyFrame", 2021]}
    assert found["page"] == {"2020": "<p>2020</p>", "2021": "<p>2021</p>"}


def test_one_partition_arrives_as_it_is(toy):
    toy.made("toy/one")
    assert json.loads(toy.file("one/2021.json").read_text("utf-8")) == [2021, "<p>2021</p>"]


def test_where_and_how_large_is_recorded(toy):
    toy.made()
    whole = toy.status("toy/whole").records["toy/whole"]
    assert whole is not None
    assert whole.metadata["path"] == str(toy.file("whole.parquet"))
    assert whole.metadata["finpipe/size"] == toy.file("whole.parquet").stat().st_size
    small = toy.status("toy/small").records["toy/small"]
    assert small is not None
    assert small.metadata["path"] == f"{toy.settings.duckdb_path}: toy.small"
    assert small.metadata["finpipe/size"] == 1
