"""Quarterly figures of the demo companies: balance sheets, income and cash flows as first reported."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finpipe.market.demo.industries import INDUSTRIES
from finpipe.market.demo.population import COMMON, DISTRESS, KONEX, Population

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

BALANCE_ITEMS: tuple[str, ...] = (
    "Assets",
    "Equity",
    "Liabilities",
    "CurrentAssets",
    "CurrentLiabilities",
    "CashAndCashEquivalents",
    "Inventories",
)
INCOME_ITEMS: tuple[str, ...] = (
    "Revenue",
    "GrossProfit",
    "OperatingIncomeLoss",
    "FinanceCosts",
    "IncomeTaxExpenseContinuingOperations",
    "ProfitLoss",
)
CASH_FLOW_ITEMS: tuple[str, ...] = (
    "CashFlowsFromUsedInOperatingActivities",
    "CashFlowsFromUsedInInvestingActivities",
)

_QUARTER_WEIGHT = (0.235, 0.250, 0.245, 0.270)
_MARGIN_MEMORY = 0.93


@dataclass(frozen=True, slots=True)
class Statements:
    """Consolidated figures by company and calendar quarter, KRW.

    Parameters
    ----------
    company
        Position of each company's common share in the population.
    quarter_end
        Last day of each quarter, ``datetime64[D]``.
    fiscal_month
        Month in which each company's fiscal year ends: 12, 3 or 6.
    balance, flow
        Figures by item name, shape (companies, quarters); ``flow`` holds the three months alone.
    """

    company: Ints
    quarter_end: NDArray[np.datetime64]
    fiscal_month: Ints
    balance: dict[str, Floats]
    flow: dict[str, Floats]

    @property
    def fiscal_quarter(self) -> Ints:
        """Quarter of the fiscal year, 1 to 4 (4 is the annual report), shape (companies, quarters)."""
        month = self.quarter_end.astype("datetime64[M]").astype(np.int64) % 12 + 1
        quarter = (month[None, :] - self.fiscal_month[:, None]) % 12 // 3
        return np.where(quarter == 0, 4, quarter)


def quarter_ends(first: np.datetime64, last: np.datetime64) -> NDArray[np.datetime64]:
    """Ends of the calendar quarters from the one holding ``first`` up to ``last``."""
    start = first.astype("datetime64[M]").astype(np.int64) // 3 * 3 + 3
    stop = last.astype("datetime64[M]").astype(np.int64) + 2
    months = np.arange(start, stop, 3).astype("datetime64[M]")
    ends = (months.astype("datetime64[D]").astype(np.int64) - 1).astype("datetime64[D]")
    return np.asarray(ends[ends <= last])


def draw_statements(
    rng: np.random.Generator, population: Population, quarter_end: NDArray[np.datetime64]
) -> Statements:
    """Draw the figures of every company that files at all; about one in thirty never does.

    Margins and asset turnover revert slowly to their industry's, so that profitability differs between
    companies for years but not for ever. Distressed companies lose their equity.
    """
    files = (population.kind == COMMON) & (rng.random(population.size) > 0.03)
    company = np.flatnonzero(files)
    count, quarters = company.size, quarter_end.size
    industry = [INDUSTRIES[number] for number in population.industry[company].tolist()]
    traits = np.array([[i.asset_turnover, i.gross_margin, i.leverage, i.inventories] for i in industry])
    asset_turnover, gross_margin, leverage, inventories = traits.reshape(count, 4).T

    cap = (population.price[company] * population.shares[company]).astype(np.float64)
    book = cap / np.exp(0.25 + 0.6 * rng.standard_normal(count))
    leverage = leverage * np.exp(0.35 * rng.standard_normal(count))
    growth = np.exp(np.cumsum(0.012 + 0.02 * rng.standard_normal((count, quarters)), axis=1))
    assets = (book * (1 + leverage))[:, None] * growth

    skill = _reverting(rng, count, quarters, 0.30)
    pace = _reverting(rng, count, quarters, 0.30)
    month = quarter_end.astype("datetime64[M]").astype(np.int64) % 12
    season = np.array(_QUARTER_WEIGHT)[month // 3]
    noise = np.exp(0.03 * rng.standard_normal((count, quarters)))
    revenue = assets * asset_turnover[:, None] * np.exp(pace) * season * noise
    gross_profit = revenue * (gross_margin[:, None] * np.exp(skill)).clip(0, 0.9)
    normal = np.where(gross_margin > 0, 0.68 * gross_margin, 0.75)
    expenses = revenue * normal[:, None] * np.exp(0.06 * rng.standard_normal((count, quarters)))
    operating = np.where(gross_margin[:, None] > 0, gross_profit - expenses, revenue - expenses)

    troubled = np.isin(company, np.flatnonzero(population.exit == DISTRESS)) | (rng.random(count) < 0.03)
    operating -= troubled[:, None] * 0.45 * revenue
    finance_costs = assets * (leverage / (1 + leverage))[:, None] * 0.006
    pretax = operating - finance_costs * 0.8
    tax = np.where(pretax > 0, 0.22 * pretax, 0.02 * np.abs(pretax))
    profit = pretax - tax
    paid_out = np.where(profit > 0, 0.85, 1.0) * profit
    equity = assets / (1 + leverage)[:, None] + np.cumsum(profit - paid_out, axis=1)
    erosion = np.linspace(0.0, 1.25, quarters) ** 2
    equity -= troubled[:, None] * erosion * (assets / (1 + leverage)[:, None])
    liabilities = assets - equity

    liquid = rng.uniform(0.35, 0.65, (count, 1))
    cash_from_operations = profit + 0.012 * assets * (1 + rng.standard_normal((count, quarters)))
    return Statements(
        company=company,
        quarter_end=quarter_end,
        fiscal_month=_fiscal_months(rng, population, company),
        balance={
            "Assets": assets,
            "Equity": equity,
            "Liabilities": liabilities,
            "CurrentAssets": assets * liquid,
            "CurrentLiabilities": liabilities * rng.uniform(0.4, 0.8, (count, 1)),
            "CashAndCashEquivalents": assets * liquid * rng.uniform(0.1, 0.4, (count, quarters)),
            "Inventories": np.where(inventories > 0, inventories, np.nan)[:, None] * assets * noise,
        },
        flow={
            "Revenue": revenue,
            "GrossProfit": np.where(gross_margin[:, None] > 0, gross_profit, np.nan),
            "OperatingIncomeLoss": operating,
            "FinanceCosts": finance_costs,
            "IncomeTaxExpenseContinuingOperations": tax,
            "ProfitLoss": profit,
            "CashFlowsFromUsedInOperatingActivities": cash_from_operations,
            "CashFlowsFromUsedInInvestingActivities": -0.02
            * assets
            * np.exp(0.4 * rng.standard_normal((count, quarters))),
        },
    )


def _reverting(rng: np.random.Generator, count: int, quarters: int, spread: float) -> Floats:
    state = spread * rng.standard_normal(count)
    path = np.empty((count, quarters))
    step = spread * np.sqrt(1 - _MARGIN_MEMORY**2)
    for quarter in range(quarters):
        path[:, quarter] = state
        state = _MARGIN_MEMORY * state + step * rng.standard_normal(count)
    return path


def _fiscal_months(rng: np.random.Generator, population: Population, company: Ints) -> Ints:
    months = rng.choice([12, 3, 6], company.size, p=[0.94, 0.035, 0.025])
    # The first companies carry the rare year-ends, so that even a small market has them.
    ordinary = np.flatnonzero(population.market[company] != KONEX)[:2]
    months[ordinary] = (3, 6)[: ordinary.size]
    return months
