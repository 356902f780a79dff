from __future__ import annotations

import sys
from dataclasses import replace

import polars as pl
import pytest

from finpipe.learning.folds import FoldError, validation_fold, walk_forward_folds
from finpipe.learning.ranker import RankerConfig, RankerError, TrainedRanker, predict, train_ranker
from finpipe.learning.search import SPACE, search, train_best
from finpipe_tests.learning.small_market import signal_panel

FEATURES = ("signal", "noise")
CONFIG = RankerConfig(
    horizon=5, features=FEATURES, rounds=1, num_leaves=2, learning_rate=0.3, early_stopping=5
)


@pytest.fixture(scope="module")
def panel() -> pl.DataFrame:
    return signal_panel(stocks=12)


@pytest.fixture(scope="module")
def fold(panel):
    (fold,) = walk_forward_folds(panel["date"].unique(), [2017], horizon=5, train_years=2, min_train_rows=300)
    return fold


@pytest.fixture(scope="module")
def found(panel, fold):
    return search(panel, fold, FEATURES, CONFIG, trials=5)


def test_starts_from_the_given_configuration_and_keeps_the_best(found):
    first = found.trials.row(0, named=True)
    assert {name: first[name] for name in SPACE} == {name: getattr(CONFIG, name) for name in SPACE}
    assert (
        found.information_coefficient
        == found.trials["information_coefficient"].max()
        > first["information_coefficient"]
    )
    assert found.trials["trial"].to_list() == list(range(5))
    assert found.config.early_stopping is None
    assert replace(found.config, **{name: getattr(CONFIG, name) for name in SPACE}) == replace(
        CONFIG, early_stopping=None
    )


def test_reports_what_the_best_configuration_earns_on_the_validation_year(panel, fold, found):
    assert found.validation == validation_fold(panel["date"].unique(), fold)
    predictions = predict(train_ranker(panel, found.validation, FEATURES, found.config), panel)
    both = predictions.join(panel, on=["stock_code", "date"]).drop_nulls("target_rank_5d")
    daily = both.group_by("date").agg(ic=pl.corr("score", "target_rank_5d", method="spearman"))
    assert found.information_coefficient == pytest.approx(daily["ic"].mean())


def test_the_same_input_finds_the_same_whatever_lies_outside_the_training_days(panel, fold, found):
    outside = pl.col("date") > fold.train_last
    poisoned = panel.with_columns(
        pl.when(outside).then(-1e6).otherwise(name).cast(pl.Float32).alias(name) for name in FEATURES
    )
    again = search(poisoned, fold, FEATURES, CONFIG, trials=5)
    assert again.config == found.config
    assert again.trials.equals(found.trials)


def test_says_nothing_on_the_terminal(panel, fold, capfd):
    search(panel, fold, FEATURES, CONFIG, trials=1)
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


def test_what_cannot_be_searched_is_explained(panel, fold, monkeypatch):
    with pytest.raises(RankerError, match="1 trial or more"):
        search(panel, fold, FEATURES, CONFIG, trials=0)
    (single,) = walk_forward_folds(
        panel["date"].unique(), [2017], horizon=5, train_years=1, min_train_rows=300
    )
    with pytest.raises(FoldError, match="more train years"):
        search(panel, single, FEATURES, CONFIG)
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(RankerError, match=r"finpipe\[tune\]"):
        search(panel, fold, FEATURES, CONFIG, trials=1)


def test_the_best_of_a_search_is_trained_and_recorded(panel, fold, found):
    ranker = train_best(panel, fold, FEATURES, replace(CONFIG, search_trials=5))
    assert ranker.config == replace(found.config, search_trials=5)
    assert ranker.metrics["search_trials"] == 5
    assert ranker.metrics["search_rank_correlation"] == found.information_coefficient
    assert ranker.model_text == train_ranker(panel, fold, FEATURES, found.config).model_text
    assert TrainedRanker.from_text(*ranker.to_files().values()) == ranker


def test_without_trials_nothing_is_searched(panel, fold, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    config = replace(CONFIG, early_stopping=None)
    assert train_best(panel, fold, FEATURES, config) == train_ranker(panel, fold, FEATURES, config)
    with pytest.raises(RankerError, match=r"pip install 'finpipe\[tune\]'"):
        train_best(panel, fold, FEATURES, replace(config, search_trials=1))


def test_fewer_than_no_trials_are_refused():
    with pytest.raises(RankerError, match="search_trials"):
        replace(CONFIG, search_trials=-1)
