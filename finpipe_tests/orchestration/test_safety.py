"""The stress battery of a home: models are trained again with exactly one change, and leaks are reported."""

from __future__ import annotations

import json
from dataclasses import replace

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from typer.testing import CliRunner

from finpipe.backtest.safety import STRESSES, RetrainError, UnknownStressError
from finpipe.backtest.tables import STRESS_VERDICTS
from finpipe.cli import app
from finpipe.learning.folds import walk_forward_folds
from finpipe.learning.ranker import TrainedRanker, predict, train_ranker
from finpipe.learning.ranker_config import RankerConfig
from finpipe.learning.training_panel import training_panel
from finpipe.market import schema
from finpipe.orchestration.safety import Financials, Materials, Retraining, shuffled
from finpipe.orchestration.workspace import Workspace
from finpipe_tests.demo_home import VARIANT, DemoHome
from finpipe_tests.learning.small_market import signal_panel

FEATURES = ("signal", "noise", "roe")
CONFIG = RankerConfig(horizon=5, features=FEATURES, train_years=2, rounds=15, num_leaves=4)
SMALL = {"min_train_rows": 300, "min_test_rows": 50}


@pytest.fixture(scope="module")
def panel() -> pl.DataFrame:
    """Three years whose label follows ``signal``, with labels of two horizons."""
    frame = signal_panel(range(2015, 2019), stocks=12)
    return frame.with_columns(roe=pl.col("noise").shift(1), target_rank_1d=pl.col("target_rank_5d"))


@pytest.fixture(scope="module")
def rankers(panel) -> list[TrainedRanker]:
    days = panel["date"].unique()
    folds = walk_forward_folds(days, [2017, 2018], horizon=5, train_years=2, embargo_days=2, **SMALL)
    return [train_ranker(panel, fold, FEATURES, CONFIG) for fold in folds]


@pytest.fixture(scope="module")
def retrain(panel, rankers) -> Retraining:
    nothing = pl.DataFrame()
    return Retraining(panel.lazy(), rankers, Financials(nothing, nothing, nothing))


@pytest.fixture(scope="module")
def predictions(panel, rankers) -> pl.DataFrame:
    return pl.concat([predict(ranker, panel) for ranker in rankers]).sort("stock_code", "date")


def correlation(predictions: pl.DataFrame, panel: pl.DataFrame, label: str = "target_rank_5d") -> float:
    both = predictions.join(panel, on=["stock_code", "date"]).drop_nulls(label)
    return both.group_by("date").agg(ic=pl.corr("score", label, method="spearman"))["ic"].mean()


def test_without_a_change_the_same_predictions_come_out(retrain, predictions):
    assert_frame_equal(retrain(), predictions, check_exact=True)


def test_years_side_by_side_change_nothing(retrain, predictions):
    said = []
    both = replace(retrain, threads=2, progress=said.append)
    assert_frame_equal(both(), predictions, check_exact=True)
    assert said == [f"unchanged: {done} of 2 years" for done in range(3)]


def test_shuffled_labels_teach_nothing(retrain, panel, predictions):
    noise = retrain(shuffle_labels=1)
    schema.PREDICTIONS.validate(noise)
    assert correlation(predictions, panel) > 0.3
    assert abs(correlation(noise, panel)) < 0.1
    assert_frame_equal(retrain(shuffle_labels=1), noise, check_exact=True)
    assert not retrain(shuffle_labels=2)["score"].equals(noise["score"])


def test_a_wider_embargo_and_another_horizon_are_trained_as_if_asked_for_at_first(retrain, panel):
    days = panel["date"].unique()
    for change, fold_change, config in (
        ({"embargo_days": 20}, {"horizon": 5, "embargo_days": 20}, CONFIG),
        ({"horizon": 1}, {"horizon": 1, "embargo_days": 2}, replace(CONFIG, horizon=1)),
    ):
        folds = walk_forward_folds(days, [2017, 2018], train_years=2, **fold_change, **SMALL)
        wanted = [predict(train_ranker(panel, fold, FEATURES, config), panel) for fold in folds]
        assert_frame_equal(retrain(**change), pl.concat(wanted).sort("stock_code", "date"), check_exact=True)


def test_too_little_data_for_a_change_is_said(retrain):
    with pytest.raises(RetrainError, match=r"of its \d+ training days none is left"):
        retrain(embargo_days=400)


def test_later_filings_replace_the_features_of_filings_only(retrain, panel, predictions, monkeypatch):
    asked = []

    def lagged(_: Financials, days: int) -> pl.DataFrame:
        asked.append(days)
        return panel.select("stock_code", "date", roe=pl.col("signal"), accruals=pl.lit(None, pl.Float32))

    monkeypatch.setattr(Financials, "lagged", lagged)
    better = retrain(filing_lag_days=90)
    assert asked == [90]
    wanted = replace(retrain, panel=panel.with_columns(roe=pl.col("signal")).lazy())()
    assert_frame_equal(better, wanted, check_exact=True)
    assert not better["score"].equals(predictions["score"])


def test_labels_are_dealt_out_anew_among_the_stocks_of_a_date_that_have_one(panel):
    label = "target_rank_5d"
    some = panel.with_columns(pl.when(pl.col("noise") > -1).then(pl.col(label)).alias(label))
    new = shuffled(some, label, seed=(1, 2))
    assert_frame_equal(new.drop(label), some.drop(label))
    assert new[label].is_null().equals(some[label].is_null())
    by_date = [frame.group_by("date").agg(pl.col(label).sort()).sort("date") for frame in (new, some)]
    assert_frame_equal(*by_date)
    moved = (new[label] != some[label]).drop_nulls().mean()
    assert moved > 0.8
    one, other = (shuffled(some, label, seed=(seed, 2))[label] for seed in (1, 3))
    assert one.equals(new[label])
    assert not other.equals(new[label])


def test_a_stock_does_not_keep_the_labels_of_another(panel):
    """Dates are dealt apart: with one order for all of them a model could still learn who is good."""
    label = "target_rank_5d"
    stocks = panel["stock_code"].n_unique()
    marked = panel.filter(pl.col(label).is_not_null()).with_columns(
        pl.col("stock_code").rank("dense").cast(pl.Float32).alias(label)
    )
    new = shuffled(marked, label, seed=(5,))
    got = new.group_by("stock_code").agg(pl.col(label).n_unique())[label]
    assert got.min() > stocks * 0.8


@pytest.fixture(scope="module")
def materials(demo_home: DemoHome) -> Materials:
    with Workspace(demo_home.settings()) as workspace:
        return Materials.of(workspace.load, workspace.partitions, VARIANT)


def test_filings_that_come_no_later_give_the_features_of_the_panel(materials):
    same = financials(materials).lagged(0)
    panel = materials.training_panel.select(same.columns).collect()
    assert_frame_equal(same, panel, check_exact=True)


def test_filings_that_come_later_are_those_of_so_many_days_before(materials):
    """What a filing states is known 90 days later, so it equals what the panel had 90 days ago."""
    lag, names = 91, ["roe", "operating_margin", "revenue_yoy", "net_debt_to_equity"]
    late = financials(materials).lagged(lag).select("stock_code", "date", *names)
    before = materials.training_panel.select("stock_code", pl.col("date").dt.offset_by(f"{lag}d"), *names)
    both = late.join(before.collect(), on=["stock_code", "date"], suffix="_before")
    assert both.height > 1_000
    for name in names:
        assert both[name].equals(both[f"{name}_before"], null_equal=True)
    now = materials.training_panel.select("stock_code", "date", *names).collect()
    assert not late.equals(now)


def financials(materials: Materials) -> Financials:
    traded = materials.daily_prices.filter(
        pl.col("market").cast(pl.String).is_in(["kospi", "kosdaq"]) & (pl.col("volume") > 0)
    ).select("stock_code", "date", "market_cap")
    sector = materials.sector_features.select("sector").collect()
    return Financials(traded.with_columns(sector), materials.filings, materials.universe)


def test_the_models_of_a_home_are_trained_again_to_the_last_bit(materials):
    year = materials.of_years([2023])
    rankers = list(year.yearly_ranker.values())
    again = Retraining(year.training_panel, rankers, financials(year))()
    assert_frame_equal(again, year.predictions, check_exact=True)


def test_a_feature_made_of_tomorrow_is_named_by_the_asset_check_and_by_the_battery(own_home, monkeypatch):
    with Workspace(own_home.settings()) as workspace:
        honest = workspace.stress(VARIANT, only=["feature_leak"])
    assert honest["verdict"].to_list() == ["pass"]

    def planted(*inputs: object, **options: object) -> pl.DataFrame:
        return training_panel(*inputs, **options).with_columns(tomorrow=pl.col("realized_return_1d"))

    monkeypatch.setattr("finpipe.learning.training_panel.training_panel", planted)
    with Workspace(own_home.settings()) as workspace:
        outcome = workspace.run(["krx/training_panel"], force=["training_panel"])
        found = workspace.stress(VARIANT, only=["feature_leak"])
        (status,) = (one for one in workspace.statuses() if one.stage.name == "training_panel")
    assert not outcome.failed
    assert list(outcome.failed_checks) == ["krx/training_panel"]
    assert "tomorrow (mean rank IC +1.000)" in outcome.failed_checks["krx/training_panel"]["no_feature_leak"]
    assert status.failed_checks("krx/training_panel") == outcome.failed_checks["krx/training_panel"]
    assert found.select("case", "verdict").rows() == [("tomorrow", "fail")]


QUICK = """
[preset.quick]
base = "top_n"
[preset.quick.ranker]
rounds = 12
"""


@pytest.fixture(scope="module")
def quick(demo_home: DemoHome, tmp_path_factory: pytest.TempPathFactory) -> DemoHome:
    """A home with one more study, whose models are trained in no time."""
    home = demo_home.copy_with_database(tmp_path_factory.mktemp("safety"))
    home.database.with_name("finpipe.toml").write_text(QUICK, encoding="utf-8")
    return home


def ask(*arguments: object, status: int = 0):
    """Run the command in this process, which spares it the start."""
    one = {"FINPIPE_WORKERS": "1", "FINPIPE_THREADS": "1", "COLUMNS": "200", "NO_COLOR": "1"}
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], env=one)
    assert done.exit_code == status, f"{done.output}\n{done.exception!r}"
    return done


def test_the_battery_is_made_on_request_kept_and_shown(quick, demo_home):
    assert not [name for name in demo_home.first_run["materialized"] if name.startswith("krx/safety")]
    asked = ("safety", "--home", quick.home, "--preset", "quick")
    first = json.loads(ask(*asked, "--json").stdout.splitlines()[-1])
    assert first["study"] == "quick-h21"
    assert {row["stress"] for row in first["verdicts"]} == {stress.name for stress in STRESSES}
    by_stress = {row["stress"]: row["verdict"] for row in first["verdicts"]}
    assert by_stress["label_shuffle"] == "pass"
    assert by_stress["feature_leak"] == "pass"
    assert "not run" not in by_stress.values()

    shown = ask(*asked)
    assert "krx/safety" not in shown.stderr
    for stress in STRESSES:
        assert stress.name in shown.stdout
        assert " ".join(stress.why.split()[:3]) in " ".join(shown.stdout.split())

    with Workspace(quick.settings()) as workspace:
        kept = workspace.load("krx/safety", "quick-h21")
        STRESS_VERDICTS.validate(kept)
        assert kept.to_dicts() == first["verdicts"]
        assert "krx/safety" not in workspace.graph.usual_keys
        statuses = {status.stage.name: status for status in workspace.statuses(["quick-h21"])}
        assert statuses["safety"].state == "fresh"
        failed = {row["stress"] for row in first["verdicts"] if row["verdict"] == "fail"}
        assert set(statuses["safety"].failed_checks("krx/safety")) == failed
        others = {status.stage.name for status in workspace.statuses([VARIANT])}
        assert "safety" not in others


def test_a_part_of_the_battery_is_shown_but_not_kept(quick):
    asked = ("safety", "--home", quick.home, "--preset", "quick", "--only", "purge_gap", "--years", "2024")
    found = json.loads(ask(*asked, "--json").stdout.splitlines()[-1])
    assert [row["case"] for row in found["verdicts"]] == [
        "embargo of 21 trading days",
        "embargo of 63 trading days",
    ]
    with Workspace(quick.settings()) as workspace:
        kept = workspace.load("krx/safety", "quick-h21")
    assert kept.filter(pl.col("stress") == "purge_gap").to_dicts() != found["verdicts"]


def test_strict_says_by_its_exit_status_that_a_stress_fails(quick, monkeypatch):
    failing = (
        STRESS_VERDICTS.empty()
        .clear(1)
        .with_columns(
            pl.lit("cost_sweep").alias("stress"), pl.lit("fail").alias("verdict"), measure=pl.lit("sharpe")
        )
    )
    monkeypatch.setattr(Workspace, "stress", lambda *_, **__: failing)
    asked = ("safety", "--home", quick.home, "--preset", "quick", "--only", "cost_sweep", "--json")
    assert json.loads(ask(*asked).stdout.splitlines()[-1])["failed"] == ["cost_sweep"]
    ask(*asked, "--strict", status=1)


def test_an_unknown_stress_is_an_error_that_lists_the_known_ones(demo_home):
    done = ask("safety", "--home", demo_home.home, "--only", "luck", status=1)
    assert isinstance(done.exception, UnknownStressError)
    assert "there is no stress luck" in str(done.exception)
    assert "purge_gap" in str(done.exception)
