"""Tables of the portfolio report: every number of its charts, and what has no chart."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import polars as pl

from finpipe.page import grid, numerals
from finpipe.page.grid import Formatter
from finpipe.page.markup import Markup, element, join, number, term
from finpipe.portfolio.comparison import BENCHMARK, PORTFOLIO, RISK_FREE
from finpipe.portfolio.efficient_frontier import Frontier
from finpipe.portfolio.report.subject import Subject
from finpipe.portfolio.report.track_record import TrackRecord
from finpipe.portfolio.returns import Floats

SHOWN = 25
"""Rows that a table shows at once; more stand below it, to be opened."""

SENTENCES = ("fallback", "reason")
"""Columns of sentences: their tables stack up on a narrow screen."""

Column = tuple[str, str, Formatter | None, str | None]
"""Name in the frame, heading, how a number is written (None: text), and the definition on hover."""


def money(value: float | None) -> str:
    """Return an amount with two decimals."""
    return numerals.decimal(value, 2)


WEIGHT: Column = ("weight", "Weight", grid.percent, "Fraction of the portfolio.")
RISK: Column = (
    "risk",
    "Share of risk",
    grid.percent,
    "Part of the portfolio's volatility that comes from it, w (Sw) / volatility squared; all add up to 100%.",
)
EXPECTED: Column = (
    "expected_return",
    "Expected return",
    grid.percent,
    "Simple return over the next year, by the forecast.",
)
VOLATILITY: Column = (
    "volatility",
    "Volatility",
    grid.percent,
    "Of its annual return: root of its variance in the estimated covariance.",
)


def positions(subject: Subject) -> Markup:
    """Return the holdings with weight, risk and, for a budget, shares."""
    columns: list[Column] = [
        ("ticker", "Ticker", None, None),
        ("sector", "Sector", None, "GICS sector, where the group knows it."),
        WEIGHT,
        RISK,
        EXPECTED,
        VOLATILITY,
        ("price", "Close", money, "Last close, as traded, in the currency of its exchange."),
    ]
    if subject.sectors is None:
        del columns[1]
    if subject.portfolio.allocation is not None:
        columns += [
            ("shares", "Shares", numerals.whole, "Whole shares for the budget."),
            ("value", "Worth", money, "Shares times close."),
            ("bought", "Bought weight", grid.percent, "Worth over the budget."),
        ]
    return listed("Holdings", subject.held, columns)


def sectors(frame: pl.DataFrame) -> Markup:
    """Return weight and risk by sector."""
    columns: list[Column] = [
        ("sector", "Sector", None, "GICS sector, where the group knows it."),
        WEIGHT,
        RISK,
        ("held", "Held", numerals.whole, "Tickers with a weight."),
        ("eligible", "Eligible", numerals.whole, "Tickers that passed the quality rules."),
    ]
    return listed("Sectors", frame, columns)


def frontier(line: Frontier) -> Markup:
    """Return the portfolios of the frontier, and what the largest weights of each are."""
    columns: list[Column] = [
        ("point", "Point", None, "From the least volatility to the highest return."),
        (*EXPECTED[:3], "Of the portfolio, after the cost of trading where one was given."),
        (*VOLATILITY[:3], "Of the portfolio."),
        ("sharpe", "Sharpe ratio", numerals.decimal, "(Expected return - risk-free rate) / volatility."),
        ("held", "Held", numerals.whole, "Tickers with a weight above 0.0001%."),
    ]
    frame = line.frame.with_columns(
        pl.Series("held", (abs(line.weights) > 1e-6).sum(axis=1)),
        pl.when("is_tangency")
        .then(pl.format("{}, highest Sharpe ratio", pl.int_range(1, pl.len() + 1)))
        .otherwise(pl.int_range(1, pl.len() + 1).cast(pl.String))
        .alias("point"),
    )
    return _table("Efficient frontier", frame, columns)


def correlation(names: Sequence[str], matrix: Floats) -> Markup:
    """Return the correlations as numbers."""
    headings = [
        grid.heading("Ticker", None, first=True),
        *(grid.heading(name, None) for name in names),
    ]
    rows = [
        element(
            "tr",
            element("th", name, scope="row"),
            [grid.heat(float(value), 1.0, _correlation) for value in row],
        )
        for name, row in zip(names, matrix, strict=True)
    ]
    return grid.table("Correlations", headings, rows, class_="heat")


def summary(record: TrackRecord) -> Markup:
    """Return how portfolio, benchmark and the risk-free asset did over the period."""
    shown: list[tuple[str, str, Formatter, str]] = [
        ("total_return", "Return", grid.percent, "End over start, minus 1."),
        ("annual_return", "A year", grid.percent, "Compound: (end / start)^(365 / calendar days) - 1."),
        ("volatility", "Volatility", grid.percent, "Of daily returns, times sqrt(252)."),
        (
            "sharpe",
            "Sharpe ratio",
            numerals.decimal,
            "Mean daily return above the risk-free one times 252, over the volatility.",
        ),
        ("max_drawdown", "Max drawdown", grid.percent, "Deepest fall from the highest value so far."),
    ]
    names = {PORTFOLIO: "Portfolio", BENCHMARK: record.benchmark_name, RISK_FREE: "Risk-free"}
    headings = [grid.heading("", None, first=True)]
    headings += [grid.heading(title, text) for _, title, _, text in shown]
    rows = []
    for line, title in names.items():
        done = record.result.summary[line]
        values = [(getattr(done, name), how) for name, _, how, _ in shown]
        rows.append(
            element(
                "tr",
                element("th", title, scope="row"),
                [grid.cell(value, how, signed=at < 2) for at, (value, how) in enumerate(values)],
            )
        )
    return grid.table("In sample", headings, rows)


def annual(record: TrackRecord) -> Markup:
    """Return the returns by calendar year."""
    frame = record.annual.with_columns(
        (pl.col(PORTFOLIO) - pl.col(BENCHMARK)).alias("excess"), pl.col("year").cast(pl.String)
    )
    columns: list[Column] = [
        ("year", "Year", None, None),
        (PORTFOLIO, "Portfolio", grid.percent, "Return of the year, in sample."),
        (BENCHMARK, record.benchmark_name, grid.percent, "Return of the year."),
        ("excess", "Excess", grid.percent, "Portfolio minus benchmark."),
        ("days", "Days", numerals.whole, "Days with returns."),
    ]
    return _table("By calendar year", frame, columns, signed=(PORTFOLIO, BENCHMARK, "excess"))


def forecasts(subject: Subject) -> Markup:
    """Return what is expected of every eligible ticker, and by which method."""
    columns: list[Column] = [
        ("ticker", "Ticker", None, None),
        EXPECTED,
        VOLATILITY,
        WEIGHT,
        ("method", "Method", None, "The method that gave the value."),
    ]
    return listed("Forecasts", subject.tickers, columns, signed=("expected_return",))


def fallbacks(subject: Subject) -> Markup:
    """Return the tickers that the method asked for could not forecast, and what took its place."""
    columns: list[Column] = [
        ("ticker", "Ticker", None, None),
        EXPECTED,
        WEIGHT,
        ("method", "Method", None, "The method that gave the value."),
        ("fallback", "Why", None, None),
    ]
    return listed("Fallbacks", subject.tickers.filter(pl.col("fallback").is_not_null()), columns)


def exclusions(subject: Subject) -> Markup:
    """Return the tickers that could not take part, with their reasons."""
    reasons = subject.portfolio.excluded
    frame = pl.DataFrame(
        {"ticker": list(reasons), "reason": list(reasons.values())},
        schema={"ticker": pl.String, "reason": pl.String},
    ).sort("ticker")
    columns: list[Column] = [("ticker", "Ticker", None, None), ("reason", "Reason", None, None)]
    return listed("Excluded tickers", frame, columns)


def listed(
    caption: str, frame: pl.DataFrame, columns: Sequence[Column], *, signed: Sequence[str] = ()
) -> Markup:
    """Return the first rows as a table, and the others in a second one that is closed at first."""
    top = _table(caption, frame.head(SHOWN), columns, signed=signed)
    more = frame.height - SHOWN
    if more <= 0:
        return top
    return join(top, folded(f"{more} more", _table(f"{caption}, {more} more", frame.slice(SHOWN), columns)))


def folded(title: str, content: Markup) -> Markup:
    """Return content that opens when its title is chosen."""
    return element("details", element("summary", title), content, class_="more")


def _table(
    caption: str, frame: pl.DataFrame, columns: Sequence[Column], *, signed: Sequence[str] = ()
) -> Markup:
    headings = [grid.heading(title, text, first=how is None) for _, title, how, text in columns]
    cells: list[Callable[[dict[str, object]], Markup]] = [
        _cell(column, first=at == 0, signed=column[0] in signed) for at, column in enumerate(columns)
    ]
    rows = [element("tr", [cell(row) for cell in cells]) for row in frame.iter_rows(named=True)]
    has_sentences = any(name in SENTENCES for name, *_ in columns)
    return grid.table(caption, headings, rows, class_="stack" if has_sentences else None)


def _cell(column: Column, *, first: bool, signed: bool) -> Callable[[dict[str, object]], Markup]:
    name, title, how, _ = column

    def cell(row: dict[str, object]) -> Markup:
        value = row[name]
        if how is None:
            text = numerals.DASH if value is None else str(value)
            if first:
                return element("th", text, scope="row")
            return element("td", text, class_="muted wide" if name in SENTENCES else None)
        return grid.cell(None if value is None else float(value), how, signed=signed, label=title)  # type: ignore[arg-type]

    return cell


def _correlation(value: float | None) -> str:
    return numerals.decimal(value, 2)


def stages(seconds: dict[str, float]) -> Markup:
    """Return the wall time by stage."""
    items = [
        element(
            "div",
            element("dt", term(name.capitalize(), None)),
            element("dd", number(f"{value:.3f} s", value), class_="value"),
        )
        for name, value in seconds.items()
    ]
    return element("dl", items, class_="stats")
