"""The demo market as rows of the reference tables, ready for insertion."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from finpipe.market.demo.bars import BarBlock
from finpipe.market.demo.factors import MacroLevels
from finpipe.market.demo.filings import CONSOLIDATION_NAMES, RENAMED_AFTER, Filings
from finpipe.market.demo.indices import KOSPI_200, IndexLevels
from finpipe.market.demo.industries import INDUSTRIES
from finpipe.market.demo.population import (
    DAILY_MARKET_NAMES,
    DELISTING_REASONS,
    KONEX,
    MARKET_NAMES,
    SPAC,
    STAYS,
    Population,
)
from finpipe.market.demo.prices import PriceBlock
from finpipe.market.demo.sessions import compact_dates
from finpipe.market.demo.statements import BALANCE_ITEMS, CASH_FLOW_ITEMS, INCOME_ITEMS

Rows = Iterable[tuple[object, ...]]
Floats = NDArray[np.float64]

VKOSPI = "DERIV_옵션지수_코스피_200_변동성지수"
DOLLAR_FUTURES = "DERIV_선물지수_미국달러선물지수"
KOSPI_200_FUTURES = "DERIV_선물지수_코스피_200_선물지수"
PRIME_BOND = "BOND_국고채프라임지수"
TREASURY_BOND = "BOND_KTB_지수"

_ITEM_NAMES = {
    "Assets": "자산총계",
    "Equity": "자본총계",
    "Liabilities": "부채총계",
    "CurrentAssets": "유동자산",
    "CurrentLiabilities": "유동부채",
    "CashAndCashEquivalents": "현금및현금성자산",
    "Inventories": "재고자산",
    "Revenue": "수익(매출액)",
    "GrossProfit": "매출총이익",
    "OperatingIncomeLoss": "영업이익(손실)",
    "FinanceCosts": "금융원가",
    "IncomeTaxExpenseContinuingOperations": "법인세비용",
    "ProfitLoss": "당기순이익(손실)",
    "CashFlowsFromUsedInOperatingActivities": "영업활동현금흐름",
    "CashFlowsFromUsedInInvestingActivities": "투자활동현금흐름",
}
_DART_ITEMS = frozenset({"OperatingIncomeLoss"})
_REPORTS = ("", "1분기보고서", "반기보고서", "3분기보고서", "사업보고서")
_FILER_MARKETS = ("유가증권시장상장법인", "코스닥시장상장법인", "코넥스시장상장법인")
_DEPARTED_EARLIER = (
    ("000015", "옛한빛은행우", "20020514", "피흡수합병"),
    ("003610", "옛방림상사", "19990923", "자본전액잠식"),
    ("007325", "옛동남증권우", "20010102", "존립기간 만료"),
)


@dataclass(slots=True)
class StockBook:
    """What the stock list says after the sessions written so far, and its dated history."""

    population: Population
    shares: list[int] = field(default_factory=list)
    market: list[int] = field(default_factory=list)
    history: list[tuple[object, ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.shares = [0] * self.population.size
        self.market = [-1] * self.population.size

    def follow(self, block: PriceBlock, dates: Sequence[str]) -> None:
        """Note listings, changes of market and changes of the number of shares."""
        shares, market = np.array(self.shares), np.array(self.market)
        for row, day in enumerate(dates):
            changed = block.listed[row] & ((block.shares[row] != shares) | (block.market[row] != market))
            for stock in np.flatnonzero(changed).tolist():
                self.history.append(self._entry(stock, day, block, row))
            shares = np.where(block.listed[row], block.shares[row], shares)
            market = np.where(block.listed[row], block.market[row], market)
        self.shares, self.market = shares.tolist(), market.tolist()

    def stocks(self, updated_at: str) -> Iterator[tuple[object, ...]]:
        """Rows of ``stocks``; like the source, ``is_active`` stays 1 after a delisting."""
        population = self.population
        for stock in range(population.size):
            if self.market[stock] >= 0:
                yield (
                    population.codes[stock],
                    population.names[stock],
                    MARKET_NAMES[self.market[stock]],
                    _listed_sector(population, stock),
                    self.shares[stock],
                    1,
                    updated_at,
                )

    def _entry(self, stock: int, day: str, block: PriceBlock, row: int) -> tuple[object, ...]:
        return (
            self.population.codes[stock],
            day,
            self.population.names[stock],
            MARKET_NAMES[int(block.market[row, stock])],
            _listed_sector(self.population, stock),
            int(block.shares[row, stock]),
            f"{day[:4]}-{day[4:6]}-{day[6:]} 18:00:00",
        )


def daily_price_rows(
    population: Population, block: PriceBlock, bars: BarBlock, dates: Sequence[str]
) -> Iterator[tuple[object, ...]]:
    """Rows of ``daily_prices`` in order of date and stock code, as a daily loader writes them."""
    day, stock = np.nonzero(block.listed)
    close, base = block.close[day, stock], block.base[day, stock]
    change = close - base
    loaded = [f"{text[:4]}-{text[4:6]}-{text[6:]} 18:00:00" for text in dates]
    return zip(
        np.array(population.codes, dtype=object)[stock].tolist(),
        np.array(dates, dtype=object)[day].tolist(),
        close.tolist(),
        change.tolist(),
        np.round(100 * change / base, 2).tolist(),
        bars.open[day, stock].tolist(),
        bars.high[day, stock].tolist(),
        bars.low[day, stock].tolist(),
        block.volume[day, stock].tolist(),
        bars.value[day, stock].tolist(),
        (close * block.shares[day, stock]).tolist(),
        np.array(DAILY_MARKET_NAMES, dtype=object)[block.market[day, stock]].tolist(),
        np.array(loaded, dtype=object)[day].tolist(),
        strict=True,
    )


def delisted_rows(population: Population, sessions: NDArray[np.datetime64]) -> list[tuple[object, ...]]:
    """Rows of ``delisted_stocks``: the session after each last row; three left before the data begin."""
    rows: list[tuple[object, ...]] = list(_DEPARTED_EARLIER)
    for stock in np.flatnonzero(population.exit != STAYS).tolist():
        left = sessions[int(population.last_on[stock]) + 1]
        reason = DELISTING_REASONS[int(population.exit[stock])]
        rows.append(
            (population.codes[stock], population.names[stock], compact_dates(np.array([left]))[0], reason)
        )
    return rows


def financial_period_rows(filings: Filings, population: Population) -> Iterator[tuple[object, ...]]:
    """Rows of ``financial_periods``; ids count from 1 in the order of the filings."""
    available = compact_dates(filings.available)
    periods = np.datetime_as_string(filings.fiscal_date, unit="D").tolist()
    for row in range(filings.size):
        stock, industry = int(filings.stock[row]), INDUSTRIES[int(filings.industry[row])]
        yield (
            row + 1,
            population.codes[stock],
            population.names[stock],
            _FILER_MARKETS[int(population.market[stock])],
            industry.code,
            industry.name,
            int(filings.fiscal_month[row]),
            periods[row],
            available[row],
            _REPORTS[int(filings.fiscal_quarter[row])],
            CONSOLIDATION_NAMES[int(filings.consolidation[row])],
            "KRW",
            f"{available[row][:4]}-{available[row][4:6]}-{available[row][6:]} 18:00:00",
        )


def balance_and_cash_flow_rows(filings: Filings) -> Rows:
    """Rows of ``financial_items_bs_cf`` in order of period; ids count from 1."""
    items = [("BS", item) for item in BALANCE_ITEMS] + [("CF", item) for item in CASH_FLOW_ITEMS]
    amounts = np.stack([{**filings.balance, **filings.cash_flow}[item] for _, item in items], axis=1)
    labels = [(statement, *_item_codes(item)) for statement, item in items]
    return _item_rows(filings, [item for _, item in items], labels, amounts)


def income_rows(filings: Filings) -> Rows:
    """Rows of ``financial_items_pl`` in order of period; ids count from 1."""
    amounts = np.stack([filings.income[item] for item in INCOME_ITEMS], axis=1)
    return _item_rows(filings, list(INCOME_ITEMS), [_item_codes(item) for item in INCOME_ITEMS], amounts)


def index_rows(levels: IndexLevels, dates: Sequence[str]) -> Iterator[tuple[object, ...]]:
    """Rows of ``index_daily_prices``; an index that starts late has no rows before."""
    for number, definition in enumerate(levels.definitions):
        close = levels.close[:, number]
        known = np.flatnonzero(np.isfinite(close))
        change, rate = _changes(close[known])
        yield from zip(
            [definition.code] * known.size,
            [dates[day] for day in known.tolist()],
            close[known].tolist(),
            change,
            rate,
            levels.open[known, number].tolist(),
            levels.high[known, number].tolist(),
            levels.low[known, number].tolist(),
            levels.volume[known, number].astype(np.int64).tolist(),
            levels.value[known, number].astype(np.int64).tolist(),
            levels.market_cap[known, number].astype(np.int64).tolist(),
            strict=True,
        )


def derivative_index_rows(
    macro: MacroLevels, levels: IndexLevels, dates: Sequence[str]
) -> Iterator[tuple[object, ...]]:
    """Rows of ``deriv_index_daily``: option-implied volatility, dollar futures, KOSPI 200 futures."""
    codes = [definition.code for definition in levels.definitions]
    futures = levels.close[:, codes.index(KOSPI_200)] * 4.1 * (1 + 0.00002 * np.arange(len(dates)))
    for code, values in (
        (VKOSPI, macro.vkospi),
        (DOLLAR_FUTURES, macro.dollar_futures),
        (KOSPI_200_FUTURES, futures),
    ):
        close = np.round(values, 2)
        start = np.round(np.concatenate((values[:1], values[:-1])), 2)
        change, rate = _changes(close)
        high, low = np.maximum(close, start), np.minimum(close, start)
        yield from zip(
            [code] * len(dates),
            dates,
            close.tolist(),
            change,
            rate,
            start.tolist(),
            high.tolist(),
            low.tolist(),
            strict=True,
        )


def bond_index_rows(macro: MacroLevels, dates: Sequence[str]) -> Iterator[tuple[object, ...]]:
    """Rows of ``bond_index_daily``: total return, four price variants, duration, convexity and yield."""
    days = np.arange(len(dates))
    for code, total, duration in (
        (PRIME_BOND, macro.prime_bond, 4.1),
        (TREASURY_BOND, macro.treasury_bond, 5.6),
    ):
        columns: list[list[float]] = []
        for carry in (0.0, 0.00009, 0.00001, 0.00002, 0.00008):
            level = np.round(total * np.exp(-carry * days), 4)
            columns += [level.tolist(), np.round(np.diff(level, prepend=level[0]), 4).tolist()]
        yields = np.round(macro.bond_yield, 3).tolist()
        lengths = np.round(duration + 0.1 * np.sin(days / 250), 3)
        convexity = np.round(lengths**2 * 1.3, 3).tolist()
        yield from zip([code] * len(dates), dates, *columns, lengths.tolist(), convexity, yields, strict=True)


def _item_codes(item: str) -> tuple[str, str, str]:
    """Older code, newer (normalized) code and Korean name of an item."""
    if item in _DART_ITEMS:
        return f"dart_{item}", f"dart_{item}", _ITEM_NAMES[item]
    return f"ifrs_{item}", f"ifrs-full_{item}", _ITEM_NAMES[item]


def _item_rows(
    filings: Filings, items: Sequence[str], labels: Sequence[tuple[str, ...]], amounts: Floats
) -> Iterator[tuple[object, ...]]:
    present = ~np.stack([filings.absent[item] for item in items], axis=1)
    report, item = np.nonzero(present)
    renamed = (filings.fiscal_date > RENAMED_AFTER)[report]
    older = np.array([(*label[:-3], label[-3], label[-2], label[-1]) for label in labels], dtype=object)
    newer = np.array([(*label[:-3], label[-2], label[-2], label[-1]) for label in labels], dtype=object)
    texts = np.where(renamed[:, None], newer[item], older[item])
    values = amounts[report, item]
    columns = [_nulls(values[:, column]) for column in range(values.shape[1])]
    return zip(range(1, report.size + 1), (report + 1).tolist(), *texts.T.tolist(), *columns, strict=True)


def _nulls(values: Floats) -> list[float | None]:
    cells: list[float | None] = values.tolist()
    for row in np.flatnonzero(np.isnan(values)).tolist():
        cells[row] = None
    return cells


def _changes(close: Floats) -> tuple[list[float], list[float]]:
    before = np.concatenate((close[:1], close[:-1]))
    change = np.round(close - before, 2)
    return change.tolist(), np.round(100 * change / before, 2).tolist()


def _listed_sector(population: Population, stock: int) -> str | None:
    """The stock list's label: an industry for most, the listing division for SPACs, none on KONEX."""
    if population.kind[stock] == SPAC:
        return "SPAC(소속부없음)"
    if population.market[stock] == KONEX:
        return None
    return INDUSTRIES[int(population.industry[stock])].label
