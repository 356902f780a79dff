"""A small language for hand-worked filings, and a plain, slow account of what they say on a given day."""

from __future__ import annotations

import datetime as dt
import random
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from finpipe.market.filing_items import ITEMS

LEVELS = [item.name for item in ITEMS if item.statement == "BS"]
INCOME = [item.name for item in ITEMS if item.statement == "PL"]
CASH = [item.name for item in ITEMS if item.statement == "CF"]
REPORTS = {0: "사업보고서", 3: "1분기보고서", 6: "반기보고서", 9: "3분기보고서"}

SCHEMA = """
CREATE TABLE financial_periods (
    id INTEGER PRIMARY KEY, stock_code TEXT, company_name TEXT, market_type TEXT, industry_code TEXT,
    industry_name TEXT, fiscal_month INTEGER, fiscal_date TEXT, available_date TEXT, report_type TEXT,
    consolidation_type TEXT, currency TEXT DEFAULT 'KRW', created_at TIMESTAMP);
CREATE TABLE financial_items_bs_cf (
    id INTEGER PRIMARY KEY, period_id INTEGER, statement_type TEXT, item_code TEXT,
    item_code_normalized TEXT, item_name TEXT, amount_current REAL, amount_prev REAL, amount_prev2 REAL);
CREATE TABLE financial_items_pl (
    id INTEGER PRIMARY KEY, period_id INTEGER, item_code TEXT, item_code_normalized TEXT, item_name TEXT,
    amount_current_qtr REAL, amount_current_ytd REAL, amount_prev_qtr REAL, amount_prev_ytd REAL,
    amount_prev_year REAL, amount_prev2_year REAL);
"""


@dataclass
class Filing:
    """One filing as stated. Amounts by item: (own, last year, two years back[, prior year to date])."""

    stock_code: str
    fiscal_date: dt.date
    available_date: dt.date | None
    amounts: dict[str, tuple[float | None, ...]]
    consolidation: str = "연결"
    fiscal_month: int = 12
    currency: str | None = "KRW"
    industry: str | None = "반도체 제조업"
    report_type: str | None = None

    def amount(self, item: str, position: int) -> float | None:
        amounts = self.amounts.get(item, ())
        return amounts[position] if position < len(amounts) else None


@dataclass
class Book:
    """Filings in the order of the database."""

    filings: list[Filing] = field(default_factory=list)

    def file(
        self, stock_code: str, fiscal_date: str, available_date: str | None, amounts: dict, **attributes
    ) -> None:
        """Add a filing; a bare number stands for an amount without comparatives."""
        tuples = {
            item: amount if isinstance(amount, tuple) else (amount,) for item, amount in amounts.items()
        }
        available = dt.date.fromisoformat(available_date) if available_date else None
        self.filings.append(
            Filing(stock_code, dt.date.fromisoformat(fiscal_date), available, tuples, **attributes)
        )

    @classmethod
    def read(cls, path: Path) -> Book:
        """Read the filings of a database row by row."""
        connection = sqlite3.connect(path)
        names = {item.code.split("_", 1)[1]: item.name for item in ITEMS}
        filings = {
            number: Filing(code, dt.date.fromisoformat(fiscal), _compact(available), {}, *attributes)
            for number, code, fiscal, available, *attributes in connection.execute(
                "SELECT id, stock_code, fiscal_date, available_date, consolidation_type, fiscal_month, currency, "
                "industry_name, report_type FROM financial_periods ORDER BY id"
            )
        }
        for number, code, *amounts in connection.execute(
            "SELECT period_id, item_code, amount_current, amount_prev, amount_prev2 FROM financial_items_bs_cf"
        ):
            if name := names.get(code.split("_", 1)[1]):
                filings[number].amounts[name] = tuple(amounts)
        for number, code, quarter, ytd, prior_quarter, prior_ytd, last, older in connection.execute(
            "SELECT period_id, item_code, amount_current_qtr, amount_current_ytd, amount_prev_qtr, "
            "amount_prev_ytd, amount_prev_year, amount_prev2_year FROM financial_items_pl"
        ):
            own, prior = ytd, prior_ytd
            if filings[number].report_type == REPORTS[3]:
                own = quarter if ytd is None else ytd
                prior = prior_quarter if prior_ytd is None else prior_ytd
            if name := names.get(code.split("_", 1)[1]):
                filings[number].amounts[name] = (own, last, older, prior)
        connection.close()
        return cls(list(filings.values()))

    def write(self, path: Path) -> Path:
        """Write a database with the three tables of filings."""
        path.unlink(missing_ok=True)
        connection = sqlite3.connect(path)
        connection.executescript(SCHEMA)
        codes = {item.name: (item.statement, item.code) for item in ITEMS}
        for number, filing in enumerate(self.filings, start=1):
            months = (filing.fiscal_date.month - filing.fiscal_month) % 12
            connection.execute(
                "INSERT INTO financial_periods VALUES (?,?,?,?,?,?,?,?,?,?,?,?,NULL)",
                (
                    number,
                    filing.stock_code,
                    "회사",
                    "유가증권시장상장법인",
                    "264",
                    filing.industry,
                    filing.fiscal_month,
                    filing.fiscal_date.isoformat(),
                    filing.available_date.strftime("%Y%m%d") if filing.available_date else None,
                    filing.report_type or REPORTS.get(months),
                    filing.consolidation,
                    filing.currency,
                ),
            )
            for item in filing.amounts:
                own, last, older, prior = (filing.amount(item, position) for position in range(4))
                statement, code = codes[item]
                if statement == "PL":
                    connection.execute(
                        "INSERT INTO financial_items_pl VALUES (NULL,?,?,?,?,NULL,?,NULL,?,?,?)",
                        (number, code, code, item, own, prior, last, older),
                    )
                else:
                    connection.execute(
                        "INSERT INTO financial_items_bs_cf VALUES (NULL,?,?,?,?,?,?,?,?)",
                        (number, statement, code, code, item, own, last, older),
                    )
        connection.commit()
        connection.close()
        return path


def random_book(seed, stocks=6, years=4):
    """Filings with every irregularity at once, drawn at random."""
    draw = random.Random(seed)
    book = Book()
    for number in range(stocks):
        code, fiscal_month = f"{number:06d}", draw.choice([12, 12, 12, 3, 6])
        for month in range(12 * 2015, 12 * (2015 + years), 3):
            fiscal = np.datetime64(month + 3 - 12 * 1970, "M").astype("datetime64[D]").item() - dt.timedelta(
                1
            )
            for consolidation in ("연결", "별도"):
                if draw.random() < 0.15:
                    continue
                lag = draw.choice([10, 45, 46, 60, 90, 91, 200, 400])
                stated = None if draw.random() < 0.05 else fiscal + dt.timedelta(lag)
                amounts = {
                    item.name: tuple(
                        None if draw.random() < 0.08 else float(draw.randint(-9, 99))
                        for _ in range(4 if item.statement == "PL" else 3)
                    )
                    for item in ITEMS
                    if draw.random() < 0.93
                }
                book.filings.append(
                    Filing(
                        code,
                        fiscal,
                        stated,
                        amounts,
                        consolidation,
                        fiscal_month,
                        "USD" if draw.random() < 0.05 else None,
                        draw.choice(["금융업", None, "제조업"]),
                    )
                )
    return book


def month_number(day: dt.date) -> int:
    return 12 * day.year + day.month


def _compact(day: str | None) -> dt.date | None:
    return dt.datetime.strptime(day, "%Y%m%d").replace(tzinfo=dt.UTC).date() if day else None


def public_from(filing: Filing) -> dt.date:
    """Day on which the filing was surely public."""
    annual = filing.fiscal_date.month == filing.fiscal_month
    deadline = filing.fiscal_date + dt.timedelta(days=90 if annual else 45)
    return max(deadline, filing.available_date or deadline)


def available_from(filing: Filing, trading_days: np.ndarray) -> dt.date | None:
    """First trading day on which the market knew the filing; None if that is still to come."""
    public, days = public_from(filing), trading_days.tolist()
    if public < days[0]:
        return public
    return next((trading for trading in days if trading >= public), None)


def known_on(
    filings: list[Filing], stock_code: str, day: dt.date, trading_days: np.ndarray
) -> dict[str, object] | None:
    """The row in force for a stock on a day, worked out from its filings one by one; None before the first."""
    own = [
        (available_from(filing, trading_days), filing)
        for filing in filings
        if filing.stock_code == stock_code
    ]
    known = [(since, filing) for since, filing in own if since is not None and since <= day]
    if not known:
        return None
    latest = max(month_number(filing.fiscal_date) for _, filing in known)
    candidates = [filing for _, filing in known if month_number(filing.fiscal_date) == latest]
    best = max(candidates, key=lambda f: (_has_figures(f), f.consolidation == "연결"))
    basis = [
        (since, filing)
        for since, filing in known
        if (filing.consolidation, filing.currency, filing.fiscal_month)
        == (best.consolidation, best.currency, best.fiscal_month)
    ]
    facts: dict[tuple[str, int], float] = {}
    for _, filing in sorted(basis, key=lambda pair: (public_from(pair[1]), pair[1].fiscal_date)):
        _learn(facts, filing)

    def figure(item: str, month: int) -> float | None:
        if item in LEVELS or month % 12 == best.fiscal_month % 12:
            return facts.get((item, month))
        year_end = month - (month - best.fiscal_month) % 12
        parts = [facts.get((item, at)) for at in (month, year_end, month - 12)]
        return None if None in parts else parts[0] + parts[1] - parts[2]

    row: dict[str, object] = {item: figure(item, latest) for item in [*LEVELS, *INCOME, *CASH]}
    for item in ("revenue", "operating_income", "net_income", "equity"):
        row[f"{item}_quarter_ago"] = figure(item, latest - 3)
        row[f"{item}_year_ago"] = figure(item, latest - 12)
    row["revenue_five_quarters_ago"] = figure("revenue", latest - 15)
    row["revenue_three_years_ago"] = figure("revenue", latest - 36)
    row["fiscal_date"] = best.fiscal_date
    row["filed_date"] = min(public_from(f) for _, f in basis if month_number(f.fiscal_date) == latest)
    row["industry"], row["consolidation"] = best.industry, best.consolidation
    row["currency"] = best.currency or "KRW"
    return row


def _has_figures(filing: Filing) -> bool:
    return any(filing.amount(item, 0) is not None for item in filing.amounts)


def _learn(facts: dict[tuple[str, int], float], filing: Filing) -> None:
    """Write down what a filing says, over what was known before."""
    month = month_number(filing.fiscal_date)
    year_end = month - ((month - filing.fiscal_month) % 12 or 12)
    for item in filing.amounts:
        own, last, older, prior = (filing.amount(item, position) for position in range(4))
        for at, amount in ((month - 12, prior), (year_end, last), (year_end - 12, older), (month, own)):
            if amount is not None:
                facts[item, at] = amount
