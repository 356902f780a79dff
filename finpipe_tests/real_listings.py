"""Everything that was listed on the Korean exchange in the first weeks of 2021 to 2023, as a database.

Built from the marcap files in ``data/kr``, with the names that have been delisted since.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

import polars as pl

from finpipe.market.demo import create_reference_tables

MARKETS = {"KOSPI": "kospi", "KOSDAQ": "kosdaq", "KOSDAQ GLOBAL": "kosdaq", "KONEX": "kodex"}
"""Market in the files to market in the database; KOSDAQ GLOBAL is a segment of KOSDAQ."""


def read_listings(data: Path) -> pl.DataFrame:
    """Return the files' rows as published: every stock of every day of January and February 2021 to 2023.

    Raises
    ------
    FileNotFoundError
        There are none below ``data``.
    """
    files = sorted((data / "kr" / "marcap").glob("marcap-*.csv.gz"))
    if not files:
        raise FileNotFoundError(f"the marcap files are absent: {data / 'kr' / 'marcap'}")
    wanted = ["Code", "Name", "Market", "Close", "Changes", "ChagesRatio", "Open", "High", "Low"]
    wanted += ["Volume", "Amount", "Marcap", "Stocks", "Date"]
    rows = pl.concat(
        pl.read_csv(file, columns=wanted, schema_overrides={"Code": pl.String}).select(wanted)
        for file in files
    )
    return rows.with_columns(pl.col("Date").str.to_date()).sort("Code", "Date")


def write_listings(path: Path, rows: pl.DataFrame) -> None:
    """Write ``rows`` as an SQLite database in the reference's schema.

    A stock that is gone in the next year's files counts as delisted on the first day of these; the true
    day is not in the files.
    """
    whole = ("Close", "Changes", "Open", "High", "Low", "Volume", "Amount", "Marcap")
    prices = rows.with_columns(pl.col(whole).cast(pl.Int64), market=pl.col("Market").replace_strict(MARKETS))
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA synchronous = OFF")
    create_reference_tables(connection)
    order = ("Close", "Changes", "ChagesRatio", "Open", "High", "Low", "Volume", "Amount", "Marcap", "market")
    _insert(
        connection,
        "daily_prices (stock_code, date, closing_price, change, change_rate, opening_price, high_price, "
        "low_price, volume, value, market_cap, market_type)",
        prices.select("Code", pl.col("Date").dt.strftime("%Y%m%d"), *order),
    )
    latest = prices.group_by("Code").agg(pl.col("Name", "Market", "Stocks").last())
    _insert(
        connection,
        "stocks (stock_code, current_name, current_market_type, shares_outstanding)",
        latest.select("Code", "Name", pl.col("Market").str.split(" ").list.first(), "Stocks").sort("Code"),
    )
    _insert(connection, "delisted_stocks (stock_code, company_name, delisting_date)", delistings(rows))
    connection.commit()
    connection.close()


def delistings(rows: pl.DataFrame) -> pl.DataFrame:
    """Return code, name and day (YYYYMMDD) of the stocks that are gone by the next year's files."""
    year = pl.col("Date").dt.year()
    openings = rows.group_by(year=year - 1).agg(gone_by=pl.col("Date").min())
    last = rows.group_by("Code").agg(pl.col("Name").last(), year=year.max())
    return (
        last.join(openings, on="year")
        .select("Code", "Name", pl.col("gone_by").dt.strftime("%Y%m%d"))
        .sort("Code")
    )


def _insert(connection: sqlite3.Connection, target: str, frame: pl.DataFrame) -> None:
    connection.executemany(f"INSERT INTO {target} VALUES ({', '.join('?' * frame.width)})", frame.iter_rows())
