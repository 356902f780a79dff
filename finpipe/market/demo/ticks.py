"""Prices as the exchange quotes them: tick sizes and the daily price limit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PRICE_LIMIT = 0.30
"""Largest move from the base price in a day, as a fraction."""

_BOUNDS = np.array([2_000, 5_000, 20_000, 50_000, 200_000, 500_000], dtype=np.float64)
_TICKS = np.array([1, 5, 10, 50, 100, 500, 1_000], dtype=np.float64)


def tick_size(price: NDArray[np.floating]) -> NDArray[np.float64]:
    """KRW between neighbouring quotes at ``price``, by the exchange's schedule of January 2023."""
    return _TICKS[np.searchsorted(_BOUNDS, price, side="right")]


def round_to_tick(price: NDArray[np.floating]) -> NDArray[np.int64]:
    """Nearest quotable price, at least 1 KRW."""
    tick = tick_size(price)
    return np.maximum(np.rint(price / tick) * tick, 1.0).astype(np.int64)


def price_limits(base: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lowest and highest quotable prices within 30% of the base price."""
    low, high = base * (1 - PRICE_LIMIT), base * (1 + PRICE_LIMIT)
    low_tick, high_tick = tick_size(low), tick_size(high)
    floor = np.ceil(np.round(low / low_tick, 6)) * low_tick
    ceiling = np.floor(np.round(high / high_tick, 6)) * high_tick
    return np.maximum(floor, 1.0), np.maximum(ceiling, base.astype(np.float64))
