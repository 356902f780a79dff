from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from finpipe.orchestration.build import build_definitions
from finpipe.orchestration.comparison import compare, null_shares, nulls_as_last_time, rows_as_last_time
from finpipe.orchestration.stage import stage
from finpipe.settings import Settings
from finpipe_tests.orchestration.toy import SOURCE, Toy, toy_graph, world


@pytest.mark.parametrize(
    ("now", "passed", "blocks"),
    [
        (100, True, False),
        (96, True, False),
        (94, False, False),
        (200, True, False),
        (201, False, False),
        (20, False, False),
        (19, False, True),
        (0, False, True),
    ],
)
def test_a_number_of_rows_is_judged_by_the_last(now, passed, blocks):
    found = rows_as_last_time(now, 100, row_loss=0.8)
    assert (found.passed, found.blocks) == (passed, blocks)
    assert f"{now} rows, 100 the last time ({now - 100:+.1f}%)" in found.finding


def test_a_table_that_was_empty_has_nothing_to_lose():
    assert rows_as_last_time(5, 0, row_loss=0.8).passed


def test_rows_do_not_block_without_a_limit():
    assert not rows_as_last_time(1, 100, row_loss=None).blocks


def test_columns_with_more_nulls_than_the_last_time_are_named_the_worst_first():
    found = nulls_as_last_time({"a": 0.5, "b": 1.0, "c": 0.04, "d": 0.3}, {"a": 0.1, "d": 0.3})
    assert not found.passed
    assert found.finding.endswith("the last time: b 0.0% → 100.0%, a 10.0% → 50.0%")


def test_fewer_nulls_are_welcome():
    assert nulls_as_last_time({"a": 0.1}, {"a": 0.9, "b": 1.0}).passed
    assert "+4.00% in c" in nulls_as_last_time({"c": 0.04}, {}).finding


def test_many_columns_are_counted():
    found = nulls_as_last_time({f"f{position:02d}": 1.0 for position in range(14)}, {})
    assert "f09 0.0% → 100.0% and 4 more" in found.finding


def test_only_columns_with_nulls_have_a_share():
    frame = pl.DataFrame({"a": [1, None, None, None], "b": [1.0, 2.0, 3.0, 4.0], "c": [None] * 4})
    assert null_shares(frame) == {"a": 0.75, "c": 1.0}
    assert null_shares(frame.clear()) == {}


def test_the_first_version_and_one_of_another_database_are_not_compared():
    now = {"dagster/row_count": 1, "finpipe/database": "one.db"}
    last = {"dagster/row_count": 100, "finpipe/database": "other.db"}
    assert compare("market", now, None, row_loss=0.8)["rows_as_last_time"].passed
    assert compare("market", now, last, row_loss=0.8)["rows_as_last_time"].passed
    assert not compare("market", now, last | now | {"dagster/row_count": 100}, row_loss=0.8)[
        "rows_as_last_time"
    ].passed
    assert compare("backtest", now, last, row_loss=0.8) == {}


@stage(group="market", prefix="toy", deps=(SOURCE,))
def bars(settings: dg.ResourceParam[Settings]) -> pl.DataFrame:
    """The numbers of the world, as a table of the market."""
    return pl.DataFrame({"number": world(settings.home)["numbers"]}, schema={"number": pl.Int64})


@stage(group="features", prefix="toy")
def doubled(bars: pl.DataFrame) -> pl.DataFrame:
    """Twice the number, unknown for those below 0."""
    number = pl.col("number")
    return bars.select(doubled=pl.when(number >= 0).then(2 * number))


@pytest.fixture
def market(tmp_path: Path) -> Iterator[Toy]:
    with toy_graph(tmp_path / "home", (bars, doubled)) as toy:
        toy.change_world(numbers=list(range(10)))
        toy.run()
        toy.observe("second")
        yield toy


def test_a_database_that_has_lost_most_of_its_rows_replaces_nothing(market):
    before = market.file("bars.parquet").read_bytes()
    market.change_world(numbers=[1])
    outcome = market.run()
    assert "1 rows, 10 the last time (-90.0%)" in outcome.failed["toy/bars"]
    assert outcome.blocked == ["toy/doubled"]
    assert market.file("bars.parquet").read_bytes() == before
    assert market.run().failed, "and so it stays"
    market.changes["row_loss"] = 1.0
    outcome = market.run()
    assert set(outcome.materialized) == {"toy/bars", "toy/doubled"}
    assert "rows_as_last_time" in outcome.failed_checks["toy/bars"]


def test_the_ui_sees_what_was_found_and_what_blocks(market):
    market.change_world(numbers=[1])
    definitions = build_definitions(market.settings)
    research = definitions.resolve_job_def("research")
    done = research.execute_in_process(
        instance=market.instance,
        raise_on_error=False,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )
    found = {item.check_name: (item.passed, item.severity) for item in done.get_asset_check_evaluations()}
    assert found["rows_as_last_time"] == (False, dg.AssetCheckSeverity.ERROR)
    assert found["nulls_as_last_time"][0]
    assert {spec.name: spec.blocking for spec in bars.definition.check_specs} == {
        "rows_as_last_time": True,
        "nulls_as_last_time": False,
    }


def test_features_that_become_unknown_are_made_and_reported(market):
    market.change_world(numbers=[-1, -2, -3, *range(7)])
    outcome = market.run()
    assert not outcome.failed
    assert outcome.failed_checks["toy/doubled"] == {
        "nulls_as_last_time": "more nulls than the last time: doubled 0.0% → 30.0%"
    }
