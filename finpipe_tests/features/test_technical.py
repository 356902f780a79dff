"""Technical features follow their formulas, look back only as far as declared, and never ahead."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from finpipe.features.technical import FEATURES, technical_features
from finpipe.market.schema import SchemaError
from finpipe.panel import block
from finpipe_tests.features import market, plain

KEYS = ["stock_code", "date"]
NAMES = [feature.name for feature in FEATURES]


@pytest.fixture(scope="module")
def bars() -> pl.DataFrame:
    return market.daily_prices(seed=11)


@pytest.fixture(scope="module")
def features(bars) -> pl.DataFrame:
    return technical_features(bars)


def test_rows_are_the_traded_rows_in_order(bars, features):
    assert_frame_equal(features.select(KEYS), market.traded(bars).select(KEYS))
    assert features.columns == [*KEYS, *NAMES]
    assert set(features.select(NAMES).dtypes) == {pl.Float32}


@pytest.mark.parametrize("seed", [11, 12, 13])
def test_every_formula_equals_its_plain_form(seed):
    bars = market.daily_prices(seed)
    found, expected = technical_features(bars), plain.technical(market.traded(bars))
    assert set(expected.columns) == set(NAMES)
    for name in NAMES:
        values = found[name].cast(pl.Float64)
        assert not values.is_nan().any(), name
        np.testing.assert_allclose(values.to_numpy(), expected[name], rtol=2e-6, atol=1e-7, err_msg=name)


def test_the_random_market_exercises_every_feature(features):
    for name in NAMES:
        assert features[name].n_unique() > 2 or name in {"rsi_divergence", "bb_squeeze"}, name
    for name in ("rsi_divergence", "bb_squeeze"):
        assert features[name].unique().sort().to_list() == [0.0, 1.0]


@pytest.mark.parametrize("last", [30, 150, 400])
def test_later_rows_change_no_bit(bars, features, last):
    day = market.FIRST_DAY + dt.timedelta(last)
    known = technical_features(bars.filter(pl.col("date") <= day))
    assert_frame_equal(known, features.filter(pl.col("date") <= day), check_exact=True)


def test_poison_in_the_future_changes_no_bit(bars, features):
    day = market.FIRST_DAY + dt.timedelta(200)
    wild = pl.when(pl.col("date") > day).then(1e6).otherwise(1.0)
    poisoned = bars.with_columns(pl.col("^adjusted_.*$") * wild)
    assert_frame_equal(
        technical_features(poisoned).filter(pl.col("date") <= day),
        features.filter(pl.col("date") <= day),
        check_exact=True,
    )


def test_older_rows_than_the_declared_window_change_nothing():
    bars = market.daily_prices(seed=21, stocks=8, calm=True)
    begin = 67
    whole = technical_features(bars)
    late = technical_features(bars.filter(pl.col("date") >= market.FIRST_DAY + dt.timedelta(begin)))
    for feature in FEATURES:
        day = market.FIRST_DAY + dt.timedelta(begin + feature.window - 1)
        one = late.filter(pl.col("date") >= day)[feature.name]
        other = whole.filter(pl.col("date") >= day)[feature.name]
        assert one.len() > 0, feature.name
        np.testing.assert_allclose(
            one.to_numpy(), other.to_numpy(), rtol=1e-6, atol=1e-9, err_msg=feature.name
        )


def test_the_names_of_the_stocks_do_not_matter(bars, features):
    codes = bars["stock_code"].cast(pl.String).unique().sort()
    renamed = pl.col("stock_code").cast(pl.String).replace(codes, codes.reverse()).cast(pl.Categorical)
    found = technical_features(bars.with_columns(renamed).sort(KEYS))
    assert_frame_equal(found.with_columns(renamed).sort(KEYS), features, check_exact=True)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_and_blocks_change_no_bit(bars, features, monkeypatch, threads):
    monkeypatch.setattr(block, "ROWS_PER_BLOCK", 700)
    assert_frame_equal(technical_features(bars, threads), features, check_exact=True)


def test_values_stay_in_the_declared_range(features):
    for feature in FEATURES:
        least, most = features[feature.name].min(), features[feature.name].max()
        assert feature.low is None or least >= feature.low, feature.name
        assert feature.high is None or most <= feature.high, feature.name


def test_features_declared_never_null_are_never_null(features):
    for feature in FEATURES:
        assert feature.null or features[feature.name].null_count() == 0, feature.name


def test_a_flat_day_closes_in_the_middle_of_its_range():
    bars = _bars(close=[1000] * 30, high=[1000] * 30, low=[1000] * 30)
    found = technical_features(bars)
    assert set(found["smart_money_flow"].drop_nulls()) == {0.0}
    assert found["smart_money_flow"].null_count() == 9


def test_a_breakout_follows_a_contraction():
    # Wide swings at twice the price, then a tight and quiet base, then the volume comes back.
    swings = [2000 + 900 * (-1) ** day for day in range(230)]
    base = [1000 + day % 2 for day in range(40)]
    volume = [1000] * 250 + [100] * 19 + [5000]
    found = technical_features(_bars(close=swings + base, volume=volume))
    contraction, trend = found["vcp_score"][-2], found["volume_trend"][-1]
    assert contraction == pytest.approx(2905 / 995 - 1)
    assert trend > 0.8
    assert found["vcp_breakout_potential"][-1] == pytest.approx(contraction * min(trend - 0.8, 2.0))
    assert found["vcp_breakout_potential"][-2] == 0.0


def test_a_market_without_traded_rows_has_columns_but_no_rows(bars):
    found = technical_features(bars.with_columns(volume=pl.lit(0)))
    assert found.height == 0
    assert found.columns == [*KEYS, *NAMES]


def test_rows_out_of_order_are_refused(bars):
    with pytest.raises(SchemaError, match="sorted by"):
        technical_features(bars.sort("stock_code", "date", descending=[False, True]))


def _bars(close, high=None, low=None, volume=None) -> pl.DataFrame:
    days = len(close)
    closes = np.array(close, dtype=float)
    return pl.DataFrame(
        {
            "stock_code": pl.Series(["000010"] * days, dtype=pl.Categorical),
            "date": [market.FIRST_DAY + dt.timedelta(day) for day in range(days)],
            "market": pl.Series(["kospi"] * days, dtype=pl.Categorical),
            "volume": volume or [1000] * days,
            "value": [10**9] * days,
            "adjusted_high": closes + 5 if high is None else np.array(high, dtype=float),
            "adjusted_low": closes - 5 if low is None else np.array(low, dtype=float),
            "adjusted_close": closes,
            "adjusted_volume": np.array(volume or [1000] * days, dtype=float),
        }
    )
