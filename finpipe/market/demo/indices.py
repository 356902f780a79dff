"""Index levels of the demo market: cap-weighted market indices of its own stocks, and the macro indices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finpipe.market.demo.bars import BarBlock
from finpipe.market.demo.industries import INDEX_SECTORS, INDUSTRIES
from finpipe.market.demo.population import COMMON, KOSDAQ, KOSPI, PREFERRED, Population
from finpipe.market.demo.prices import PriceBlock

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

KOSPI_200 = "KOSPI_코스피_200"
"""Index code of the 200 largest KOSPI companies (fewer on a small demo market)."""

_REVIEW_MONTHS = (1, 4, 7, 10)
_LATE_START = {"KOSPI_코스피_200_커뮤니케이션서비스": 0.12}


@dataclass(frozen=True, slots=True)
class IndexDefinition:
    """One market index: its class, name, starting level, and the companies in it."""

    index_class: str
    name: str
    level: float
    market: int
    first_rank: float = 0.0
    last_rank: float = 1.0
    most: int = 100_000
    sector: str = ""
    preferred: bool = False

    @property
    def code(self) -> str:
        """``CLASS_name`` with spaces and slashes as underscores."""
        return f"{self.index_class}_{self.name}".replace(" ", "_").replace("/", "_")


def market_indices() -> tuple[IndexDefinition, ...]:
    """Every market index of the demo, broad ones first.

    Ranks are shares of the market's companies by size, cut at the real index's number of members.
    """
    sectors = (
        IndexDefinition("KOSPI", f"코스피 200 {sector}", 1_000.0, KOSPI, 0.0, 0.8, 200, sector)
        for sector in INDEX_SECTORS
    )
    return (
        IndexDefinition("KOSPI", "코스피", 2_026.16, KOSPI, preferred=True),
        IndexDefinition("KOSPI", "코스피 200", 259.62, KOSPI, 0.0, 0.8, 200),
        IndexDefinition("KOSPI", "코스피 100", 2_013.0, KOSPI, 0.0, 0.4, 100),
        IndexDefinition("KOSPI", "코스피 대형주", 1_982.0, KOSPI, 0.0, 0.25, 100),
        IndexDefinition("KOSPI", "코스피 중형주", 2_326.0, KOSPI, 0.25, 0.6, 200),
        IndexDefinition("KOSPI", "코스피 소형주", 2_141.0, KOSPI, 0.6, 1.0),
        *sectors,
        IndexDefinition("KOSDAQ", "코스닥", 632.04, KOSDAQ, preferred=True),
        IndexDefinition("KOSDAQ", "코스닥 150", 1_003.0, KOSDAQ, 0.0, 0.7, 150),
        IndexDefinition("KOSDAQ", "코스닥 대형주", 1_301.0, KOSDAQ, 0.0, 0.25, 100),
        IndexDefinition("KOSDAQ", "코스닥 소형주", 2_285.0, KOSDAQ, 0.6, 1.0),
    )


@dataclass(frozen=True, slots=True)
class IndexLevels:
    """Levels of the market indices, shape (sessions, indices); null levels are NaN.

    ``volume`` counts shares, ``value`` and ``market_cap`` KRW.
    """

    definitions: tuple[IndexDefinition, ...]
    close: Floats
    open: Floats
    high: Floats
    low: Floats
    volume: Floats
    value: Floats
    market_cap: Floats


class IndexKeeper:
    """Follows the market block by block and keeps the levels of its indices.

    Members are chosen on the first session of each quarter by market cap at the close before; an index
    moves by the sum of its members' changes over the sum of their caps at base prices.
    """

    def __init__(self, population: Population, sessions: NDArray[np.datetime64]) -> None:
        self._population = population
        self._definitions = market_indices()
        months = sessions.astype("datetime64[M]")
        starts = np.concatenate(([True], months[1:] != months[:-1]))
        quarterly = np.isin(months.astype(np.int64) % 12 + 1, _REVIEW_MONTHS)
        self._reviews = starts & quarterly
        self._reviews[0] = True
        shape = (sessions.size, len(self._definitions))
        self._ratios = {name: np.ones(shape) for name in ("close", "open", "high", "low")}
        self._sums = {name: np.zeros(shape) for name in ("volume", "value", "market_cap")}
        self._members = np.zeros((population.size, shape[1]))
        self._caps = (population.price * population.shares).astype(np.float64)

    def follow(self, block: PriceBlock, bars: BarBlock) -> None:
        """Take in the next block."""
        for row in range(block.days):
            day = block.first + row
            listed = block.listed[row]
            if self._reviews[day]:
                self._members = self._choose(listed, block.market[row], block.industry[row])
            members = self._members * listed[:, None]
            shares = block.shares[row].astype(np.float64)
            base = block.base[row] * shares
            self._caps = np.where(listed, block.close[row] * shares, self._caps)
            traded = bars.open[row] > 0
            opening = np.where(traded, bars.open[row] * shares, base)
            high = np.where(traded, bars.high[row] * shares, base)
            low = np.where(traded, bars.low[row] * shares, base)
            cap = block.close[row] * shares
            totals = np.stack([base, cap, opening, high, low, block.volume[row], bars.value[row]]) @ members
            held = totals[0] > 0
            before = np.where(held, totals[0], 1.0)
            close, start = (np.where(held, totals[k] / before, 1.0) for k in (1, 2))
            # Members do not reach their extremes together: only a part of the range counts.
            top, bottom = np.maximum(close, start), np.minimum(close, start)
            reach_up = np.maximum(np.where(held, totals[3] / before, 1.0) - top, 0)
            reach_down = np.maximum(bottom - np.where(held, totals[4] / before, 1.0), 0)
            self._ratios["close"][day], self._ratios["open"][day] = close, start
            self._ratios["high"][day] = top + 0.4 * reach_up
            self._ratios["low"][day] = bottom - 0.4 * reach_down
            self._sums["volume"][day], self._sums["value"][day] = totals[5], totals[6]
            self._sums["market_cap"][day] = totals[1]

    def levels(self) -> IndexLevels:
        """Return the levels of all sessions followed so far, rounded to two decimals."""
        start = np.array([definition.level for definition in self._definitions])
        close = start * np.cumprod(self._ratios["close"], axis=0)
        before = close / self._ratios["close"]
        levels = {name: np.round(before * ratio, 2) for name, ratio in self._ratios.items()}
        for number, definition in enumerate(self._definitions):
            late = int(_LATE_START.get(definition.code, 0.0) * close.shape[0])
            for values in levels.values():
                values[:late, number] = np.nan
        return IndexLevels(
            definitions=self._definitions,
            close=levels["close"],
            open=levels["open"],
            high=np.maximum(levels["high"], np.maximum(levels["open"], levels["close"])),
            low=np.minimum(levels["low"], np.minimum(levels["open"], levels["close"])),
            **self._sums,
        )

    def _choose(self, listed: Mask, market: Ints, industry: Ints) -> Floats:
        population = self._population
        companies = listed & (population.kind == COMMON)
        sector = np.array([INDUSTRIES[number].index_sector for number in industry.tolist()])
        chosen = np.zeros((population.size, len(self._definitions)))
        for number, index in enumerate(self._definitions):
            where = np.flatnonzero(companies & (market == index.market))
            ranked = where[np.argsort(-self._caps[where], kind="stable")]
            first = round(index.first_rank * ranked.size)
            last = max(round(index.last_rank * ranked.size), min(1, ranked.size))
            members = ranked[first : min(last, first + index.most)]
            if index.sector:
                within = members[sector[members] == index.sector]
                members = within if within.size else members
            chosen[members, number] = 1.0
            if index.preferred:
                chosen[listed & (population.kind == PREFERRED) & (market == index.market), number] = 1.0
        return chosen
