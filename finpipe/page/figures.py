"""Figures as a page shows them: tiles, lists, the table of definitions, and names in words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from finpipe.page import numerals
from finpipe.page.markup import Markup, element, number, term

_WORDS = {"cvar": "CVaR", "ic": "IC", "icir": "ICIR", "sharpe": "Sharpe", "krw": "KRW"}


@dataclass(frozen=True)
class Figure:
    """One number with its definition.

    Parameters
    ----------
    section
        The part of a page that lists it.
    name
        Identifier in snake_case.
    label, text
        Name and value as people read them.
    value
        At full precision; None or NaN where it is not known.
    definition
        What the number is, in a sentence.
    """

    section: str
    name: str
    label: str
    value: float | None
    text: str
    definition: str


def label(name: str) -> str:
    """Return a snake_case name in words.

    >>> label("mean_rank_ic"), label("annual_turnover")
    ('Mean rank IC', 'Annual turnover')
    """
    words = " ".join(_WORDS.get(word, word) for word in name.split("_"))
    return words[:1].upper() + words[1:]


def tile(figure: Figure | None, name: str, aside: str | Iterable[str] | None = None) -> Markup:
    """Return a headline tile; a figure that does not exist shows as a dash."""
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


def listing(figures: Iterable[Figure], section: str) -> Markup | None:
    """Return label and value of all figures of a section, or None where there are none."""
    items = [
        element(
            "div",
            element("dt", term(figure.label, figure.definition)),
            element("dd", number(figure.text, figure.value), class_="value"),
            data_figure=figure.name,
        )
        for figure in figures
        if figure.section == section
    ]
    return element("dl", items, class_="stats") if items else None


def definitions(figures: Iterable[Figure]) -> Markup:
    """Return the table of figures, by section, with their definitions in full."""
    figures = list(figures)
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
