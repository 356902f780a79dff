"""Reading the statements of ``krx_stock_data.db`` into ``krx/filings``: one row per filing vintage, point in time.

How figures become trailing twelve months, comparisons and vintages stands in ``filing_vintages``.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from finpipe.market.filing_items import ITEMS, Statement, spellings
from finpipe.market.filing_vintages import (
    CONSOLIDATED,
    LAST_YEAR,
    PRIOR_YEAR_TO_DATE,
    SEPARATE,
    TWO_YEARS_BACK,
    point_in_time,
)
from finpipe.market.schema import FILINGS
from finpipe.market.source_reader import read_tables
from finpipe.market.source_tables import (
    FINANCIAL_ITEMS_BS_CF,
    FINANCIAL_ITEMS_PL,
    FINANCIAL_PERIODS,
    SourceError,
)

ANNUAL_DEADLINE_DAYS = 90
INTERIM_DEADLINE_DAYS = 45
"""Days after the end of the period that the law allows for annual and for interim reports."""

TradingDays = NDArray[np.datetime64] | Sequence[dt.date]

_MONTHS_INTO_YEAR = {"사업보고서": 0, "1분기": 3, "반기": 6, "3분기": 9}
_QUARTER = "_quarter"
_PRIOR_QUARTER = "_prior_quarter"
_BALANCE_AND_CASH = {"amount_current": "", "amount_prev": LAST_YEAR, "amount_prev2": TWO_YEARS_BACK}
_INCOME = {
    "amount_current_ytd": "",
    "amount_current_qtr": _QUARTER,
    "amount_prev_ytd": PRIOR_YEAR_TO_DATE,
    "amount_prev_qtr": _PRIOR_QUARTER,
    "amount_prev_year": LAST_YEAR,
    "amount_prev2_year": TWO_YEARS_BACK,
}


@dataclass(frozen=True, slots=True)
class Filings:
    """The filings of a database and what happened to them on the way in.

    Parameters
    ----------
    frame
        ``krx/filings``.
    counts
        How many filings (or amounts) were read, dropped, moved or interpreted, by reason in words.
    """

    frame: pl.DataFrame
    counts: Mapping[str, int]


def read_filings(database: Path, trading_days: TradingDays) -> Filings:
    """Read ``financial_periods`` and both items tables, as they were at one moment.

    The database holds the figures of a filing as of the day on which its bulk file was issued. Corrections
    between the filing and that day cannot be seen: they count as if they had been filed at once.

    Parameters
    ----------
    database
        ``krx_stock_data.db``; nothing is written to it.
    trading_days
        Days of the market, in any order.

    Returns
    -------
    Filings
        See :func:`from_tables` for what becomes of the tables.

    Raises
    ------
    SourceError
        If a table or column is missing, an amount is text, a date cannot be read or a filing is there twice;
        names the column and an example row.
    DatabaseUnavailable
        If the file cannot be read.
    """
    tables = read_tables(
        database,
        (FINANCIAL_PERIODS, FINANCIAL_ITEMS_BS_CF, FINANCIAL_ITEMS_PL),
        where={
            FINANCIAL_ITEMS_BS_CF.name: f"{_wanted('BS')} OR {_wanted('CF')}",
            FINANCIAL_ITEMS_PL.name: _wanted("PL"),
        },
    )
    periods, balance_and_cash, income = (rows.frame for rows in tables.values())
    filings = from_tables(periods, balance_and_cash, income, trading_days)
    blanks = sum(sum(rows.blanks.values()) for rows in tables.values())
    return Filings(
        filings.frame, {**filings.counts, "amounts and months left blank or '-', taken as null": blanks}
    )


def from_tables(
    periods: pl.DataFrame, balance_and_cash: pl.DataFrame, income: pl.DataFrame, trading_days: TradingDays
) -> Filings:
    """Filing vintages from the source tables.

    A filing counts as public on its stated ``available_date``, but not before the legal deadline: 90 days
    after the end of a fiscal year, 45 days after that of an interim period; without a stated date, at the
    deadline. That is its ``filed_date``; it becomes available on the first trading day from there on. Days
    before the first trading day stay as they are; a filing that would become available after the last
    trading day is not known yet and is left out.

    The month in which the fiscal year ends follows from the kind of report (a 반기보고서 covers six months),
    where the report does not tell it, from ``fiscal_month``; an interim report of the month that
    ``fiscal_month`` calls the end of the year contradicts it, and counts as one of a calendar year.

    Amounts in the first quarter's columns for three months stand in for missing ones year to date.

    Parameters
    ----------
    periods
        ``financial_periods``: ``id``, ``stock_code``, ``industry_name``, ``fiscal_month``,
        ``fiscal_date`` (``YYYY-MM-DD``), ``available_date`` (``YYYYMMDD``), ``report_type``,
        ``consolidation_type``, ``currency``.
    balance_and_cash, income
        Rows of ``financial_items_bs_cf`` (with ``statement_type``) and of ``financial_items_pl``:
        ``period_id``, ``item_code_normalized``, ``item_code`` (stands in where the normalised one is null)
        and the table's amount columns. Of an item that a filing repeats, the last row counts.
    trading_days
        Days of the market, in any order.

    Returns
    -------
    Filings
        The frame follows ``FILINGS`` of the schema catalogue.

    Raises
    ------
    SourceError
        If a date cannot be read or a filing is there twice; names the column and an example row.
    ValueError
        If there are no trading days.
    """
    counts: Counter[str] = Counter()
    filed = _filed(periods, counts)
    filed = _available(filed, trading_days, counts)
    statements = _statements(filed, balance_and_cash, income, counts)
    categorical = ("stock_code", "consolidation", "report_type", "industry", "currency")
    frame = point_in_time(statements).with_columns(
        pl.col(categorical).cast(pl.Categorical), pl.col("fiscal_month").cast(pl.Int8)
    )
    counts["vintages"] = frame.height
    return Filings(FILINGS.validate(frame), dict(counts))


def in_force(filings: pl.DataFrame) -> pl.DataFrame:
    """The row that counts from each day on: the latest fiscal period known, in its latest vintage.

    A late filing of an older period never replaces a newer one.

    Parameters
    ----------
    filings
        ``krx/filings``.

    Returns
    -------
    pl.DataFrame
        The same columns, unique in and sorted by (stock_code, available_date): the row in force on a day
        is the last one with ``available_date`` on or before it.
    """
    return (
        filings.sort("stock_code", "available_date", "fiscal_date")
        .unique(["stock_code", "available_date"], keep="last", maintain_order=True)
        .filter(pl.col("fiscal_date") == pl.col("fiscal_date").cum_max().over("stock_code"))
    )


def _wanted(statement: Statement) -> str:
    """SQL condition for the rows of one statement's items."""
    codes = ", ".join(
        f"'{spelling}'" for item in ITEMS if item.statement == statement for spelling in spellings(item.code)
    )
    condition = f"coalesce(nullif(item_code_normalized, ''), item_code) IN ({codes})"
    return condition if statement == "PL" else f"(statement_type = '{statement}' AND {condition})"


def _filed(periods: pl.DataFrame, counts: Counter[str]) -> pl.DataFrame:
    """Typed and named columns of the filings of listed companies."""
    counts["filings read"] = periods.height
    text = pl.col(pl.String).str.strip_chars()
    stock_code = pl.col("stock_code").str.strip_chars("[] ")
    named = periods.with_columns(text.replace("", None)).with_columns(stock_code)
    listed = named.filter(pl.col("stock_code").is_not_null() & ~pl.col("stock_code").is_in(["", "null"]))
    counts["without stock code, left out"] = named.height - listed.height
    dated = _dates(listed, "fiscal_date", "%Y-%m-%d", "YYYY-MM-DD")
    dated = _dates(dated, "available_date", "%Y%m%d", "YYYYMMDD")
    _refuse_missing_fiscal_date(dated)
    month = pl.col("fiscal_date").dt.month().cast(pl.Int16)
    told = [
        pl.when(pl.col("report_type").str.contains(name, literal=True)).then((month - into - 1) % 12 + 1)
        for name, into in _MONTHS_INTO_YEAR.items()
    ]
    stated = pl.when(pl.col("fiscal_month").is_between(1, 12)).then(pl.col("fiscal_month").cast(pl.Int16))
    interim = pl.col("report_type").str.contains("분기", literal=True).fill_null(value=False)
    from_report = pl.coalesce(told)
    from_column = pl.when(~(interim & (stated == month))).then(stated)
    filed = dated.select(
        "id",
        "stock_code",
        "fiscal_date",
        "available_date",
        "report_type",
        pl.col("industry_name").alias("industry"),
        pl.col("currency").str.to_uppercase().fill_null("KRW"),
        pl.when(pl.col("consolidation_type") == CONSOLIDATED)
        .then(pl.lit(CONSOLIDATED))
        .otherwise(pl.lit(SEPARATE))
        .alias("consolidation"),
        pl.coalesce(from_report, from_column, pl.lit(12)).alias("fiscal_month"),
        stated.alias("stated_month"),
    )
    _refuse_repeated(filed)
    counts["fiscal_month unlike the kind of report"] = filed.filter(
        pl.col("fiscal_month") != pl.col("stated_month")
    ).height
    counts["in another currency than KRW"] = filed.filter(pl.col("currency") != "KRW").height
    return filed.drop("stated_month")


def _dates(frame: pl.DataFrame, column: str, form: str, meaning: str) -> pl.DataFrame:
    parsed = frame.with_columns(pl.col(column).str.to_date(form, strict=False))
    wrong = frame.filter(pl.col(column).is_not_null() & parsed[column].is_null())
    if wrong.height:
        raise _error(wrong, column, f"{wrong.height} value(s) are not dates written as {meaning}")
    return parsed


def _refuse_missing_fiscal_date(frame: pl.DataFrame) -> None:
    missing = frame.filter(pl.col("fiscal_date").is_null())
    if missing.height:
        raise _error(missing, "fiscal_date", f"{missing.height} row(s) don't say when their period ended")


def _refuse_repeated(filed: pl.DataFrame) -> None:
    key = ["stock_code", "fiscal_date", "consolidation", "available_date"]
    repeated = filed.filter(filed.select(key).is_duplicated()).sort(key)
    if repeated.height:
        raise _error(
            repeated,
            "stock_code",
            f"{repeated.height} rows share (stock_code, fiscal_date, consolidation_type) and available_date; "
            "keep one of each",
        )


def _error(rows: pl.DataFrame, column: str, message: str) -> SourceError:
    example = ", ".join(f"{name}={value}" for name, value in rows.row(0, named=True).items())
    return SourceError(message, table="financial_periods", column=column, example=example)


def _available(filed: pl.DataFrame, trading_days: TradingDays, counts: Counter[str]) -> pl.DataFrame:
    """Tell ``filed_date``, when the filing was surely public, and ``available_date``, when the market could act."""
    days = np.unique(np.asarray(trading_days, dtype="datetime64[D]"))
    if not days.size:
        raise ValueError("filings: no trading days; available dates are rolled to trading days")
    annual = pl.col("fiscal_date").dt.month() == pl.col("fiscal_month")
    allowed = pl.when(annual).then(ANNUAL_DEADLINE_DAYS).otherwise(INTERIM_DEADLINE_DAYS)
    filed = filed.with_columns(
        (pl.col("fiscal_date") + pl.duration(days=allowed)).alias("deadline"),
        pl.col("available_date").alias("stated"),
    ).with_columns(pl.max_horizontal("stated", "deadline").alias("filed_date"))
    counts["without available_date, set to the legal deadline"] = filed["stated"].null_count()
    counts["stated before the legal deadline, moved to it"] = filed.filter(
        pl.col("stated") < pl.col("deadline")
    ).height
    public = filed["filed_date"].to_numpy().astype("datetime64[D]")
    position = np.searchsorted(days, public)
    known = position < days.size
    rolled = np.where(public < days[0], public, days[np.minimum(position, days.size - 1)])
    counts["on a day without trading, moved to the next trading day"] = int((rolled > public)[known].sum())
    counts["after the last trading day, left out"] = int((~known).sum())
    return filed.with_columns(pl.Series("available_date", rolled)).filter(known).drop("deadline", "stated")


def _statements(
    filed: pl.DataFrame, balance_and_cash: pl.DataFrame, income: pl.DataFrame, counts: Counter[str]
) -> pl.DataFrame:
    """One column per item and amount, next to the filing that they belong to."""
    flows = [item.name for item in ITEMS if item.statement == "PL"]
    others = [item.name for item in ITEMS if item.statement != "PL"]
    balance_and_cash, income = _items(balance_and_cash), _items(income)
    repeated = sum(
        int(table.select("period_id", "item").is_duplicated().sum()) for table in (balance_and_cash, income)
    )
    counts["amounts of an item that its filing repeats, of which the last counts"] = repeated
    wide = filed.with_columns(
        *_spread(filed["id"], balance_and_cash, others, _BALANCE_AND_CASH),
        *_spread(filed["id"], income, flows, _INCOME),
    )
    first_quarter = (pl.col("fiscal_date").dt.month() - pl.col("fiscal_month")) % 12 == 3
    stand_ins = {"": _QUARTER, PRIOR_YEAR_TO_DATE: _PRIOR_QUARTER}
    wide = wide.with_columns(
        pl.when(first_quarter)
        .then(pl.coalesce(flow + ending, flow + quarter))
        .otherwise(flow + ending)
        .alias(flow + ending)
        for flow in flows
        for ending, quarter in stand_ins.items()
    )
    silent = pl.all_horizontal(pl.col(item.name).is_null() for item in ITEMS)
    counts["without any of the figures that are read"] = wide.filter(silent).height
    return wide.drop(flow + quarter for flow in flows for quarter in stand_ins.values())


def _items(table: pl.DataFrame) -> pl.DataFrame:
    """Replace the codes by ``item``, the name of the item; rows of other items are dropped."""
    names = {spelling: item.name for item in ITEMS for spelling in spellings(item.code)}
    code = pl.coalesce("item_code_normalized", "item_code").cast(pl.String)
    item = code.replace_strict(names, default=None)
    kept = table.with_columns(item.alias("item")).filter(pl.col("item").is_not_null())
    if "statement_type" not in kept.columns:
        return kept
    statements = {item.name: item.statement for item in ITEMS}
    stated = pl.col("statement_type").cast(pl.String)
    return kept.filter(stated == pl.col("item").replace_strict(statements, return_dtype=pl.String))


def _spread(
    ids: pl.Series, table: pl.DataFrame, items: Sequence[str], endings: Mapping[str, str]
) -> list[pl.Series]:
    """The amounts of one items table as columns ``{item}{ending}`` in the order of ``ids``."""
    owners = ids.alias("period_id").to_frame().with_row_index("row")
    placed = table.join(owners, on="period_id", how="inner", maintain_order="left")
    columns = []
    for item in items:
        rows = placed.filter(pl.col("item") == item)
        for amount, ending in endings.items():
            values = np.full(ids.len(), np.nan)
            values[rows["row"].to_numpy()] = rows[amount].to_numpy()
            columns.append(pl.Series(item + ending, values, nan_to_null=True))
    return columns
