"""The tear sheet: one HTML file that needs nothing but a browser, neither network nor finpipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources

import polars as pl

from finpipe.backtest.performance import Performance
from finpipe.backtest.report import header, sections
from finpipe.backtest.report.markup import Markup, element, script_json
from finpipe.backtest.report.palette import DARK, LIGHT
from finpipe.backtest.report.sections import Section

FONTS = (
    'system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue","Noto Sans","Noto Sans KR",'
    '"Apple SD Gothic Neo","Malgun Gothic",Arial,sans-serif'
)

# The page may run what is written in it, and load nothing.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; "
    "base-uri 'none'; form-action 'none'"
)


def render_report(
    performance: Performance,
    *,
    title: str,
    study: Mapping[str, object],
    data: Mapping[str, object],
    notes: Sequence[str] = (),
    picks: pl.DataFrame | None = None,
    benchmark_name: str = "Benchmark",
) -> str:
    """Return the tear sheet of a backtest as one HTML document.

    The document holds plotly.js, its style, its data and all figures, and opens without a network. The
    block ``<script type="application/json" id="figures">`` is ``performance.figures`` at full precision;
    each number of the page is also the ``value`` of a ``<data>`` element.

    Parameters
    ----------
    performance
        What is shown. Frames without rows, nulls and NaN become dashes or leave their part out.
    title
        Heading of the page.
    study, data
        Parameters of the study and facts about the data: name to value, or to ``(value, description)``; a
        nested mapping is shown as a group under its name. ``parameters.documented`` makes one of a
        dataclass. ``preset`` and ``description`` of ``study`` also stand in the header.
    notes
        Sentences that a reader must see first, such as a missing benchmark or synthetic data.
    picks
        The latest lists, under ``backtest.picks.PICKS``, of which any column may be missing; columns that
        it does not know are left out.
    benchmark_name
        Name of the benchmark in legends and text.
    """
    parts = [
        sections.growth(performance, benchmark_name),
        sections.calendar(performance, benchmark_name),
        sections.ranking(performance),
        sections.risk(performance, benchmark_name),
        sections.trading(performance),
        sections.sectors(performance),
        sections.importance(performance),
        sections.significance(performance),
        sections.picks(picks),
        sections.setup(study, data),
        sections.definitions(performance),
    ]
    shown = [part for part in parts if part is not None]
    charts = {chart.name: chart.spec() for part in shown for chart in part.charts}
    body = element(
        "body",
        header.header(performance, title, study, notes, benchmark_name),
        sections.contents(shown),
        element("main", map(_section, shown)),
        _footer(),
        script_json("figures", performance.figures.to_dicts()),
        script_json("charts", charts),
        element("script", _plotly()),
        element("script", Markup(_asset("page.js"))),
    )
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="generator", content="finpipe"),
        element("title", title),
        element("style", _style()),
    )
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def _section(section: Section) -> Markup:
    return element(
        "section",
        element("h2", section.title, id=f"{section.name}-title"),
        element("p", section.lead, class_="lead"),
        section.body,
        id=section.name,
        aria_labelledby=f"{section.name}-title",
    )


def _footer() -> Markup:
    text = (
        "Simulated on past prices by finpipe; simulated results say little about future ones. "
        "Drag across a chart to zoom, double-click to return. This page is complete in itself and loads nothing."
    )
    return element("footer", element("p", text))


@cache
def _style() -> Markup:
    fonts = f"--font:{FONTS};"
    dark = f"@media screen and (prefers-color-scheme:dark){{:root{{{DARK.css()}}}}}"
    return Markup(f":root{{color-scheme:light dark;{fonts}{LIGHT.css()}}}{dark}\n{_asset('page.css')}")


@cache
def _plotly() -> Markup:
    from plotly.offline import get_plotlyjs

    return Markup(get_plotlyjs().replace("</script", "<\\/script"))


def _asset(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
