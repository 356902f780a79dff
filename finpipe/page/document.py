"""The document: one HTML file that needs nothing but a browser, neither network nor finpipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources

from finpipe.page.markup import Markup, element, script_json
from finpipe.page.palette import DARK, LIGHT
from finpipe.page.section import Section, contents

FONTS = (
    'system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue","Noto Sans","Noto Sans KR",'
    '"Apple SD Gothic Neo","Malgun Gothic",Arial,sans-serif'
)

# The page may run what is written in it, and load nothing.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; "
    "base-uri 'none'; form-action 'none'"
)


def document(
    title: str, header: Markup, sections: Sequence[Section], *, footer: str, data: Mapping[str, object]
) -> str:
    """Return a page as one HTML document.

    The document holds plotly.js, its style, its data and all figures, and opens without a network.

    Parameters
    ----------
    title
        Of the browser's window.
    header
        What stands above the sections.
    footer
        What a reader must know of the whole.
    data
        Content of JSON blocks by their ids; ``figures`` is a list of rows, which the button ``download`` saves as CSV.
    """
    charts = {chart.name: chart.spec() for section in sections for chart in section.charts}
    body = element(
        "body",
        header,
        contents(sections),
        element("main", map(_section, sections)),
        _footer(footer),
        [script_json(identifier, content) for identifier, content in data.items()],
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


def _footer(words: str) -> Markup:
    use = "Drag across a chart to zoom, double-click to return. This page is complete in itself and loads nothing."
    return element("footer", element("p", f"{words} {use}"))


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
