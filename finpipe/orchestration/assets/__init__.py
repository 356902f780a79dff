"""Thin shells around domain functions, in the order data flows."""

from __future__ import annotations

from finpipe.orchestration.assets import backtest, features, learning, market, prices
from finpipe.orchestration.stage import Stage

STAGES: tuple[Stage, ...] = tuple(
    value
    for room in (market, features, learning, backtest, prices)
    for value in vars(room).values()
    if isinstance(value, Stage)
)
"""Every stage of the graph."""
