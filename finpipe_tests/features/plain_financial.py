"""The financial features worked out date by date and stock by stock, one formula at a time."""

import math

import numpy as np
import polars as pl

from finpipe.features.financial import FEATURES, RAW_FOUR
from finpipe_tests.market.filing_book import known_on


def ratio(numerator, denominator):
    if numerator is None or denominator is None or denominator <= 0:
        return None
    return numerator / denominator


def total(*terms):
    return None if None in terms else sum(terms)


def minus(left, right):
    return None if left is None or right is None else left - right


def of_filing(row, market_cap):
    """Every feature of one stock and day that needs no other stock, one formula at a time."""
    roe, margin = ratio(row["net_income"], row["equity"]), ratio(row["operating_income"], row["revenue"])
    growth = minus(ratio(row["revenue"], row["revenue_year_ago"]), 1)
    growth_before = minus(ratio(row["revenue_quarter_ago"], row["revenue_five_quarters_ago"]), 1)
    net_debt = minus(row["liabilities"], row["cash"])
    free_cash = total(row["operating_cash_flow"], row["investing_cash_flow"])
    three_years = ratio(row["revenue"], row["revenue_three_years_ago"])
    local = row["currency"] == "KRW"
    return {
        "roe": roe,
        "operating_margin": margin,
        "revenue_yoy": growth,
        "gp_over_assets": ratio(row["gross_profit"], row["assets"]),
        "roe_delta_yoy": minus(roe, ratio(row["net_income_year_ago"], row["equity_year_ago"])),
        "pb": ratio(market_cap, row["equity"]) if local else None,
        "roe_delta_qoq": minus(roe, ratio(row["net_income_quarter_ago"], row["equity_quarter_ago"])),
        "revenue_growth_accel": minus(growth, growth_before),
        "margin_improvement": minus(
            margin, ratio(row["operating_income_quarter_ago"], row["revenue_quarter_ago"])
        ),
        "roic": ratio(minus(row["operating_income"], row["income_tax"]), total(row["equity"], net_debt)),
        "accruals": ratio(minus(row["net_income"], row["operating_cash_flow"]), row["assets"]),
        "net_debt_to_equity": ratio(net_debt, row["equity"]),
        "ocf_to_net_income": ratio(row["operating_cash_flow"], row["net_income"]),
        "fcf_to_net_income": ratio(free_cash, row["net_income"]),
        "revenue_cagr_3y": None if three_years is None or three_years < 0 else three_years ** (1 / 3) - 1,
        "fcf_yield": ratio(free_cash, market_cap) if local else None,
        "ev_to_ebit": ratio(total(market_cap, net_debt), row["operating_income"]) if local else None,
    }


def sector_scores(values, sectors):
    known = [value for value in values if value is not None]
    if not known:
        return [None] * len(values)
    low, high = np.quantile(known, [0.01, 0.99])
    limited = [None if value is None else min(max(value, low), high) for value in values]
    scores = []
    for value, sector in zip(limited, sectors, strict=True):
        group = [
            other for other, its in zip(limited, sectors, strict=True) if its == sector and other is not None
        ]
        if value is None or sector is None or len(group) < 2:
            scores.append(None)
            continue
        score = (value - np.mean(group)) / max(np.std(group, ddof=1), 0.01)
        scores.append(float(np.clip(score, -3, 3)))
    return scores


def percent_ranks(values):
    values = [None if value is None else np.float32(value) for value in values]
    known = [value for value in values if value is not None]
    return [
        None
        if value is None
        else (sum(other < value for other in known) + (sum(other == value for other in known) + 1) / 2)
        / len(known)
        for value in values
    ]


def plain_market(book, rows, trading_days, staleness_days=400):
    """The table worked out date by date, stock by stock, in the order of ``rows``."""
    found = {}
    for date in rows["date"].unique().sort():
        members = rows.filter(pl.col("date") == date)
        table = []
        for code, cap in members.select("stock_code", "market_cap").iter_rows():
            row = known_on(book.filings, code, date, trading_days)
            fresh = row is not None and (date - row["filed_date"]).days <= staleness_days
            table.append(of_filing(row, cap) if fresh else {})
        sectors = members["sector"].to_list()
        for name in ("pb", "roe"):
            scores = sector_scores([entry.get(name) for entry in table], sectors)
            for entry, score in zip(table, scores, strict=True):
                entry[f"{name}_sector_zscore"] = score
        ranks = [percent_ranks([entry.get(name) for entry in table]) for name in RAW_FOUR]
        for entry, *own in zip(table, *ranks, strict=True):
            known = [rank for rank in own if rank is not None]
            entry["financial_quality_index"] = sum(known) / len(known) if known else None
        found |= {(code, date): entry for code, entry in zip(members["stock_code"], table, strict=True)}
    return [found[key] for key in rows.select("stock_code", "date").iter_rows()]


def assert_equal_tables(table, expected):
    for feature in FEATURES:
        got = table[feature.name].fill_null(math.nan).to_numpy()
        want = [entry.get(feature.name) for entry in expected]
        want = np.array([math.nan if value is None else value for value in want])
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6, err_msg=feature.name)
