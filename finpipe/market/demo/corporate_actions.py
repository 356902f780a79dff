"""Corporate actions of the demo market: splits, bonus issues, capital reductions and share issues."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from finpipe.market.demo.ticks import round_to_tick

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

_SPLIT_HAZARD, _BONUS_HAZARD, _ISSUE_HAZARD = 0.00006, 0.00010, 0.00050
_DEAR_SPLIT_HAZARD, _PENNY_REDUCTION_HAZARD, _REDUCTION_HAZARD = 0.004, 0.02, 0.00025
_DEAR, _VERY_DEAR, _PENNY = 400_000, 1_200_000, 700
_SPLITS = ((2, 1), (5, 1), (10, 1))
_BONUSES = ((2, 1), (3, 2), (6, 5))
_LARGE_SPLITS = ((50, 1),)
_REDUCTIONS = ((1, 5), (1, 10))
_SPLIT_DAYS, _REDUCTION_DAYS = 3, (12, 21)


class CorporateActions:
    """Ratios waiting to take effect: ``numerator`` new shares for ``denominator`` old ones.

    A split or reduction closes trading for some days and takes effect when the stock trades again; half of
    the splits and all bonus issues take effect the next day.
    """

    def __init__(self, rng: np.random.Generator, stocks: int) -> None:
        self._rng = rng
        self._numerator = np.ones(stocks, dtype=np.int64)
        self._denominator = np.ones(stocks, dtype=np.int64)

    def announce(self, traded: Mask, eligible: Mask, close: Ints) -> Ints:
        """Draw today's announcements; return for how many days from tomorrow each stock stops trading.

        Parameters
        ----------
        traded
            Stocks that traded today.
        eligible
            Stocks that may act at all.
        close
            Today's closing prices in KRW.
        """
        chance = self._rng.random((2, traded.size))
        free = traded & eligible & (self._numerator == self._denominator)
        dear = free & (close >= _DEAR) & (chance[0] < _DEAR_SPLIT_HAZARD)
        split = free & ~dear & (close >= 20_000) & (chance[0] < _SPLIT_HAZARD)
        bonus = free & ~dear & ~split & (close >= 3_000) & (chance[1] < _BONUS_HAZARD)
        hazard = np.where(close < _PENNY, _PENNY_REDUCTION_HAZARD, _REDUCTION_HAZARD)
        reduction = free & ~bonus & (close < 5_000) & (chance[1] > 1 - hazard)

        for kind, ratios in (
            (dear & (close >= _VERY_DEAR), _LARGE_SPLITS),
            (dear & (close < _VERY_DEAR), _SPLITS[1:]),
            (split, _SPLITS),
            (bonus, _BONUSES),
            (reduction, _REDUCTIONS),
        ):
            for index in np.flatnonzero(kind).tolist():
                ratio = ratios[int(self._rng.integers(len(ratios)))]
                self._numerator[index], self._denominator[index] = ratio
        suspended = (dear | split) & (self._rng.random(traded.size) < 0.5)
        closed = np.where(suspended, _SPLIT_DAYS, 0)
        return np.where(reduction, self._rng.integers(*_REDUCTION_DAYS, traded.size), closed)

    def take_effect(self, trades: Mask, previous_close: Ints, shares: Ints) -> tuple[Ints, Ints]:
        """Return today's base price and shares, with waiting ratios applied to stocks that trade."""
        due = np.flatnonzero(trades & (self._numerator != self._denominator))
        if due.size == 0:
            return previous_close, shares
        base, count = previous_close.copy(), shares.copy()
        numerator, denominator = self._numerator[due], self._denominator[due]
        base[due] = round_to_tick(previous_close[due] * denominator / numerator)
        count[due] = np.maximum(shares[due] * numerator // denominator, 1)
        self._numerator[due] = self._denominator[due] = 1
        return base, count

    def issue_shares(self, trades: Mask, shares: Ints) -> Ints:
        """Return shares after the conversions and placements of the day, which leave the base price alone."""
        issuing = np.flatnonzero(trades & (self._rng.random(shares.size) < _ISSUE_HAZARD))
        if issuing.size == 0:
            return shares
        count = shares.copy()
        growth = self._rng.uniform(1.01, 1.08, issuing.size)
        count[issuing] = (shares[issuing] * growth).astype(np.int64)
        return count
