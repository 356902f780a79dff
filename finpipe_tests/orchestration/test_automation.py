"""What follows a backfill by itself, and what does not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from dagster._core.events import AssetMaterializationPlannedData

from finpipe.orchestration.automation import SENSOR, conditions, results
from finpipe.orchestration.build import build_definitions
from finpipe.orchestration.graph import graph
from finpipe.orchestration.partitions import variants
from finpipe.orchestration.resources import BACKFILL
from finpipe.orchestration.stage import stage
from finpipe.orchestration.steps import FORCE
from finpipe.settings import load_settings
from finpipe_tests.orchestration.toy import STAGES, Toy, begin_with, toy_graph

pytestmark = pytest.mark.filterwarnings("ignore:Non-compliant tag keys:DeprecationWarning")  # Dagster's own
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass
class Automation:
    """The evaluation of the conditions of the toy graph, from tick to tick."""

    toy: Toy
    cursor: object = None
    definitions: dg.Definitions = field(init=False)

    def __post_init__(self) -> None:
        self.definitions = build_definitions(self.toy.settings)

    def tick(self) -> set[str]:
        """Return the nodes that would be requested."""
        found = dg.evaluate_automation_conditions(self.definitions, self.toy.instance, cursor=self.cursor)
        self.cursor = found.cursor
        with dg.partition_loading_context(dynamic_partitions_store=self.toy.instance):
            return {
                f"{'/'.join(result.key.path)}[{partition}]"
                for result in found.results
                for partition in found.get_requested_partitions(result.key)
            }

    def make(self, year: str, **tags: str) -> None:
        """Make the scores of a year in a run of their own."""
        done = self.definitions.resolve_job_def("walk_forward").execute_in_process(
            instance=self.toy.instance,
            partition_key=dg.MultiPartitionKey({"test_year": year, "variant": "plain"}),
            tags={FORCE: "true", **tags},
            run_config=QUIET,
        )
        assert done.success


@stage(group="toy", prefix="toy", partitions_def=variants)
def summary(joined: pl.DataFrame) -> pl.DataFrame:
    """What is made of the results of a variant."""
    return joined.select(pl.len())


@pytest.fixture
def automation(tmp_path: Path) -> Iterator[Automation]:
    with toy_graph(tmp_path / "home", (*STAGES, summary)) as toy:
        begin_with(toy, Toy.run)
        found = Automation(toy)
        assert found.tick() == set(), "what a command has made needs nothing more"
        yield found


def test_the_results_of_a_study_follow_a_backfill_once(automation):
    automation.make("2020", **{BACKFILL: "abcdefgh"})
    assert automation.tick() == {"toy/joined[plain]", "toy/summary[plain]"}
    assert automation.tick() == set()


def test_runs_of_the_sensor_the_schedule_or_a_person_are_left_to_them(automation):
    automation.make("2020")
    automation.make("2021", **{"finpipe/change": "a-b-1"})
    assert automation.tick() == set()


def test_they_wait_until_no_year_is_at_work(automation):
    automation.make("2020", **{BACKFILL: "abcdefgh"})
    instance = automation.toy.instance
    run = instance.create_run_for_job(
        automation.definitions.resolve_job_def("walk_forward"),
        tags={BACKFILL: "abcdefgh", "dagster/partition": "2021|plain"},
        status=dg.DagsterRunStatus.STARTED,
    )
    planned = AssetMaterializationPlannedData(dg.AssetKey(["toy", "scores"]), partition="2021|plain")
    kind = dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED.value
    event = dg.DagsterEvent(kind, job_name=run.job_name, event_specific_data=planned)
    instance.report_dagster_event(event, run.run_id)
    assert automation.tick() == set(), "2021 is being made"
    instance.report_run_canceled(run)
    assert automation.tick() == {"toy/joined[plain]", "toy/summary[plain]"}


def test_only_results_follow_and_nothing_that_trains_or_is_made_on_request():
    following = {stage.name for stage in results(graph())}
    assert following == {"predictions", "backtest", "feature_importance", "picks", "performance"}
    trained = {key for stage in graph().stages if "test_year" in stage.dimensions for key in stage.outputs}
    assert trained.isdisjoint(conditions(graph()))
    assert "krx/safety" not in conditions(graph())


def test_it_is_off_until_somebody_turns_it_on_and_looks_at_nothing_else(tmp_path):
    definitions = build_definitions(load_settings(home=tmp_path))
    repository = definitions.get_repository_def()
    sensor = repository.get_sensor_def(SENSOR)
    assert sensor.default_status is dg.DefaultSensorStatus.STOPPED
    watched = {"/".join(key.path) for key in sensor.asset_selection.resolve(repository.asset_graph)}
    assert watched == set(conditions(graph()))
    automatic = [
        found for found in repository.sensor_defs if isinstance(found, dg.AutomationConditionSensorDefinition)
    ]
    assert [found.name for found in automatic] == [SENSOR], "Dagster adds none of its own"
