"""Charts of the report: what is drawn, over what, in which role's colour. The words stand in ``sections``."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from finpipe.backtest.performance import Performance
from finpipe.page import known, numerals, traces
from finpipe.page.chart import Chart
from finpipe.page.traces import Panel

IC_WINDOW = 63
"""Days of the rolling mean that is drawn through the daily rank IC."""

QUANTILE_NAMES = ("Worst fifth", "Second", "Third", "Fourth", "Best fifth")


def annual_returns(performance: Performance, benchmark_name: str) -> Chart:
    """Return bars of each calendar year's return beside the benchmark's."""
    annual = performance.annual
    years = [str(year) for year in annual["year"]]
    drawn = [traces.bars(years, annual["portfolio_return"], "Portfolio", "portfolio", hover="%{y:.1%}")]
    legend = [("Portfolio", "portfolio", "block")]
    if known.has(annual["benchmark_return"]):
        bars = traces.bars(years, annual["benchmark_return"], benchmark_name, "benchmark", hover="%{y:.1%}")
        drawn.append(bars)
        legend.append((benchmark_name, "benchmark", "block"))
    layout = traces.layout(300, Panel(traces.axis(",.2~%", zero=True)))
    layout |= {"bargap": _gap(len(years), 0.35), "bargroupgap": 0.08, "hovermode": "x unified"}
    alt = "Return by year: " + _listed(years, map(numerals.percent, annual["portfolio_return"]))
    return Chart("annual", drawn, layout, alt, legend)


def information(performance: Performance) -> Chart:
    """Return the daily rank IC, its rolling mean, and its cumulative sum."""
    rank_ic = known.finite(performance.ic["rank_ic"])
    dates = traces.days(performance.ic)
    window = min(IC_WINDOW, len(rank_ic))
    mean = rank_ic.rolling_mean(window, min_samples=max(window // 3, 1))
    total = rank_ic.fill_null(0.0).cum_sum()
    name = f"Mean of {window} days"
    drawn = [
        traces.dots(dates, rank_ic, "Rank IC of the day", "benchmark-soft", hover="%{y:.3f}", size=3),
        traces.line(dates, mean, name, "portfolio", hover="%{y:.3f}", width=2),
        traces.line(dates, total, "Sum since the start", "portfolio", hover="%{y:.1f}", axis="y2"),
    ]
    panels = [
        Panel(traces.axis(".3~f", zero=True, nticks=6), "Rank IC", 0.6),
        Panel(traces.axis(zero=True, nticks=4), "Rank IC, summed up", 0.4),
    ]
    average = numerals.coefficient(known.mean(rank_ic))
    alt = f"Daily rank IC over time with its mean of {window} days. The mean of all days is {average}."
    legend = [("One day", "benchmark", "dot"), (name, "portfolio", "line")]
    return Chart("information", drawn, traces.layout(420, *panels, days=dates), alt, legend)


def decay(performance: Performance) -> Chart:
    """Return the mean rank IC by horizon as bars, the horizon of the study in full colour."""
    table = performance.ic_decay
    horizons = [f"{horizon} d" for horizon in table["horizon"]]
    labels = [numerals.coefficient(value) for value in table["mean_rank_ic"]]
    roles = ["portfolio" if horizon == performance.horizon else "q4" for horizon in table["horizon"]]
    hover = "%{y:.3f}%{customdata}"
    bars = traces.bars(horizons, table["mean_rank_ic"], "Mean rank IC", "portfolio", hover=hover)
    bars["customdata"] = [
        f" (t {numerals.decimal(t, 1)}, ICIR {numerals.decimal(icir)})"
        for t, icir in zip(table["t"], table["icir"], strict=True)
    ]
    layout = traces.layout(280, Panel(traces.axis(".3~f", zero=True, nticks=5)))
    layout["bargap"] = _gap(len(horizons), 0.45)
    alt = "Mean rank IC by horizon: " + _listed(horizons, labels)
    return Chart("decay", [traces.labelled(bars, labels, roles)], layout, alt)


def quantile_returns(performance: Performance) -> Chart:
    """Return the yearly return of the five groups of stocks by rank."""
    table = performance.quantiles
    names = [QUANTILE_NAMES[quantile - 1] for quantile in table["quantile"]]
    labels = [numerals.percent(value, 1) for value in table["annual_return"]]
    roles = [f"q{quantile}" for quantile in table["quantile"]]
    hover = "%{y:.1%}%{customdata}"
    bars = traces.bars(names, table["annual_return"], "A year", "portfolio", hover=hover)
    bars["customdata"] = [
        f" a year, {numerals.percent(mean)} in {performance.horizon} days" for mean in table["mean_return"]
    ]
    layout = traces.layout(280, Panel(traces.axis(",.2~%", zero=True, nticks=5)))
    layout["bargap"] = _gap(len(names), 0.45)
    alt = "Return a year by group: " + _listed(names, labels)
    return Chart("quantile-returns", [traces.labelled(bars, labels, roles)], layout, alt)


def quantile_growth(performance: Performance) -> Chart:
    """Return the growth of 1 in each of the five groups."""
    table = performance.quantile_equity
    dates = traces.days(table)
    drawn, legend, ends = [], [], []
    for quantile in range(5, 0, -1):
        name, values, role = QUANTILE_NAMES[quantile - 1], table[f"q{quantile}"], f"q{quantile}"
        width = 2 if quantile in (1, 5) else 1.25
        drawn.append(traces.line(dates, values, name, role, hover="%{y:.2f}×", width=width))
        legend.append((name, role, "line"))
        ends.append(numerals.decimal(known.last(values)))
    layout = traces.layout(360, Panel(traces.axis(ticksuffix="×", nticks=7)), days=dates)
    alt = "Growth of 1 by group, at the end: " + _listed([name for name, _, _ in legend], ends)
    return Chart("quantile-growth", drawn, layout, alt, legend, log_scale=True)


def rolling(performance: Performance) -> Chart:
    """Return the trailing one-year Sharpe ratio, and beta where there is a benchmark."""
    table = performance.rolling
    dates = traces.days(table)
    drawn = [traces.line(dates, table["sharpe_252d"], "Sharpe ratio", "portfolio", hover="%{y:.2f}")]
    panels = [Panel(traces.axis(zero=True, nticks=5), "Sharpe ratio of the last 252 days")]
    if known.has(table["beta_252d"]):
        drawn.append(traces.line(dates, table["beta_252d"], "Beta", "ink", hover="%{y:.2f}", axis="y2"))
        panels.append(Panel(traces.axis(nticks=5), "Beta over the last 252 days"))
    alt = (
        f"Sharpe ratio of the last 252 days; {numerals.decimal(known.last(table['sharpe_252d']))} at the end."
    )
    return Chart("rolling", drawn, traces.layout(380 if len(panels) > 1 else 300, *panels, days=dates), alt)


def capture(performance: Performance, benchmark_name: str) -> Chart:
    """Return months as dots: the portfolio's return over the benchmark's."""
    pair = pl.col("portfolio_return", "benchmark_return").fill_nan(None)
    months = (
        performance.daily.filter(known.finite(performance.daily["benchmark_return"]).is_not_null())
        .group_by(pl.col("date").dt.truncate("1mo"), maintain_order=True)
        .agg((pair + 1).product() - 1)
    )
    benchmark = traces.plain(benchmark_name)
    x, rose = traces.numbers(months["benchmark_return"]), months["benchmark_return"] >= 0
    hover = "%{text}<br>portfolio %{y:.1%}<br>" + benchmark + " %{x:.1%}<extra></extra>"
    dots = traces.dots(x, months["portfolio_return"], "Month", "portfolio", hover=hover, size=6)
    dots["text"] = months["date"].dt.strftime("%B %Y").to_list()
    dots["marker"] |= {"color": [f"var(--{'portfolio' if up else 'loss'})" for up in rose], "opacity": 0.7}
    values = [value for value in (*x, *dots["y"]) if value is not None]
    ends = [min(0.0, *values), max(0.0, *values)]
    equal = traces.line(ends, pl.Series(ends), "Equal returns", "benchmark", hover="", width=1)
    equal["line"]["dash"] = "dot"
    equal["hoverinfo"] = "skip"
    layout = traces.layout(
        352, Panel(traces.axis(",.2~%", zero=True, nticks=6), "Portfolio, return of the month")
    )
    layout["xaxis"] |= {"type": "linear", "tickformat": ".0%", "showgrid": True, "zeroline": True}
    layout["xaxis"]["title"] = {
        "text": f"{benchmark}, return of the month",
        "standoff": 8,
        "font": {"size": 11.5},
    }
    layout["margin"]["b"] = 48
    alt = f"Monthly returns of the portfolio against {benchmark_name}, {months.height} months."
    legend = [
        (f"{benchmark_name} rose", "portfolio", "dot"),
        (f"{benchmark_name} fell", "loss", "dot"),
        ("Equal returns", "benchmark", "line"),
    ]
    return Chart("capture", [equal, dots], layout, alt, legend)


def trading(performance: Performance) -> Chart:
    """Return monthly turnover and the sum of costs."""
    daily = performance.daily
    months = daily.group_by(pl.col("date").dt.truncate("1mo"), maintain_order=True).agg(
        pl.col("turnover").fill_nan(None).sum()
    )
    dates = traces.days(daily)
    costs = known.finite(daily["cost"]).fill_null(0.0).cum_sum()
    bars = traces.bars(traces.days(months), months["turnover"], "Turnover", "portfolio", hover="%{y:.0%}")
    bars |= {"xhoverformat": "%B %Y", "xperiod": "M1", "xperiodalignment": "middle"}
    drawn = [bars, traces.line(dates, costs, "Costs so far", "loss", hover="%{y:.2%}", axis="y2")]
    panels = [
        Panel(traces.axis(",.2~%", rangemode="tozero", nticks=4), "Turnover of the month, one way"),
        Panel(traces.axis(",.2~%", rangemode="tozero", nticks=4), "Costs, summed up"),
    ]
    layout = traces.layout(340, *panels, days=dates)
    layout |= {"bargap": 0.25, "hovermode": "closest"}
    alt = f"Turnover by month, and costs that add up to {numerals.percent(known.last(costs))} of equity."
    return Chart("trading", drawn, layout, alt)


def exposure(performance: Performance) -> Chart:
    """Return the number of stocks held and the share of cash."""
    daily = performance.daily
    dates = traces.days(daily)
    held = traces.line(dates, daily["n_positions"], "Stocks held", "portfolio", hover="%{y:.0f}", width=1.25)
    held["line"]["shape"] = "hv"
    cash = traces.area(dates, daily["cash_share"], "Cash", "benchmark", axis="y2")
    panels = [
        Panel(traces.axis(".0f", rangemode="tozero", nticks=4), "Stocks held"),
        Panel(traces.axis(",.2~%", rangemode="tozero", nticks=4), "Cash, share of equity"),
    ]
    alt = (
        f"Stocks held, {numerals.decimal(known.mean(daily['n_positions']), 1)} on average, "
        f"and cash, {numerals.percent(known.mean(daily['cash_share']))} of equity on average."
    )
    return Chart("exposure", [held, cash], traces.layout(340, *panels, days=dates), alt)


def _gap(bars: int, usual: float) -> float:
    """Return the share of the width that stays free, more where a few bars would be wide."""
    return 1 - (1 - usual) * min(bars / 5, 1)


def _listed(names: Iterable[str], values: Iterable[str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in zip(names, values, strict=True)) + "."
