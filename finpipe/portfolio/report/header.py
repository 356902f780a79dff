"""The head of the portfolio report: what it is, what must be known first, and the headline tiles."""

from __future__ import annotations

from finpipe.page import numerals
from finpipe.page.figures import Figure, tile
from finpipe.page.markup import Markup, element, join
from finpipe.portfolio.report.subject import Subject
from finpipe.portfolio.report.track_record import EQUAL_WEIGHT

OBJECTIVES = {
    "max-sharpe": "Highest Sharpe ratio",
    "min-volatility": "Least volatility",
    "target-return": "Least volatility for a return",
    "target-volatility": "Highest return for a volatility",
    "risk-parity": "Risk parity",
    "hrp": "Hierarchical risk parity",
    "min-cvar": "Least conditional value at risk",
    "max-diversification": "Highest diversification ratio",
    "herc": "Hierarchical equal risk contribution",
}

FIRST_NOTICES = 4
"""Notices that stand open; more are to be opened."""


def title(subject: Subject) -> str:
    """Return what the page is called."""
    request = subject.portfolio.request
    of = request.group or f"{len(request.tickers or ())} tickers"
    return f"{OBJECTIVES.get(request.objective, request.objective)}, {of}"


def header(subject: Subject, found: dict[str, Figure]) -> Markup:
    """Return what stands above the sections."""
    return element(
        "header",
        element("p", "Optimised portfolio", class_="eyebrow"),
        element("h1", title(subject)),
        element("ul", (element("li", fact) for fact in _facts(subject)), class_="facts"),
        _notices(subject.portfolio.notices),
        element("p", _in_short(subject, found), class_="short"),
        _tiles(subject, found),
        element(
            "noscript", element("p", "The charts need JavaScript; the tables below do not.", class_="lead")
        ),
        class_="top",
    )


def _facts(subject: Subject) -> list[str]:
    request, moments = subject.portfolio.request, subject.portfolio.moments
    first, _ = subject.period
    return [
        f"Prices {numerals.day(first)} to {numerals.day(moments.as_of)}",
        f"Forecast {request.forecast}",
        f"Covariance {request.covariance}",
        f"Risk-free rate {numerals.percent(request.risk_free)}",
    ]


def _notices(notices: tuple[str, ...]) -> Markup | None:
    if not notices:
        return None
    items = [element("li", _sentence(notice)) for notice in notices]
    shown = element("ul", items[:FIRST_NOTICES], class_="notes", aria_label="Notices")
    if len(items) <= FIRST_NOTICES:
        return shown
    rest = element("ul", items[FIRST_NOTICES:], class_="notes", aria_label="More notices")
    more = element("summary", f"{len(items) - FIRST_NOTICES} more notices")
    return join(shown, element("details", more, rest, class_="more"))


def _in_short(subject: Subject, found: dict[str, Figure]) -> Markup:
    def strong(name: str) -> Markup:
        return element("strong", found[name].text if name in found else numerals.DASH)

    sentences: list[str | Markup] = [
        "Of ",
        strong("eligible"),
        " eligible tickers it holds ",
        strong("holdings"),
        ". By forecast it returns ",
        strong("expected_return"),
        " a year at a volatility of ",
        strong("volatility"),
        ", a Sharpe ratio of ",
        strong("sharpe"),
        ".",
    ]
    if "annual_return" in found:
        sentences += [
            " In sample, over the very prices it was made from, the weights would have earned ",
            strong("annual_return"),
            f" a year; {_benchmark(subject)} ",
            strong("benchmark_annual_return"),
            ".",
        ]
    return join(sentences)


def _benchmark(subject: Subject) -> str:
    record = subject.track_record
    name = record.benchmark_name if record else ""
    return "equal weights" if name == EQUAL_WEIGHT else name


def _tiles(subject: Subject, found: dict[str, Figure]) -> Markup:
    def beside(words: str, name: str) -> str | None:
        return f"{words} {found[name].text}" if name in found else None

    def headline(name: str, words: str, aside: str | None = None) -> Markup:
        return tile(found.get(name), words, aside)

    effective = f"as concentrated as {found['effective_holdings'].text} equal ones"
    against = beside(_benchmark(subject), "benchmark_max_drawdown")
    return element(
        "dl",
        headline("expected_return", "Expected return", "a year, by forecast"),
        headline("volatility", "Volatility", beside("realised", "realised_volatility")),
        headline("sharpe", "Sharpe ratio", beside("above a risk-free", "risk_free_rate")),
        headline("max_drawdown", "Max drawdown", f"in sample; {against}" if against else "in sample"),
        headline("holdings", "Holdings", effective),
        headline("largest_weight", "Largest weight", beside("five largest", "five_largest")),
        headline("diversification_ratio", "Diversification", beside("mean correlation", "mean_correlation")),
        headline("excluded", "Excluded", beside("tickers, of", "asked")),
        class_="tiles",
    )


def _sentence(notice: str) -> str:
    text = notice[:1].upper() + notice[1:]
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."
