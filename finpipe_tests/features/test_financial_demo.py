import numpy as np
import polars as pl
import pytest

from finpipe.features.financial import FEATURES, financial_features
from finpipe.market.demo import write_demo_market
from finpipe.market.filings import in_force, read_filings
from finpipe_tests.features.plain_financial import assert_equal_tables, plain_market
from finpipe_tests.market.filing_book import Book


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    return write_demo_market(tmp_path_factory.mktemp("demo") / "krx.db", stocks=24, years=5).path


@pytest.fixture(scope="module")
def prices(database):
    """Traded rows of the demo market with an industry as sector."""
    frame = pl.read_database_uri(
        "SELECT stock_code, date, market_cap FROM daily_prices WHERE volume > 0 ORDER BY stock_code, date",
        f"sqlite://{database}",
    )
    return frame.with_columns(pl.col("stock_code").cast(pl.Categorical), pl.col("date").str.to_date("%Y%m%d"))


def test_the_demo_market_equals_the_plain_account(database, prices):
    days = prices["date"].unique().sort().to_numpy()
    filings = read_filings(database, days).frame
    sectors = in_force(filings).group_by("stock_code").agg(pl.col("industry").last().alias("sector"))
    rows = prices.join(sectors, on="stock_code", how="left", maintain_order="left")
    table = financial_features(rows, filings)
    for feature in FEATURES:
        assert table[feature.name].count() > 0, feature.name
    chosen = pl.col("date").is_in(np.random.default_rng(0).choice(days, 15, replace=False).tolist())
    assert_equal_tables(table.filter(chosen), plain_market(Book.read(database), rows.filter(chosen), days))
