"""The catalogue of SQLite tables and columns that finpipe reads from ``krx_stock_data.db``, and their error.

What finpipe stores is declared in ``schema``; how the tables are read, in ``source_reader``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """What a source column holds, and the polars type that it is read as."""

    TEXT = "text"
    """Text; read as String, null where blank or ``-``."""
    LABEL = "label"
    """Text of few distinct values; read as Categorical, null where blank or ``-``."""
    INTEGER = "whole numbers"
    """Read as Int64; real numbers are accepted where they are whole."""
    REAL = "numbers"
    """Read as Float64."""
    DAY = "existing dates as YYYYMMDD text"
    """Read as Date."""


@dataclass(frozen=True, slots=True)
class SourceColumn:
    """One column of a source table.

    Parameters
    ----------
    name
        Name in the database; in SQLite upper and lower case are the same.
    kind
        What it must hold. In numbers and dates, ``''`` and ``'-'`` are how KRX writes null.
    description, unit
        For the documentation.
    aliases
        Other names that databases in use give to the same column.
    """

    name: str
    kind: Kind
    description: str
    unit: str = ""
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SourceTable:
    """The columns of one table that finpipe reads; a database may have more.

    Parameters
    ----------
    name
        Table, or view, in the database.
    key
        Columns that name a row in messages and must be unique.
    optional
        Whether finpipe can do without the table; it then says what is missing.
    """

    name: str
    description: str
    key: tuple[str, ...]
    columns: tuple[SourceColumn, ...]
    optional: bool = False

    def column(self, name: str) -> SourceColumn:
        """Return the column called ``name``."""
        return next(column for column in self.columns if column.name == name)


class SourceError(ValueError):
    """The database does not hold what finpipe reads from it.

    Attributes
    ----------
    table, column
        Where the fault is; ``column`` is empty if it concerns the table.
    example
        A row that shows the fault, as (column, value) pairs in text; empty if no row can.
    """

    def __init__(self, message: str, *, table: str, column: str = "", example: str = "") -> None:
        place = f"{table}.{column}" if column else table
        shown = f" Example: {example}." if example else ""
        super().__init__(f"{place}: {message}{shown}")
        self.table = table
        self.column = column
        self.example = example


STOCK_CODE = SourceColumn("stock_code", Kind.LABEL, "KRX short code: six characters with leading zeros")
INDEX_CODE = SourceColumn(
    "index_code", Kind.LABEL, "class and name, joined by underscores: KOSPI_코스피_200, DERIV_..., BOND_..."
)
DATE = SourceColumn("date", Kind.DAY, "trading day")
INDEX_CLASS = SourceColumn("index_class", Kind.LABEL, "KOSPI, KOSDAQ, or the class of a derivative index")
CLOSING_INDEX = SourceColumn(
    "closing_index", Kind.REAL, "closing level of the index", "points", aliases=("closing",)
)

DAILY_PRICES = SourceTable(
    "daily_prices",
    "Daily bars of every stock, as traded. Halted days stay as rows with volume 0 and a carried close.",
    ("stock_code", "date"),
    (
        STOCK_CODE,
        DATE,
        SourceColumn("closing_price", Kind.INTEGER, "closing price as traded", "KRW"),
        SourceColumn(
            "change",
            Kind.INTEGER,
            "closing price minus the exchange's base price, which follows corporate actions",
            "KRW",
        ),
        SourceColumn("change_rate", Kind.REAL, "change over base price, two decimals", "percent"),
        SourceColumn("opening_price", Kind.INTEGER, "opening price as traded; 0 without a trade", "KRW"),
        SourceColumn("high_price", Kind.INTEGER, "highest price as traded; 0 without a trade", "KRW"),
        SourceColumn("low_price", Kind.INTEGER, "lowest price as traded; 0 without a trade", "KRW"),
        SourceColumn("volume", Kind.INTEGER, "shares traded", "shares"),
        SourceColumn("value", Kind.INTEGER, "amount traded", "KRW"),
        SourceColumn("market_cap", Kind.INTEGER, "market capitalisation at the close", "KRW"),
        SourceColumn("market_type", Kind.LABEL, "kospi, kosdaq or konex; kodex is an old name of konex"),
    ),
)

STOCKS = SourceTable(
    "stocks",
    "One row per stock, with the attributes of the last day that the loader saw.",
    ("stock_code",),
    (
        STOCK_CODE,
        SourceColumn("current_name", Kind.TEXT, "latest name"),
        SourceColumn("current_market_type", Kind.LABEL, "KOSPI, KOSDAQ or KONEX"),
        SourceColumn("current_sector_type", Kind.LABEL, "today's sector label; not dated"),
        SourceColumn("shares_outstanding", Kind.INTEGER, "listed shares", "shares"),
    ),
)

DELISTED_STOCKS = SourceTable(
    "delisted_stocks",
    "Stocks that left the exchange; older databases don't have it.",
    ("stock_code",),
    (
        STOCK_CODE,
        SourceColumn("company_name", Kind.TEXT, "name at the end"),
        SourceColumn("delisting_date", Kind.DAY, "day on which the stock left the exchange"),
    ),
    optional=True,
)

INDICES = SourceTable("indices", "Market indices.", ("index_code",), (INDEX_CODE, INDEX_CLASS), optional=True)

INDEX_DAILY_PRICES = SourceTable(
    "index_daily_prices",
    "Daily levels of market indices.",
    ("index_code", "date"),
    (INDEX_CODE, DATE, CLOSING_INDEX),
    optional=True,
)

DERIV_INDICES = SourceTable(
    "deriv_indices", "Derivative indices.", ("index_code",), (INDEX_CODE, INDEX_CLASS), optional=True
)

DERIV_INDEX_DAILY = SourceTable(
    "deriv_index_daily",
    "Daily levels of derivative indices: volatility, futures, strategies.",
    ("index_code", "date"),
    (INDEX_CODE, DATE, CLOSING_INDEX),
    optional=True,
)

BOND_INDEX_DAILY = SourceTable(
    "bond_index_daily",
    "Daily levels of bond indices.",
    ("index_code", "date"),
    (INDEX_CODE, DATE, SourceColumn("total_return_index", Kind.REAL, "level with income", "points")),
    optional=True,
)

FINANCIAL_PERIODS = SourceTable(
    "financial_periods",
    "One row per filing: company, fiscal period, consolidation, and the day it became available.",
    ("stock_code", "fiscal_date", "consolidation_type"),
    (
        SourceColumn("id", Kind.INTEGER, "what the items tables refer to"),
        SourceColumn("stock_code", Kind.TEXT, "KRX short code"),
        SourceColumn("industry_name", Kind.TEXT, "industry as the filing states it"),
        SourceColumn("fiscal_month", Kind.INTEGER, "month in which the fiscal year ends", "1 to 12"),
        SourceColumn("fiscal_date", Kind.TEXT, "end of the fiscal period, YYYY-MM-DD"),
        SourceColumn("available_date", Kind.TEXT, "day of publication, YYYYMMDD"),
        SourceColumn("report_type", Kind.TEXT, "사업보고서, 1분기보고서, 반기보고서 or 3분기보고서"),
        SourceColumn("consolidation_type", Kind.TEXT, "연결 (consolidated) or 별도 (separate)"),
        SourceColumn("currency", Kind.TEXT, "currency of the amounts"),
    ),
)

FINANCIAL_ITEMS_BS_CF = SourceTable(
    "financial_items_bs_cf",
    "Items of balance sheets and cash flow statements.",
    ("period_id", "statement_type", "item_code_normalized"),
    (
        SourceColumn("period_id", Kind.INTEGER, "id of the filing"),
        SourceColumn("statement_type", Kind.LABEL, "BS or CF"),
        SourceColumn("item_code_normalized", Kind.LABEL, "IFRS or DART code of the item"),
        SourceColumn("item_code", Kind.LABEL, "the same as filed; stands in where it is not normalised"),
        SourceColumn("amount_current", Kind.REAL, "at the end of the period, or since the year began", "KRW"),
        SourceColumn("amount_prev", Kind.REAL, "the same, one year before", "KRW"),
        SourceColumn("amount_prev2", Kind.REAL, "the same, two years before", "KRW"),
    ),
)

FINANCIAL_ITEMS_PL = SourceTable(
    "financial_items_pl",
    "Items of income statements.",
    ("period_id", "item_code_normalized"),
    (
        SourceColumn("period_id", Kind.INTEGER, "id of the filing"),
        SourceColumn("item_code_normalized", Kind.LABEL, "IFRS or DART code of the item"),
        SourceColumn("item_code", Kind.LABEL, "the same as filed; stands in where it is not normalised"),
        SourceColumn("amount_current_qtr", Kind.REAL, "three months of this period", "KRW"),
        SourceColumn("amount_current_ytd", Kind.REAL, "year to date", "KRW"),
        SourceColumn("amount_prev_qtr", Kind.REAL, "three months, one year before", "KRW"),
        SourceColumn("amount_prev_ytd", Kind.REAL, "year to date, one year before", "KRW"),
        SourceColumn("amount_prev_year", Kind.REAL, "the whole year before", "KRW"),
        SourceColumn("amount_prev2_year", Kind.REAL, "the whole year, two years before", "KRW"),
    ),
)

SOURCE_TABLES = (
    DAILY_PRICES,
    STOCKS,
    DELISTED_STOCKS,
    INDICES,
    INDEX_DAILY_PRICES,
    DERIV_INDICES,
    DERIV_INDEX_DAILY,
    BOND_INDEX_DAILY,
    FINANCIAL_PERIODS,
    FINANCIAL_ITEMS_BS_CF,
    FINANCIAL_ITEMS_PL,
)
"""Every table that finpipe reads."""
