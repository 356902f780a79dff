"""The planted signal: which features foretell the next month's return on the demo market, and how strongly.

Each feature stands for an effect known from real markets: the high-volume return premium (Gervais, Kaniel and
Mingelgrin 2001), momentum (Jegadeesh and Titman 1993) and gross profitability (Novy-Marx 2013). They move the
expected return of the following days a little; nothing here sees a later row.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

PLANTED_WEIGHTS: Final[dict[str, float]] = {"volume_surprise": 0.60, "mom_20d": 0.50, "gp_over_assets": 0.50}
"""Weight of each feature's centred percent rank in the linear score that sums up the planted signal."""

PLANTED_PUSH: Final[dict[str, float]] = {"volume_surprise": 0.19, "mom_20d": 0.02, "gp_over_assets": 0.017}
"""Expected daily return, in idiosyncratic standard deviations, per unit of a feature's smoothed centred rank.

A volume surprise is over the next day while the others stay for weeks, so it needs the larger push.
"""

PLANTED_MEMORY: Final = 0.94
"""Share of the smoothed ranks that the next day keeps: what is seen today works for about a month."""

PLANTED_RANK_IC: Final = (0.03, 0.12)
"""Band of the mean daily rank correlation with the 21-day open-to-open return, within the default universe.

The weighted score finds about 0.09; a trained ranker finds less or, using the days before as well, a little more.
"""

_MOMENTUM, _VOLUME, _VOLUME_MIN = 20, 20, 10


class PlantedSignal:
    """The planted push on every stock's return of the next day, renewed at each close from the rows so far.

    Only traded rows count: ``volume_surprise`` is adjusted volume over its mean of 20 rows (at least 10),
    ``mom_20d`` the adjusted close over that of 20 rows before, less 1, and ``gp_over_assets`` trailing gross
    profit over assets in the latest report.

    Parameters
    ----------
    stocks
        Number of stocks.

    Attributes
    ----------
    push
        Expected return of the next day in idiosyncratic standard deviations, shape (stocks,).
    gp_over_assets
        Latest known gross profit over assets, NaN where unknown; set from outside, shape (stocks,).
    """

    def __init__(self, stocks: int) -> None:
        self._everyone = np.arange(stocks)
        self._rows = np.zeros(stocks, dtype=np.int64)
        self._log_price = np.zeros(stocks)
        self._log_prices = np.full((_MOMENTUM, stocks), np.nan)
        self._volumes = np.zeros((_VOLUME, stocks))
        self.gp_over_assets: Floats = np.full(stocks, np.nan)
        self.push: Floats = np.zeros(stocks)

    def close_day(self, traded: Mask, eligible: Mask, simple_return: Floats, adjusted_volume: Floats) -> None:
        """Take in one day and renew the push.

        Parameters
        ----------
        traded
            Stocks with a row of positive volume today.
        eligible
            Stocks that the cross-section is taken over.
        simple_return
            Change over base price; ignored where not traded.
        adjusted_volume
            Shares traded over the adjustment factor; ignored where not traded.
        """
        self._log_price += np.where(traded, np.log1p(simple_return), 0.0)
        slot = self._rows % _MOMENTUM
        before = self._log_prices[slot, self._everyone]
        momentum = self._log_price - before
        self._log_prices[slot, self._everyone] = np.where(traded, self._log_price, before)
        self._volumes[slot, self._everyone] = np.where(
            traded, adjusted_volume, self._volumes[slot, self._everyone]
        )
        self._rows += traded

        count = np.minimum(self._rows, _VOLUME)
        usual = np.maximum(self._volumes.sum(axis=0), 1.0) / np.maximum(count, 1)
        features = {
            "volume_surprise": np.where(count >= _VOLUME_MIN, adjusted_volume / usual, np.nan),
            "mom_20d": momentum,
            "gp_over_assets": self.gp_over_assets,
        }
        seen = traded & eligible
        self.push *= PLANTED_MEMORY
        for name, values in features.items():
            self.push += (1 - PLANTED_MEMORY) * PLANTED_PUSH[name] * centred_rank(values, seen)


def centred_rank(values: Floats, among: Mask) -> Floats:
    """Rank of each value ``among`` the known ones, as a uniform variate of mean 0 and variance 1.

    0 where the value is missing or not among them, and everywhere if fewer than five are known.
    """
    known = np.flatnonzero(among & np.isfinite(values))
    ranks = np.zeros(values.size)
    if known.size >= 5:
        order = np.argsort(values[known], kind="stable")
        ranks[known[order]] = np.sqrt(12) * ((np.arange(known.size) + 0.5) / known.size - 0.5)
    return ranks
