"""The chart of growth and drawdown that every report on money has."""

from __future__ import annotations

import polars as pl

from finpipe.page import known, numerals, traces
from finpipe.page.chart import Chart
from finpipe.page.traces import Panel


def growth(daily: pl.DataFrame, benchmark_name: str) -> Chart:
    """Return the growth of 1 and the drawdown below it, of portfolio and benchmark.

    Parameters
    ----------
    daily
        ``date``, ``equity``, ``drawdown``, ``benchmark_equity``, ``benchmark_drawdown``; without any known level of the
        benchmark the portfolio stands alone.
    benchmark_name
        For the legend and the words.
    """
    dates = traces.days(daily)
    drawn = [
        traces.line(dates, daily["equity"], "Portfolio", "portfolio", hover="%{y:.2f}×", width=2)
        | {"zorder": 1},
        traces.area(dates, daily["drawdown"], "Portfolio drawdown", "loss", axis="y2"),
    ]
    legend = [("Portfolio", "portfolio", "line"), ("Drawdown", "loss", "block")]
    alt = f"Growth of 1: the portfolio ends at {numerals.decimal(known.last(daily['equity']))}"
    if known.has(daily["benchmark_equity"]):
        equity, drawdown = daily["benchmark_equity"], daily["benchmark_drawdown"]
        below = f"{benchmark_name} drawdown"
        drawn = [
            drawn[0],
            traces.line(dates, equity, benchmark_name, "benchmark", hover="%{y:.2f}×"),
            drawn[1],
            traces.line(dates, drawdown, below, "benchmark", hover="%{y:.1%}", axis="y2", width=1),
        ]
        legend.insert(1, (benchmark_name, "benchmark", "line"))
        alt += f", {benchmark_name} at {numerals.decimal(known.last(equity))}"
    alt += f". The deepest drawdown is {numerals.percent(known.smallest(daily['drawdown']))}."
    panels = [
        Panel(traces.axis(ticksuffix="×", nticks=7), "Growth of 1", 0.68),
        Panel(traces.axis(",.2~%", rangemode="tozero", nticks=4), "Below the latest high", 0.32),
    ]
    return Chart("growth", drawn, traces.layout(460, *panels, days=dates), alt, legend, log_scale=True)
