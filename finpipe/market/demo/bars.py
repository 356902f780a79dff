"""What surrounds a closing price: opening, highest and lowest price, and traded value."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finpipe.market.demo.prices import PriceBlock
from finpipe.market.demo.ticks import price_limits, round_to_tick

Ints = NDArray[np.int64]

_GAP_SHARE, _GAP_NOISE, _RANGE = 0.45, 0.35, 0.45
_NO_PRICES_AT_ALL = 0.7


@dataclass(frozen=True, slots=True)
class BarBlock:
    """Bars of a price block, shape (days, stocks) each; 0 on halted days.

    Prices and traded ``value`` in KRW.
    """

    open: Ints
    high: Ints
    low: Ints
    value: Ints


def draw_bars(rng: np.random.Generator, block: PriceBlock) -> BarBlock:
    """Draw the bars of ``block``: low ≤ open, close ≤ high, every price on a tick and within the limit.

    Of the rows traded outside the session only, most lack all three prices and some the opening price alone.
    """
    base = np.where(block.listed, block.base, 1)
    close = np.where(block.listed, block.close, 1)
    lowest, highest = price_limits(base)
    draws = rng.standard_normal((3, *close.shape))

    gap = _GAP_SHARE * np.log(close / base) + _GAP_NOISE * block.volatility * draws[0]
    opening = np.clip(round_to_tick(base * np.exp(gap)), lowest, highest)
    reach = _RANGE * block.volatility
    upper, lower = np.maximum(opening, close), np.minimum(opening, close)
    high = np.clip(round_to_tick(upper * np.exp(reach * np.abs(draws[1]))), upper, highest)
    low = np.clip(round_to_tick(lower * np.exp(-reach * np.abs(draws[2]))), lowest, lower)
    opening, high, low = (np.where(block.locked, close, price) for price in (opening, high, low))

    blank = block.volume == 0
    blank |= block.after_hours & (rng.random(close.shape) < _NO_PRICES_AT_ALL)
    average = np.where(blank, close, (opening + high + low + 2 * close) / 5)
    return BarBlock(
        open=np.where(blank | block.after_hours, 0, opening).astype(np.int64),
        high=np.where(blank, 0, high).astype(np.int64),
        low=np.where(blank, 0, low).astype(np.int64),
        value=np.rint(block.volume * average).astype(np.int64),
    )
