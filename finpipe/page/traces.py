"""Building blocks of the charts: lines, areas, bars, axes and stacked panels in the report's manner.

Values become JSON here: finite numbers with six significant digits, null for the rest. What is drawn is
decided in ``charts``.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from finpipe.page import known

Json = dict[str, Any]

LEFT_MARGIN = 52
"""Room for the labels of the vertical axes, in pixels."""


@dataclass(frozen=True)
class Panel:
    """One of several plots above each other: its vertical axis, title, and share of the height."""

    axis: Json
    title: str = ""
    share: float = 1.0


def line(
    x: Sequence[Any],
    y: pl.Series,
    name: str,
    role: str,
    *,
    hover: str,
    axis: str = "y",
    width: float = 1.5,
) -> Json:
    """Return a line in a role's colour; ``hover`` is plotly's template of one value."""
    return {
        "type": "scatter",
        "mode": "lines",
        "x": x,
        "y": numbers(y),
        "yaxis": axis,
        "name": plain(name),
        "line": {"color": f"var(--{role})", "width": width},
        "hovertemplate": hover,
    }


def area(x: Sequence[Any], y: pl.Series, name: str, role: str, *, axis: str) -> Json:
    """Return a line of fractions that is filled to zero."""
    trace = line(x, y, name, role, hover="%{y:.1%}", axis=axis, width=1)
    return trace | {"fill": "tozeroy", "fillcolor": f"var(--{role}-soft)"}


def dots(x: Sequence[Any], y: pl.Series, name: str, role: str, *, hover: str, size: float) -> Json:
    """Return points without a line."""
    return {
        "type": "scatter",
        "mode": "markers",
        "x": x,
        "y": numbers(y),
        "name": plain(name),
        "marker": {"color": f"var(--{role})", "size": size},
        "hovertemplate": hover,
    }


def bars(x: Sequence[Any], y: pl.Series, name: str, role: str, *, hover: str) -> Json:
    """Return vertical bars."""
    return {
        "type": "bar",
        "x": x,
        "y": numbers(y),
        "name": plain(name),
        "marker": {"color": f"var(--{role})"},
        "hovertemplate": hover,
    }


def labelled(bars: Json, labels: Sequence[str], roles: Sequence[str]) -> Json:
    """Return ``bars`` with a label at the end of each, and each in a colour of its own."""
    return bars | {
        "text": labels,
        "textposition": "outside",
        "cliponaxis": False,
        "textfont": {"color": "var(--ink)"},
        "marker": {"color": [f"var(--{role})" for role in roles]},
        "hovertemplate": bars["hovertemplate"] + "<extra></extra>",
    }


def axis(tickformat: str = "", *, zero: bool = False, **more: object) -> Json:
    """Return a vertical axis: hairlines across, no line along it, and with ``zero`` a line at zero."""
    return {
        "tickformat": tickformat,
        "gridcolor": "var(--rule)",
        "zeroline": zero,
        "zerolinecolor": "var(--benchmark)",
        "zerolinewidth": 1,
        "fixedrange": True,
        "ticks": "",
        "ticklabelstandoff": 6,
        "automargin": "left",
        **more,
    }


def layout(height: int, *panels: Panel, days: Sequence[str] | None = None) -> Json:
    """Return the layout of ``panels`` above each other over one horizontal axis.

    Parameters
    ----------
    height
        Pixels of the whole.
    panels
        From top to bottom; traces name them ``y``, ``y2``, ``y3``.
    days
        The dates of a time axis, which then ends with them; None for an axis of categories.
    """
    gap = 34 / (height - 56)
    total = sum(panel.share for panel in panels)
    room = 1 - gap * (len(panels) - 1)
    vertical: Json = {}
    titles = []
    top = 1.0
    for position, panel in enumerate(panels, start=1):
        bottom = max(top - room * panel.share / total, 0.0)
        name = "yaxis" if position == 1 else f"yaxis{position}"
        vertical[name] = panel.axis | {"domain": [round(bottom, 4), round(top, 4)]}
        if panel.title:
            titles.append(_title(panel.title, top))
        top = bottom - gap
    lowest = "y" if len(panels) == 1 else f"y{len(panels)}"
    font = {"family": "var(--font)", "size": 12, "color": "var(--muted)"}
    return {
        "height": height,
        "margin": {"l": LEFT_MARGIN, "r": 12, "t": 28 if panels[0].title else 16, "b": 30},
        "showlegend": False,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "var(--page)",
        "font": font,
        "hovermode": "closest" if days is None else "x unified",
        "hoversubplots": "axis",
        "hoverlabel": {
            "bgcolor": "var(--page)",
            "bordercolor": "var(--rule)",
            "font": font | {"color": "var(--ink)"},
        },
        "annotations": titles,
        "xaxis": _horizontal(days) | {"anchor": lowest},
        **vertical,
    }


def days(frame: pl.DataFrame) -> list[str]:
    """Return the dates of ``frame`` in ISO form."""
    return frame["date"].dt.strftime("%Y-%m-%d").to_list()


def numbers(column: pl.Series) -> list[float | None]:
    """Return the column with six significant digits, null where a value is not finite."""
    return known.finite(column).round_sig_figs(6).to_list()


def plain(text: str) -> str:
    """Return ``text`` so that plotly reads neither markup nor a template in it."""
    return html.escape(text, quote=False).replace("%{", "% {")


def _horizontal(days: Sequence[str] | None) -> Json:
    axis: Json = {
        "showgrid": False,
        "zeroline": False,
        "gridcolor": "var(--rule)",
        "zerolinecolor": "var(--benchmark)",
        "linecolor": "var(--rule)",
        "showline": True,
        "tickcolor": "var(--rule)",
        "showspikes": days is not None,
        "spikecolor": "var(--muted)",
        "spikethickness": 1,
        "spikedash": "solid",
    }
    if days is None:
        return axis | {"type": "category", "ticks": "", "fixedrange": True}
    axis |= {"type": "date", "ticks": "outside", "ticklen": 5, "hoverformat": "%-d %b %Y"}
    return axis | {"range": [days[0], days[-1]]} if len(days) > 1 else axis


def _title(text: str, height: float) -> Json:
    return {
        "text": text,
        "xref": "paper",
        "yref": "paper",
        "x": 0,
        "y": height,
        "xanchor": "left",
        "yanchor": "bottom",
        "xshift": -LEFT_MARGIN,
        "yshift": 4,
        "showarrow": False,
        "font": {"size": 11.5, "color": "var(--muted)"},
    }
