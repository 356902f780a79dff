"""The schema catalogue: every table that finpipe stores, with its columns, units and what null means.

Reading of source tables lives in ``krx_database``; features are declared in ``features.catalogue``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl


class SchemaError(ValueError):
    """A frame does not have the columns, types or keys that its table promises."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its polars type, unit, and what a null in it means (``null=""``: never null)."""

    name: str
    dtype: pl.DataType | type[pl.DataType]
    description: str
    unit: str = ""
    null: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A named set of columns, sorted by and unique in ``key``.

    Parameters
    ----------
    name
        Asset key in slash form, e.g. ``krx/daily_prices``.
    columns
        The promised columns, in order.
    key
        Columns that the rows are sorted by and unique in; empty where the order carries no meaning.
    extra
        Whether columns beyond the promised ones are allowed (labels per horizon, for example).
    """

    name: str
    description: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = field(default=("stock_code", "date"))
    extra: bool = False

    @property
    def names(self) -> list[str]:
        """Column names in order."""
        return [column.name for column in self.columns]

    def with_columns(self, columns: Sequence[Column]) -> Table:
        """Return the same table with ``columns`` appended."""
        return Table(self.name, self.description, (*self.columns, *columns), self.key, self.extra)

    def empty(self) -> pl.DataFrame:
        """Return a frame of this schema without rows."""
        return pl.DataFrame(schema={column.name: column.dtype for column in self.columns})

    def cast(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return ``frame`` with the promised columns in their types; for frames from stores that know fewer types."""
        return frame.cast(
            {column.name: column.dtype for column in self.columns if column.name in frame.columns}
        )

    def validate(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return ``frame`` with its columns in the promised order.

        Raises
        ------
        SchemaError
            Names the column that is missing, of the wrong type or null where it must not be, or the
            first row that is out of order or duplicated.
        """
        missing = [name for name in self.names if name not in frame.columns]
        if missing:
            raise SchemaError(
                f"{self.name}: column(s) {', '.join(missing)} are missing; it has {frame.columns}"
            )
        unknown = [name for name in frame.columns if name not in self.names]
        if unknown and not self.extra:
            raise SchemaError(f"{self.name}: column(s) {', '.join(unknown)} are not in its schema")
        for column in self.columns:
            found = frame.schema[column.name]
            if found != column.dtype:
                raise SchemaError(f"{self.name}.{column.name}: type is {found}, expected {column.dtype}")
            nulls = frame[column.name].null_count()
            if nulls and not column.null:
                example = frame.filter(pl.col(column.name).is_null()).row(0, named=True)
                raise SchemaError(
                    f"{self.name}.{column.name}: {nulls} null(s), none allowed; e.g. row {example}"
                )
        self._check_order(frame)
        return frame.select([*self.names, *unknown])

    def _check_order(self, frame: pl.DataFrame) -> None:
        if not self.key or frame.height < 2:
            return
        later = pl.lit(value=False)
        for name in reversed(self.key):
            current, previous = pl.col(name), pl.col(name).shift(1)
            later = (current > previous) | ((current == previous) & later)
        wrong = frame.lazy().select((~later.fill_null(value=True)).arg_true().first()).collect().item()
        if wrong is not None:
            pair = frame.select(self.key)[wrong - 1 : wrong + 1].rows()
            raise SchemaError(
                f"{self.name}: rows must be sorted by and unique in ({', '.join(self.key)}); "
                f"row {wrong} {pair[1]} follows {pair[0]}"
            )


STOCK_CODE = Column("stock_code", pl.Categorical, "KRX short code, six characters with leading zeros")
DATE = Column("date", pl.Date, "trading day")

DAILY_PRICES = Table(
    "krx/daily_prices",
    "Daily bars of every KRX stock, raw as traded and adjusted for corporate actions. Halted days stay as rows.",
    (
        STOCK_CODE,
        DATE,
        Column("market", pl.Categorical, "market of the day: kospi, kosdaq or konex"),
        Column(
            "open",
            pl.Int64,
            "opening price as traded",
            "KRW",
            null="no opening trade (halted, or zero in the source)",
        ),
        Column("high", pl.Int64, "highest price as traded", "KRW", null="halted, or zero in the source"),
        Column("low", pl.Int64, "lowest price as traded", "KRW", null="halted, or zero in the source"),
        Column("close", pl.Int64, "closing price as traded; carried through a halt", "KRW"),
        Column(
            "change",
            pl.Int64,
            "close minus the exchange's base price of the day",
            "KRW",
            null="not published",
        ),
        Column(
            "change_rate", pl.Float64, "change over base price as published", "percent", null="not published"
        ),
        Column("volume", pl.Int64, "shares traded; 0 on a halted day", "shares"),
        Column("value", pl.Int64, "amount traded; 0 on a halted day", "KRW"),
        Column(
            "market_cap",
            pl.Int64,
            "market capitalisation at the close",
            "KRW",
            null="not published, or not positive in the source",
        ),
        Column(
            "adjustment_factor",
            pl.Float64,
            "product of previous close over base price up to and including the day; 1 on the stock's first day",
            "ratio",
        ),
        Column("adjusted_open", pl.Float64, "open times adjustment_factor", "KRW", null="open is null"),
        Column("adjusted_high", pl.Float64, "high times adjustment_factor", "KRW", null="high is null"),
        Column("adjusted_low", pl.Float64, "low times adjustment_factor", "KRW", null="low is null"),
        Column("adjusted_close", pl.Float64, "close times adjustment_factor", "KRW"),
        Column("adjusted_volume", pl.Float64, "volume over adjustment_factor", "shares"),
    ),
)

STOCKS = Table(
    "krx/stocks",
    "One row per listed or delisted stock: its latest name and market, and its last day if it was delisted.",
    (
        STOCK_CODE,
        Column("name", pl.String, "latest name"),
        Column("market", pl.Categorical, "latest market: kospi, kosdaq or konex", null="unknown"),
        Column(
            "listed_sector",
            pl.Categorical,
            "sector label of the stock list (today's, not dated)",
            null="no label",
        ),
        Column(
            "shares_outstanding", pl.Int64, "latest number of listed shares", "shares", null="not published"
        ),
        Column("delisting_date", pl.Date, "day the stock left the exchange", null="still listed"),
        Column("is_preferred", pl.Boolean, "preferred share, by code (last character not 0)"),
        Column("is_spac", pl.Boolean, "special purpose acquisition company, by name"),
    ),
    key=("stock_code",),
)

INDEX_LEVELS = Table(
    "krx/index_levels",
    "Daily levels of market, derivative and bond indices in one long table.",
    (
        Column(
            "index_code",
            pl.Categorical,
            "CLASS_name with spaces and slashes as underscores, e.g. KOSPI_코스피_200",
        ),
        DATE,
        Column("family", pl.Categorical, "market, derivative or bond"),
        Column(
            "index_class",
            pl.Categorical,
            "KOSPI, KOSDAQ, or the class of a derivative index",
            null="bond indices",
        ),
        Column(
            "close", pl.Float64, "closing level (bond indices: total return)", "points", null="not published"
        ),
    ),
    key=("index_code", "date"),
)

MEMBERSHIP = (
    STOCK_CODE,
    DATE,
)

UNIVERSE = Table(
    "krx/universe",
    "The (stock, day) pairs that may be ranked and bought, decided with what was known at the close of the day.",
    (
        *MEMBERSHIP,
        Column("close", pl.Int64, "closing price as traded", "KRW"),
        Column("market_cap", pl.Int64, "market capitalisation at the close", "KRW"),
        Column("value", pl.Int64, "amount traded on the day", "KRW"),
    ),
)

PREDICTIONS = Table(
    "krx/predictions",
    "Out-of-sample scores of the walk-forward ranker; one row per universe member and day of the test years.",
    (
        *MEMBERSHIP,
        Column("score", pl.Float64, "raw model output; higher is better"),
        Column("rank", pl.Int32, "rank of the score on its date, 1 is best, ties in stock code order"),
        Column("test_year", pl.Int32, "calendar year whose model made the prediction"),
    ),
)

LEVEL_COLUMNS = (
    ("assets", "total assets"),
    ("liabilities", "total liabilities"),
    ("equity", "total equity"),
    ("current_assets", "current assets"),
    ("current_liabilities", "current liabilities"),
    ("cash", "cash and cash equivalents"),
    ("inventories", "inventories"),
)
FLOW_COLUMNS = (
    ("revenue", "revenue"),
    ("gross_profit", "gross profit"),
    ("operating_income", "operating income"),
    ("net_income", "profit or loss of the period"),
    ("income_tax", "income tax expense of continuing operations"),
    ("finance_costs", "finance costs"),
    ("operating_cash_flow", "net cash flow from operating activities"),
    ("investing_cash_flow", "net cash flow from investing activities"),
)
COMPARISON_COLUMNS = (
    ("revenue_quarter_ago", "revenue, twelve months to the previous quarter"),
    ("operating_income_quarter_ago", "operating income, twelve months to the previous quarter"),
    ("net_income_quarter_ago", "profit or loss, twelve months to the previous quarter"),
    ("equity_quarter_ago", "total equity at the end of the previous quarter"),
    ("revenue_year_ago", "revenue, twelve months to the same quarter one year before"),
    ("operating_income_year_ago", "operating income, twelve months to the same quarter one year before"),
    ("net_income_year_ago", "profit or loss, twelve months to the same quarter one year before"),
    ("equity_year_ago", "total equity at the end of the same quarter one year before"),
    ("revenue_five_quarters_ago", "revenue, twelve months to the previous quarter one year before"),
    ("revenue_three_years_ago", "revenue, twelve months to the same quarter three years before"),
)

FILINGS = Table(
    "krx/filings",
    "Financial statements point in time: one row per stock, fiscal period and vintage. A row holds what was "
    "known about the period from available_date until the next vintage of the same period.",
    (
        STOCK_CODE,
        Column("available_date", pl.Date, "first trading day on which the row's figures were known"),
        Column("fiscal_date", pl.Date, "last day of the fiscal period"),
        Column("filed_date", pl.Date, "day from which the period's own filing counts as public"),
        Column("fiscal_month", pl.Int8, "month in which the company's fiscal year ends"),
        Column("fiscal_quarter", pl.Int8, "quarter of the fiscal year, 4 is the annual filing"),
        Column(
            "consolidation", pl.Categorical, "연결 (consolidated) where the period has it by then, else 별도"
        ),
        Column("report_type", pl.Categorical, "name of the report, e.g. 사업보고서", null="not stated"),
        Column("industry", pl.Categorical, "industry as stated in the filing", null="not stated"),
        Column("currency", pl.Categorical, "currency of the amounts, almost always KRW"),
        *(
            Column(name, pl.Float64, f"{description} at the end of the period", "currency", null="not known")
            for name, description in LEVEL_COLUMNS
        ),
        *(
            Column(name, pl.Float64, f"{description}, trailing twelve months", "currency", null="not known")
            for name, description in FLOW_COLUMNS
        ),
        *(
            Column(
                name, pl.Float64, f"{description}, as known on available_date", "currency", null="not known"
            )
            for name, description in COMPARISON_COLUMNS
        ),
    ),
    key=("stock_code", "available_date", "fiscal_date"),
)
