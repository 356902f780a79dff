"""How many shares trade: slow waves of activity, more on days of large moves, little when the price is locked."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from finpipe.market.demo.population import KONEX, Population

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

LOCKED_SHARE: Final = 0.5
"""Share of closes at the price limit that never left it all day."""

_MEMORY, _SPREAD = 0.97, 0.45
_NOISE, _MOVE, _USUAL_MOVE = 0.35, 0.28, 0.75
_LOCKED, _AFTER_HOURS, _THIN_KONEX = 0.08, 0.01, 0.2


class Trading:
    """Daily volume of every stock; days must be taken in order."""

    def __init__(self, rng: np.random.Generator, population: Population) -> None:
        self._rng = rng
        self._usual = np.log(population.turnover)
        self._activity = _SPREAD * rng.standard_normal(population.size)

    def volume(self, shares: Ints, market: Ints, move: Floats, *, locked: Mask, after_hours: Mask) -> Ints:
        """Draw the shares traded today, at least 1.

        Parameters
        ----------
        shares
            Listed shares.
        market
            Market numbers.
        move
            Absolute return in standard deviations.
        locked, after_hours
            Stocks locked at a price limit, and those traded outside the session only.
        """
        shock, noise = self._rng.standard_normal((2, shares.size))
        self._activity *= _MEMORY
        self._activity += _SPREAD * np.sqrt(1 - _MEMORY**2) * shock
        surprise = np.minimum(move, 5.0) - _USUAL_MOVE
        turnover = np.exp(self._usual + self._activity + _MOVE * surprise + _NOISE * noise)
        turnover = np.minimum(turnover, 0.6)
        turnover[locked] *= _LOCKED
        turnover[after_hours] *= _AFTER_HOURS
        turnover[(market == KONEX) & (noise > 1)] *= _THIN_KONEX
        return np.asarray(np.maximum(turnover * shares, 1.0).astype(np.int64))
