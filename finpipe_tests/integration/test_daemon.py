"""The UI, the daemon and the code server as processes on loopback, on a finished home that new data reach."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from finpipe.orchestration.home import open_instance
from finpipe.orchestration.sources import observe
from finpipe_tests.demo_home import VARIANT, DemoHome, finpipe
from finpipe_tests.market.sample_database import execute
from finpipe_tests.served_ui import ServedUi, serving
from finpipe_tests.waiting import until

LOCATION = {"repositoryName": "__repository__", "repositoryLocationName": "finpipe.definitions"}
SENSOR = {"sensorName": "database_changed", **LOCATION}


class Ui(ServedUi):
    """A served home, and what is asked of it."""

    def backfill(self, job: str, partitions: Sequence[str]) -> str:
        """Launch a backfill and return its name."""
        launched = self.ask(
            "mutation ($backfill: LaunchBackfillParams!) {launchPartitionBackfill(backfillParams: $backfill) {"
            "... on LaunchBackfillSuccess {backfillId} ... on PythonError {message}}}",
            backfill={
                "selector": {"partitionSetName": f"{job}_partition_set", "repositorySelector": LOCATION},
                "partitionNames": partitions,
            },
        )
        name: str = launched["launchPartitionBackfill"]["backfillId"]
        return name

    def runs(self, **tags: str) -> list[dict[str, Any]]:
        """Return the runs that have these tags (_ for /), the last one first."""
        wanted = [{"key": name.replace("_", "/", 1), "value": value} for name, value in tags.items()]
        query = """query ($filter: RunsFilter) {runsOrError(filter: $filter) {... on Runs {results {
            jobName status startTime endTime assetSelection {path} tags {key value}}}}}"""
        found: list[dict[str, Any]] = self.ask(query, filter={"tags": wanted})["runsOrError"]["results"]
        return [run | {"tags": {tag["key"]: tag["value"] for tag in run["tags"]}} for run in found]

    def asset(self, key: str) -> dict[str, Any]:
        """Return what the UI shows of an asset: its group and kinds, and the metadata of its last materialization."""
        query = """query ($key: AssetKeyInput!) {assetNodeOrError(assetKey: $key) {... on AssetNode {
            groupName kinds internalFreshnessPolicy {__typename} assetMaterializations(limit: 1) {metadataEntries {
                label ... on UrlMetadataEntry {url}
                ... on TableColumnLineageMetadataEntry {lineage {columnName columnDeps {assetKey {path} columnName}}}
            }}}}}"""
        found: dict[str, Any] = self.ask(query, key={"path": key.split("/")})["assetNodeOrError"]
        entries = found["assetMaterializations"][0]["metadataEntries"]
        return found | {"metadata": {entry["label"]: entry for entry in entries}}

    def fetch(self, address: str) -> bytes:
        """Return what lies under an address of the UI's server."""
        with urllib.request.urlopen(urllib.parse.urljoin(self.url, address), timeout=30) as answer:  # noqa: S310
            content: bytes = answer.read()
        return content

    def ticks(self) -> list[dict[str, Any]]:
        """Return the ticks of the sensor, the last one first."""
        query = """query ($sensor: SensorSelector!) {sensorOrError(sensorSelector: $sensor) {... on Sensor {
            sensorState {ticks(limit: 50) {status skipReason runKeys error {message}}}}}}"""
        found: list[dict[str, Any]] = self.ask(query, sensor=SENSOR)["sensorOrError"]["sensorState"]["ticks"]
        return found


@pytest.fixture
def ui(demo_home: DemoHome, tmp_path: Path) -> Iterator[Ui]:
    own = demo_home.copy_with_database(tmp_path)
    with open_instance(own.settings()) as instance:
        observe(own.settings(), instance)
    with serving(own, tmp_path / "ui.log") as served:
        until(served.answers, "the UI", every=0.5)
        yield Ui(own, served.url)


def _at_rest(ui: Ui, times: int) -> bool:
    """Whether the sensor has said so many times that what depends on a change is up to date."""
    return sum("up to date" in (tick["skipReason"] or "") for tick in ui.ticks()) == times


def _followed(ui: Ui) -> list[dict[str, Any]]:
    """Return the runs that the sensor has requested."""
    return [run for run in ui.runs() if "finpipe/change" in run["tags"]]


def _files_of(home: Path, year: int) -> list[Path]:
    """Return the files of a test year's model and predictions."""
    return [
        home / "store" / "krx" / name / str(year) / f"{VARIANT}{ending}"
        for name, ending in (
            ("yearly_ranker", ".txt"),
            ("yearly_ranker", ".json"),
            ("yearly_predictions", ".parquet"),
        )
    ]


@pytest.mark.timeout(600)
def test_a_backfill_trains_years_and_the_sensor_follows_new_data(ui):
    lost = [path for year in (2022, 2023) for path in _files_of(ui.own.home, year)]
    content = {path: path.read_bytes() for path in lost}
    done_before = {path: path.stat().st_mtime_ns for path in _files_of(ui.own.home, 2024)}
    for path in lost:
        path.unlink()
    backfill = ui.backfill("walk_forward", [f"{year}|{VARIANT}" for year in (2022, 2023, 2024)])
    done = ["SUCCESS"] * 3
    until(
        lambda: [run["status"] for run in ui.runs(dagster_backfill=backfill)] == done,
        "the backfill",
        every=0.5,
    )
    assert {path: path.read_bytes() for path in lost} == content, "made again, and the same"
    assert {path: path.stat().st_mtime_ns for path in done_before} == done_before, (
        "the year that was done is skipped"
    )
    runs = ui.runs(dagster_backfill=backfill)
    times = sorted((run["startTime"], run["endTime"]) for run in runs)
    assert any(begun < ended for (_, ended), (begun, _) in pairwise(times)), "two years at once"

    start = "mutation ($sensor: SensorSelector!) {startSensor(sensorSelector: $sensor) {__typename}}"
    ui.ask(start, sensor=SENSOR)
    until(lambda: _at_rest(ui, 1), "the first tick", every=0.5)
    assert not _followed(ui), "everything is up to date"

    no_feature_reads_it = "index_code = 'KOSDAQ_코스닥_대형주'"
    execute(
        ui.own.database,
        f"UPDATE index_daily_prices SET closing_index = 1.01 * closing_index WHERE {no_feature_reads_it}",
    )
    group = ui.backfill("portfolio", ["demo"])
    until(lambda: _at_rest(ui, 2), "the sensor to come to rest", every=0.5)
    until(
        lambda: [run["status"] for run in ui.runs(dagster_backfill=group)] == ["SUCCESS"],
        "a group",
        every=0.5,
    )
    assert "is fresh" in finpipe("status", "--home", ui.own.home, "--why", "portfolio/report[demo]").stdout
    assert {run["status"] for run in _followed(ui)} == {"SUCCESS"}
    asked = {"/".join(key["path"]) for run in _followed(ui) for key in run["assetSelection"]}
    assert asked >= {"krx/index_levels", "krx/macro_features", "krx/training_panel", "krx/performance"}
    assert asked.isdisjoint(
        {"krx/daily_prices", "krx/technical_features", "krx/filings", "krx/yearly_ranker"}
    )
    assert {tick["status"] for tick in ui.ticks()} <= {"SUCCESS", "SKIPPED", "STARTED"}

    report = ui.asset("krx/performance_report")
    page = ui.own.home / "store" / "krx" / "performance_report" / f"{VARIANT}.html"
    assert ui.fetch(report["metadata"]["link"]["url"]) == page.read_bytes(), "the link leads to the file"
    assert report["internalFreshnessPolicy"]["__typename"] == "TimeWindowFreshnessPolicy"
    panel = ui.asset("krx/training_panel")
    assert (panel["groupName"], "polars" in panel["kinds"]) == ("learning", True)
    lineage = {
        column["columnName"]: [
            ("/".join(dep["assetKey"]["path"]), dep["columnName"]) for dep in column["columnDeps"]
        ]
        for column in panel["metadata"]["dagster/column_lineage"]["lineage"]
    }
    assert lineage["roe"] == [("krx/financial_features", "roe")]
    automation = {"sensorName": "results_follow_backfills", **LOCATION}
    query = """query ($sensor: SensorSelector!) {sensorOrError(sensorSelector: $sensor) {... on Sensor {
        sensorState {status}}}}"""
    assert ui.ask(query, sensor=automation)["sensorOrError"]["sensorState"]["status"] == "STOPPED"

    command_finds = json.loads(finpipe("run", "--home", ui.own.home, "--json").stdout.splitlines()[-1])
    assert command_finds["materialized"] == [], "all that the daemon made is fresh to the command"
