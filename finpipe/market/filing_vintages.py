"""From statements as filed to figures point in time: trailing twelve months, comparisons and vintages.

No reading here: ``filings`` reads the database and calls ``point_in_time``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from finpipe.market.filing_items import FLOWS, LEVELS

CONSOLIDATED = "연결"
SEPARATE = "별도"

LAST_YEAR = "_last_year"
TWO_YEARS_BACK = "_two_years_back"
PRIOR_YEAR_TO_DATE = "_prior_year_to_date"
"""Endings of the comparative columns of a filing (``point_in_time`` says what each one holds)."""

COMPARISONS: Mapping[str, tuple[int, tuple[str, ...]]] = {
    "quarter_ago": (3, ("revenue", "operating_income", "net_income", "equity")),
    "year_ago": (12, ("revenue", "operating_income", "net_income", "equity")),
    "five_quarters_ago": (15, ("revenue",)),
    "three_years_ago": (36, ("revenue",)),
}
"""Months that each comparison looks back, and the items that it is made for."""

_FIGURES = (*LEVELS, *FLOWS)
_TRACK = ("stock_code", "consolidation", "currency", "fiscal_month")
_ATTRIBUTES = ("fiscal_date", "report_type", "industry", "has_figures")

# Months of one track lie together: `period // _MONTHS_PER_TRACK` is the track and `period % 12` counts the
# months since the fiscal year began, 0 at its end.
_MONTHS_PER_TRACK = 12 * 4096
_DAYS = 2**20  # room for the days since 1970 below the period, in one number


def point_in_time(statements: pl.DataFrame) -> pl.DataFrame:
    """Every vintage of every filed period.

    A *track* is one company's statements on one basis: same consolidation, currency and end of the
    fiscal year. Figures of different tracks are never mixed. A filing tells figures of its own period
    and, in its comparative columns, of earlier ones; of what has been said about one period by a day, the
    latest counts, item by item (of filings made on one day, the one with the later fiscal date).

    Trailing twelve months of a flow = year to date + last full year - the same year to date one year
    before; at the end of a fiscal year, the year to date itself. All three as known on the day, and null
    where one of them is not known.

    A row is written on every day from the period's own filing on that changes any of its values. Where a
    period has been filed on both bases by then, the consolidated one counts (unless it is an empty shell
    and the separate one is not).

    Parameters
    ----------
    statements
        One row per filing, unique in (stock_code, consolidation, fiscal_date, filed_date), with
        ``fiscal_month`` (the month in which the fiscal year ends), ``currency``, ``report_type``,
        ``industry``, and the amounts, null where not stated: ``{item}`` (level at the end of the period,
        or flow since the start of the fiscal year), ``{item}_last_year`` (end of, or whole, last fiscal
        year), ``{item}_two_years_back`` (the year before) and for flows
        ``{item}_prior_year_to_date`` (same months one year earlier).

    Returns
    -------
    pl.DataFrame
        The columns of ``krx/filings`` but for their types, sorted by (stock_code, available_date,
        fiscal_date).
    """
    filed = _with_period(statements)
    facts = _facts(filed)
    figures = _trailing(facts)
    rows = _vintages(filed, figures)
    return _one_basis(rows).sort("stock_code", "available_date", "fiscal_date")


def _with_period(statements: pl.DataFrame) -> pl.DataFrame:
    """Number the tracks and their months; the statements of one period are sorted by availability."""
    tracks = statements.select(_TRACK).unique(maintain_order=True).with_row_index("track")
    own = [pl.col(item).is_not_null() for item in _FIGURES]
    fiscal_year_month = (
        12 * pl.col("fiscal_date").dt.year() + pl.col("fiscal_date").dt.month() - pl.col("fiscal_month")
    )
    return (
        statements.join(tracks, on=_TRACK, how="left", maintain_order="left")
        .with_columns(
            (pl.col("track").cast(pl.Int64) * _MONTHS_PER_TRACK + fiscal_year_month).alias("period"),
            pl.any_horizontal(own).alias("has_figures"),
        )
        .drop("track")
        .sort("period", "filed_date", "fiscal_date")
    )


def _last_year_end(period: pl.Expr) -> pl.Expr:
    since = period % 12
    return period - pl.when(since == 0).then(12).otherwise(since)


def _facts(filed: pl.DataFrame) -> pl.DataFrame:
    """What was known about each period, by day: own figures and later comparatives, carried forward."""
    period = pl.col("period")
    told = {
        "": period,
        PRIOR_YEAR_TO_DATE: period - 12,
        LAST_YEAR: _last_year_end(period),
        TWO_YEARS_BACK: _last_year_end(period) - 12,
    }
    parts = []
    for ending, about in told.items():
        stated = [item for item in _FIGURES if item + ending in filed.columns]
        parts.append(
            filed.select(
                about.alias("period"),
                "available_date",
                "filed_date",
                period.alias("source"),
                *(pl.col(item + ending).alias(item) for item in stated),
            ).filter(pl.any_horizontal(pl.col(item).is_not_null() for item in stated))
        )
    return _changes(
        pl.concat(parts, how="diagonal")
        .sort("period", "filed_date", "source", maintain_order=True)
        .with_columns(pl.col(_FIGURES).forward_fill().over("period"))
        .unique(["period", "available_date"], keep="last", maintain_order=True)
        .select("period", "available_date", *_FIGURES)
    )


def _trailing(facts: pl.DataFrame) -> pl.DataFrame:
    """Levels and trailing twelve months of every period, by the day from which they were known."""
    period = pl.col("period")
    sources = [period, _last_year_end(period), period - 12]
    days = _days(_changes_about(facts, facts.select("period").unique(), sources))
    now = _known(facts, days, period)
    last_year = _known(facts, days, _last_year_end(period), FLOWS)
    prior = _known(facts, days, period - 12, FLOWS)
    annual = period % 12 == 0
    trailing = pl.concat(
        [days, now, last_year.rename(_suffixed("_year")), prior.rename(_suffixed("_prior"))], how="horizontal"
    )
    return _changes(
        trailing.filter(pl.any_horizontal(pl.col(_FIGURES).is_not_null())).select(
            "period",
            "available_date",
            *LEVELS,
            *(
                pl.when(annual)
                .then(pl.col(item))
                .otherwise(pl.col(item) + pl.col(f"{item}_year") - pl.col(f"{item}_prior"))
                for item in FLOWS
            ),
        )
    )


def _suffixed(ending: str) -> dict[str, str]:
    return {item: item + ending for item in FLOWS}


def _vintages(filed: pl.DataFrame, figures: pl.DataFrame) -> pl.DataFrame:
    """The rows of each filed period from its filing on, with the comparisons as known on the day."""
    period = pl.col("period")
    back = [months for months, _ in COMPARISONS.values()]
    sources = [period, *(period - months for months in back)]
    changes = _changes_about(figures, filed.select("period").unique(), sources)
    days = _days([filed.select(_moment(period)).to_series(), *changes])
    first = filed.group_by("period").agg(
        pl.col("filed_date").min(), pl.col("available_date").min().alias("first_day")
    )
    days = (
        days.join(first, on="period", how="left", maintain_order="left")
        .filter(pl.col("available_date") >= pl.col("first_day"))
        .drop("first_day")
    )
    columns = [
        days,
        _known(filed, days, period, (*_TRACK, *_ATTRIBUTES)),
        _known(figures, days, period),
    ]
    for name, (months, items) in COMPARISONS.items():
        columns.append(
            _known(figures, days, period - months, items).rename({item: f"{item}_{name}" for item in items})
        )
    return _changes(pl.concat(columns, how="horizontal"))


def _one_basis(rows: pl.DataFrame) -> pl.DataFrame:
    """Keep the rows of the preferred basis among those filed by then for the same month."""
    since = pl.col("period") % 12
    preference = 2 * pl.col("has_figures").cast(pl.Int8) + (pl.col("consolidation") == CONSOLIDATED).cast(
        pl.Int8
    )
    month = pl.col("fiscal_date").dt.month_end()
    return (
        rows.with_columns(preference.alias("preference"), month.alias("month"))
        .sort("stock_code", "month", "available_date", "preference", "period")
        .filter(pl.col("preference") == pl.col("preference").cum_max().over("stock_code", "month"))
        .unique(["stock_code", "month", "available_date"], keep="last", maintain_order=True)
        .with_columns(
            pl.when(since == 0).then(4).otherwise((since + 2) // 3).cast(pl.Int8).alias("fiscal_quarter")
        )
        .drop("period", "preference", "month", "has_figures")
    )


def _moment(period: pl.Expr) -> pl.Expr:
    """A period and a day as one number that sorts like the pair."""
    return period * _DAYS + pl.col("available_date").to_physical()


def _changes_about(known: pl.DataFrame, periods: pl.DataFrame, sources: Sequence[pl.Expr]) -> list[pl.Series]:
    """For each period, the moments at which something changed in one of its source periods."""
    changed = known.select(pl.col("period").alias("source"), "available_date")
    return [
        periods.with_columns(source.alias("source"))
        .join(changed, on="source")
        .select(_moment(pl.col("period")))
        .to_series()
        for source in sources
    ]


def _days(moments: Sequence[pl.Series]) -> pl.DataFrame:
    """Distinct moments as period and day, sorted."""
    moment = pl.col("moment")
    return (
        pl.concat(moments)
        .unique()
        .sort()
        .to_frame("moment")
        .select(
            (moment // _DAYS).alias("period"),
            (moment % _DAYS).cast(pl.Int32).cast(pl.Date).alias("available_date"),
        )
    )


def _known(
    known: pl.DataFrame, days: pl.DataFrame, period: pl.Expr, columns: Sequence[str] = _FIGURES
) -> pl.DataFrame:
    """Columns of the last row of ``known`` (sorted) about ``period`` on or before each day; null if none."""
    keys = known.select(_moment(pl.col("period"))).to_series()
    wanted = days.select(_moment(period)).to_series()
    last = keys.search_sorted(wanted, side="right").cast(pl.Int64) - 1
    found = pl.DataFrame({"last": last, "wanted": wanted}).select(
        pl.when(pl.col("last") >= 0).then("last").alias("last"), "wanted"
    )
    same = keys.gather(found["last"]) // _DAYS == found["wanted"] // _DAYS
    index = found.select(pl.when(same).then("last")).to_series()
    return known.select(pl.col(columns).gather(index))


def _changes(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows (sorted by period and day) that differ from the row before in more than the day."""
    values = [name for name in rows.columns if name != "available_date"]
    return rows.filter(pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift()) for name in values))
