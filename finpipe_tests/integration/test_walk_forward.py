"""Models of test years: the same whichever way they are made, and as good as the signal planted in the market."""

from __future__ import annotations

import statistics

import dagster as dg
import numpy as np
import polars as pl
import pytest

from finpipe.features.catalogue import feature_set
from finpipe.learning.folds import walk_forward_folds
from finpipe.learning.ranker import predict, train_ranker
from finpipe.market.demo import PLANTED_RANK_IC, write_demo_market
from finpipe.orchestration.build import build_definitions
from finpipe.orchestration.jobs import job_name
from finpipe.orchestration.partitions import TEST_YEAR, VARIANT
from finpipe.orchestration.provenance import latest_record
from finpipe.orchestration.studies import study
from finpipe.orchestration.workspace import Workspace
from finpipe.settings import Settings
from finpipe_tests import demo_home as demo
from finpipe_tests.demo_home import TEST_YEARS
from finpipe_tests.integration.whole_graph import run

KEYS = ("krx/yearly_ranker", "krx/yearly_predictions")


def versions(workspace: Workspace) -> dict[str, str]:
    found = {}
    for key in KEYS:
        for year in TEST_YEARS:
            record = latest_record(workspace.instance, key, f"{year}|{demo.VARIANT}")
            assert record is not None
            found[f"{key}[{year}]"] = record.data_version
    return found


@pytest.fixture(scope="module")
def side_by_side(demo_home) -> dict[str, str]:
    """Data versions of the years that the command made in two worker processes."""
    with Workspace(demo_home.settings()) as workspace:
        return versions(workspace)


def test_years_one_after_the_other_are_those_side_by_side(own_home, side_by_side):
    with Workspace(own_home.settings(threads=2)) as workspace:
        forced = ("yearly_ranker", "yearly_predictions")
        outcome = workspace.run(["krx/yearly_predictions"], force=forced)
        assert len(outcome.materialized) == len(side_by_side)
        assert versions(workspace) == side_by_side


def test_years_as_runs_of_a_dagster_job_are_those_of_the_command(own_home, side_by_side):
    settings = own_home.settings()
    job = build_definitions(settings).resolve_job_def(job_name((TEST_YEAR, VARIANT)))
    with Workspace(settings) as workspace:
        for year in TEST_YEARS:
            key = dg.MultiPartitionKey({TEST_YEAR: str(year), VARIANT: demo.VARIANT})
            done = job.execute_in_process(
                instance=workspace.instance,
                partition_key=key,
                tags={"finpipe/force": "true"},
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            )
            assert len(done.get_asset_materialization_events()) == len(KEYS)
        assert versions(workspace) == side_by_side


def test_the_command_finds_fresh_what_a_job_made(own_home):
    settings = own_home.settings()
    (own_home.home / "store" / "krx" / "universe.parquet").unlink()
    job = build_definitions(settings).resolve_job_def(job_name(()))
    with Workspace(settings) as workspace:
        done = job.execute_in_process(
            instance=workspace.instance,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
        assert done.success
        assert workspace.run().materialized == []


@pytest.fixture(scope="module")
def panel(demo_home) -> pl.DataFrame:
    return pl.read_parquet(demo_home.home / "store" / "krx" / "training_panel.parquet")


def mean_rank_ic(scores: pl.DataFrame, realized: pl.DataFrame) -> float:
    """Mean over the days of the rank correlation between scores and the returns that followed."""
    returns = realized.select("stock_code", "date", "realized_return_21d").drop_nulls()
    days = scores.join(returns, on=["stock_code", "date"]).group_by("date")
    daily = days.agg(ic=pl.corr("score", "realized_return_21d", method="spearman"))
    return float(daily["ic"].drop_nans().mean())


def mean_rank_ic_learned(panel: pl.DataFrame, settings: Settings) -> float:
    """Mean rank IC in two test years of models that learn from ``panel``."""
    ranker = study(demo.VARIANT, settings.preset, settings.horizons).ranker
    days = panel["date"].unique().sort()
    scores = []
    for fold in walk_forward_folds(days, TEST_YEARS[1:], horizon=21, embargo_days=5, train_years=3):
        model = train_ranker(panel, fold, feature_set(ranker.features), ranker, threads=1, days=days)
        year = panel.filter(pl.col("date").is_between(fold.test_first, fold.test_last))
        scores.append(predict(model, year))
    return mean_rank_ic(pl.concat(scores), panel)


def shuffled(panel: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Deal the labels of each date out anew among its stocks, each date by itself."""
    order = pl.Series("order", np.random.default_rng(seed).random(panel.height))
    dealt = pl.col("^target_.*$").sort_by("order").over("date")
    return panel.with_columns(order).with_columns(dealt).drop("order")


def test_the_planted_signal_is_found_and_shuffled_labels_teach_nothing(demo_home, panel):
    settings = demo_home.settings()
    low, high = PLANTED_RANK_IC
    assert low < mean_rank_ic_learned(panel, settings) < high
    taught = [mean_rank_ic_learned(shuffled(panel, seed), settings) for seed in range(6)]
    assert abs(statistics.mean(taught)) < 3 * statistics.stdev(taught) / len(taught) ** 0.5
    assert abs(statistics.mean(taught)) < low


def test_the_report_of_the_command_finds_the_planted_signal(demo_home):
    with Workspace(demo_home.settings()) as workspace:
        figures = workspace.frame("krx/performance", demo.VARIANT)
    (found,) = figures.filter(pl.col("figure") == "mean_rank_ic", pl.col("period") == "all")["value"]
    assert PLANTED_RANK_IC[0] < found < PLANTED_RANK_IC[1]


def test_the_preset_as_shipped_finds_it_in_a_market_of_the_usual_size(tmp_path):
    database = tmp_path / "krx_stock_data.db"
    write_demo_market(database, years=5)
    made = run(
        database, ["yearly_predictions", "forward_returns"], years=[2023, 2024], variants=["top_n-h21"]
    )
    predictions = pl.concat(made.values["krx/yearly_predictions"].values())
    found = mean_rank_ic(predictions, made["forward_returns"])
    assert PLANTED_RANK_IC[0] < found < PLANTED_RANK_IC[1]
