from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from finpipe_tests.real_market import (
    DERIVATIVE_INDICES,
    MARKET_INDICES,
    PRICES,
    RealMarket,
    index_levels,
    write_real_market,
)

LARGEST = 40


@pytest.fixture(scope="module")
def written(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RealMarket]:
    path = tmp_path_factory.mktemp("real") / "krx_stock_data.db"
    return path, write_real_market(path, shared_data, largest=LARGEST)


@pytest.fixture
def connection(written: tuple[Path, RealMarket]) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(written[0])
    yield connection
    connection.close()


@pytest.fixture(scope="module")
def source(shared_data: Path) -> pl.DataFrame:
    return pl.read_parquet(shared_data / "kr" / PRICES).with_columns(pl.col("date").dt.strftime("%Y%m%d"))


def test_every_row_of_the_chosen_stocks_is_there(written, connection, source):
    rows = pl.read_database("SELECT * FROM daily_prices ORDER BY stock_code, date", connection)
    expected = source.filter(pl.col("stock_code").is_in(rows["stock_code"].unique().to_list()))
    assert rows["stock_code"].n_unique() == LARGEST == written[1].stocks
    assert rows.height == written[1].rows
    assert_frame_equal(
        rows.select(
            "stock_code",
            "date",
            open="opening_price",
            high="high_price",
            low="low_price",
            close="closing_price",
            volume="volume",
        ),
        expected.sort("stock_code", "date"),
    )


def test_halts_are_kept_as_zeros_with_the_close_carried(written, connection):
    halts = pl.read_database("SELECT * FROM daily_prices WHERE volume = 0", connection)
    assert halts.height == written[1].halted_rows > 0
    assert halts["value"].to_list() == [0] * halts.height
    assert (halts["closing_price"] > 0).all()


def test_change_is_measured_from_the_previous_close(connection):
    rows = pl.read_database("SELECT * FROM daily_prices ORDER BY stock_code, date", connection)
    previous = pl.col("closing_price").shift(1).over("stock_code")
    later = rows.with_columns(previous=previous).drop_nulls("previous")
    assert (later["closing_price"] - later["change"]).to_list() == later["previous"].to_list()
    assert rows.filter(previous.is_null())["change"].to_list() == [0] * LARGEST


def test_market_caps_agree_with_the_published_ones(connection, shared_data):
    rows = pl.read_database("SELECT * FROM daily_prices", connection)
    published = pl.read_csv(
        shared_data / "kr" / "marcap" / "marcap-2022.csv.gz", schema_overrides={"Code": pl.String}
    ).select(stock_code="Code", date=pl.col("Date").str.replace_all("-", ""), published="Marcap")
    both = rows.join(published, on=["stock_code", "date"])
    ratio = both["market_cap"] / both["published"]
    assert both.height > LARGEST * 20
    assert ratio.median() == pytest.approx(1, abs=1e-6)
    assert ratio.is_between(0.9, 1.1).mean() > 0.99


def test_index_levels_equal_the_files(connection, shared_data):
    tables = {"index_daily_prices": MARKET_INDICES, "deriv_index_daily": DERIVATIVE_INDICES}
    for table, indices in tables.items():
        for code, (_, file) in indices.items():
            rows = pl.read_database(
                f"SELECT date, closing_index AS close FROM {table} WHERE index_code = ?",
                connection,
                execute_options={"parameters": [code]},
            )
            expected = index_levels(shared_data / "kr", file).with_columns(
                pl.col("date").dt.strftime("%Y%m%d"), pl.col("close").cast(pl.Float64)
            )
            assert rows.height > 1200
            assert_frame_equal(rows, expected.filter(pl.col("date") <= "20241230"))


def test_names_and_industries_come_with_the_stocks(connection):
    name, sector = connection.execute(
        "SELECT current_name, current_sector_type FROM stocks WHERE stock_code = '005930'"
    ).fetchone()
    assert name == "삼성전자"
    assert sector == "통신 및 방송 장비 제조업"


def test_stocks_without_a_published_market_cap_are_named(written, source):
    without_shares = written[1].without_shares
    first_days = source.filter(pl.col("stock_code").is_in(list(without_shares)))
    assert len(without_shares) == 29
    assert first_days["date"].min() > "20230228"


def test_absent_data_are_named(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=PRICES):
        write_real_market(tmp_path / "krx_stock_data.db", tmp_path)
