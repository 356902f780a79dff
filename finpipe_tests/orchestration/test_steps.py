from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from finpipe.orchestration.build import build_definitions
from finpipe.orchestration.check import Check
from finpipe.orchestration.home import HomeBusyError, exclusive, shared, who_holds
from finpipe.orchestration.resources import SIDE_BY_SIDE
from finpipe.orchestration.shelves import ParquetShelf
from finpipe.orchestration.stage import Result, stage
from finpipe.orchestration.steps import FORCE
from finpipe.settings import Settings
from finpipe_tests.orchestration.toy import STAGES, Toy, toy_graph

RESEARCH = {"toy/numbers", "toy/signs", "toy/counts", "toy/raised"}


def launch(toy: Toy, job: str, partition: str | None = None, **tags: str) -> dg.ExecuteInProcessResult:
    """Run a job as the UI does; tags are written with _ for /."""
    return (
        build_definitions(toy.settings, tell=toy.events.append)
        .resolve_job_def(job)
        .execute_in_process(
            instance=toy.instance,
            partition_key=partition,
            tags={name.replace("_", "/", 1): value for name, value in tags.items()},
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
    )


def told(toy: Toy, kind: str) -> set[str]:
    """Nodes of which this was told."""
    return {event.node for event in toy.events if event.kind == kind}


def times(toy: Toy) -> dict[str, int]:
    return {name: toy.file(f"{name}.parquet").stat().st_mtime_ns for name in ("numbers", "signs", "raised")}


def test_a_job_makes_what_is_missing_and_then_keeps_it(toy):
    assert launch(toy, "research").success
    assert told(toy, "made") == RESEARCH
    before, records = times(toy), {key: toy.status(key).records[key] for key in RESEARCH}
    toy.events.clear()
    assert launch(toy, "research").success
    assert told(toy, "fresh") == RESEARCH
    assert told(toy, "made") == set()
    assert times(toy) == before, "no file is written"
    for key, record in records.items():
        again = toy.status(key).records[key]
        assert (again.data_version, again.metadata) == (record.data_version, record.metadata)
    assert not toy.made("toy/raised"), "the command agrees"


def test_a_job_makes_only_what_really_changed(toy):
    launch(toy, "research")
    toy.events.clear()
    toy.change_world(numbers=[-5, 0, 7])
    toy.observe("second")
    assert launch(toy, "research").success
    assert told(toy, "made") == {"toy/numbers", "toy/signs", "toy/raised"}
    assert told(toy, "fresh") == {"toy/counts"}, "the signs came out as they were"


def test_the_tag_makes_what_is_fresh_anyway(toy):
    launch(toy, "research")
    toy.events.clear()
    assert launch(toy, "research", **{FORCE.replace("/", "_"): "true"}).success
    assert told(toy, "made") == RESEARCH


def test_what_is_kept_is_not_loaded(toy):
    launch(toy, "research")
    numbers = toy.file("numbers.parquet")
    numbers.write_bytes(b"x" * (numbers.stat().st_size - 4) + b"PAR1")
    toy.events.clear()
    assert launch(toy, "research").success
    assert told(toy, "fresh") == RESEARCH


def test_partitions_are_kept_one_by_one(toy):
    toy.run()
    toy.events.clear()
    assert launch(toy, "walk_forward", "2020|plain").success
    assert told(toy, "fresh") == {"toy/scores[2020|plain]", "toy/notes[2020|plain]"}
    assert launch(toy, "report", "plain").success
    assert told(toy, "made") == set()


@stage(group="toy", prefix="toy", checks={"sane": "They are."})
def checked(numbers: pl.DataFrame) -> Result:
    """The numbers, with a check that says which."""
    return Result(
        numbers, checks={"sane": Check(len(numbers) > 2, f"{len(numbers)} numbers", {"n": len(numbers)})}
    )


@stage(group="toy", prefix="toy")
def spied(context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]) -> pl.DataFrame:
    """The threads that it was given."""
    return pl.DataFrame({"threads": [settings.threads], "run": [context.run.run_id]})


@pytest.fixture
def more(tmp_path: Path) -> Iterator[Toy]:
    with toy_graph(tmp_path / "home", (*STAGES, checked, spied)) as toy:
        toy.changes["threads"] = 7
        yield toy


def test_the_checks_of_what_is_kept_say_what_they_said(more):
    (first,) = launch(more, "research").get_asset_check_evaluations()
    (again,) = launch(more, "research").get_asset_check_evaluations()
    assert told(more, "fresh") >= {"toy/checked"}
    assert (again.passed, again.description, again.metadata) == (
        first.passed,
        first.description,
        first.metadata,
    )
    assert "3 numbers" in str(again.description)


@pytest.mark.parametrize(
    ("tags", "threads"),
    [({}, 7), ({"dagster_backfill": "abc"}, 1), ({SIDE_BY_SIDE.replace("/", "_", 1): "true"}, 1)],
)
def test_a_run_beside_others_has_one_thread(more, tags, threads):
    assert launch(more, "research", **tags).success
    assert pl.read_parquet(more.file("spied.parquet"))["threads"][0] == threads


def test_an_input_that_is_replaced_while_it_is_read_leaves_the_asset_stale(toy, monkeypatch):
    launch(toy, "research")
    get = ParquetShelf.get

    def replaced(self, asset, partition):
        later = dg.AssetMaterialization(["toy", "signs"], tags={"dagster/data_version": "later"})
        if asset == "toy/signs":
            toy.instance.report_runless_asset_event(later)
        return get(self, asset, partition)

    monkeypatch.setattr(ParquetShelf, "get", replaced)
    launch(toy, "research", **{FORCE.replace("/", "_"): "true"})
    assert toy.status("toy/counts").inherited == ("upstream toy/signs was materialized with other data",)


def test_commands_wait_for_runs_of_the_ui_and_they_for_commands(toy):
    said: list[str] = []
    with shared(toy.settings, waiting=said.append), shared(toy.settings, waiting=said.append):
        assert not said, "runs of the UI share the home"
        with (
            pytest.raises(HomeBusyError, match="UI"),
            exclusive(toy.settings, waiting=said.append, patience=0.2),
        ):
            pass
    assert "a run of the UI or the daemon works in" in said[0]
    assert who_holds(toy.settings) is None
    with exclusive(toy.settings, waiting=said.append):
        assert "process" in str(who_holds(toy.settings))
        with (
            pytest.raises(HomeBusyError, match="process"),
            shared(toy.settings, waiting=said.append, patience=0.2),
        ):
            pass


def test_a_run_of_the_ui_goes_on_when_the_command_is_done(toy):
    finished = threading.Event()

    def command() -> None:
        with exclusive(toy.settings, waiting=print):
            finished.wait(200)

    thread = threading.Thread(target=command)
    thread.start()
    while who_holds(toy.settings) is None:
        time.sleep(0.01)
    threading.Timer(0.5, finished.set).start()
    assert launch(toy, "research").success
    assert finished.is_set()
    thread.join()
