from __future__ import annotations

import datetime as dt

import polars as pl
import pytest

from finpipe.market.daily_bars import BarRequest, ProviderError
from finpipe.market.parquet_bars import ParquetBars, read_bars
from finpipe_tests.market.test_daily_bars import DAY, make_bars

REQUEST = BarRequest(("AAA", "BBB", "CCC"), DAY + dt.timedelta(days=1), DAY + dt.timedelta(days=3))


@pytest.fixture
def bars() -> pl.DataFrame:
    return pl.concat([make_bars(name="AAA"), make_bars(1, name="BBB")])


def test_a_file_gives_the_bars_of_the_range_and_says_what_it_lacks(tmp_path, bars):
    file = tmp_path / "b.parquet"
    bars.write_parquet(file)
    batch = ParquetBars(file).fetch(REQUEST)
    assert batch.bars.equals(bars[1:4])
    assert batch.failures == {
        "BBB": f"{file} has no bars of BBB from 2024-03-05 to 2024-03-07",
        "CCC": f"{file} does not have CCC",
    }


def test_a_folder_is_read_as_one(tmp_path, bars):
    bars[:3].write_parquet(tmp_path / "1.parquet")
    bars[3:].write_parquet(tmp_path / "2.parquet")
    (tmp_path / "notes.txt").write_text("not a bar")
    assert read_bars(tmp_path)[0].equals(bars)


def test_other_names_and_types_are_brought_to_ours(tmp_path, bars):
    foreign = bars.select(
        pl.col("date").cast(pl.Datetime("ns")),
        pl.col("ticker").cast(pl.Categorical),
        pl.col("close", "open", "high", "low", "dividend").cast(pl.Float32),
        pl.col("adjusted_close").alias("adj_close"),
        pl.col("volume").cast(pl.Float64) + 0.4,
        pl.col("split_ratio"),
        pl.lit("x").alias("more"),
    )
    foreign.write_parquet(tmp_path / "b.parquet")
    assert read_bars(tmp_path / "b.parquet")[0].equals(bars)


def test_faulty_bars_are_dropped_and_told(tmp_path, bars):
    bars.with_columns(
        pl.when(pl.col("ticker") == "BBB").then(0.0).otherwise("close").alias("close")
    ).write_parquet(tmp_path / "b.parquet")
    kept, notices = read_bars(tmp_path / "b.parquet")
    assert kept.height == 5
    assert "BBB 2024-03-04: close is 0.0" in notices[0]


def test_anything_else_is_refused_by_name(tmp_path, bars):
    with pytest.raises(ProviderError, match="there is no file"):
        read_bars(tmp_path / "none.parquet")
    with pytest.raises(ProviderError, match=r"holds no \.parquet files"):
        read_bars(tmp_path)
    (tmp_path / "a.parquet").write_bytes(b"ticker,date\n")
    with pytest.raises(ProviderError, match=r"a\.parquet is not a parquet file"):
        read_bars(tmp_path / "a.parquet")
    bars.drop("volume").rename({"close": "last"}).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(ProviderError, match=r"has no column close, volume; bars have .* the file has ticker"):
        read_bars(tmp_path / "a.parquet")
    bars.with_columns(pl.col("date").cast(pl.String)).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(ProviderError, match="date is String"):
        read_bars(tmp_path / "a.parquet")


def test_the_real_market_reads_with_its_faults_told(shared_data):
    bars, notices = read_bars(shared_data / "us" / "sp500_daily_2010_2016.parquet")
    assert bars.shape == (821_691, 10)
    assert bars["ticker"].n_unique() == 483
    assert len(notices) == 1
    assert "kept as they are: 32 bars" in notices[0]
