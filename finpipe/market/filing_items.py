"""Which items of the financial statements finpipe reads, and under which codes they are filed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

IFRS = "ifrs-full_"
OLD_IFRS = "ifrs_"

Statement = Literal["BS", "PL", "CF"]


@dataclass(frozen=True, slots=True)
class Item:
    """One statement item.

    Parameters
    ----------
    name
        Column name in ``krx/filings``.
    statement
        ``BS`` (balance sheet: a level at the end of the period), ``PL`` (income statement) or ``CF``
        (cash flow statement), both flows since the start of the fiscal year.
    code
        Normalised item code: IFRS taxonomy (``ifrs-full_``) or the Korean extension (``dart_``).
    """

    name: str
    statement: Statement
    code: str

    @property
    def is_level(self) -> bool:
        """Whether the amount is a level at the end of the period rather than a flow."""
        return self.statement == "BS"


ITEMS = (
    Item("assets", "BS", "ifrs-full_Assets"),
    Item("liabilities", "BS", "ifrs-full_Liabilities"),
    Item("equity", "BS", "ifrs-full_Equity"),
    Item("current_assets", "BS", "ifrs-full_CurrentAssets"),
    Item("current_liabilities", "BS", "ifrs-full_CurrentLiabilities"),
    Item("cash", "BS", "ifrs-full_CashAndCashEquivalents"),
    Item("inventories", "BS", "ifrs-full_Inventories"),
    Item("revenue", "PL", "ifrs-full_Revenue"),
    Item("gross_profit", "PL", "ifrs-full_GrossProfit"),
    Item("operating_income", "PL", "dart_OperatingIncomeLoss"),
    Item("net_income", "PL", "ifrs-full_ProfitLoss"),
    Item("income_tax", "PL", "ifrs-full_IncomeTaxExpenseContinuingOperations"),
    Item("finance_costs", "PL", "ifrs-full_FinanceCosts"),
    Item("operating_cash_flow", "CF", "ifrs-full_CashFlowsFromUsedInOperatingActivities"),
    Item("investing_cash_flow", "CF", "ifrs-full_CashFlowsFromUsedInInvestingActivities"),
)

LEVELS = tuple(item.name for item in ITEMS if item.is_level)
FLOWS = tuple(item.name for item in ITEMS if not item.is_level)


def spellings(code: str) -> tuple[str, ...]:
    """All codes under which an item was filed: the IFRS prefix was ``ifrs_`` until 2019.

    Examples
    --------
    >>> spellings("ifrs-full_Assets")
    ('ifrs-full_Assets', 'ifrs_Assets')
    >>> spellings("dart_OperatingIncomeLoss")
    ('dart_OperatingIncomeLoss',)
    """
    if code.startswith(IFRS):
        return (code, OLD_IFRS + code.removeprefix(IFRS))
    return (code,)
