"""Thin shells around domain functions, in the order data flows."""

from __future__ import annotations

from finpipe.orchestration.assets import (
    backtest,
    cache,
    features,
    learning,
    market,
    portfolio,
    prices,
    usage,
)
from finpipe.orchestration.stage import Stage

STAGES: tuple[Stage, ...] = tuple(
    value
    for room in (market, features, learning, backtest, prices, portfolio, usage, cache)
    for value in vars(room).values()
    if isinstance(value, Stage)
)
"""Every stage of the graph."""
