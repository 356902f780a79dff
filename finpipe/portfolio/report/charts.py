"""Charts of the portfolio report: what is drawn, over what, in which role's colour. The words stand in ``sections``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from finpipe.page import numerals, traces
from finpipe.page.chart import Chart
from finpipe.page.traces import Json, Panel
from finpipe.portfolio.efficient_frontier import Frontier
from finpipe.portfolio.report.subject import UNKNOWN_SECTOR, Subject
from finpipe.portfolio.returns import Floats

BARS = 25
"""Holdings that are drawn, the largest; the table has all."""
FAR = 3.0
"""A ticker this many times as volatile as the median one is left out of the chart of the frontier."""


def allocation(subject: Subject) -> Chart:
    """Return the weights as bars, largest first."""
    held = subject.held
    held = held.head(BARS)
    names, weights = held["ticker"].to_list(), held["weight"].to_list()
    bars = _bars(names, weights, "Weight", ["portfolio" if value >= 0 else "loss" for value in weights])
    layout = _bar_layout(len(names), [weights])
    listed = ", ".join(
        f"{name} {numerals.percent(value, 1)}" for name, value in zip(names, weights, strict=True)
    )
    return Chart("allocation-bars", [bars], layout, f"Weights, largest first: {listed}.")


def risk(subject: Subject) -> Chart:
    """Return each holding's share of the risk beside its weight."""
    held = subject.held.sort(pl.col("risk").abs(), "ticker", descending=[True, False]).head(BARS)
    names, risks, weights = (held[name].to_list() for name in ("ticker", "risk", "weight"))
    drawn = [
        _bars(names, weights, "Weight", "benchmark"),
        _bars(names, risks, "Share of risk", "portfolio"),
    ]
    layout = _bar_layout(len(names), [weights, risks], per_bar=36) | {"bargap": 0.3, "bargroupgap": 0.05}
    listed = ", ".join(
        f"{name} {numerals.percent(value, 1)}" for name, value in zip(names, risks, strict=True)
    )
    legend = [("Share of risk", "portfolio", "block"), ("Weight", "benchmark", "block")]
    return Chart("risk-bars", drawn, layout, f"Shares of the portfolio's risk: {listed}.", legend)


def frontier(subject: Subject, line: Frontier | None) -> tuple[Chart, int]:
    """Return the efficient frontier with the portfolio, the tangency line and single tickers.

    Also returns the number of tickers too volatile for the chart.
    """
    portfolio, tickers = subject.portfolio, subject.tickers
    far = FAR * float(np.median(tickers["volatility"].to_numpy()))
    edges = [portfolio.volatility] + ([] if line is None else line.frame["volatility"].to_list())
    near = tickers.filter(pl.col("volatility") <= max(far, *edges))
    right = 1.05 * max(near["volatility"].to_list() + edges)
    others, held = near.filter(pl.col("weight") == 0), near.filter(pl.col("weight") != 0)
    drawn = [
        _points(others, "Not held", "benchmark", size=6, opacity=0.55),
        _points(held, "Held", "portfolio", size=7, opacity=0.8),
    ]
    legend = [("Held", "portfolio", "dot"), ("Not held", "benchmark", "dot")]
    if line is not None:
        frame = line.frame
        hover = "Frontier<br>return %{y:.1%}<br>volatility %{x:.1%}<extra></extra>"
        curve = traces.line(
            traces.numbers(frame["volatility"]),
            frame["expected_return"],
            "Efficient frontier",
            "ink",
            hover=hover,
        )
        drawn.append(curve | {"mode": "lines", "line": curve["line"] | {"width": 2.2}})
        legend.insert(0, ("Efficient frontier", "ink", "line"))
        tangency = frame.filter(pl.col("is_tangency"))
        if tangency.height:
            drawn += _tangency(tangency.row(0, named=True), portfolio.request.risk_free, right)
            legend.insert(1, ("Tangency line", "benchmark", "line"))
    drawn.append(
        {
            "type": "scatter",
            "mode": "markers+text",
            "x": [portfolio.volatility],
            "y": [portfolio.expected_return],
            "text": ["This portfolio"],
            "textposition": "top left",
            "textfont": {"color": "var(--ink)", "size": 13},
            "name": "This portfolio",
            "marker": {
                "color": "var(--loss)", "size": 14, "symbol": "diamond", "line": {"color": "var(--page)", "width": 2}
            },
            "hovertemplate": "This portfolio<br>return %{y:.1%}<br>volatility %{x:.1%}<extra></extra>",
            "cliponaxis": False,
        }
    )  # fmt: skip
    legend.insert(0, ("This portfolio", "loss", "dot"))
    layout = traces.layout(
        500, Panel(traces.axis(",.2~%", zero=True, nticks=8), "Expected return a year", 1.0)
    )
    layout["xaxis"] |= {
        "type": "linear",
        "tickformat": ".0%",
        "showgrid": True,
        "range": [0, right],
        "title": {"text": "Volatility a year", "standoff": 8, "font": {"size": 11.5}},
    }
    layout["margin"]["b"] = 48
    alt = (
        f"Expected return over volatility. This portfolio: {numerals.percent(portfolio.expected_return)} at "
        f"{numerals.percent(portfolio.volatility)}, among {near.height} single tickers"
    )
    if line is not None:
        ends = line.frame["volatility"][0], line.frame["volatility"][-1]
        alt += f" and the efficient frontier from {numerals.percent(ends[0])} to {numerals.percent(ends[1])} volatility"
    return Chart("frontier-map", drawn, layout, f"{alt}.", legend), tickers.height - near.height


def correlation(names: Sequence[str], matrix: Floats) -> Chart:
    """Return the heat map of correlations, in the order given."""
    size = len(names)
    values = [[round(float(value), 3) for value in row] for row in matrix]
    data: Json = {
        "type": "heatmap",
        "x": list(names),
        "y": list(names),
        "z": values,
        "zmin": -1,
        "zmax": 1,
        "xgap": 1,
        "ygap": 1,
        "colorscale": [[0, "var(--loss)"], [0.5, "var(--surface)"], [1, "var(--portfolio)"]],
        "colorbar": {
            "thickness": 10, "outlinewidth": 0, "tickvals": [-1, -0.5, 0, 0.5, 1], "len": 1, "y": 0.5, "xpad": 6
        },
        "hovertemplate": "%{y} and %{x}: %{z:.2f}<extra></extra>",
    }  # fmt: skip
    layout = traces.layout(110 + 17 * max(size, 6), Panel(_names(size)))
    layout["xaxis"] |= {"tickangle": -90, "showline": False, "tickfont": {"size": 10.5}, "dtick": 1}
    layout["xaxis"]["automargin"] = True
    pairs = matrix[np.triu_indices(size, 1)]
    alt = (
        f"Correlations between {size} holdings, likest side by side: from {numerals.decimal(float(pairs.min()), 2)} to "
        f"{numerals.decimal(float(pairs.max()), 2)}."
    )
    return Chart("correlation-map", [data], layout, alt)


def _bars(names: Sequence[str], values: Sequence[float], name: str, role: str | Sequence[str]) -> Json:
    colour = f"var(--{role})" if isinstance(role, str) else [f"var(--{each})" for each in role]
    return {
        "type": "bar",
        "orientation": "h",
        "y": [traces.plain(each) for each in names],
        "x": [round(value, 6) for value in values],
        "name": name,
        "text": [numerals.percent(value, 1) for value in values],
        "textposition": "outside",
        "textfont": {"color": "var(--muted)", "size": 11},
        "constraintext": "none",
        "cliponaxis": False,
        "marker": {"color": colour},
        "hovertemplate": f"%{{y}}<br>{name.lower()} %{{x:.2%}}<extra></extra>",
    }


def _bar_layout(count: int, columns: Sequence[Sequence[float]], per_bar: int = 22) -> Json:
    layout = traces.layout(56 + per_bar * max(count, 3), Panel(_names(count)))
    values = [value for column in columns for value in column]
    low, high = min(0.0, *values), max(0.0, *values)
    room = 0.12 * (high - low)
    layout["xaxis"] |= {
        "type": "linear",
        "tickformat": ",.0%",
        "showgrid": True,
        "zeroline": True,
        "showline": False,
        "range": [low - (room if low < 0 else 0), high + room],
    }
    layout["bargap"] = 0.28
    return layout


def _names(count: int) -> Json:
    """A vertical axis of names, the first one on top."""
    axis = traces.axis(autorange="reversed", type="category", dtick=1, showgrid=False)
    return axis | {"automargin": True, "tickfont": {"size": 11 if count > 30 else 12, "color": "var(--ink)"}}


def _points(frame: pl.DataFrame, name: str, role: str, *, size: float, opacity: float) -> Json:
    hover = "%{text}<br>return %{y:.1%}<br>volatility %{x:.1%}<extra></extra>"
    points = traces.dots(
        traces.numbers(frame["volatility"]), frame["expected_return"], name, role, hover=hover, size=size
    )
    points["marker"] |= {"opacity": opacity}
    points["text"] = [
        traces.plain(ticker if sector == UNKNOWN_SECTOR else f"{ticker}, {sector}")
        for ticker, sector in frame.select("ticker", "sector").iter_rows()
    ]
    return points


def _tangency(row: dict[str, float], risk_free: float, right: float) -> list[Json]:
    slope = (row["expected_return"] - risk_free) / row["volatility"]
    ends = pl.Series([risk_free, risk_free + slope * min(right, 1.6 * row["volatility"])])
    line = traces.line(
        [0, min(right, 1.6 * row["volatility"])], ends, "Tangency line", "benchmark", hover="", width=1.5
    )
    line["line"]["dash"] = "dot"
    line["hoverinfo"] = "skip"
    hover = "Highest Sharpe ratio<br>return %{y:.1%}<br>volatility %{x:.1%}<extra></extra>"
    point = traces.dots(
        [row["volatility"]],
        pl.Series([row["expected_return"]]),
        "Highest Sharpe ratio",
        "ink",
        hover=hover,
        size=10,
    )
    point["marker"] |= {"symbol": "circle-open", "line": {"width": 2}}
    return [line, point]
