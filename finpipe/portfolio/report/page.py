"""The report of a portfolio: one HTML file that needs nothing but a browser, neither network nor finpipe."""

from __future__ import annotations

import secrets
from pathlib import Path

from finpipe.page.document import document
from finpipe.portfolio.report import figures, sections
from finpipe.portfolio.report.header import header, title
from finpipe.portfolio.report.subject import Subject
from finpipe.portfolio.results import OptimizedPortfolio

FOOTER = (
    "Made by finpipe from past prices. Expected returns are forecasts, the backtest is in sample; no advice."
)


def render(portfolio: OptimizedPortfolio) -> str:
    """Return the report of a portfolio as one HTML document.

    The document holds plotly.js, its style, its data and all figures, and opens without a network. The block
    ``<script type="application/json" id="portfolio">`` is ``portfolio.to_json()``, ``id="figures"`` the figures of the
    page with their definitions, both at full precision; each number of the page is also the ``value`` of a ``<data>``
    element.

    Parameters
    ----------
    portfolio
        What is shown. Without a frontier one of 40 points is made for the same request; without a benchmark, equal
        weights of all eligible tickers stand in for it.
    """
    subject = Subject(portfolio)
    found = figures.figures(subject)
    return document(
        title(subject),
        header(subject, found),
        [
            sections.allocation(subject, found),
            sections.frontier(subject, found),
            sections.risk(subject, found),
            sections.backtest(subject, found),
            sections.forecasts(subject),
            sections.exclusions(subject),
            sections.setup(subject, found),
            sections.definitions(found),
        ],
        footer=FOOTER,
        data={"figures": figures.rows(found), "portfolio": portfolio.to_json()},
    )


def write_report(portfolio: OptimizedPortfolio, path: Path) -> Path:
    """Write the report to a file, whole or not at all, and return its path; folders are made as needed.

    Raises
    ------
    OSError
        The file cannot be written; one that was there stays as it was.
    """
    page = render(portfolio)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        temporary.write_text(page, encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
