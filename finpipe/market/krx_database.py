"""The market's tables as finpipe uses them, read from ``krx_stock_data.db``: prices, stocks, index levels.

How the file is read stands in ``source_reader``, adjustment in ``adjust``, statements in ``filings``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from finpipe.market import schema, source_tables
from finpipe.market.adjust import adjusted, adjustment
from finpipe.market.snapshot import connect
from finpipe.market.source_reader import SourceRows, read_tables
from finpipe.market.source_tables import SourceError, SourceTable

MARKETS = {"kospi": "kospi", "kosdaq": "kosdaq", "konex": "konex", "kodex": "konex"}
"""Market in the database, in lower case, to market in finpipe; ``kodex`` is what KONEX was once called."""

PRICE_COLUMNS = {
    "stock_code": "stock_code",
    "date": "date",
    "market_type": "market",
    "opening_price": "open",
    "high_price": "high",
    "low_price": "low",
    "closing_price": "close",
    "change": "change",
    "change_rate": "change_rate",
    "volume": "volume",
    "value": "value",
    "market_cap": "market_cap",
}
"""Column of the source table to column of ``krx/daily_prices``."""

_CODE_LENGTH = 6
_INDEX_FAMILIES = (
    ("market", source_tables.INDEX_DAILY_PRICES, "closing_index", source_tables.INDICES),
    ("derivative", source_tables.DERIV_INDEX_DAILY, "closing_index", source_tables.DERIV_INDICES),
    ("bond", source_tables.BOND_INDEX_DAILY, "total_return_index", None),
)


@dataclass(frozen=True, slots=True)
class MarketTable:
    """A table of the market and what happened to it on the way in.

    Parameters
    ----------
    frame
        Valid under the schema catalogue.
    counts
        How many rows were read, and how many values were mended, by what was done in words.
    warnings
        Sentences about what the database lacks.
    """

    frame: pl.DataFrame
    counts: Mapping[str, int]
    warnings: tuple[str, ...] = field(default=())


def read_daily_prices(
    database: Path, *, start: dt.date | None = None, end: dt.date | None = None
) -> MarketTable:
    """Read, check, mend, sort and adjust the daily prices.

    Halted days stay. Open, high and low that are not positive become null; so does a market capitalisation.
    A missing volume or amount becomes 0: no trade is known of. ``kodex`` becomes ``konex``.

    Parameters
    ----------
    database
        Path of ``krx_stock_data.db``.
    start, end
        First and last day to read; adjustment is anchored at a stock's first day that is read.

    Returns
    -------
    MarketTable
        ``krx/daily_prices``.

    Raises
    ------
    DatabaseUnavailable
        If the file is absent, no database, or locked.
    SourceError
        If the table cannot be what it should be: columns missing or of wrong types, days not written
        YYYYMMDD or impossible, a stock twice on a day, closing prices that are not positive, negative
        volumes, unknown markets, codes without their leading zeros, or no rows between start and end.
    """
    table = source_tables.DAILY_PRICES
    rows = read_tables(database, [table], where={table.name: _between(start, end)})[table.name]
    if rows.frame.is_empty():
        raise _no_rows(database, start, end)
    counts = {"rows": rows.frame.height, **_blank_counts(rows)}
    _check_keys(table, rows.frame)
    _check_prices(rows.frame)
    frame = _with_markets(rows.frame, "market_type", table, counts)
    frame = frame.select(pl.col(source).alias(name) for source, name in PRICE_COLUMNS.items())
    frame = _sorted(_mended(frame, counts))
    factors = adjustment(frame)
    counts["adjustment events"] = factors.events
    counts["change unknown, taken as no adjustment"] = factors.unknown
    frame = adjusted(frame, factors.factor)
    return MarketTable(schema.DAILY_PRICES.validate(frame), _happened(counts))


def read_stocks(database: Path) -> MarketTable:
    """Read the list of stocks, with those that only the list of delistings still names.

    Returns
    -------
    MarketTable
        ``krx/stocks``. Without the table ``delisted_stocks``, no delisting date is known and a warning says so.

    Raises
    ------
    DatabaseUnavailable, SourceError
        As :func:`read_daily_prices`.
    """
    listed, gone = source_tables.STOCKS, source_tables.DELISTED_STOCKS
    tables = read_tables(database, [listed, gone])
    counts = {"rows": tables[listed.name].frame.height}
    for table in (listed, gone):
        counts |= {f"{table.name}.{what}": n for what, n in _blank_counts(tables[table.name]).items()}
        _check_codes(table, tables[table.name].frame)
    _check_unique(listed, tables[listed.name].frame)
    stocks = _with_markets(tables[listed.name].frame, "current_market_type", listed, counts)
    delisted = tables[gone.name].frame.sort("stock_code", "delisting_date", nulls_last=False)
    latest = delisted.unique("stock_code", keep="last", maintain_order=True)
    counts["older delistings of the same code, left out"] = delisted.height - latest.height
    frame = stocks.join(latest, on="stock_code", how="full", coalesce=True)
    counts["only in delisted_stocks"] = frame.height - stocks.height
    name = pl.coalesce("current_name", "company_name")
    counts["without a name, named by their code"] = frame.select(name.is_null().sum()).item()
    counts["shares not positive, made null"] = frame.select((pl.col("shares_outstanding") <= 0).sum()).item()
    code = pl.col("stock_code").cast(pl.String)
    frame = frame.select(
        "stock_code",
        pl.coalesce(name, code).alias("name"),
        pl.col("current_market_type").alias("market"),
        pl.col("current_sector_type").alias("listed_sector"),
        pl.when(pl.col("shares_outstanding") > 0).then("shares_outstanding").alias("shares_outstanding"),
        "delisting_date",
        is_preferred=~code.str.ends_with("0"),
        is_spac=pl.coalesce(name, code).str.contains(r"스팩|기업인수목적|\bSPAC\b|SPAC\d"),
    ).sort("stock_code")
    absent = f"{gone.name} is not in the database: no delisting date is known"
    return MarketTable(
        schema.STOCKS.validate(frame), _happened(counts), (absent,) if tables[gone.name].absent else ()
    )


def read_index_levels(database: Path) -> MarketTable:
    """Read the levels of market, derivative and bond indices.

    Returns
    -------
    MarketTable
        ``krx/index_levels``. A table that the database lacks adds no rows, and a warning names it. A level
        that is not positive becomes null.

    Raises
    ------
    DatabaseUnavailable, SourceError
        As :func:`read_daily_prices`.
    """
    wanted = [table for _, levels, _, names in _INDEX_FAMILIES for table in (levels, names) if table]
    tables = read_tables(database, wanted)
    counts: dict[str, int] = {}
    parts = []
    for family, levels, close, names in _INDEX_FAMILIES:
        rows = tables[levels.name]
        _check_keys(levels, rows.frame)
        _check_unique(levels, rows.frame)
        counts |= {f"{levels.name}.{what}": n for what, n in _blank_counts(rows).items()}
        counts[f"{levels.name}: level not positive, made null"] = int((rows.frame[close] <= 0).sum())
        parts.append(
            rows.frame.join(_index_classes(tables, names), on="index_code", how="left").select(
                "index_code",
                "date",
                pl.lit(family, pl.Categorical).alias("family"),
                pl.coalesce("index_class", _class_in_code(family)).alias("index_class"),
                pl.when(pl.col(close) > 0).then(close).alias("close"),
            )
        )
    frame = pl.concat(parts).sort("index_code", "date")
    counts["rows"] = frame.height
    warnings = tuple(
        f"{levels.name} is not in the database: {family} indices are missing"
        for family, levels, _, _ in _INDEX_FAMILIES
        if tables[levels.name].absent
    )
    return MarketTable(schema.INDEX_LEVELS.validate(frame), _happened(counts), warnings)


def covered_days(database: Path) -> tuple[dt.date, dt.date] | None:
    """First and last day of ``daily_prices``, by its index on the date where there is one; None without rows.

    Raises
    ------
    DatabaseUnavailable, SourceError
        As :func:`read_daily_prices`; days that are not written YYYYMMDD are an error.
    """
    table = source_tables.DAILY_PRICES
    with connect(database) as connection:
        first, last = connection.execute(
            f"SELECT (SELECT min(date) FROM {table.name}), (SELECT max(date) FROM {table.name})"
        ).fetchone()
    if first is None:
        return None
    try:
        return _day(first), _day(last)
    except ValueError as error:
        raise SourceError(
            "days must be written YYYYMMDD.",
            table=table.name,
            column="date",
            example=f"{first!r} to {last!r}",
        ) from error


def _between(start: dt.date | None, end: dt.date | None) -> str:
    """Rows of the days, and those whose day is malformed, so that they are found and not left out."""
    if start is None and end is None:
        return ""
    first = f"{start:%Y%m%d}" if start else "0"
    last = f"{end:%Y%m%d}" if end else "99999999"
    malformed = "typeof(date) <> 'text' OR length(date) <> 8 OR date GLOB '*[^0-9]*'"
    return f"+date BETWEEN '{first}' AND '{last}' OR {malformed}"


def _no_rows(database: Path, start: dt.date | None, end: dt.date | None) -> SourceError:
    table = source_tables.DAILY_PRICES.name
    days = covered_days(database)
    if days is None:
        return SourceError("the table has no rows.", table=table)
    return SourceError(
        f"no rows from {start or 'the beginning'} to {end or 'the end'}; the table covers {days[0]} to {days[1]}. "
        "Choose other years or load these into the database.",
        table=table,
        column="date",
    )


def _day(text: str) -> dt.date:
    return dt.datetime.strptime(text, "%Y%m%d").date()  # noqa: DTZ007  # a day has no time zone


def _blank_counts(rows: SourceRows) -> dict[str, int]:
    return {f"{column}: '' or '-', made null": count for column, count in rows.blanks.items()}


def _happened(counts: Mapping[str, int]) -> dict[str, int]:
    return {what: count for what, count in counts.items() if count or what == "rows"}


def _check_keys(table: SourceTable, frame: pl.DataFrame) -> None:
    for column in table.key:
        if frame[column].null_count():
            _refuse(table, column, "is null or blank.", frame, pl.col(column).is_null())
    _check_codes(table, frame)


def _check_codes(table: SourceTable, frame: pl.DataFrame) -> None:
    if "stock_code" not in frame.columns:
        return
    codes = frame["stock_code"].unique().cast(pl.String)
    wrong = codes.filter(codes.str.len_chars() != _CODE_LENGTH)
    if codes.null_count() or len(wrong):
        at = pl.col("stock_code").is_null() | pl.col("stock_code").cast(pl.String).is_in(wrong.implode())
        _refuse(table, "stock_code", "is not a code of six characters, leading zeros included.", frame, at)


def _check_prices(frame: pl.DataFrame) -> None:
    table = source_tables.DAILY_PRICES
    close = pl.col("closing_price")
    faults = {
        "closing_price": (
            close.is_null() | (close <= 0),
            "is not positive; a halted day carries its last close.",
        ),
        "volume": (pl.col("volume") < 0, "is negative."),
        "value": (pl.col("value") < 0, "is negative."),
    }
    found = frame.lazy().select(at.any().alias(name) for name, (at, _) in faults.items()).collect()
    for column, (at, what) in faults.items():
        if found[column].item():
            _refuse(table, column, what, frame, at)


def _check_unique(table: SourceTable, frame: pl.DataFrame) -> None:
    repeated = frame.select(pl.struct(table.key).is_duplicated()).to_series()
    if repeated.any():
        what = f"({', '.join(table.key)}) must be unique; delete all rows of it but one."
        _refuse(table, table.key[-1], what, frame, pl.lit(repeated))


def _refuse(table: SourceTable, column: str, what: str, frame: pl.DataFrame, at: pl.Expr) -> None:
    wrong = frame.filter(at)
    shown = [*table.key, *([column] if column not in table.key else [])]
    example = ", ".join(f"{name} {wrong[name][0]!s}" for name in shown)
    rows = f"{wrong.height:,} row{'s' * (wrong.height > 1)}"
    raise SourceError(f"{what} This concerns {rows}.", table=table.name, column=column, example=example)


def _with_markets(
    frame: pl.DataFrame, column: str, table: SourceTable, counts: dict[str, int]
) -> pl.DataFrame:
    found = frame[column].unique().drop_nulls().cast(pl.String)
    unknown = found.filter(~found.str.to_lowercase().is_in(list(MARKETS)))
    if len(unknown):
        at = pl.col(column).cast(pl.String).is_in(unknown.implode())
        _refuse(table, column, f"is none of {', '.join(MARKETS)}.", frame, at)
    if table is source_tables.DAILY_PRICES and frame[column].null_count():
        _refuse(table, column, "is null or blank.", frame, pl.col(column).is_null())
    names = {name: MARKETS[name.lower()] for name in found}
    old = [name for name in found if name.lower() == "kodex"]
    counts["market kodex, renamed konex"] = int(frame[column].cast(pl.String).is_in(old).sum()) if old else 0
    renamed = pl.col(column).replace_strict(names, return_dtype=pl.Categorical)
    return frame.with_columns(renamed) if names else frame


def _mended(frame: pl.DataFrame, counts: dict[str, int]) -> pl.DataFrame:
    positive, counted = ("open", "high", "low", "market_cap"), ("volume", "value")
    found = frame.lazy().select((pl.col(positive) <= 0).sum(), pl.col(counted).null_count()).collect()
    counts |= {f"{name}: not positive, made null": found[name].item() for name in positive}
    counts |= {f"{name}: missing, made 0": found[name].item() for name in counted}
    return frame.with_columns(
        *(pl.when(pl.col(name) > 0).then(name).alias(name) for name in positive if found[name].item()),
        *(pl.col(name).fill_null(0) for name in counted if found[name].item()),
    )


def _sorted(frame: pl.DataFrame) -> pl.DataFrame:
    """Sort by stock and day over one integer key, several times faster than by two columns."""
    codes = frame["stock_code"].unique().sort()
    place = np.zeros(int(codes.to_physical().max() or 0) + 1, dtype=np.int64)  # type: ignore[arg-type]
    place[codes.to_physical().to_numpy()] = np.arange(len(codes))
    day = frame["date"].to_physical().to_numpy()
    key = pl.Series((place[frame["stock_code"].to_physical().to_numpy()] << 32) + day)
    order = None if key.is_sorted() else key.arg_sort()
    ordered, key = (frame, key) if order is None else (frame[order], key[order])
    repeated = (key == key.shift(1)).arg_true()
    if len(repeated):
        stock, day = ordered.row(repeated[0])[:2]
        raise SourceError(
            f"{len(repeated):,} row{'s' * (len(repeated) > 1)} repeat a stock and day; "
            "delete all but one of them.",
            table=source_tables.DAILY_PRICES.name,
            column="date",
            example=f"stock_code {stock}, date {day:%Y%m%d}",
        )
    return ordered


def _index_classes(tables: Mapping[str, SourceRows], names: SourceTable | None) -> pl.DataFrame:
    if names is None:
        return pl.DataFrame(schema={"index_code": pl.Categorical, "index_class": pl.Categorical})
    return tables[names.name].frame.unique("index_code", keep="last")


def _class_in_code(family: str) -> pl.Expr:
    """The class as the index code tells it: ``KOSPI_...``, ``DERIV_<class>_...``; bonds have none."""
    if family == "bond":
        return pl.lit(None, pl.Categorical)
    part = (
        pl.col("index_code")
        .cast(pl.String)
        .str.split("_")
        .list.get(int(family == "derivative"), null_on_oob=True)
    )
    return part.cast(pl.Categorical)
