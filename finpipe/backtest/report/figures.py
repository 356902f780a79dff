"""The figures of a performance as the page shows them: labels, tiles, lists and the table of definitions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from finpipe.backtest.performance import Performance
from finpipe.backtest.report import numerals
from finpipe.backtest.report.markup import Markup, element, number, term

_LABELS = {
    "sharpe": "Sharpe ratio",
    "sortino": "Sortino ratio",
    "calmar": "Calmar ratio",
    "icir": "ICIR",
    "rank_ic_t": "Mean rank IC, t",
    "rank_ic_positive": "Days with positive rank IC",
    "return_t": "Mean return, t",
    "lo_sharpe": "Sharpe ratio after Lo",
    "sharpe_low": "Sharpe ratio, low end",
    "sharpe_high": "Sharpe ratio, high end",
    "deflated_sharpe": "Deflated Sharpe ratio",
    "probabilistic_sharpe": "Probabilistic Sharpe ratio",
    "capacity_tight": "Capacity on tight days",
}

_WORDS = {"ic": "IC", "icir": "ICIR", "sharpe": "Sharpe", "krw": "KRW"}


@dataclass(frozen=True)
class Figure:
    """One row of ``performance.figures``."""

    section: str
    name: str
    value: float | None
    unit: str
    definition: str

    @property
    def label(self) -> str:
        """The name in words."""
        return label(self.name)

    @property
    def text(self) -> str:
        """The value as people read it."""
        if self.unit == "ratio" and "ic" in self.name.split("_"):
            return numerals.coefficient(self.value)
        return numerals.with_unit(self.value, self.unit)


def label(name: str) -> str:
    """Return a snake_case name in words.

    >>> label("mean_rank_ic"), label("annual_turnover")
    ('Mean rank IC', 'Annual turnover')
    """
    words = _LABELS.get(name) or " ".join(_WORDS.get(word, word) for word in name.split("_"))
    return words[:1].upper() + words[1:]


def whole_period(performance: Performance) -> dict[str, Figure]:
    """Return the figures of period ``all`` by name, in their order."""
    rows = performance.figures.filter(pl.col("period") == "all").iter_rows(named=True)
    return {
        row["figure"]: Figure(row["section"], row["figure"], row["value"], row["unit"], row["definition"])
        for row in rows
    }


def tile(figure: Figure | None, name: str, aside: str | Iterable[str] | None = None) -> Markup:
    """Return a headline tile; a figure that the performance does not have shows as a dash."""
    if figure is None:
        return custom_tile(name, numerals.DASH, aside)
    value = number(figure.text, figure.value)
    return custom_tile(term(name, figure.definition), value, aside, figure=figure.name)


def custom_tile(
    name: str, value: str, aside: str | Iterable[str] | None = None, figure: str | None = None
) -> Markup:
    """Return a headline tile with any label and value."""
    return element(
        "div",
        element("dt", name),
        element("dd", value, class_="value"),
        element("dd", aside, class_="aside") if aside else None,
        class_="tile",
        data_figure=figure,
    )


def listing(performance: Performance, section: str) -> Markup | None:
    """Return label and value of all figures of a section, or None where there are none."""
    items = [
        element(
            "div",
            element("dt", term(figure.label, figure.definition)),
            element("dd", number(figure.text, figure.value), class_="value"),
            data_figure=figure.name,
        )
        for figure in whole_period(performance).values()
        if figure.section == section
    ]
    return element("dl", items, class_="stats") if items else None


def definitions(performance: Performance) -> Markup:
    """Return the table of all figures of the whole period with their definitions in full."""
    figures = list(whole_period(performance).values())
    bodies = []
    for section in dict.fromkeys(figure.section for figure in figures):
        rows = [
            element(
                "tr",
                element("th", figure.label, scope="row", class_="nowrap"),
                element("td", number(figure.text, figure.value), class_="n"),
                element("td", figure.definition, class_="muted wide"),
            )
            for figure in figures
            if figure.section == section
        ]
        heading = element("tr", element("th", label(section), colspan=3, scope="rowgroup", class_="group"))
        bodies.append(element("tbody", heading, rows))
    columns = element(
        "tr",
        element("th", "Figure", scope="col"),
        element("th", "Value", scope="col", class_="n"),
        element("th", "Definition", scope="col"),
    )
    table = element("table", element("thead", columns), bodies, class_="stack")
    return element("div", table, class_="scroll", role="region", aria_label="All figures", tabindex=0)
