from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from finpipe.learning.explanation import (
    FEATURE_IMPORTANCE,
    IMPORTANCE,
    REASONS,
    SHAP_IMPORTANCE,
    STABILITY,
    feature_importance,
    gain_importance,
    importance_stability,
    reasons,
    reasons_in_words,
    shap_contributions,
    shap_importance,
)
from finpipe.learning.folds import walk_forward_folds
from finpipe.learning.ranker import RankerConfig, predict, train_ranker
from finpipe_tests.learning.small_market import signal_panel

FEATURES = ("noise", "signal", "patchy")
CONFIG = RankerConfig(horizon=5, features=FEATURES, rounds=15, num_leaves=7, train_years=1)


@pytest.fixture(scope="module")
def panel() -> pl.DataFrame:
    return signal_panel().with_columns(constant=pl.lit(1.0, dtype=pl.Float32))


@pytest.fixture(scope="module")
def rankers(panel):
    folds = walk_forward_folds(panel["date"].unique(), horizon=5, train_years=1, min_train_rows=500)
    return [train_ranker(panel, fold, (*FEATURES, "constant"), CONFIG) for fold in folds]


def test_the_planted_feature_has_most_of_the_gain_every_year(rankers):
    importance = IMPORTANCE.validate(gain_importance(rankers))
    assert importance["test_year"].unique().sort().to_list() == [2016, 2017, 2018]
    best = importance.filter(pl.col("rank") == 1)
    assert best["feature"].unique().to_list() == ["signal"]
    assert best["share"].min() > 0.7
    assert importance.group_by("test_year").agg(pl.col("share").sum())["share"].to_list() == pytest.approx(
        [1] * 3
    )
    assert importance.filter(pl.col("feature") == "constant")["gain"].to_list() == [0, 0, 0]


def test_stability_is_the_rank_correlation_with_the_year_before():
    def year(number: int, gains: dict[str, float]) -> pl.DataFrame:
        return pl.DataFrame(
            {"test_year": number, "feature": list(gains), "gain": list(gains.values())},
            schema_overrides={"test_year": pl.Int32},
        )

    importance = pl.concat(
        [
            year(2018, {"a": 1.0, "b": 2.0, "c": 3.0}),
            year(2019, {"a": 10.0, "b": 20.0, "c": 90.0}),
            year(2021, {"c": 1.0, "b": 2.0, "a": 3.0, "d": 9.0}),
            year(2022, {"z": 1.0}),
        ]
    )
    stability = STABILITY.validate(importance_stability(importance))
    assert stability["test_year"].to_list() == [2019, 2021, 2022]
    assert stability["previous_year"].to_list() == [2018, 2019, 2021]
    assert stability["rank_correlation"].fill_null(9).to_list() == pytest.approx([1, -1, 9])
    assert stability["common_features"].to_list() == [3, 3, 0]
    assert importance_stability(IMPORTANCE.empty()).height == 0
    assert importance_stability(year(2018, {"a": 1.0})).height == 0


def test_contributions_and_base_add_up_to_the_score(panel, rankers):
    rows = rankers[0].fold.test_rows(panel).sort("stock_code", "date")
    contributions = shap_contributions(rankers[0], rows)
    assert contributions.shape == (rows.height, 5)
    np.testing.assert_allclose(
        contributions.sum(axis=1), predict(rankers[0], panel)["score"].to_numpy(), rtol=1e-6
    )
    assert shap_contributions(rankers[0], rows[:0]).shape == (0, 5)


def test_shap_importance_finds_the_planted_feature_and_is_reproducible(panel, rankers):
    importance = SHAP_IMPORTANCE.validate(shap_importance(rankers[0], panel, sample=200))
    assert importance["feature"][0] == "signal"
    assert importance["share"].sum() == pytest.approx(1)
    assert importance.filter(pl.col("feature") == "constant")["mean_absolute_contribution"].item() == 0
    shuffled = panel.sample(fraction=1, shuffle=True, seed=4)
    assert shap_importance(rankers[0], shuffled, sample=200, threads=2).equals(importance)
    assert not shap_importance(rankers[0], panel, sample=200, seed=1).equals(importance)
    everything = shap_importance(rankers[0], panel, sample=10**6)
    contributions = shap_contributions(rankers[0], rankers[0].fold.test_rows(panel))
    assert everything["mean_absolute_contribution"][0] == pytest.approx(np.abs(contributions[:, 1]).mean())


def test_one_table_puts_gain_shap_and_stability_side_by_side(panel, rankers):
    found = FEATURE_IMPORTANCE.validate(feature_importance(rankers, panel.lazy(), sample=100))
    assert found.height == len(rankers) * (len(FEATURES) + 1)
    gains = gain_importance(rankers)
    assert found["gain"].equals(gains["gain"])
    assert found["gain_rank"].equals(gains["rank"].alias("gain_rank"))
    stability = dict(importance_stability(gains).select("test_year", "rank_correlation").iter_rows())
    for ranker in rankers:
        year = found.filter(pl.col("test_year") == ranker.fold.test_year)
        shap = shap_importance(ranker, panel, sample=100).select("feature", "mean_absolute_contribution")
        assert dict(year.select("feature", "shap").iter_rows()) == dict(shap.iter_rows())
        assert year["stability"].unique().to_list() == [stability.get(ranker.fold.test_year)]
    assert feature_importance([], panel.lazy()).height == 0


def test_a_model_that_has_seen_only_the_first_test_day_is_explained_on_the_whole_year(panel, rankers):
    early = [
        replace(ranker, fold=replace(ranker.fold, test_last=ranker.fold.test_first)) for ranker in rankers
    ]
    whole = feature_importance(rankers, panel.lazy(), sample=100)
    assert feature_importance(early, panel.lazy(), sample=100).equals(whole)


def test_reasons_are_the_largest_contributions_of_the_row(panel, rankers):
    ranker = rankers[0]
    rows = ranker.fold.test_rows(panel).sort("stock_code", "date")[:7]
    table = REASONS.validate(reasons(ranker, rows, top=2))
    assert table.height == 14
    contributions = shap_contributions(ranker, rows)[:, :-1]
    for i, row in enumerate(rows.iter_rows(named=True)):
        best, second = table[2 * i : 2 * i + 2].iter_rows(named=True)
        assert (best["stock_code"], best["date"]) == (row["stock_code"], row["date"])
        assert abs(best["contribution"]) == pytest.approx(np.abs(contributions[i]).max())
        assert abs(second["contribution"]) == pytest.approx(np.sort(np.abs(contributions[i]))[-2])
        for reason in (best, second):
            assert reason["contribution"] == contributions[i][ranker.features.index(reason["feature"])]
            assert reason["value"] == (
                None if row[reason["feature"]] is None else pytest.approx(row[reason["feature"]])
            )
    assert reasons(ranker, rows, top=99).height == 28
    assert REASONS.validate(reasons(ranker, rows[:0])).height == 0


def test_reasons_read_as_feature_and_signed_contribution(panel, rankers):
    ranker = rankers[0]
    day = ranker.fold.test_rows(panel).filter(pl.col("date") == ranker.fold.test_last)
    words = reasons_in_words(ranker, day.reverse(), top=2)
    assert words.columns == ["stock_code", "reasons"]
    assert words["stock_code"].to_list() == sorted(day["stock_code"].cast(pl.String))
    table = reasons(ranker, day, top=2)
    for row, line in enumerate(words["reasons"]):
        for part, reason in zip(
            line.split(", "), table[2 * row : 2 * row + 2].iter_rows(named=True), strict=True
        ):
            feature, amount = part.split(" ")
            assert feature == reason["feature"]
            assert amount[0] in "+−"
            assert float(amount.replace("−", "-")) == pytest.approx(reason["contribution"], abs=6e-4)
