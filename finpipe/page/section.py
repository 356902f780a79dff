"""Sections of a page: a heading, a sentence on what is to be seen, and figures, tables and text below it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from finpipe.page import figures
from finpipe.page.chart import Chart
from finpipe.page.markup import Markup, element


@dataclass(frozen=True)
class Section:
    """A part of the page under one heading; ``charts`` are those that ``body`` has places for."""

    name: str
    title: str
    lead: str
    body: Markup
    charts: list[Chart] = field(default_factory=list)


def contents(sections: Iterable[Section]) -> Markup:
    """Return the links to the sections."""
    links = [
        element("li", element("a", figures.label(section.name), href=f"#{section.name}"))
        for section in sections
    ]
    return element("nav", element("ul", links), aria_label="Sections")


def figure(chart: Chart, title: str, caption: str | None) -> Markup:
    """Return the place of a chart under its title, with legend and caption."""
    legend = [
        element("li", element("i", class_=mark, style=f"--mark:var(--{role})"), label)
        for label, role, mark in chart.legend
    ]
    toggle = element(
        "button", "Log scale", type="button", data_log=chart.name, aria_pressed="false", hidden=True
    )
    return element(
        "figure",
        element(
            "div",
            element("h3", title),
            element("ul", legend, class_="legend") if legend else None,
            toggle if chart.log_scale else None,
            class_="head",
        ),
        element(
            "div",
            id=f"plot-{chart.name}",
            class_="plot",
            role="img",
            aria_label=chart.alt,
            style=f"min-height:{chart.height}px",
        ),
        element("figcaption", caption) if caption else None,
    )


def block(title: str, content: Markup | None, caption: str | None) -> Markup | None:
    """Return content under a title of third rank; None where there is no content."""
    if content is None:
        return None
    return element(
        "div",
        element("div", element("h3", title), class_="head"),
        content,
        element("p", caption, class_="caption") if caption else None,
        class_="block",
    )
