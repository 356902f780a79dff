"""Betas use complete pairs, start at the declared number of them, and never look ahead."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from finpipe.features.beta import FEATURES, WINDOWS, rolling_beta
from finpipe.panel import block
from finpipe_tests.features import market, plain

KEYS = ["stock_code", "date"]


@pytest.fixture(scope="module")
def bars() -> pl.DataFrame:
    return market.daily_prices(seed=31)


@pytest.fixture(scope="module")
def betas(bars) -> pl.DataFrame:
    return rolling_beta(bars)


def test_rows_are_the_traded_rows_in_order(bars, betas):
    assert_frame_equal(betas.select(KEYS), market.traded(bars).select(KEYS))
    assert betas.columns == [*KEYS, *(feature.name for feature in FEATURES)]
    assert set(betas.select(list(WINDOWS)).dtypes) == {pl.Float32}
    assert sum(betas.null_count().row(0)) == 0


@pytest.mark.parametrize("seed", [31, 32])
def test_both_equal_pandas_on_complete_pairs(seed):
    bars = market.daily_prices(seed)
    found, expected = rolling_beta(bars), plain.betas(market.traded(bars))
    for name in WINDOWS:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5, atol=1e-6, err_msg=name)


def test_beta_is_one_until_there_are_enough_pairs():
    bars = market.daily_prices(seed=33, stocks=9, calm=True)
    for (stock,), rows in rolling_beta(bars).group_by("stock_code", maintain_order=True):
        for name, (_, pairs) in WINDOWS.items():
            # The first row has no return, so the pairs-th pair stands on the row after as many rows.
            assert set(rows[name][:pairs]) == {1.0}, stock
            assert rows[name][pairs] != 1.0, stock


def test_betas_stay_within_three():
    bars = market.daily_prices(seed=34)
    wild = bars.with_columns(
        pl.col("adjusted_close") ** pl.when(pl.col("stock_code") == "000030").then(9).otherwise(1)
    )
    found = rolling_beta(wild)
    for name in WINDOWS:
        assert found[name].max() == 3.0
        assert found[name].min() >= -3.0


@pytest.mark.parametrize("last", [50, 300])
def test_later_rows_change_no_bit(bars, betas, last):
    day = market.FIRST_DAY + dt.timedelta(last)
    assert_frame_equal(
        rolling_beta(bars.filter(pl.col("date") <= day)),
        betas.filter(pl.col("date") <= day),
        check_exact=True,
    )


def test_older_rows_than_the_declared_window_change_nothing():
    bars = market.daily_prices(seed=35, stocks=8, calm=True)
    begin = 67
    whole = rolling_beta(bars)
    late = rolling_beta(bars.filter(pl.col("date") >= market.FIRST_DAY + dt.timedelta(begin)))
    for feature in FEATURES:
        day = market.FIRST_DAY + dt.timedelta(begin + feature.window - 1)
        one, other = (frame.filter(pl.col("date") >= day)[feature.name] for frame in (late, whole))
        assert one.len() > 0
        np.testing.assert_allclose(one, other, rtol=1e-6)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_and_blocks_change_no_bit(bars, betas, monkeypatch, threads):
    monkeypatch.setattr(block, "ROWS_PER_BLOCK", 700)
    assert_frame_equal(rolling_beta(bars, threads), betas, check_exact=True)


def test_a_market_without_traded_rows_has_no_betas(bars):
    assert rolling_beta(bars.with_columns(volume=pl.lit(0))).height == 0
