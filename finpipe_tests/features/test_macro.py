from __future__ import annotations

import datetime as dt
import gzip
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from finpipe.features import macro
from finpipe.features.macro import COMPOSITES, FEATURES, join_macro_features, macro_features
from finpipe.market.schema import INDEX_LEVELS

DAYS = [
    day for day in (dt.date(2020, 1, 1) + dt.timedelta(n) for n in range(364)) if day.weekday() < 5
]  # 260 weekdays
CLASSES = {
    macro.KOSPI_200: "KOSPI",
    macro.KOSDAQ_150: "KOSDAQ",
    macro.LARGE_CAPS: "KOSPI",
    macro.SMALL_CAPS: "KOSPI",
    macro.VKOSPI: "옵션지수",
    macro.DOLLAR_FUTURES: "선물지수",
    macro.TREASURY_BONDS: None,
}


def index_levels(series: dict[str, list[float | None]], days: list[dt.date] = DAYS) -> pl.DataFrame:
    frames = [
        pl.DataFrame(
            {
                "index_code": code,
                "date": days[: len(values)],
                "family": "market" if CLASSES.get(code, "KOSPI") in {"KOSPI", "KOSDAQ"} else "derivative",
                "index_class": CLASSES.get(code, "KOSPI"),
                "close": pl.Series(values, dtype=pl.Float64),
            },
            schema={column.name: column.dtype for column in INDEX_LEVELS.columns},
        )
        for code, values in sorted(series.items())
    ]
    return INDEX_LEVELS.validate(pl.concat(frames).sort("index_code", "date"))


def random_levels(seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    return index_levels(
        {code: (100 * np.exp(np.cumsum(rng.normal(0, 0.01, len(DAYS))))).tolist() for code in CLASSES}
    )


def test_values_equal_the_golden_ones(golden: Path, tmp_path: Path):
    database = tmp_path / "krx_stock_data.db"
    with (
        gzip.open(golden / "features_krx_stock_data.db.gz") as packed,
        database.open("wb") as unpacked,
    ):
        shutil.copyfileobj(packed, unpacked)
    connection = sqlite3.connect(database)
    rows = connection.execute(
        "SELECT index_code, date, index_class, closing_index FROM index_daily_prices JOIN indices USING (index_code)"
        " UNION ALL SELECT index_code, date, NULL, closing_index FROM deriv_index_daily"
        " UNION ALL SELECT index_code, date, NULL, total_return_index FROM bond_index_daily"
    ).fetchall()
    days = pl.Series(day for (day,) in connection.execute("SELECT DISTINCT date FROM daily_prices"))
    connection.close()
    levels = pl.DataFrame(rows, schema=["index_code", "date", "index_class", "close"], orient="row")
    result = macro_features(
        levels.with_columns(pl.col("date").str.to_date("%Y%m%d")), days.str.to_date("%Y%m%d")
    )

    expected = (
        pl.read_parquet(golden / "macro_features.parquet")
        .drop("__index_level_0__")
        .with_columns(pl.col("date").str.to_date("%Y%m%d"))
    )
    actual = result.frame.join(expected.select("date"), on="date", how="semi").select(expected.columns)
    assert result.missing == ()
    assert_frame_equal(actual.cast({pl.Float32: pl.Float64}), expected, rel_tol=1e-5, abs_tol=1e-6)


def test_columns_are_the_declared_ones():
    frame = macro_features(random_levels(), DAYS).frame
    assert frame.columns == ["date", *(feature.name for feature in FEATURES)]
    assert [frame.schema[feature.name] for feature in FEATURES] == [feature.dtype for feature in FEATURES]
    for feature in FEATURES:
        values = frame[feature.name].drop_nulls()
        assert feature.low is None or values.min() >= feature.low
        assert feature.high is None or values.max() <= feature.high


def test_one_row_per_market_day_even_where_no_index_traded():
    days = [*DAYS, dt.date(2020, 12, 31)]
    frame = macro_features(random_levels(), reversed(days)).frame
    assert frame["date"].to_list() == days
    assert frame.drop("date").row(-1) == frame.drop("date").row(-2)


def test_a_missing_index_is_named_and_its_features_are_null_not_zero():
    levels = random_levels().filter(pl.col("index_code") != macro.KOSDAQ_150)
    result = macro_features(levels, DAYS)
    assert result.missing == (macro.KOSDAQ_150,)
    assert result.frame["kosdaq_regime_score"].null_count() == len(DAYS)
    assert result.frame["market_regime_score"].null_count() < len(DAYS)


def test_without_any_level_everything_is_named_and_null():
    result = macro_features(random_levels().clear(), DAYS)
    assert result.missing[:-1] == tuple(CLASSES)
    assert result.missing[-1] == "any index of class KOSPI or KOSDAQ"
    assert all(result.frame[feature.name].null_count() == len(DAYS) for feature in FEATURES)


def test_without_a_calendar_there_are_no_rows():
    assert macro_features(random_levels(), []).frame.height == 0


def test_breadth_counts_only_indices_with_a_valid_value():
    rising = [100.0 + n for n in range(30)]
    falling = [100.0 - n for n in range(30)]
    constant = [7.3] * 30
    young = [None] * 25 + [1.0, 2.0, 3.0, 4.0, 5.0]
    silent = [*rising[:29], None]
    zero = [*rising[:29], 0.0]
    levels = index_levels(
        {"a": rising, "b": falling, "c": constant, "d": young, "e": silent, "f": zero, "g": rising}
    )
    frame = macro_features(levels, DAYS[:30]).frame
    assert frame["market_breadth"][28] == pytest.approx(4 / 6)
    assert frame["market_breadth"][29] == pytest.approx(2 / 4)
    assert frame["market_breadth"][:9].null_count() == 9
    assert frame["market_breadth_change"][29] == pytest.approx(2 / 4 - 4 / 6)


def test_breadth_ignores_derivative_and_bond_indices():
    levels = random_levels()
    only_market = levels.filter(pl.col("index_class").is_in(["KOSPI", "KOSDAQ"]))
    assert_frame_equal(
        macro_features(levels, DAYS).frame.select("date", "market_breadth"),
        macro_features(only_market, DAYS).frame.select("date", "market_breadth"),
    )


@pytest.mark.parametrize("limit", [0, 3, 10])
def test_values_are_carried_forward_for_a_limited_number_of_market_days(limit: int):
    levels = index_levels({macro.VKOSPI: [20.0] * 50})
    level = macro_features(levels, DAYS, forward_fill_days=limit).frame["fear_index_level"]
    assert level.to_list() == [20.0] * (50 + limit) + [None] * (len(DAYS) - 50 - limit)


def test_a_level_from_before_the_calendar_ages_too():
    levels = index_levels({macro.VKOSPI: [20.0] * 50})
    level = macro_features(levels, DAYS[55:]).frame["fear_index_level"]
    assert level.to_list() == [20.0] * 5 + [None] * (len(DAYS) - 60)


def test_spreads_use_only_days_on_which_both_indices_have_a_level():
    large = [100.0 + n for n in range(40)]
    small = [200.0] * 40
    large[5] = None
    frame = macro_features(index_levels({macro.LARGE_CAPS: large, macro.SMALL_CAPS: small}), DAYS[:40]).frame
    assert frame["size_spread"][:21].null_count() == 21
    assert frame["size_spread"][21] == pytest.approx(121 / 100 - 1)
    assert frame["size_spread"][39] == pytest.approx(139 / 119 - 1)


def test_the_risk_score_averages_the_components_present():
    levels = index_levels({macro.VKOSPI: [20.0] * 10 + [25.0]})
    frame = macro_features(levels, DAYS[:11]).frame
    assert frame["macro_risk_score"].to_list() == [None] * 5 + [0.0] * 5 + [pytest.approx(0.5)]

    both = index_levels({macro.VKOSPI: [20.0] * 20 + [25.0], macro.DOLLAR_FUTURES: [100.0] * 20 + [95.0]})
    score = macro_features(both, DAYS[:21]).frame["macro_risk_score"][20]
    assert score == pytest.approx((0.5 - 0.5) / 2)


def test_levels_after_a_day_change_nothing_up_to_it():
    levels = random_levels()
    full = macro_features(levels, DAYS).frame
    for cut in (70, 130, 200):
        day = DAYS[cut]
        truncated = macro_features(levels.filter(pl.col("date") <= day), DAYS[: cut + 1]).frame
        assert_frame_equal(truncated, full[: cut + 1], check_exact=True)
        later = pl.col("date") > day
        poisoned = levels.with_columns(close=pl.when(later).then(pl.col("close") * 1e6).otherwise("close"))
        assert_frame_equal(macro_features(poisoned, DAYS).frame[: cut + 1], full[: cut + 1], check_exact=True)


def test_no_value_depends_on_data_older_than_its_declared_window():
    levels = random_levels()
    full = macro_features(levels, DAYS).frame
    start = 40
    later = macro_features(levels.filter(pl.col("date") >= DAYS[start]), DAYS).frame
    for feature in FEATURES:
        settled = start + feature.window - 1
        assert_frame_equal(
            later.select(feature.name)[settled:], full.select(feature.name)[settled:], rel_tol=1e-6
        )


def test_joining_keeps_the_rows_and_multiplies_regime_and_momentum():
    rows = pl.DataFrame(
        {
            "stock_code": ["b", "a", "a", "a"],
            "date": [DAYS[1], DAYS[0], DAYS[1], DAYS[2]],
            "mom_20d": pl.Series([0.9, 0.1, None, 0.3], dtype=pl.Float32),
        }
    )
    market = pl.DataFrame(
        {"date": DAYS[:2], "market_regime_score": pl.Series([-0.1, -0.7], dtype=pl.Float32)}
    )
    joined = join_macro_features(rows, market)
    assert_frame_equal(joined.select(rows.columns), rows)
    (composite,) = COMPOSITES
    assert joined[composite.name].to_list() == [
        pytest.approx(-0.2 * 0.5),
        pytest.approx(-0.1 * 0.1),
        None,
        None,
    ]
