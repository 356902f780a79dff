"""The stress battery passes an honest edge and fails leaks, costs and noise for the right reason."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from finpipe.backtest.baseline import Baseline
from finpipe.backtest.leaks import feature_leaks
from finpipe.backtest.rules import Rules
from finpipe.backtest.safety import STRESSES, RetrainError, battery, delayed, rerank
from finpipe.market import schema
from finpipe_tests.backtest.small_market import bars, days, listed, market

N_STOCKS, N_DAYS, HORIZON = 30, 160, 5


def ranked(frame: pl.DataFrame) -> pl.DataFrame:
    return schema.PREDICTIONS.validate(
        frame.select("stock_code", "date", "score").with_columns(
            rank=pl.col("score").rank("ordinal", descending=True).over("date").cast(pl.Int32),
            test_year=pl.col("date").dt.year().cast(pl.Int32),
        )
    )


@pytest.fixture(scope="module")
def honest() -> Baseline:
    """Stocks with lasting differences in drift, and a score that knows a part of them."""
    random = np.random.default_rng(5)
    drift = np.linspace(-0.003, 0.003, N_STOCKS)
    random.shuffle(drift)
    codes = [f"{10 * (place + 1):06d}" for place in range(N_STOCKS)]
    frames = []
    for code, own in zip(codes, drift, strict=True):
        night, day = random.normal(0, 0.005, N_DAYS), random.normal(own, 0.015, N_DAYS)
        closes = 100_000 * np.exp(np.cumsum(night + day))
        opens = closes / np.exp(day)
        frames.append(bars(code, opens.round().tolist(), closes.round().tolist()))
    prices = market(*frames)
    keys = prices.select("stock_code", "date")
    known = keys.with_columns(
        score=pl.Series(np.repeat(drift, N_DAYS) + random.normal(0, 0.008, keys.height))
    )
    opened = pl.col("adjusted_open")
    realized = prices.select(
        "stock_code",
        "date",
        *(
            ((opened.shift(-1 - h) / opened.shift(-1)).over("stock_code") - 1).alias(f"realized_return_{h}d")
            for h in (1, HORIZON, 21)
        ),
    )
    large = pl.when(pl.col("stock_code").cast(pl.String) < "000200").then(2 * 10**12).otherwise(10**11)
    return Baseline(
        predictions=ranked(known),
        daily_prices=prices,
        rules=Rules(n=5, horizon=HORIZON),
        stocks=listed(codes),
        realized=realized,
        universe=keys.with_columns(market_cap=large),
        horizon=HORIZON,
        features=known.rename({"score": "drift_guess"}),
    )


def noise(baseline: Baseline, seed: int = 9) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    return ranked(
        baseline.predictions.with_columns(score=pl.Series(random.normal(size=baseline.predictions.height)))
    )


def verdicts(table: pl.DataFrame, stress: str) -> list[str]:
    return table.filter(pl.col("stress") == stress)["verdict"].to_list()


def test_an_honest_edge_survives_the_whole_battery(honest):
    asked = []

    def retrain(**changes: int) -> pl.DataFrame:
        asked.append(changes)
        return noise(honest) if "shuffle_labels" in changes else honest.predictions

    table = battery(honest, retrain)
    assert table["stress"].unique(maintain_order=True).to_list() == [stress.name for stress in STRESSES]
    assert set(table["verdict"]) == {"pass", "shown"}
    assert asked == [
        {"shuffle_labels": 1},
        {"embargo_days": 21},
        {"embargo_days": 63},
        {"filing_lag_days": 90},
        {"horizon": 21},
    ]


def test_without_training_those_stresses_are_reported_as_not_run(honest):
    table = battery(honest)
    assert set(table.filter(pl.col("verdict") == "not run")["stress"]) == {
        stress.name for stress in STRESSES if stress.retrains
    }
    assert "fail" not in table["verdict"].to_list()


def test_tomorrows_return_raises_every_alarm(honest):
    close = pl.col("adjusted_close")
    tomorrow = honest.daily_prices.select(
        "stock_code", "date", score=(close.shift(-1) / close - 1).over("stock_code")
    ).filter(pl.col("score").is_not_null())
    leaking = replace(
        honest,
        predictions=ranked(tomorrow),
        features=honest.features.join(
            tomorrow.rename({"score": "tomorrow"}), on=["stock_code", "date"], how="left"
        ),
    )
    table = battery(leaking, only=["plausibility", "feature_leak", "execution_delay"])
    assert "fail" in verdicts(table, "plausibility")
    assert verdicts(table, "execution_delay") == ["fail", "shown"]
    assert table.filter(pl.col("stress") == "feature_leak")["case"].to_list() == ["tomorrow"]
    assert verdicts(table, "feature_leak") == ["fail"]


def test_feature_leaks_ignores_what_is_the_same_for_all_stocks(honest):
    features = honest.features.with_columns(macro=pl.col("date").dt.day().cast(pl.Float32))
    table = feature_leaks(features, honest.realized)
    assert table["feature"].to_list() == ["drift_guess", "macro"]
    assert table["mean_rank_ic"].to_list()[1] is None
    assert not table["suspicious"].any()


def test_a_few_hundred_days_are_enough_for_the_leak_alarm(honest):
    tomorrow = honest.features.join(
        honest.realized.select("stock_code", "date", tomorrow="realized_return_1d"), on=["stock_code", "date"]
    )
    few = feature_leaks(tomorrow, honest.realized, days=12)
    assert few["days"].to_list() == [12, 12]
    assert few.filter("suspicious")["feature"].to_list() == ["tomorrow"]
    assert feature_leaks(tomorrow, honest.realized, days=10_000)["days"].max() == N_DAYS - 2


def test_what_chance_explains_is_no_leak():
    """Five stocks on ten days: a hundred features of noise, of which some correlate by more than the limit."""
    random = np.random.default_rng(3)
    keys = pl.DataFrame(
        {
            "stock_code": pl.Series([f"{10 * (at + 1):06d}" for at in range(5)] * 10, dtype=pl.Categorical),
            "date": [day for day in days(10) for _ in range(5)],
        }
    )
    noise = keys.with_columns(pl.Series(f"n{at}", random.normal(size=50)) for at in range(100))
    table = feature_leaks(noise, keys.with_columns(realized_return_1d=pl.Series(random.normal(size=50))))
    assert table["mean_rank_ic"].abs().max() > 0.3
    assert not table["suspicious"].any()


def test_a_longer_horizon_stands_in_where_there_is_no_return_of_a_day(honest):
    monthly = replace(honest, realized=honest.realized.drop("realized_return_1d"))
    assert verdicts(battery(monthly, only=["feature_leak"]), "feature_leak") == ["pass"]


def test_a_change_that_leaves_too_little_data_is_reported_with_the_reason(honest):
    def retrain(embargo_days: int | None = None, **_: int) -> pl.DataFrame:
        if embargo_days == 63:
            raise RetrainError("test year 2020: no training day is left")
        return honest.predictions

    table = battery(honest, retrain, only=["purge_gap"])
    assert table["verdict"].to_list() == ["pass", "not run"]
    assert table["case"][1].endswith("test year 2020: no training day is left")


def test_a_horizon_without_returns_is_not_judged(honest):
    nothing = honest.realized.with_columns(realized_return_21d=pl.lit(None, pl.Float64))
    table = battery(
        replace(honest, realized=nothing), lambda **_: honest.predictions, only=["horizon_switch"]
    )
    assert table["verdict"].to_list() == ["not run"]


def test_without_an_edge_there_is_none_to_lose(honest):
    upside_down = ranked(honest.predictions.with_columns(score=-pl.col("score")))
    table = battery(
        replace(honest, predictions=upside_down), lambda **_: upside_down, only=["purge_gap", "filing_lag"]
    )
    assert set(table["verdict"]) == {"shown"}


def test_costs_fail_an_edge_that_is_traded_away(honest):
    thin = replace(honest, predictions=noise(honest), rules=Rules(n=5, horizon=1))
    table = battery(thin, only=["cost_sweep"])
    assert table["value"].is_sorted(descending=True)
    assert verdicts(table, "cost_sweep")[-2:] == ["fail", "shown"]


def test_noise_keeps_nothing_of_an_edge(honest):
    table = battery(honest, lambda **_: noise(honest), only=["purge_gap", "filing_lag", "label_shuffle"])
    assert verdicts(table, "purge_gap") == ["fail", "fail"]
    assert verdicts(table, "filing_lag") == ["fail"]
    assert verdicts(table, "label_shuffle") == ["pass"]


def test_a_model_that_knows_the_answer_without_labels_fails_the_shuffle(honest):
    table = battery(honest, lambda **_: honest.predictions, only=["label_shuffle"])
    assert verdicts(table, "label_shuffle") == ["fail"]


def test_an_edge_of_small_stocks_fails_among_the_large(honest):
    none = replace(honest, universe=honest.universe.with_columns(market_cap=pl.lit(10**11)))
    assert verdicts(battery(none, only=["large_caps"]), "large_caps") == ["fail"]
    large = pl.col("stock_code").cast(pl.String) < "000200"
    reversed_there = ranked(
        honest.predictions.with_columns(
            score=pl.when(large).then(-pl.col("score")).otherwise(pl.col("score"))
        )
    )
    table = battery(replace(honest, predictions=reversed_there), only=["large_caps"])
    assert verdicts(table, "large_caps")[1] == "fail"


def test_a_delay_moves_scores_to_the_next_market_day(honest):
    calendar = pl.Series(days(N_DAYS))
    late = delayed(honest.predictions, calendar)
    assert late["date"].min() == calendar[1]
    assert late.height == honest.predictions.height - N_STOCKS
    row = late.row(7, named=True)
    before = honest.predictions.filter(
        (pl.col("stock_code") == row["stock_code"]) & (pl.col("date") == calendar[7])
    )
    assert before["score"].item() == row["score"]


def test_ranks_close_up_when_stocks_are_left_out(honest):
    kept = rerank(honest.predictions.filter(pl.col("rank") % 2 == 0))
    assert kept.group_by("date").agg(pl.col("rank").max())["rank"].unique().to_list() == [N_STOCKS // 2]


def test_an_unknown_stress_is_named(honest):
    with pytest.raises(ValueError, match="there is no stress luck"):
        battery(honest, only=["luck"])
