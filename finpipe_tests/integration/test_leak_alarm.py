"""The alarm for leaks rings for a planted one, wherever it is asked, and for nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest

from finpipe.backtest.information import information_coefficients, summarise
from finpipe.backtest.leaks import feature_leaks
from finpipe.features.catalogue import feature_set
from finpipe.learning.folds import walk_forward_folds
from finpipe.learning.ranker import predict, train_ranker
from finpipe.learning.ranker_config import RankerConfig
from finpipe.orchestration.safety import shuffled
from finpipe_tests.integration.whole_graph import TESTED_YEAR, WholeGraph, run

KEYS = ["stock_code", "date"]
PLANTED = "tomorrows_return"
HORIZON = 1
BAND = 2.6
"""Standard errors within which the mean of coefficients around zero lies 99 times in 100."""


@pytest.fixture(scope="module")
def planted(whole: WholeGraph) -> pl.DataFrame:
    """The technical features, with the return of the next row among them."""
    tomorrow = pl.col("return").shift(-1).over("stock_code").alias(PLANTED)
    return whole["technical_features"].with_columns(tomorrow)


def test_no_genuine_feature_rings_it(whole):
    check = whole.checks["training_panel", None]["no_feature_leak"]
    assert check.passed, check.finding


def test_a_planted_feature_fails_the_asset_check_by_name(market, whole, planted):
    given = whole.of_the_market() | {"technical_features": planted}
    del given["training_panel"]
    panel = run(market, ["training_panel"], given=given)
    check = panel.checks["training_panel", None]["no_feature_leak"]
    assert not check.passed
    assert PLANTED in check.finding
    suspicious = feature_leaks(
        panel["training_panel"].select(*KEYS, PLANTED, *feature_set("v4")),
        whole["forward_returns"].select(*KEYS, "realized_return_1d"),
    ).filter(pl.col("suspicious"))
    assert suspicious["feature"].to_list() == [PLANTED]


def test_a_model_with_a_leak_sees_it(whole, planted):
    panel = whole["training_panel"].join(planted.select(*KEYS, PLANTED), on=KEYS, maintain_order="left")
    found = summarise(rank_ic(panel, [*feature_set("v3"), PLANTED], whole), HORIZON)
    assert found.mean > 0.2
    assert found.t > 10


def test_shuffled_labels_teach_nothing(whole):
    label = f"target_rank_{HORIZON}d"
    of_the_date = pl.col(label).sort().implode().over("date", mapping_strategy="join")
    noise = []
    for seed in range(3):
        panel = shuffled(whole["training_panel"], label, seed=(seed, TESTED_YEAR))
        assert panel.select(of_the_date).equals(whole["training_panel"].select(of_the_date))
        assert not panel[label].equals(whole["training_panel"][label])
        noise.append(rank_ic(panel, feature_set("v3"), whole))
    found = summarise(np.mean(noise, axis=0), HORIZON)
    assert abs(found.t) < BAND, (
        f"noise was learned, but the mean rank IC is {found.mean:.3f}, t {found.t:.1f}"
    )


def rank_ic(panel: pl.DataFrame, features: Sequence[str], whole: WholeGraph) -> np.ndarray:
    """Daily out-of-sample rank IC of a small model trained on ``panel``."""
    days = whole["daily_prices"]["date"].unique()
    (fold,) = walk_forward_folds(days, [TESTED_YEAR], horizon=HORIZON, train_years=1)
    ranker = train_ranker(panel, fold, features, RankerConfig(horizon=HORIZON, rounds=30), days=days)
    realized = whole["forward_returns"].select(*KEYS, f"realized_return_{HORIZON}d")
    return information_coefficients(predict(ranker, panel), realized, HORIZON)["rank_ic"].to_numpy()
