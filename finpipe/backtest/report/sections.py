"""The sections of the report in reading order: what each shows, and the words that explain it.

Everything is written for somebody who sees such a report for the first time.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from finpipe.backtest.performance import Performance
from finpipe.backtest.report import charts, figures, parameters, tables
from finpipe.backtest.report import picks as stock_lists
from finpipe.page import known, numerals
from finpipe.page.chart import Chart
from finpipe.page.growth import growth as growth_chart
from finpipe.page.markup import Markup, element, join
from finpipe.page.section import Section, block, figure


def growth(performance: Performance, benchmark_name: str) -> Section:
    """Return the growth of the portfolio."""
    chart = growth_chart(performance.daily, benchmark_name)
    caption = (
        "Upper panel: what 1 invested before the first day had become at each close. "
        "Lower panel: how far that was below its highest close so far."
    )
    body = join(
        figure(chart, "Cumulative return and drawdown", caption),
        block("Returns in figures", figures.listing(performance, "returns"), None),
    )
    lead = "What became of 1 invested, after commission, tax and slippage."
    return Section("growth", "Growth", lead, body, [chart])


def calendar(performance: Performance, benchmark_name: str) -> Section:
    """Return the results by year and by month."""
    chart = charts.annual_returns(performance, benchmark_name)
    body = join(
        figure(chart, "Return by year", None),
        block(
            "Year by year",
            tables.annual(performance),
            "First and last year may be incomplete; the last column counts their days.",
        ),
        block("Month by month", tables.monthly(performance), None),
    )
    lead = "A result that comes from one good year is worth less than one that comes back every year."
    return Section("calendar", "Year by year", lead, body, [chart])


def ranking(performance: Performance) -> Section:
    """Return the skill of the ranking: information coefficients and quantiles."""
    horizon = performance.horizon
    drawn: list[Chart] = []
    parts: list[Markup | None] = []
    if known.has(performance.ic["rank_ic"]):
        chart = charts.information(performance)
        caption = (
            f"Each dot is one day: the rank correlation between the scores of that day and what the stocks then "
            f"earned in {horizon} trading days. 0 is no skill, 1 would be a perfect order; 0.03 to 0.06, day "
            "after day, is a good model. In the lower panel a steady climb means that the ranking worked all the "
            "time, and not only in a few lucky months."
        )
        parts.append(figure(chart, "Rank information coefficient (IC)", caption))
        drawn.append(chart)
    pair = []
    if performance.ic_decay.height:
        chart = charts.decay(performance)
        caption = (
            "The mean rank IC when the return is measured over other horizons; the study's own stands out."
        )
        pair.append(figure(chart, "Decay over the horizon", caption))
        drawn.append(chart)
    if performance.quantiles.height:
        chart = charts.quantile_returns(performance)
        caption = (
            "Each day, all stocks are split into five equal groups by rank. If the ranking works, the bars climb "
            "from left to right. Before costs."
        )
        pair.append(figure(chart, "Return a year by group", caption))
        drawn.append(chart)
    parts.append(element("div", pair, class_="pair") if pair else None)
    if performance.quantile_equity.height:
        chart = charts.quantile_growth(performance)
        caption = f"1 held in each group, chosen anew every {horizon} trading days. Before costs."
        parts.append(figure(chart, "Growth by group", caption))
        drawn.append(chart)
    parts.append(block("Information in figures", figures.listing(performance, "information"), None))
    parts.append(block("Groups in figures", figures.listing(performance, "quantiles"), None))
    lead = "Whether the model puts stocks in the right order, before any portfolio is built from it."
    return Section("ranking", "Skill of the ranking", lead, join(*parts), drawn)


def risk(performance: Performance, benchmark_name: str) -> Section:
    """Return rolling figures, drawdowns, and the behaviour in rising and falling markets."""
    drawn: list[Chart] = []
    pair: list[Markup | None] = []
    if known.has(performance.rolling["sharpe_252d"]):
        chart = charts.rolling(performance)
        drawn.append(chart)
        pair.append(figure(chart, "Over time", "Both look back over one year of trading days."))
    else:
        text = "Rolling figures need 252 trading days; this backtest is shorter."
        pair.append(block("Over time", element("p", text, class_="caption"), None))
    has_benchmark = known.has(performance.daily["benchmark_return"])
    if has_benchmark:
        chart = charts.capture(performance, benchmark_name)
        drawn.append(chart)
        caption = "Each dot is one month. Above the dotted line the portfolio did better than the benchmark."
        pair.append(figure(chart, "In rising and in falling months", caption))
    else:
        text = "No benchmark was given, so beta, alpha and up and down capture cannot be computed."
        pair.append(block("In rising and in falling months", element("p", text, class_="caption"), None))
    against = figures.listing(performance, "benchmark") if has_benchmark else None
    table = tables.drawdowns(performance) if performance.drawdowns.height else None
    body = join(
        element("div", pair, class_="pair"),
        block(
            "Deepest drawdowns", table or element("p", "The portfolio never fell.", class_="caption"), None
        ),
        block("Risk in figures", figures.listing(performance, "risk"), None),
        block("Against the benchmark", against, None),
    )
    lead = "How rough the way was, and how much of it was the market's."
    return Section("risk", "Risk", lead, body, drawn)


def trading(performance: Performance) -> Section:
    """Return turnover, costs and exposure."""
    drawn = [charts.trading(performance), charts.exposure(performance)]
    captions = [
        "One-way turnover: half of what was bought and sold, over equity.",
        "Cash is what rules held back, what could not be bought, and what whole shares leave over.",
    ]
    pair = [
        figure(chart, title, caption)
        for chart, title, caption in zip(drawn, ["Turnover and costs", "Exposure"], captions, strict=True)
    ]
    body = join(
        element("div", pair, class_="pair"),
        block("Trading in figures", figures.listing(performance, "trading"), None),
        block("Capacity", figures.listing(performance, "capacity"), None),
    )
    lead = "What it took to hold this portfolio, and how much money it could carry."
    return Section("trading", "Trading", lead, body, drawn)


def sectors(performance: Performance) -> Section | None:
    """Return the attribution to sectors, or None where no sectors are known."""
    if performance.sectors.is_empty():
        return None
    body = element("div", tables.sectors(performance), class_="block")
    lead = "Where the money was, and where the return came from. Contributions add up to the return before costs."
    return Section("sectors", "Sectors", lead, body)


def importance(performance: Performance) -> Section | None:
    """Return what the models used, or None where it is not known."""
    if performance.importance.is_empty():
        return None
    count = performance.importance["feature"].n_unique()
    more = count - tables.TOP_FEATURES
    sentences = [f"{more} more features share the rest."] if more > 0 else []
    stability = performance.importance.unique("test_year")["stability"].drop_nulls()
    if len(stability):
        sentences.append(
            "The order of the features by gain correlates "
            f"{numerals.decimal(stability.mean())} from one test year to the next on average "  # type: ignore[arg-type]
            "(Spearman; 1 is the same order every year)."
        )
    if known.has(performance.importance["shap_share"]):
        sentences.append("Gain is about the fit to the years before, SHAP about the scores of the test year.")
    title = "Share of each model's gain by feature"
    body = join(block(title, tables.importance(performance), " ".join(sentences) or None))
    lead = (
        "Each test year has its own model, trained on earlier years only. A feature that matters in every year "
        "points to a stable relation; one that matters once may be chance."
    )
    return Section("importance", "What the models used", lead, body)


def significance(performance: Performance) -> Section:
    """Return the statistics against luck, and the safety checks."""
    trials = performance.trials
    tried = "one strategy was" if trials == 1 else f"{trials} strategies were"
    parts = [
        block(
            "Statistics",
            figures.listing(performance, "significance"),
            f"The deflated Sharpe ratio counts that {tried} tried before this result was chosen.",
        ),
        block("Safety checks", tables.safety(performance), None) if performance.safety.height else None,
    ]
    lead = "How likely it is that a result like this comes from luck, from one stock, or from a mistake."
    return Section("significance", "Can it be luck?", lead, join(*parts))


def picks(frame: pl.DataFrame | None) -> Section | None:
    """Return the latest lists of stocks, or None where there are none."""
    if frame is None or frame.is_empty():
        return None
    found = stock_lists.lists(frame)
    blocks = [block(part.title, part.table, part.caption) for part in found]
    if stock_lists.buys_nothing(frame):
        text = "Nothing: by the rules of the study all money stays in cash on this day."
        blocks.insert(0, block("Buy", element("p", text, class_="caption"), None))
    body = join(blocks)
    day = stock_lists.latest_day(frame)
    when = f"As of the close of {day}: what" if day else "What"
    lead = f"{when} the latest model says for the next open. The output of a simulation, not advice."
    return Section("picks", "Picks", lead, body)


def setup(study: Mapping[str, object], data: Mapping[str, object]) -> Section:
    """Return the parameters of the study and the data it ran on."""
    lead = "With the same data and these parameters anybody gets these results again."
    own = {name: value for name, value in study.items() if name != "description"}
    groups = [*parameters.groups("Study", own), *parameters.groups("Data", data)]
    body = join([block(title, parameters.listing(group), None) for title, group in groups])
    return Section("setup", "Study and data", lead, body)


def definitions(performance: Performance) -> Section:
    """Return every figure of the whole period with its definition."""
    button = element("button", "Download all as CSV", type="button", id="download", hidden=True)
    head = element("div", element("h3", "Figures of the whole period"), button, class_="head")
    body = element("div", head, figures.definitions(performance), class_="block")
    lead = "The one table from which the page takes its figures. The download has those of single years too."
    return Section("definitions", "Every figure, defined", lead, body)
