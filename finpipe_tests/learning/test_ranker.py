from __future__ import annotations

import json
from dataclasses import replace

import lightgbm
import numpy as np
import polars as pl
import pytest

from finpipe.learning.folds import FoldError, walk_forward_folds
from finpipe.learning.ranker import (
    MODEL_FILE,
    SIDECAR_FILE,
    RankerConfig,
    RankerError,
    TrainedRanker,
    feature_matrix,
    predict,
    train_ranker,
)
from finpipe.market import schema
from finpipe_tests.learning.small_market import signal_panel

FEATURES = ("signal", "noise", "patchy")
CONFIG = RankerConfig(horizon=5, features=FEATURES, rounds=25, num_leaves=7, train_years=2)


@pytest.fixture(scope="module")
def panel() -> pl.DataFrame:
    return signal_panel()


def fold_of(panel: pl.DataFrame, year: int = 2017, **options):
    (fold,) = walk_forward_folds(
        panel["date"].unique(), [year], **({"horizon": 5, "train_years": 2, "min_train_rows": 500} | options)
    )
    return fold


def rank_ic(panel: pl.DataFrame, predictions: pl.DataFrame, column: str = "forward") -> pl.Series:
    both = predictions.join(panel.select("stock_code", "date", column), on=["stock_code", "date"])
    return both.group_by("date").agg(pl.corr(pl.col("score").rank(), pl.col(column).rank()))["score"]


@pytest.fixture(scope="module")
def ranker(panel) -> TrainedRanker:
    return train_ranker(panel, fold_of(panel), FEATURES, CONFIG)


@pytest.mark.parametrize("objective", ["regression", "lambdarank"])
def test_learns_a_planted_monotone_signal(panel, objective):
    strong = signal_panel(strength=2.0)
    trained = train_ranker(strong, fold_of(panel), FEATURES, replace(CONFIG, objective=objective, rounds=100))
    assert rank_ic(strong, predict(trained, strong), "signal").mean() > 0.9


@pytest.mark.parametrize("objective", ["regression", "lambdarank"])
def test_finds_nothing_in_labels_shuffled_within_each_date(panel, objective):
    shuffled = panel.with_columns(
        pl.struct("target_rank_5d", "forward").shuffle(seed=3).over("date").struct.unnest()
    )
    trained = train_ranker(shuffled, fold_of(panel), FEATURES, replace(CONFIG, objective=objective))
    daily = rank_ic(shuffled, predict(trained, shuffled))
    assert abs(daily.mean()) < 3.5 * daily.std() / np.sqrt(len(daily))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"objective": "lambdarank"},
        {"early_stopping": 5, "rounds": 60},
        {"risk_weighting": True, "time_decay": 0},
    ],
    ids=["regression", "lambdarank", "early stopping", "risk weights"],
)
def test_the_model_depends_neither_on_threads_nor_on_the_order_of_rows(panel, changes):
    config = replace(CONFIG, **changes)
    fold = fold_of(panel)
    one = train_ranker(panel, fold, FEATURES, config, threads=1)
    two = train_ranker(panel.sample(fraction=1, shuffle=True, seed=1), fold, FEATURES, config, threads=2)
    assert one.model_text == two.model_text
    assert one.to_files() == two.to_files()
    shuffled = panel.sample(fraction=1, shuffle=True, seed=2)
    assert predict(one, panel, threads=1).equals(predict(two, shuffled, threads=2))


def test_the_seed_decides(panel, ranker):
    other = train_ranker(panel, ranker.fold, FEATURES, replace(CONFIG, seed=1))
    assert other.model_text != ranker.model_text


def test_only_labelled_rows_of_the_training_days_matter(panel, ranker):
    fold = ranker.fold
    inside = pl.col("date").is_between(fold.train_first, fold.train_last)
    poisoned = panel.with_columns(
        pl.when(inside).then("signal").otherwise(pl.col("signal") * 1e6).alias("signal"),
        pl.when(inside)
        .then("target_rank_5d")
        .otherwise(1 - pl.col("target_rank_5d"))
        .alias("target_rank_5d"),
    )
    assert train_ranker(poisoned, fold, FEATURES, CONFIG).model_text == ranker.model_text
    assert train_ranker(panel.filter(inside), fold, FEATURES, CONFIG).model_text == ranker.model_text


def test_rows_without_a_label_are_left_out_and_counted(panel, ranker):
    holes = pl.int_range(pl.len()) % 4 == 0
    with_nulls = panel.with_columns(pl.when(~holes).then("target_rank_5d").alias("target_rank_5d"))
    trained = train_ranker(with_nulls, ranker.fold, FEATURES, CONFIG)
    without = train_ranker(panel.filter(~holes), ranker.fold, FEATURES, CONFIG)
    assert trained.model_text == without.model_text
    span = panel.filter(pl.col("date").is_between(ranker.fold.train_first, ranker.fold.train_last)).height
    assert trained.metrics["rows"] + trained.metrics["rows_without_label"] == span == ranker.metrics["rows"]
    assert trained.metrics["rows_without_label"] > 0


def test_weights_change_the_model(panel, ranker):
    for changes in ({"time_decay": 3.0}, {"risk_weighting": True}):
        for objective in ("regression", "lambdarank"):
            base = replace(CONFIG, objective=objective, rounds=5)
            plain = train_ranker(panel, ranker.fold, FEATURES, base)
            assert (
                train_ranker(panel, ranker.fold, FEATURES, replace(base, **changes)).model_text
                != plain.model_text
            )


def test_time_decay_forgets_a_relation_that_has_turned(panel):
    fold = fold_of(panel)
    recent = pl.col("date").dt.year() == 2016
    turned = panel.with_columns(pl.when(recent).then(-pl.col("signal")).otherwise("signal").alias("signal"))
    scores = {}
    for decay in (-3.0, 3.0):
        trained = train_ranker(turned, fold, FEATURES, replace(CONFIG, time_decay=decay))
        scores[decay] = rank_ic(panel, predict(trained, panel)).mean()
    assert scores[-3.0] > 0.3
    assert scores[3.0] < -0.3


def test_early_stopping_keeps_the_rounds_of_the_validation_year(panel):
    fold = fold_of(panel)
    config = replace(CONFIG, early_stopping=5, rounds=300, num_leaves=31, learning_rate=0.3)
    trained = train_ranker(panel, fold, FEATURES, config)
    assert 1 <= trained.metrics["rounds"] < 300
    assert trained.metrics["validation_rank_correlation"] > 0.2
    assert trained.booster().num_trees() == trained.metrics["rounds"]
    plain = train_ranker(
        panel, fold, FEATURES, replace(config, early_stopping=None, rounds=trained.metrics["rounds"])
    )
    assert plain.model_text == trained.model_text
    with pytest.raises(FoldError, match="more train years"):
        train_ranker(panel, fold_of(panel, train_years=1), FEATURES, config)


def test_predictions_rank_by_score_and_break_ties_by_stock_code(panel, ranker):
    predictions = schema.PREDICTIONS.validate(predict(ranker, panel))
    assert predictions.height == panel.filter(pl.col("date").dt.year() == 2017).height
    expected = predictions.sort("date", -pl.col("score"), "stock_code")
    assert (
        expected["rank"].to_list()
        == expected.select(pl.int_range(1, pl.len() + 1).over("date")).to_series().to_list()
    )
    constant = train_ranker(panel, ranker.fold, ["noise"], replace(CONFIG, rounds=1, num_leaves=2))
    tied = predict(constant, panel)
    assert tied["score"].n_unique() < 5
    ordered = tied.sort("date", -pl.col("score"), "stock_code")
    assert ordered["rank"].to_list() == expected["rank"].to_list()


def test_predictions_do_not_look_at_labels(panel, ranker):
    blind = panel.drop("target_rank_5d", "forward")
    assert predict(ranker, blind).equals(predict(ranker, panel))


def test_plain_lightgbm_reads_the_model_and_predicts_the_same(panel, ranker, tmp_path):
    for name, content in ranker.to_files().items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    rows = ranker.fold.test_rows(panel).sort("stock_code", "date")
    booster = lightgbm.Booster(model_file=tmp_path / MODEL_FILE)
    assert booster.feature_name() == list(FEATURES)
    scores = booster.predict(feature_matrix(rows, FEATURES))
    assert scores.tolist() == predict(ranker, panel)["score"].to_list()

    again = TrainedRanker.from_text(
        (tmp_path / MODEL_FILE).read_text(), (tmp_path / SIDECAR_FILE).read_text()
    )
    assert again == ranker
    assert predict(again, panel).equals(predict(ranker, panel))
    sidecar = json.loads((tmp_path / SIDECAR_FILE).read_text())
    assert sidecar["label"] == "target_rank_5d"
    assert sidecar["fold"]["test_year"] == 2017


def test_files_that_do_not_belong_together_are_refused(ranker):
    files = ranker.to_files()
    with pytest.raises(RankerError, match="does not describe a ranker"):
        TrainedRanker.from_text(files[MODEL_FILE], "{}")
    with pytest.raises(RankerError, match="different features"):
        TrainedRanker.from_text(files[MODEL_FILE], files[SIDECAR_FILE].replace("noise", "voice"))


def test_nothing_is_printed(panel, ranker, capfd):
    train_ranker(
        panel, ranker.fold, FEATURES, replace(CONFIG, objective="lambdarank", early_stopping=2, rounds=10)
    )
    constant = panel.with_columns(noise=pl.lit(1.0, dtype=pl.Float32))
    predict(train_ranker(constant, ranker.fold, ["noise"], CONFIG), constant)
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


def test_what_cannot_be_trained_is_explained(panel, ranker):
    fold = ranker.fold
    with pytest.raises(RankerError, match=r"feature\(s\) roe, pb are not"):
        train_ranker(panel, fold, ["signal", "roe", "pb"], CONFIG)
    with pytest.raises(RankerError, match=r"label\(s\) target_residual_rank_63d"):
        train_ranker(panel, fold, FEATURES, replace(CONFIG, target="residual", horizon=63))
    with pytest.raises(RankerError, match="a label cannot be a feature"):
        train_ranker(panel, fold, ["signal", "target_rank_5d"], CONFIG)
    with pytest.raises(RankerError, match="no feature"):
        train_ranker(panel, fold, [], CONFIG)
    with pytest.raises(FoldError, match="at least 500 are needed"):
        train_ranker(panel[:900], fold, FEATURES, CONFIG)
    with pytest.raises(RankerError, match="objective"):
        RankerConfig(objective="huber")
    with pytest.raises(RankerError, match="target"):
        RankerConfig(target="beta")
    with pytest.raises(RankerError, match="rounds must be 1 or more"):
        RankerConfig(rounds=0)


@pytest.mark.parametrize(
    ("target", "label"),
    [
        ("raw", "target_rank_63d"),
        ("alpha", "target_alpha_rank_63d"),
        ("residual", "target_residual_rank_63d"),
        ("sector", "target_sector_rank_63d"),
    ],
)
def test_the_label_is_named_by_target_and_horizon(target, label):
    assert RankerConfig(target=target, horizon=63).label == label


def test_extra_parameters_reach_lightgbm_but_not_its_determinism():
    parameters = RankerConfig(extra={"lambda_l2": 3.0, "deterministic": False}).parameters(threads=2)
    assert parameters["lambda_l2"] == 3.0
    assert parameters["deterministic"] is True
    assert parameters["num_threads"] == 2
