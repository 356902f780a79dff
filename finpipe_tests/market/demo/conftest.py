"""One demo market that the tests of its parts look at."""

from __future__ import annotations

import sqlite3

import polars as pl
import pytest

from finpipe.market.demo import DemoSummary, write_demo_market
from finpipe_tests.market.demo.reading import read_table


@pytest.fixture(scope="session")
def market(tmp_path_factory: pytest.TempPathFactory) -> DemoSummary:
    path = tmp_path_factory.mktemp("demo") / "krx_stock_data.db"
    return write_demo_market(path, stocks=150, days=800)


@pytest.fixture(scope="session")
def connection(market: DemoSummary):
    opened = sqlite3.connect(f"file:{market.path}?mode=ro", uri=True)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def prices(market: DemoSummary) -> pl.DataFrame:
    return read_table(market, "SELECT * FROM daily_prices").sort("stock_code", "date")


@pytest.fixture(scope="session")
def reports(market: DemoSummary) -> pl.DataFrame:
    return read_table(market, "SELECT * FROM financial_periods").with_columns(
        period_end=pl.col("fiscal_date").str.to_date(),
        available=pl.col("available_date").str.to_date("%Y%m%d"),
    )
