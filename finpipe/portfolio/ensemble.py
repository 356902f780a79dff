"""The ensemble forecast: smoothing, trend and history of a price, each turned into an expected annual return.

Of a ticker's known prices p_0 .. p_{n-1}, gaps closed up:

- smoothing: s_0 = p_0, s_t = 0.3 p_t + 0.7 s_{t-1}; a least-squares line through the last 30 (or all, if fewer) of
  them, read 252 steps after the line's end (at index m + 252 of a line through indices 0 .. m - 1), over s_{n-1},
  minus 1;
- trend: the same with the last 90 prices themselves;
- history: the mean daily simple return x 252, times 0.8 if the sample deviation of the daily returns exceeds 5%.

The forecast is 0.4 smoothing + 0.3 trend + 0.3 history, clipped to [-0.5, 1]. With fewer than 10 known prices, or
fewer known prices than half the days, it is the neutral 0.05.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finpipe.portfolio.returns import Floats, Prices

WEIGHTS = (0.4, 0.3, 0.3)
LOWEST, HIGHEST = -0.5, 1.0
NEUTRAL = 0.05
MIN_POINTS = 10
MIN_VALID = 0.5


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Forecasts and what they are made of, (N,) each.

    Parameters
    ----------
    values
        Expected simple return over 252 days, within [-0.5, 1]; :data:`NEUTRAL` where ``is_neutral``.
    smoothing, trend, history
        The three parts, neither weighted nor clipped; NaN where ``is_neutral``.
    is_neutral
        Where there are too few prices for a forecast.
    points
        Known prices.
    """

    values: Floats
    smoothing: Floats
    trend: Floats
    history: Floats
    is_neutral: NDArray[np.bool_]
    points: NDArray[np.int64]

    @property
    def unclipped(self) -> Floats:
        """The weighted sum before it is clipped; NaN where neutral."""
        parts = (self.smoothing, self.trend, self.history)
        total: Floats = sum(
            (w * part for w, part in zip(WEIGHTS, parts, strict=True)), np.zeros(len(self.values))
        )
        return total


def ensemble(prices: Prices) -> Ensemble:
    """Forecast every ticker by the formula of this module.

    Parameters
    ----------
    prices
        (days, tickers), positive, NaN where missing.
    """
    from finpipe.portfolio.ensemble_kernel import parts

    by_ticker = np.ascontiguousarray(prices.values.T)
    tickers, days = by_ticker.shape
    three = np.empty((tickers, 3))
    points = np.empty(tickers, dtype=np.int64)
    parts(by_ticker, three, points)
    is_neutral = (points < MIN_POINTS) | (points < MIN_VALID * days)
    three[is_neutral] = np.nan
    values = np.clip(three @ np.array(WEIGHTS), LOWEST, HIGHEST)
    values[is_neutral] = NEUTRAL
    return Ensemble(values, three[:, 0], three[:, 1], three[:, 2], is_neutral, points)
