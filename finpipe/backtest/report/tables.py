"""Tables of the report: calendar, drawdowns, sectors, importance and safety.

Headings take their definitions from the schema of the frame that they show.
"""

from __future__ import annotations

import polars as pl

from finpipe.backtest.performance import Performance
from finpipe.backtest.report import figures
from finpipe.page import grid, known, numerals
from finpipe.page.grid import Formatter
from finpipe.page.markup import Markup, element, number

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

TOP_FEATURES = 15
"""Features in the table of importance; the rest are counted below it."""


def annual(performance: Performance) -> Markup:
    """Return one row per calendar year; columns without any value are left out."""
    shown: dict[str, tuple[str, Formatter]] = {
        "portfolio_return": ("Portfolio", grid.percent),
        "benchmark_return": ("Benchmark", grid.percent),
        "excess": ("Excess", grid.percent),
        "volatility": ("Volatility", grid.percent),
        "sharpe": ("Sharpe", numerals.decimal),
        "max_drawdown": ("Max drawdown", grid.percent),
        "turnover": ("Turnover", lambda value: numerals.percent(value, 0)),
        "mean_rank_ic": ("Rank IC", numerals.coefficient),
        "icir": ("ICIR", numerals.decimal),
        "n_days": ("Days", numerals.whole),
    }
    frame = performance.annual
    shown = {name: how for name, how in shown.items() if known.has(frame[name])}
    headings = [grid.heading("Year", None, first=True)]
    headings += [grid.heading(title, _meaning("annual", name)) for name, (title, _) in shown.items()]
    rows = [
        element(
            "tr",
            element("th", str(row["year"]), scope="row"),
            (grid.cell(row[name], how, signed=name != "max_drawdown") for name, (_, how) in shown.items()),
        )
        for row in frame.iter_rows(named=True)
    ]
    return grid.table("Results by calendar year", headings, rows)


def monthly(performance: Performance) -> Markup:
    """Return the heat map of monthly returns, one row per year, with the year's return at its end."""
    frame = performance.monthly
    found = {(row["year"], row["month"]): row["portfolio_return"] for row in frame.iter_rows(named=True)}
    years = dict(performance.annual.select("year", "portfolio_return").iter_rows())
    strongest = frame["portfolio_return"].abs().quantile(0.95) or 1.0
    headings = [grid.heading("Year", None, first=True), *(grid.heading(month, None) for month in MONTHS)]
    headings.append(grid.heading("Year", _meaning("annual", "portfolio_return")))
    rows = []
    for year in dict.fromkeys(frame["year"]):
        cells = [grid.heat(found.get((year, month)), strongest, grid.percent) for month in range(1, 13)]
        total = years.get(year)
        cells.append(element("td", number(grid.percent(total), total), class_="total"))
        rows.append(element("tr", element("th", str(year), scope="row"), cells))
    return grid.table("Return by month", headings, rows, class_="heat")


def drawdowns(performance: Performance) -> Markup:
    """Return the deepest drawdowns; one that still lasts has no end."""
    names = {"start": "High before", "trough": "Lowest", "end": "Recovered", "depth": "Depth", "days": "Days"}
    headings = [
        grid.heading(title, _meaning("drawdowns", name), first=name in ("start", "trough", "end"))
        for name, title in names.items()
    ]
    rows = [
        element(
            "tr",
            (element("td", numerals.day(row[name]), class_="nowrap") for name in ("start", "trough")),
            element("td", numerals.day(row["end"]) if row["end"] else "not yet", class_="nowrap"),
            grid.cell(row["depth"], grid.percent),
            grid.cell(row["days"], numerals.whole),
        )
        for row in performance.drawdowns.iter_rows(named=True)
    ]
    return grid.table("Deepest drawdowns", headings, rows)


def sectors(performance: Performance) -> Markup:
    """Return weight and contribution of each sector with bars, largest contribution first."""
    frame = performance.sectors.sort("contribution", descending=True, nulls_last=True)
    weights = frame["mean_weight"].fill_nan(None).fill_null(0.0).to_list()
    contributions = frame["contribution"].fill_nan(None).fill_null(0.0).to_list()
    heaviest = max(weights, default=0.0) or 1.0
    low, high = min([0.0, *contributions]), max([0.0, *contributions])
    span = (high - low) or 1.0
    headings = [
        grid.heading("Sector", _meaning("sectors", "sector"), first=True),
        grid.heading("Mean weight", _meaning("sectors", "mean_weight")),
        grid.heading("", None),
        grid.heading("Contribution", _meaning("sectors", "contribution")),
        grid.heading("", None),
    ]
    rows = []
    for row, weight, contribution in zip(frame.iter_rows(named=True), weights, contributions, strict=True):
        down = contribution < 0
        side = -low if down else high
        bar = element(
            "i",
            class_="bar down" if down else "bar",
            style=f"--size:{abs(contribution) / side if side else 0:.3f}",
        )
        rows.append(
            element(
                "tr",
                element("th", row["sector"], scope="row"),
                grid.cell(row["mean_weight"], grid.percent),
                element("td", element("i", class_="bar", style=f"--size:{weight / heaviest:.3f}")),
                grid.cell(row["contribution"], grid.percent, signed=True),
                element(
                    "td",
                    element(
                        "div",
                        bar,
                        class_="axis",
                        style=f"--below:{-low / span:.3f}fr;--above:{high / span:.3f}fr",
                    ),
                ),
            )
        )
    return grid.table("Sectors", headings, rows, class_="bars")


def importance(performance: Performance) -> Markup:
    """Return the heat map of the features' share of gain by test year, most used first."""
    frame = performance.importance
    years = sorted(frame["test_year"].unique())
    ranked = frame.with_columns(pl.col("gain").rank("min", descending=True).over("test_year").alias("rank"))
    order = (
        ranked.group_by("feature")
        .agg(
            pl.col("share").sum() / len(years),
            (pl.col("rank") <= 10).sum().alias("often"),
            pl.col("shap_share").sum() / len(years),
        )
        .sort("share", "feature", descending=[True, False])
    )
    has_shap = known.has(frame["shap_share"])
    shares = {(row["feature"], row["test_year"]): row["share"] for row in frame.iter_rows(named=True)}
    strongest = float(frame["share"].to_numpy().max()) or 1.0
    headings = [
        grid.heading("Feature", _meaning("importance", "feature"), first=True),
        *(grid.heading(str(year), _meaning("importance", "share")) for year in years),
        grid.heading("Mean", "Mean share over the test years; a year without the feature counts as 0."),
        grid.heading("In top 10", "Test years in which the feature is among the ten with the most gain."),
    ]
    if has_shap:
        text = (
            "Mean over the test years of the feature's share of the mean |SHAP contribution| to the scores."
        )
        headings.append(grid.heading("SHAP", text))
    rows = []
    for feature, mean, often, shap in order.head(TOP_FEATURES).iter_rows():
        cells = [grid.heat(shares.get((feature, year)), strongest, grid.percent) for year in years]
        rows.append(
            element(
                "tr",
                element("th", feature, scope="row"),
                cells,
                element("td", number(grid.percent(mean), mean), class_="total"),
                element("td", f"{often} of {len(years)}", class_="n"),
                element("td", number(grid.percent(shap), shap), class_="total") if has_shap else None,
            )
        )
    return grid.table("Share of gain by feature and test year", headings, rows, class_="heat")


def safety(performance: Performance) -> Markup:
    """Return the safety checks with their verdicts and reasons."""
    headings = [
        grid.heading("Check", None, first=True),
        grid.heading("Verdict", _meaning("safety", "passed"), first=True),
        grid.heading("Measured", _meaning("safety", "value")),
        grid.heading("Threshold", _meaning("safety", "threshold")),
        grid.heading("Why it matters", None, first=True),
    ]
    rows = [
        element(
            "tr",
            element("th", figures.label(row["check"]), scope="row"),
            element("td", badge(row["passed"])),
            grid.cell(row["value"], numerals.significant, label="Measured"),
            grid.cell(row["threshold"], numerals.significant, label="Threshold"),
            element("td", row["why"], class_="muted wide"),
        )
        for row in performance.safety.iter_rows(named=True)
    ]
    return grid.table("Safety checks", headings, rows, class_="stack")


def badge(passed: bool | None) -> Markup:
    """Return the verdict of a check as a word in its colour."""
    return element("span", "Passed" if passed else "Failed", class_=f"badge {'pass' if passed else 'fail'}")


def _meaning(table: str, column: str) -> str | None:
    return grid.meaning(Performance.TABLES[table], column)
