"""The planted signal: found where it was put, gone when shuffled, and made from past rows alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finpipe.market.demo import PLANTED_PUSH, PLANTED_RANK_IC, PLANTED_WEIGHTS, write_demo_market
from finpipe.market.demo.signal import PLANTED_MEMORY, PlantedSignal, centred_rank

HORIZON = 21


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    """Universe rows of a mid-size demo market with the planted features, their score and the return ahead."""
    path = tmp_path_factory.mktemp("demo") / "krx_stock_data.db"
    write_demo_market(path, stocks=300, days=1000)
    return _universe(_features(path))


def _features(path: Path) -> pl.DataFrame:
    uri = f"sqlite://{path}"
    prices = pl.read_database_uri("SELECT * FROM daily_prices WHERE market_type != 'kodex'", uri)
    calendar = prices.select(pl.col("date").unique().sort()).with_row_index("day").cast({"day": pl.Int64})
    over = "stock_code"
    traded = (
        prices.join(calendar, on="date")
        .filter(pl.col("volume") > 0)
        .sort(over, "day")
        .with_columns(
            adjusted=(1 + pl.col("change") / (pl.col("closing_price") - pl.col("change")))
            .cum_prod()
            .over(over)
        )
        .with_columns(factor=pl.col("adjusted") / pl.col("closing_price"))
        .with_columns(
            opening=pl.when(pl.col("opening_price") > 0).then(pl.col("opening_price") * pl.col("factor")),
            shares=pl.col("volume") / pl.col("factor"),
        )
        .with_columns(
            mom_20d=pl.col("adjusted") / pl.col("adjusted").shift(20).over(over) - 1,
            volume_surprise=pl.col("shares") / pl.col("shares").rolling_mean(20, min_samples=10).over(over),
        )
    )
    opens = traded.select(over, "day", "opening")
    entry = opens.select(over, day=pl.col("day") - 1, entry="opening")
    leave = opens.select(over, day=pl.col("day") - 1 - HORIZON, leave="opening")
    known = _gross_profit_over_assets(uri)
    return (
        traded.join(entry, on=[over, "day"], how="left")
        .join(leave, on=[over, "day"], how="left")
        .with_columns(ahead=pl.col("leave") / pl.col("entry") - 1, today=pl.col("date").str.to_date("%Y%m%d"))
        .sort("today")
        .join_asof(
            known, left_on="today", right_on="available", by=over, strategy="backward", check_sortedness=False
        )
    )


def _gross_profit_over_assets(uri: str) -> pl.DataFrame:
    """Trailing gross profit over assets by the day it is known, consolidated reports first."""
    reports = pl.read_database_uri(
        "SELECT p.stock_code, p.fiscal_date, p.available_date, p.report_type, p.consolidation_type, "
        "g.amount_current_ytd AS ytd, g.amount_prev_ytd AS prev_ytd, g.amount_prev_year AS prev_year, "
        "a.amount_current AS assets FROM financial_periods p "
        "JOIN financial_items_pl g ON g.period_id = p.id "
        "AND g.item_code_normalized = 'ifrs-full_GrossProfit' "
        "JOIN financial_items_bs_cf a ON a.period_id = p.id AND a.item_code_normalized = 'ifrs-full_Assets'",
        uri,
    )
    annual = pl.col("report_type") == "사업보고서"
    consolidated = (pl.col("consolidation_type") == "연결").any().over("stock_code")
    return (
        reports.filter((pl.col("consolidation_type") == "연결") | ~consolidated)
        .with_columns(
            gp_over_assets=pl.when(annual)
            .then(pl.col("ytd"))
            .otherwise(pl.col("ytd") + pl.col("prev_year") - pl.col("prev_ytd"))
            / pl.col("assets"),
            available=pl.max_horizontal(
                pl.col("available_date").str.to_date("%Y%m%d"),
                pl.col("fiscal_date").str.to_date()
                + pl.duration(days=pl.when(annual).then(91).otherwise(46)),
            ),
        )
        .drop_nulls("gp_over_assets")
        .sort("available", "fiscal_date")
        .select("stock_code", "available", "gp_over_assets")
    )


def _universe(rows: pl.DataFrame) -> pl.DataFrame:
    members = rows.filter(
        (pl.col("closing_price") >= 1_000)
        & (pl.col("market_cap") >= 500e9)
        & (pl.col("value") >= 10e9)
        & pl.col("stock_code").str.ends_with("0")
    )
    ranks = [
        ((pl.col(name).rank() / pl.col(name).count() - 0.5).fill_null(0).over("date") * weight)
        for name, weight in PLANTED_WEIGHTS.items()
    ]
    return members.with_columns(score=pl.sum_horizontal(ranks))


def _rank_ic(rows: pl.DataFrame, score: str) -> float:
    known = rows.drop_nulls([score, "ahead"]).filter(pl.len().over("date") >= 10)
    daily = known.group_by("date").agg(pl.corr(score, "ahead", method="spearman").alias("ic"))
    return float(daily["ic"].fill_nan(None).drop_nulls().mean())


def test_a_linear_score_of_the_planted_features_finds_an_ic_within_the_band(scored):
    low, high = PLANTED_RANK_IC
    assert low < _rank_ic(scored, "score") < high


def test_every_planted_feature_helps(scored):
    for name in PLANTED_WEIGHTS:
        assert _rank_ic(scored, name) > 0.015, name


def test_shuffled_within_each_date_the_score_finds_nothing(scored):
    shuffled = scored.sort("date", "stock_code").with_columns(pl.col("score").shuffle(seed=3).over("date"))
    assert abs(_rank_ic(shuffled, "score")) < 0.01


def test_looking_ahead_finds_far_more_than_the_band(scored):
    peeking = scored.sort("stock_code", "day").with_columns(
        peek=pl.col("mom_20d").shift(-HORIZON).over("stock_code")
    )
    assert _rank_ic(peeking, "peek") > 2 * PLANTED_RANK_IC[1]


def test_most_rows_of_the_default_mix_pass_the_universe_filters(scored):
    per_day = scored.group_by("date").len()["len"]
    assert 0.5 * 240 < per_day.mean() < 0.75 * 300


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(-1e6, 1e6), min_size=5, max_size=40, unique=True), st.integers(0, 3))
def test_centred_ranks_are_uniform_with_unit_variance_and_zero_where_unknown(values, missing):
    among = np.ones(len(values) + missing, dtype=bool)
    found = centred_rank(np.array(values + [np.nan] * missing), among)
    count = len(values)
    expected = np.sqrt(12) * ((np.argsort(np.argsort(values)) + 0.5) / count - 0.5)
    np.testing.assert_allclose(found[:count], expected)
    assert (found[count:] == 0).all()


def test_the_push_equals_a_plain_computation_from_past_rows():
    rng = np.random.default_rng(5)
    days, stocks = 60, 12
    traded = rng.random((days, stocks)) > 0.1
    returns = np.where(traded, 0.02 * rng.standard_normal((days, stocks)), 0.0)
    volume = np.where(traded, rng.integers(1_000, 9_000, (days, stocks)), 0).astype(float)
    signal = PlantedSignal(stocks)
    everyone = np.ones(stocks, dtype=bool)
    expected = np.zeros(stocks)
    for day in range(days):
        signal.close_day(traded[day], everyone, returns[day], volume[day])
        surprise, momentum = np.full(stocks, np.nan), np.full(stocks, np.nan)
        for stock in range(stocks):
            rows = np.flatnonzero(traded[: day + 1, stock])
            if rows.size >= 10:
                surprise[stock] = volume[day, stock] / volume[rows[-20:], stock].mean()
            if rows.size > 20:
                momentum[stock] = np.prod(1 + returns[rows[-20:], stock]) - 1
        pushed = PLANTED_PUSH["volume_surprise"] * centred_rank(surprise, traded[day])
        pushed += PLANTED_PUSH["mom_20d"] * centred_rank(momentum, traded[day])
        expected = PLANTED_MEMORY * expected + (1 - PLANTED_MEMORY) * pushed
        np.testing.assert_allclose(signal.push, expected, rtol=1e-9, atol=1e-12)
