"""The figures of a performance as the page shows them."""

from __future__ import annotations

import polars as pl

from finpipe.backtest.performance import Performance
from finpipe.page import figures, numerals
from finpipe.page.figures import Figure, custom_tile, tile
from finpipe.page.markup import Markup

__all__ = ["Figure", "custom_tile", "definitions", "label", "listing", "tile", "whole_period"]

_LABELS = {
    "sharpe": "Sharpe ratio",
    "sortino": "Sortino ratio",
    "calmar": "Calmar ratio",
    "icir": "ICIR",
    "rank_ic_t": "Mean rank IC, t",
    "rank_ic_positive": "Days with positive rank IC",
    "return_t": "Mean return, t",
    "lo_sharpe": "Sharpe ratio after Lo",
    "sharpe_low": "Sharpe ratio, low end",
    "sharpe_high": "Sharpe ratio, high end",
    "deflated_sharpe": "Deflated Sharpe ratio",
    "probabilistic_sharpe": "Probabilistic Sharpe ratio",
    "capacity_tight": "Capacity on tight days",
}


def label(name: str) -> str:
    """Return the name of a figure, a check or a parameter in words."""
    return _LABELS.get(name) or figures.label(name)


def whole_period(performance: Performance) -> dict[str, Figure]:
    """Return the figures of period ``all`` by name, in their order."""
    rows = performance.figures.filter(pl.col("period") == "all").iter_rows(named=True)
    return {
        row["figure"]: Figure(
            row["section"],
            row["figure"],
            label(row["figure"]),
            row["value"],
            _text(row["figure"], row["value"], row["unit"]),
            row["definition"],
        )
        for row in rows
    }


def listing(performance: Performance, section: str) -> Markup | None:
    """Return label and value of all figures of a section, or None where there are none."""
    return figures.listing(whole_period(performance).values(), section)


def definitions(performance: Performance) -> Markup:
    """Return the table of all figures of the whole period with their definitions in full."""
    return figures.definitions(whole_period(performance).values())


def _text(name: str, value: float | None, unit: str) -> str:
    if unit == "ratio" and "ic" in name.split("_"):
        return numerals.coefficient(value)
    return numerals.with_unit(value, unit)
