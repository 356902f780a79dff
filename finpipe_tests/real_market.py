"""The real KOSPI of 2020 to 2024 as a database in the KRX schema, built from the public files in ``data/kr``.

Prices are split-adjusted in the source, so the exchange's base price of a day is the previous close and market
caps are adjusted closes times adjusted shares. Only stocks listed in 2026 are in it: results on it are biased
upwards and prove that the line runs on real input, nothing more.
"""

from __future__ import annotations

import datetime as dt
import sqlite3
import zipfile
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from finpipe.market.demo import create_reference_indexes, create_reference_tables

PRICES = "kospi_daily_2020_2024.parquet"
INDEX_HISTORY_BEGINS = "2019-01-01"
"""A year before the prices: the market's regime needs 120 days of warm-up."""

MARKET_INDICES = {
    "KOSPI_코스피": ("KOSPI", "KOSPI.csv"),
    "KOSPI_코스피_200": ("KOSPI", "KOSPI200.csv"),
    "KOSDAQ_코스닥": ("KOSDAQ", "KOSDAQ.csv"),
}
DERIVATIVE_INDICES = {
    "DERIV_선물지수_미국달러선물지수": ("선물지수", "USDKRW.csv"),
    "DERIV_옵션지수_코스피_200_변동성지수": ("옵션지수", "KOSPI200_implied_volatility.csv"),
}


@dataclass(frozen=True, slots=True)
class RealMarket:
    """What was written: counts, and the stocks left out because their shares are unknown."""

    stocks: int
    days: int
    rows: int
    halted_rows: int
    without_shares: tuple[str, ...]


def write_real_market(path: Path, data: Path, *, largest: int | None = None) -> RealMarket:
    """Write the real market as an SQLite database in the reference's schema.

    Parameters
    ----------
    path
        The database to create; must not exist.
    data
        Folder of real market data, with ``kr/`` in it.
    largest
        Keep only so many stocks, those with the largest market cap; None keeps all 908.

    Returns
    -------
    RealMarket
        Stocks without a market cap in the marcap files (listed after February 2023) are left out and named.

    Raises
    ------
    FileNotFoundError
        Names what is missing below ``data``.
    """
    folder = data / "kr"
    if not (folder / PRICES).is_file():
        raise FileNotFoundError(f"the real KOSPI prices are absent: {folder / PRICES}")
    caps = _market_caps(folder)
    prices = pl.read_parquet(folder / PRICES)
    without_shares = prices.join(caps, on="stock_code", how="anti")["stock_code"].unique().sort()
    rows = _daily_rows(prices, caps, largest)
    last_day = prices["date"].max()
    stocks = _stocks(rows, caps, _industries(folder))

    connection = sqlite3.connect(path)
    connection.execute("PRAGMA synchronous = OFF")
    create_reference_tables(connection)
    _insert(connection, "daily_prices", rows)
    _insert(connection, "stocks", stocks)
    for code, (index_class, file) in MARKET_INDICES.items():
        name = code.removeprefix(f"{index_class}_").replace("_", " ")
        _insert(connection, "indices", _index(code, name, index_class))
        _insert(connection, "index_daily_prices", _index_rows(folder, file, code, last_day))
    for code, (index_class, file) in DERIVATIVE_INDICES.items():
        _insert(connection, "deriv_indices", _index(code, code, index_class))
        _insert(connection, "deriv_index_daily", _index_rows(folder, file, code, last_day))
    create_reference_indexes(connection)
    connection.commit()
    connection.close()
    return RealMarket(
        stocks=stocks.height,
        days=rows["date"].n_unique(),
        rows=rows.height,
        halted_rows=rows.filter(pl.col("volume") == 0).height,
        without_shares=tuple(without_shares),
    )


def index_levels(folder: Path, file: str) -> pl.DataFrame:
    """Return ``date`` and ``close`` of an index file as published, on the days of the Korean exchange."""
    frame = pl.read_csv(folder / "indices" / file, infer_schema_length=None)
    if file == "KOSPI200_implied_volatility.csv":
        frame = frame.select(
            pl.col("일자").str.to_date("%Y.%-m.%-d").alias("date"), close="평균내재변동성_전체"
        )
    else:
        frame = frame.select(pl.col("Date").str.to_date().alias("date"), close="Close")
    sessions = pl.read_csv(folder / "indices" / "KOSPI.csv").select(
        pl.col("Date").str.to_date().alias("date")
    )
    return (
        frame.filter(
            pl.col("date") >= pl.lit(INDEX_HISTORY_BEGINS).str.to_date(), pl.col("close").is_not_null()
        )
        .join(sessions, on="date", how="semi")
        .sort("date")
    )


def _market_caps(folder: Path) -> pl.DataFrame:
    files = sorted((folder / "marcap").glob("marcap-*.csv.gz"))
    if not files:
        raise FileNotFoundError(f"no marcap files in {folder / 'marcap'}")
    columns = ["Code", "Date", "Name", "Dept", "Amount", "Marcap"]
    return pl.concat(
        pl.read_csv(file, columns=columns, schema_overrides={"Code": pl.String}).select(columns)
        for file in files
    ).select(
        stock_code="Code",
        date=pl.col("Date").str.to_date(),
        name="Name",
        department="Dept",
        amount=pl.col("Amount").cast(pl.Int64),
        market_cap=pl.col("Marcap").cast(pl.Int64),
    )


def _daily_rows(prices: pl.DataFrame, caps: pl.DataFrame, largest: int | None) -> pl.DataFrame:
    size = caps.group_by("stock_code").agg(pl.col("market_cap").max())
    size = size.join(prices, on="stock_code", how="semi")
    if largest is not None:
        size = size.sort(["market_cap", "stock_code"], descending=[True, False]).head(largest)
    kept = prices.join(size, on="stock_code", how="semi").sort("stock_code", "date")
    known = kept.join(caps, on=["stock_code", "date"], how="left", maintain_order="left")
    # A month's median survives a split inside the month.
    shares = (
        known.drop_nulls("market_cap")
        .group_by("stock_code", pl.col("date").dt.truncate("1mo").alias("month"))
        .agg(pl.col("date").max(), shares=(pl.col("market_cap") / pl.col("close")).median())
        .sort("stock_code", "date")
    )
    base = pl.col("close").shift(1).over("stock_code").fill_null(pl.col("close"))
    return (
        known.join_asof(
            shares.drop("month"), on="date", by="stock_code", strategy="nearest", check_sortedness=False
        )
        .select(
            "stock_code",
            date=pl.col("date").dt.strftime("%Y%m%d"),
            closing_price="close",
            change=pl.col("close") - base,
            change_rate=((pl.col("close") - base) / base * 100).round(2),
            opening_price="open",
            high_price="high",
            low_price="low",
            volume="volume",
            value=pl.when(pl.col("volume") > 0)
            .then(pl.coalesce("amount", pl.col("close") * pl.col("volume")))
            .otherwise(0),
            market_cap=(pl.col("shares") * pl.col("close")).round().cast(pl.Int64),
            market_type=pl.lit("kospi"),
        )
        .sort("stock_code", "date")
    )


def _stocks(rows: pl.DataFrame, caps: pl.DataFrame, industries: dict[str, str]) -> pl.DataFrame:
    latest = caps.sort("date").group_by("stock_code").agg(pl.col("name", "department").last())
    shares = rows.group_by("stock_code").agg(
        shares=(pl.col("market_cap").last() / pl.col("closing_price").last()).round().cast(pl.Int64)
    )
    industry = pl.DataFrame(
        {"stock_code": list(industries), "industry": list(industries.values())},
        schema={"stock_code": pl.String, "industry": pl.String},
    )
    return (
        shares.join(latest, on="stock_code", how="left")
        .join(industry, on="stock_code", how="left")
        .select(
            "stock_code",
            current_name="name",
            current_market_type=pl.lit("KOSPI"),
            # The exchange's own label is a KOSDAQ division, blank on KOSPI.
            current_sector_type=pl.coalesce("industry", pl.col("department").replace("", None)),
            shares_outstanding="shares",
            is_active=pl.lit(1),
        )
        .sort("stock_code")
    )


def _industries(folder: Path) -> dict[str, str]:
    """Industry name by stock code from the newest balance sheets at hand; without the file, none."""
    files = sorted((folder / "dart").glob("*_BS_*.zip"))
    if not files:
        return {}
    names: dict[str, str] = {}
    with zipfile.ZipFile(files[-1]) as archive:
        for member in archive.infolist():
            with archive.open(member) as lines:
                next(lines)
                for line in lines:
                    fields = line.split(b"\t", 6)
                    names[fields[1].decode("ascii").strip("[]")] = fields[5].decode("cp949")
    return names


def _index_rows(folder: Path, file: str, code: str, last_day: dt.date) -> pl.DataFrame:
    close = pl.col("close")
    levels = index_levels(folder, file).filter(pl.col("date") <= last_day)
    return levels.select(
        index_code=pl.lit(code),
        date=pl.col("date").dt.strftime("%Y%m%d"),
        closing_index=close.cast(pl.Float64),
        change=close.diff().round(4),
        change_rate=((close / close.shift(1) - 1) * 100).round(2),
    )


def _index(code: str, name: str, index_class: str) -> pl.DataFrame:
    return pl.DataFrame({"index_code": [code], "current_name": [name], "index_class": [index_class]})


def _insert(connection: sqlite3.Connection, table: str, frame: pl.DataFrame) -> None:
    columns, marks = ", ".join(frame.columns), ", ".join("?" * frame.width)
    connection.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", frame.iter_rows())
