"""The sections of the portfolio report in reading order, and the words that explain them.

Everything is written for somebody who sees such a report for the first time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import polars as pl

from finpipe.page import figures as shown
from finpipe.page import numerals
from finpipe.page.chart import Chart
from finpipe.page.figures import Figure
from finpipe.page.growth import growth
from finpipe.page.markup import Markup, element, join, term
from finpipe.page.section import Section, block, figure
from finpipe.portfolio.report import charts, tables
from finpipe.portfolio.report.subject import Subject
from finpipe.portfolio.report.track_record import EQUAL_WEIGHT

Figures = Mapping[str, Figure]

MAPPED = 30
"""Holdings in the heat map of correlations, the largest."""
FEW = 8
"""Values of a long list that are named."""


def allocation(subject: Subject, found: Figures) -> Section:
    """Return the weights, and the whole shares for a budget."""
    chart = charts.allocation(subject)
    sectors = subject.sectors
    body = join(
        figure(chart, "Weights", _beyond(subject, "weight", "of the portfolio")),
        block("Holdings", tables.positions(subject), None),
        block("By sector", tables.sectors(sectors), None) if sectors is not None else None,
        block("Whole shares", shown.listing(found.values(), "shares"), None),
        block("Composition", shown.listing(found.values(), "composition"), None),
    )
    return Section("allocation", "Allocation", "What to hold, and how much of it.", body, [chart])


def frontier(subject: Subject, found: Figures) -> Section:
    """Return the efficient frontier with the portfolio among single tickers."""
    line = subject.frontier
    chart, left_out = charts.frontier(subject, line)
    sentences = [
        "Each dot is a ticker. Along the frontier no portfolio within the same limits has more expected return at the "
        "same volatility; the dotted line mixes the portfolio of the highest Sharpe ratio with the risk-free asset."
    ]
    if left_out:
        sentences.append(
            f"{left_out} far more volatile tickers are left out of the chart, not of the choice."
        )
    if line is None:
        sentences[0] = "Each dot is a ticker. There is no frontier within these limits."
    else:
        sentences += [f"{notice[:1].upper()}{notice[1:]}." for notice in line.notices]
    table = tables.folded("The frontier in numbers", tables.frontier(line)) if line is not None else None
    body = join(
        figure(chart, "Efficient frontier", " ".join(sentences)),
        element("div", table, class_="block") if table else None,
        block("By forecast", shown.listing(found.values(), "expectation"), None),
    )
    lead = (
        "Where the portfolio stands between risk and return. Both are estimates: forecasts err by more than the "
        "distance between neighbours on the line."
    )
    return Section("frontier", "Frontier", lead, body, [chart])


def risk(subject: Subject, found: Figures) -> Section:
    """Return the contributions to risk and the correlations between the holdings."""
    drawn: list[Chart] = []
    parts: list[Markup | None] = []
    if subject.portfolio.volatility > 0:
        chart = charts.risk(subject)
        drawn.append(chart)
        caption = (
            "A holding whose bar of risk is longer than its bar of weight makes the portfolio rougher than its money "
            "says; one with a negative share calms it. The numbers stand in the table of holdings."
        )
        beyond = _beyond(subject, "risk", "of the risk")
        parts.append(figure(chart, "Contributions to risk", f"{caption} {beyond}" if beyond else caption))
    if subject.held.height > 1:
        names = subject.likest_side_by_side(subject.held["ticker"].head(MAPPED).to_list())
        matrix = subject.correlation(names)
        chart = charts.correlation(names, matrix)
        drawn.append(chart)
        of = (
            f"The {MAPPED} largest of {subject.held.height} holdings"
            if subject.held.height > MAPPED
            else "Holdings"
        )
        caption = f"{of}, in the order of a cluster tree that puts the likest side by side; clusters show as blocks."
        parts += [
            figure(chart, "Correlations", caption),
            element(
                "div",
                tables.folded("Correlations in numbers", tables.correlation(names, matrix)),
                class_="block",
            ),
        ]
    parts.append(block("Risk in figures", shown.listing(found.values(), "risk"), None))
    lead = "Where the ups and downs come from, and how far the holdings move together, by the estimated covariance."
    return Section("risk", "Risk", lead, join(*parts), drawn)


def backtest(subject: Subject, found: Figures) -> Section:
    """Return the weights over the period that they were made from."""
    record = subject.track_record
    lead = (
        "In sample: the weights are run over the very prices that they were chosen from, restored every day, without "
        "costs. Such a record flatters and is no evidence of skill; it shows how rough the way would have been."
    )
    if record is None:
        text = element("p", "The period is too short for a track record.", class_="caption")
        return Section("backtest", "Backtest, in sample", lead, text)
    chart = growth(record.daily, record.benchmark_name)
    caption = (
        "Upper panel: what 1 invested at the close of the first day had become at each close. Lower panel: how far "
        "that was below its highest close so far."
    )
    if record.benchmark_name == EQUAL_WEIGHT:
        caption += " Equal weights hold all eligible tickers alike, as no prices of a benchmark were given."
    caption = " ".join([caption, *(f"{notice[:1].upper()}{notice[1:]}." for notice in record.notices)])
    body = join(
        figure(chart, "Growth and drawdown, in sample", caption),
        block("Beside the benchmark", tables.summary(record), None),
        block(
            "Year by year",
            tables.annual(record),
            "First and last year may be incomplete; the last column counts their days.",
        ),
        block("In figures", shown.listing(found.values(), "in_sample"), None),
    )
    return Section("backtest", "Backtest, in sample", lead, body, [chart])


def forecasts(subject: Subject) -> Section:
    """Return what is expected of each ticker."""
    expected = subject.portfolio.moments.expected
    fallen = len(expected.fallbacks)
    caption = (
        f"{fallen} of {len(expected.tickers)} tickers were forecast by another method than {expected.method}."
        if fallen
        else f"All {len(expected.tickers)} were forecast by {expected.method}."
    )
    lead = "What the optimiser was told to expect of each eligible ticker over the next year. Holdings stand first."
    body = join(
        block("Forecasts that another method had to give", tables.fallbacks(subject), None)
        if fallen
        else None,
        block("Expected returns", tables.forecasts(subject), caption),
    )
    return Section("forecasts", "Forecasts", lead, body)


def exclusions(subject: Subject) -> Section:
    """Return what could not take part, and why."""
    count = len(subject.portfolio.excluded)
    lead = "Tickers whose prices are too few, too old, too thin or not to be believed do not enter the optimisation."
    content = (
        block(f"{count} excluded", tables.exclusions(subject), _shared_reasons(subject))
        if count
        else element("p", "None: every ticker that was asked for took part.", class_="caption")
    )
    return Section("exclusions", "Exclusions", lead, join(content))


def setup(subject: Subject, found: Figures) -> Section:
    """Return the request, and what the estimates rest on."""
    fields = type(subject.portfolio.request).model_fields
    items = [
        element(
            "div",
            element("dt", term(shown.label(name), _definition(fields[name].description))),
            element("dd", _value(value)),
        )
        for name, value in subject.request_values.items()
    ]
    seconds = dict(subject.portfolio.seconds)
    body = join(
        block("Request", element("dl", items, class_="stats"), None),
        block("Estimate", shown.listing(found.values(), "estimate"), None),
        block("Time taken", tables.stages(seconds), None) if seconds else None,
    )
    lead = "With the same prices and this request anybody gets this portfolio again."
    return Section("setup", "Request and data", lead, body)


def definitions(found: Figures) -> Section:
    """Return every figure with its definition."""
    button = element("button", "Download as CSV", type="button", id="download", hidden=True)
    head = element("div", element("h3", "All figures"), button, class_="head")
    body = element("div", head, shown.definitions(found.values()), class_="block")
    return Section(
        "definitions", "Every figure, defined", "The one table from which the page takes its figures.", body
    )


def _beyond(subject: Subject, column: str, what: str) -> str | None:
    """Say what the holdings that a chart does not draw come to."""
    rest = subject.held.sort(pl.col(column).abs(), descending=True).slice(charts.BARS)
    if rest.is_empty():
        return None
    share = numerals.percent(float(rest[column].sum()), 1)
    return f"Drawn are the {charts.BARS} largest; the {rest.height} others make up {share} {what}."


def _shared_reasons(subject: Subject) -> str | None:
    """Count the reasons that several tickers share, the commonest first."""
    counts = Counter(subject.portfolio.excluded.values()).most_common(FEW)
    shared = [f"{reason.rstrip('.')}: {count} tickers." for reason, count in counts if count > 1]
    return " ".join(shared) or None


def _definition(description: str | None) -> str | None:
    return f"{description[:1].upper()}{description[1:]}." if description else None


def _value(value: object) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str) and len(value) > FEW:
        return f"{len(value)}: {numerals.plain(list(value[:FEW]))}, …"
    if isinstance(value, Mapping) and len(value) > FEW:
        return f"{len(value)}: {numerals.plain(dict(list(value.items())[:FEW]))}, …"
    return numerals.plain(value)
