"""What all tables of the report share: the frame that scrolls, headings with definitions, and cells."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from finpipe.market.schema import Table
from finpipe.page import numerals
from finpipe.page.markup import Markup, element, number, term

Formatter = Callable[[Any], str]


def table(
    caption: str, headings: Sequence[Markup], rows: Iterable[Markup], class_: str | None = None
) -> Markup:
    """Return a table that scrolls sideways where the page is too narrow for it."""
    head = element("thead", element("tr", headings))
    inner = element("table", head, element("tbody", rows), class_=class_, aria_label=caption)
    return element("div", inner, class_="scroll", role="region", aria_label=caption, tabindex=0)


def heading(title: str, definition: str | None, *, first: bool = False) -> Markup:
    """Return a column's heading with its definition on hover; ``first`` for columns of text."""
    return element("th", term(title, definition), scope="col", class_=None if first else "n")


def cell(value: float | None, how: Formatter, *, signed: bool = False, label: str | None = None) -> Markup:
    """Return a number.

    With ``signed``, a negative one has the colour of losses; ``label`` stands before it where a table of
    class ``stack`` breaks its rows on a narrow screen.
    """
    negative = signed and value is not None and value < 0
    kind = "n negative" if negative else "n"
    return element("td", number(how(value), value), class_=kind, data_label=label)


def heat(value: float | None, strongest: float, how: Formatter) -> Markup:
    """Return a number on a ground that is the stronger, the nearer its size is to ``strongest``."""
    text = how(value)
    if value is None or text == numerals.DASH:
        return element("td", "", class_="empty")
    side = "drop" if value < 0 else "gain"
    return element(
        "td", number(text, value), class_=side, style=f"--heat:{min(abs(value) / strongest, 1.0):.2f}"
    )


def meaning(schema: Table, column: str) -> str | None:
    """Return what a column of ``schema`` is, as a sentence; None where it has no such column."""
    found = next((item for item in schema.columns if item.name == column), None)
    if found is None:
        return None
    text = found.description[:1].upper() + found.description[1:]
    return f"{text}. A dash: {found.null}." if found.null else f"{text}."


def percent(value: float | None) -> str:
    """Return a fraction as percent with one decimal, so that the points of a column stand in line."""
    return numerals.percent(value, 1)
