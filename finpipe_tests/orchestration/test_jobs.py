from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import dagster as dg
import pytest

from finpipe.orchestration.build import build_definitions
from finpipe.orchestration.graph import graph
from finpipe.orchestration.home import open_instance
from finpipe.orchestration.io_managers import SIZE
from finpipe.orchestration.jobs import PARTS, job_name
from finpipe.orchestration.refresh import SESSION
from finpipe.orchestration.warming import CACHES, OFF_PEAK
from finpipe.orchestration.workspace import Workspace
from finpipe.settings import Settings, load_settings
from finpipe_tests.orchestration.toy import toy_graph

CONFIG = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def test_the_definitions_load(tmp_path):
    dg.Definitions.validate_loadable(build_definitions(load_settings(home=tmp_path)))


def test_every_asset_has_its_job(tmp_path):
    definitions = build_definitions(load_settings(home=tmp_path))
    made = {
        name: {
            "/".join(key.path) for key in definitions.resolve_job_def(name).asset_layer.executable_asset_keys
        }
        for name in (*(name for name, _ in PARTS.values()), "safety_battery")
    }
    warmed = graph().needed_for([*CACHES, *OFF_PEAK])
    for stage in graph().stages:
        jobs = {name for name, keys in made.items() if set(stage.outputs) <= keys}
        if stage.on_request and stage in warmed:
            assert not jobs, "the job that warms lets the planner make them"
            continue
        assert jobs == {"safety_battery" if stage.on_request else job_name(stage.dimensions)}


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    """The toy graph in a home of its own, as the command and the UI open it."""
    with toy_graph(tmp_path / "home") as toy:
        database = tmp_path / "world.db"
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("CREATE TABLE world (number INTEGER)")
        toy.changes["database"] = database
        with open_instance(toy.settings) as instance:
            for dimension in ("test_year", "variant"):
                instance.add_dynamic_partitions(dimension, toy.instance.get_dynamic_partitions(dimension))
            instance.add_dynamic_partitions("variant", ["top_n-h21"])
            instance.delete_dynamic_partition("variant", "plain")
        yield toy.settings


def refresh(
    settings: Settings, session: str | None = None, **config: list[object]
) -> dg.ExecuteInProcessResult:
    job = build_definitions(settings).resolve_job_def("refresh")
    with open_instance(settings) as instance:
        return job.execute_in_process(
            instance=instance,
            raise_on_error=False,
            run_config=CONFIG | {"ops": {"walk": {"config": config}}},
            tags={} if session is None else {SESSION: session},
        )


def summary(result: dg.ExecuteInProcessResult) -> dict[str, list[str]]:
    (event,) = [event for event in result.all_events if event.event_type_value == "STEP_OUTPUT"]
    return {name: value.value for name, value in event.step_output_data.metadata.items()}


def test_refresh_does_what_the_command_does(settings):
    result = refresh(settings)
    assert result.success
    assert "toy/joined[top_n-h21]" in summary(result)["made"]
    again = summary(refresh(settings))
    assert again["made"] == []
    assert set(again["fresh already"]) == set(summary(result)["made"])
    with Workspace(settings) as workspace:
        assert workspace.run().materialized == []


def test_refresh_may_be_told_what_to_make(settings):
    made = summary(refresh(settings, assets=["toy/scores"], years=[2020]))["made"]
    assert "toy/scores[2020|top_n-h21]" in made
    assert not {name for name in made if "2021" in name or "joined" in name}


def test_refresh_fails_if_an_asset_does(settings):
    world = settings.home / "world.json"
    world.write_text(json.dumps({"numbers": [1], "fails": True}), encoding="utf-8")
    result = refresh(settings)
    assert not result.success
    (failure,) = result.get_step_failure_events()
    assert "toy/raised: the world is not in order" in failure.step_failure_data.error.message


@pytest.mark.parametrize(
    ("session", "late"), [(None, False), ("2024-09-12", False), ("2024-09-13", False), ("2024-09-19", True)]
)
def test_after_a_session_it_says_if_the_prices_of_that_day_are_not_there_yet(settings, session, late):
    key = dg.AssetKey(["krx", "daily_prices"])
    with open_instance(settings) as instance:
        made = dg.AssetMaterialization(key, metadata={"last_day": "2024-09-13", SIZE: 1})
        instance.report_runless_asset_event(made)
    result = refresh(settings, session, assets=["toy/numbers"])
    assert result.success
    assert summary(result)["prices until"] == "2024-09-13"
    with open_instance(settings) as instance:
        said = " ".join(entry.user_message for entry in instance.all_logs(result.run_id))
    assert (f"no prices of {session} yet, the last are of 2024-09-13" in said) == late
