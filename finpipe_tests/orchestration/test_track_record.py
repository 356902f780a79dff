"""What a finished home says about a track record: its checks, its notes and what the models used."""

from __future__ import annotations

import inspect

import dagster as dg
import polars as pl
import pytest

from finpipe.backtest.checklist import CHECKS
from finpipe.learning.explanation import FEATURE_IMPORTANCE
from finpipe.orchestration.graph import graph
from finpipe.orchestration.partitions import TICKER_GROUP
from finpipe.orchestration.workspace import Workspace
from finpipe_tests.demo_home import TEST_YEARS, VARIANT, DemoHome


@pytest.fixture(scope="module")
def workspace(demo_home: DemoHome):
    with Workspace(demo_home.settings()) as workspace:
        yield workspace


def test_every_check_of_every_run_has_an_outcome(workspace, demo_home):
    declared = [
        spec.key
        for stage in graph().stages
        if not stage.on_request and TICKER_GROUP not in stage.dimensions
        for spec in stage.definition.check_specs
    ]
    storage = workspace.instance.event_log_storage
    records = storage.get_latest_asset_check_execution_by_key(declared)
    assert set(records) == set(declared)
    evaluations = {key: record.event.dagster_event.event_specific_data for key, record in records.items()}
    failed: dict[str, dict[str, str]] = {}
    for key, evaluation in evaluations.items():
        assert evaluation.description
        if not evaluation.passed:
            asset = "/".join(key.asset_key.path)
            node = f"{asset}[{VARIANT}]" if graph().dimensions(asset) else asset
            failed.setdefault(node, {})[key.name] = evaluation.description
    assert failed == demo_home.first_run["failed_checks"]


def test_the_six_checks_of_a_track_record_have_their_values(workspace):
    key = dg.AssetKey(["krx", "performance"])
    keys = [dg.AssetCheckKey(key, name) for name in CHECKS]
    storage = workspace.instance.event_log_storage
    found = storage.get_latest_asset_check_execution_by_key(keys)
    figures = workspace.load("krx/performance", VARIANT)
    rank_ic = figures.filter((pl.col("figure") == "mean_rank_ic") & (pl.col("period") == "all"))[
        "value"
    ].item()
    evaluation = found[keys[0]].event.dagster_event.event_specific_data
    assert keys[0].name == "rank_ic"
    assert evaluation.metadata["value"].value == pytest.approx(rank_ic)
    for name, check in zip(CHECKS, keys, strict=True):
        assert CHECKS[name] in found[check].event.dagster_event.event_specific_data.description


def test_importance_is_kept_for_every_year_and_shown_in_the_report(workspace):
    found = FEATURE_IMPORTANCE.validate(workspace.load("krx/feature_importance", VARIANT))
    assert found["test_year"].unique().sort().to_list() == list(TEST_YEARS)
    shares = found.group_by("test_year").agg(pl.col("gain_share", "shap_share").sum())
    assert shares["gain_share"].to_list() == pytest.approx([1.0] * len(TEST_YEARS))
    assert shares["shap_share"].to_list() == pytest.approx([1.0] * len(TEST_YEARS))
    assert found.filter(pl.col("test_year") > TEST_YEARS[0])["stability"].null_count() == 0
    page = workspace.load("krx/performance_report", VARIANT)
    best = found.group_by("feature").agg(pl.col("gain_share").mean()).sort("gain_share")["feature"][-1]
    assert f">{best}<" in page
    assert "from one test year to the next on average" in page


def test_notes_of_the_simulation_stand_at_the_head_of_the_report(workspace, demo_home):
    stage = graph().stage("krx/performance")
    assert workspace.load("krx/backtest_notes", VARIANT).columns == ["note"]
    function = inspect.unwrap(stage.definition.node_def.compute_fn.decorated_fn)
    inputs = {
        key.rpartition("/")[2]: workspace.load(key, VARIANT if graph().dimensions(key) else None)
        for key in stage.upstream
    }
    note = "3 of 40 rebalances had no regime score; money stayed invested."
    made = function(
        **inputs | {"backtest_notes": pl.DataFrame({"note": [note]})},
        settings=demo_home.settings(benchmark="no such index"),
    )
    head = made.values["performance_report"].split("</header>")[0]
    assert note in head
    assert "no levels of the benchmark no such index" in head


def test_rules_can_change_without_a_model_being_trained_again(demo_home, workspace):
    own = {"top_n": {"rules": {"n": 7}}}
    stage = graph().stage("krx/ranker_config")
    function = inspect.unwrap(stage.definition.node_def.compute_fn.decorated_fn)

    class Context:
        partition_key = VARIANT

    made = function(context=Context, settings=demo_home.settings(preset=own)).values
    assert made["ranker_config"] == workspace.load("krx/ranker_config", VARIANT)
    assert made["study"] != workspace.load("krx/study", VARIANT)
    ranker = graph().stage("krx/yearly_ranker")
    assert "krx/ranker_config" in ranker.upstream
    assert "krx/study" not in ranker.upstream
