"""A chart: a plotly specification and what a page needs around it.

Colours are CSS variables such as ``var(--portfolio)``; the page's script resolves them, so that one
specification serves light, dark and print.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from finpipe.page.traces import Json


@dataclass(frozen=True)
class Chart:
    """One chart and what is needed to put it on a page.

    Parameters
    ----------
    name
        Identifier, unique on the page.
    data, layout
        Traces and layout of plotly.js.
    alt
        The chart in words, for people who cannot see it.
    legend
        ``(label, role, mark)``: the colour's role and ``line``, ``dot`` or ``block``.
    log_scale
        Whether the first vertical axis may be switched to a logarithmic scale.
    """

    name: str
    data: list[Json]
    layout: Json
    alt: str
    legend: list[tuple[str, str, str]] = field(default_factory=list)
    log_scale: bool = False

    @property
    def height(self) -> int:
        """Height in pixels."""
        return int(self.layout["height"])

    def spec(self) -> Json:
        """Return traces and layout as one JSON object."""
        return {"data": self.data, "layout": self.layout}
