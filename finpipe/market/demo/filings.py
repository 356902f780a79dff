"""Filings of the demo companies: which reports appear when, with comparatives, restatements and gaps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finpipe.market.demo.population import KONEX, Population
from finpipe.market.demo.prices import ProfitabilityNews
from finpipe.market.demo.statements import (
    BALANCE_ITEMS,
    CASH_FLOW_ITEMS,
    INCOME_ITEMS,
    Statements,
)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
Days = NDArray[np.datetime64]

CONSOLIDATED, SEPARATE = 0, 1
CONSOLIDATION_NAMES: tuple[str, ...] = ("연결", "별도")

RENAMED_AFTER = np.datetime64("2019-06-30")
"""Last period end whose reports use the ``ifrs_`` prefix; later ones use ``ifrs-full_``."""

_ONLY_SEPARATE = 0.18
_LATE, _VERY_LATE = 0.02, 0.003
_RESTATED = 0.04
_ITEM_ABSENT, _AMOUNT_ABSENT = 0.010, 0.003


@dataclass(frozen=True, slots=True)
class Filings:
    """Reports in the order of the database, one entry each, and their amounts.

    Parameters
    ----------
    stock
        Position of the company's common share in the population.
    consolidation
        ``CONSOLIDATED`` or ``SEPARATE``.
    fiscal_month, fiscal_quarter, fiscal_date
        Year-end month; quarter of the fiscal year (4 is the annual report); period end.
    available
        Day from which the report counts as public.
    industry
        Industry number that the report names.
    balance, cash_flow
        By item: amounts of shape (reports, 3): current, previous and second previous year-end (flows: full
        years). NaN is an empty amount.
    income
        By item: amounts of shape (reports, 6): quarter, year to date, the same of the year before, previous
        and second previous full year. NaN is an empty amount.
    absent
        By item: reports that lack the item altogether.
    """

    stock: Ints
    consolidation: Ints
    fiscal_month: Ints
    fiscal_quarter: Ints
    fiscal_date: Days
    available: Days
    industry: Ints
    balance: dict[str, Floats]
    income: dict[str, Floats]
    cash_flow: dict[str, Floats]
    absent: dict[str, Mask]

    @property
    def size(self) -> int:
        """Number of reports."""
        return self.stock.size


def draw_filings(
    rng: np.random.Generator,
    population: Population,
    statements: Statements,
    sessions: NDArray[np.datetime64],
) -> Filings:
    """Draw the reports that became public up to the last session.

    A restatement shows in the schema's only way: the comparatives of the next fiscal year's reports differ
    from what was first reported.
    """
    company = statements.company
    count, quarters = company.size, statements.quarter_end.size
    quarter = statements.fiscal_quarter
    due = statutory_dates(statements.fiscal_month, statements.quarter_end)
    late = rng.random((count, quarters))
    available = due + np.where(late < _LATE, rng.integers(3, 60, (count, quarters)), 0)
    with_next = (late > 1 - _VERY_LATE) & (np.arange(quarters) < quarters - 1)
    available = np.where(with_next, np.roll(due, -1, axis=1), available)

    first_row, last_row = sessions[population.listed_on[company]], sessions[population.last_on[company]]
    ends = statements.quarter_end[None, :]
    public = (ends >= (first_row - np.timedelta64(760, "D"))[:, None]) & (available <= last_row[:, None])
    public &= np.arange(quarters) >= 8
    public &= (quarter == 4) | (population.market[company] != KONEX)[:, None]
    only_separate = rng.random(count) < _ONLY_SEPARATE

    reported = np.stack([public & ~only_separate[:, None], public])
    period, owner, kind = np.nonzero(reported.transpose(2, 1, 0))

    figures = _Figures(rng, statements, owner, period, kind)
    balance = {item: figures.balance(item) for item in BALANCE_ITEMS}
    income = {item: figures.income(item) for item in INCOME_ITEMS}
    cash_flow = {item: figures.cash_flow(item) for item in CASH_FLOW_ITEMS}
    absent = {}
    for item, amounts in (*balance.items(), *income.items(), *cash_flow.items()):
        absent[item] = (rng.random(owner.size) < _ITEM_ABSENT) | np.isnan(amounts).all(axis=1)
        amounts[rng.random(amounts.shape) < _AMOUNT_ABSENT] = np.nan

    stock = company[owner]
    fiscal_date = statements.quarter_end[period]
    changed = fiscal_date >= sessions[np.minimum(population.changes_on, sessions.size - 1)][stock]
    changed &= population.changes_on[stock] < sessions.size
    return Filings(
        stock=stock,
        consolidation=kind,
        fiscal_month=statements.fiscal_month[owner],
        fiscal_quarter=quarter[owner, period],
        fiscal_date=fiscal_date,
        available=available[owner, period],
        industry=np.where(changed, population.later_industry[stock], population.industry[stock]),
        balance=balance,
        income=income,
        cash_flow=cash_flow,
        absent=absent,
    )


def statutory_dates(fiscal_month: Ints, quarter_end: Days) -> Days:
    """Dates that the source assumes for reports to be public, shape (companies, quarters).

    December companies: 16 May, 16 August, 15 November, and 1 April of the next year. Other year-ends:
    quarterly reports on the 16th of the second month after, annual reports on the first of the third month
    after, which is earlier than the legal deadline of 90 days (readers must not trust it).
    """
    month = quarter_end.astype("datetime64[M]")
    number = month.astype(np.int64) % 12 + 1
    annual = (number[None, :] - fiscal_month[:, None]) % 12 == 0
    december = (fiscal_month == 12)[:, None]
    later = np.where(annual, np.where(december, 4, 3), 2)
    day = np.where(annual, 0, np.where(december & (number == 9)[None, :], 14, 15))
    first = (month[None, :] + later).astype("datetime64[D]")
    return np.asarray(first + day)


def profitability_news(filings: Filings, sessions: NDArray[np.datetime64], stocks: int) -> ProfitabilityNews:
    """When gross profit over assets of each stock changes, and to what.

    Trailing twelve months of gross profit (year to date, plus the previous year, less the same months of it)
    over assets; consolidated reports first. A report counts from the later of its available date and 46 (91
    for annual reports) days after the period's end, and from the next session if that is none.
    """
    gross = filings.income["GrossProfit"]
    annual = filings.fiscal_quarter == 4
    trailing = np.where(annual, gross[:, 1], gross[:, 1] + gross[:, 4] - gross[:, 3])
    assets = filings.balance["Assets"][:, 0]
    known = ~filings.absent["GrossProfit"] & ~filings.absent["Assets"] & (assets > 0)
    value = np.where(known, trailing / np.where(known, assets, 1.0), np.nan)

    consolidates = np.zeros(stocks, dtype=np.bool_)
    consolidates[filings.stock[filings.consolidation == CONSOLIDATED]] = True
    deadline = filings.fiscal_date + np.where(annual, 91, 46)
    session = np.searchsorted(sessions, np.maximum(filings.available, deadline))
    used = np.isfinite(value) & ((filings.consolidation == CONSOLIDATED) | ~consolidates[filings.stock])
    used &= session < sessions.size
    order = np.flatnonzero(used)[np.lexsort((filings.fiscal_date[used], session[used]))]
    order = order[_still_newest(filings.stock[order], filings.fiscal_date[order], stocks)]
    return ProfitabilityNews(session=session[order], stock=filings.stock[order], value=value[order])


def _still_newest(stock: Ints, fiscal_date: Days, stocks: int) -> Mask:
    """Drop late reports on periods older than one already known; rows in order of becoming known."""
    newest = np.full(stocks, np.datetime64("1900-01-01"))
    keep = np.zeros(stock.size, dtype=np.bool_)
    for row, (owner, period) in enumerate(zip(stock.tolist(), fiscal_date, strict=True)):
        if period >= newest[owner]:
            newest[owner], keep[row] = period, True
    return keep


class _Figures:
    """Amounts of each report's columns, gathered from the quarterly figures."""

    def __init__(
        self, rng: np.random.Generator, statements: Statements, owner: Ints, period: Ints, kind: Ints
    ) -> None:
        shape = statements.company.size, statements.quarter_end.size
        self._statements = statements
        self._fiscal_quarter = statements.fiscal_quarter
        self._owner, self._period = owner, period
        quarter = self._fiscal_quarter[owner, period]
        self._annual = quarter == 4
        self._year_end = period - quarter
        size, earning_power = rng.uniform(0.55, 0.95, shape[0]), rng.uniform(0.75, 1.05, shape[0])
        self._balance_scale = np.where(kind == SEPARATE, size[owner], 1.0)
        self._flow_scale = np.where(kind == SEPARATE, (size * earning_power)[owner], 1.0)
        restated = (rng.random(shape) < _RESTATED) & (self._fiscal_quarter == 4)
        self._writedown = np.where(restated, rng.uniform(0.03, 0.20, shape), 0.0)

    def balance(self, item: str) -> Floats:
        figures = self._statements.balance
        columns = [self._at(figures[item], self._period, self._balance_scale)]
        for at in (self._year_end, self._year_end - 4):
            first_reported = self._at(figures[item], at, self._balance_scale)
            lost = self._at(figures["Assets"], at, self._balance_scale) * 0.4 * self._written_down(at)
            columns.append(np.rint(first_reported - (lost if item in ("Assets", "Equity") else 0.0)))
        return np.stack(columns, axis=1)

    def income(self, item: str) -> Floats:
        quarterly = self._statements.flow[item]
        running = self._to_date(quarterly)
        before, year_end, scale = self._period - 4, self._year_end, self._flow_scale
        revision = 1 - self._written_down(year_end)
        interim = np.where(self._annual, np.nan, 1.0)
        columns = [
            interim * self._at(quarterly, self._period, scale),
            self._at(running, self._period, scale),
            interim * self._at(quarterly, before, scale) * revision,
            interim * self._at(running, before, scale) * revision,
            self._at(running, year_end, scale) * revision,
            self._at(running, year_end - 4, scale) * (1 - self._written_down(year_end - 4)),
        ]
        return np.rint(np.stack(columns, axis=1))

    def cash_flow(self, item: str) -> Floats:
        running = self._to_date(self._statements.flow[item])
        columns = [
            self._at(running, at, self._flow_scale)
            for at in (self._period, self._year_end, self._year_end - 4)
        ]
        return np.stack(columns, axis=1)

    def _at(self, figures: Floats, at: Ints, scale: Floats) -> Floats:
        values = np.rint(figures[self._owner, np.maximum(at, 0)] * scale)
        return np.asarray(np.where(at >= 0, values, np.nan))

    def _written_down(self, year_end: Ints) -> Floats:
        return np.asarray(self._writedown[self._owner, np.maximum(year_end, 0)])

    def _to_date(self, quarterly: Floats) -> Floats:
        running = quarterly.copy()
        for period in range(1, running.shape[1]):
            goes_on = self._fiscal_quarter[:, period] > 1
            running[:, period] += np.where(goes_on, running[:, period - 1], 0.0)
        return running
