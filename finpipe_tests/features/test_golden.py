"""Features equal the golden values computed by the reference system, but for the differences named here."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from finpipe.features import beta, sector, technical
from finpipe.market.krx_database import read_daily_prices, read_stocks

KEYS = ["stock_code", "date"]

DECIDED_OTHERWISE = {
    "vcp_breakout_potential": "identically 0 in the reference; finpipe multiplies the previous row's vcp_score",
    "rolling_beta": "complete pairs in both moments while the window covers the stock's first row",
    "rolling_beta_60d": "complete pairs in both moments while the window covers the stock's first row",
}
"""No row of the golden market has high = low, so money flow equals the reference everywhere."""


@pytest.fixture(scope="module")
def database(golden, tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("golden") / "krx_stock_data.db"
    with gzip.open(golden / "features_krx_stock_data.db.gz") as source, file.open("wb") as target:
        shutil.copyfileobj(source, target)
    return file


@pytest.fixture(scope="module")
def bars(database) -> pl.DataFrame:
    """Bars of the golden market, which has no splits."""
    return read_daily_prices(database).frame


@pytest.fixture(scope="module")
def stocks(database) -> pl.DataFrame:
    return read_stocks(database).frame


@pytest.fixture(scope="module")
def expected(golden) -> pl.DataFrame:
    return pl.read_parquet(golden / "technical_features.parquet").with_columns(
        pl.col("stock_code").cast(pl.Categorical), pl.col("date").str.to_date("%Y%m%d")
    )


@pytest.fixture(scope="module")
def found(bars, stocks, expected) -> pl.DataFrame:
    """Every feature, on the rows of the golden sample, in its order."""
    features = technical.technical_features(bars)
    relative = sector.sector_features(features, sector.sector_of_rows(features, stocks))
    whole = pl.concat(
        [features, beta.rolling_beta(bars).drop(KEYS), relative.drop(KEYS)], how="horizontal"
    ).with_columns(nth_row=pl.int_range(1, pl.len() + 1).over("stock_code"))
    return expected.select(KEYS).join(whole, on=KEYS, how="left", maintain_order="left")


def test_every_golden_column_is_produced_and_no_other(expected, found):
    assert set(expected.columns) == set(found.columns) - {"nth_row"}


def test_values_and_nulls_equal_the_golden_ones(expected, found):
    assert expected.height > 10_000
    names = [name for name in expected.columns if name not in {*KEYS, "sector", *DECIDED_OTHERWISE}]
    for name in names:
        assert found[name].null_count() == expected[name].null_count(), name
        np.testing.assert_allclose(
            found[name].to_numpy(), expected[name].to_numpy(), rtol=1e-5, atol=1e-6, err_msg=name
        )


def test_sectors_equal_the_golden_ones(expected, found):
    assert found["sector"].cast(pl.String).to_list() == expected["sector"].to_list()


@pytest.mark.parametrize("name", list(beta.WINDOWS))
def test_betas_differ_only_while_the_window_covers_the_first_row(expected, found, name):
    covered = found["nth_row"].to_numpy() <= beta.WINDOWS[name][0]
    one, other = found[name].to_numpy(), expected[name].to_numpy()
    np.testing.assert_allclose(one[~covered], other[~covered], rtol=1e-5, atol=1e-6)
    # One extra market day in the reference's variance moves a young beta a little.
    assert np.abs(one - other)[covered].max() < 0.25
    assert np.abs(one - other)[covered].mean() < 0.02
    assert not np.array_equal(one[covered], other[covered])


def test_the_golden_breakout_is_zero_where_finpipe_finds_some(expected, found):
    assert set(expected["vcp_breakout_potential"].drop_nulls()) == {0.0}
    breakouts = found["vcp_breakout_potential"].drop_nulls()
    assert 0 < (breakouts > 0).mean() < 0.05
    # A lag costs each stock its first row with a score, and no other.
    nulls = found["vcp_breakout_potential"].null_count() - expected["vcp_breakout_potential"].null_count()
    assert 0 <= nulls <= found["stock_code"].n_unique()
