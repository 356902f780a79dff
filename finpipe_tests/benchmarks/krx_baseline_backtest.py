"""The simulated portfolio of the pandas side of the krx benchmark: a loop over days with a row of each pivot table."""

from __future__ import annotations

import numpy as np
import pandas as pd

SCORE, STOCKS_HELD, CAPITAL = "mom_126d", 20, 100_000_000.0
BUY_COST, SELL_COST = 0.00015 + 0.002, 0.00015 + 0.0018 + 0.002


def simulate_top_n(prices: pd.DataFrame, panel: pd.DataFrame, horizon: int) -> pd.DataFrame:
    """Hold the stocks with the best score in equal weights, renewed every ``horizon`` days at the next open.

    ``prices`` has one row per traded stock and day with ``open`` and ``close``, ``panel`` the rows of the universe
    with the score. Returns ``date`` and ``equity`` at the close, from the day after the first signal to the last.
    What has no opening price is neither bought nor sold; a stock without later prices stays at its last one.
    """
    opens = prices.pivot_table(index="date", columns="stock_code", values="open")
    closes = prices.pivot_table(index="date", columns="stock_code", values="close").ffill()
    ranked = panel.dropna(subset=[SCORE]).sort_values(["date", SCORE], ascending=[True, False])
    best = ranked.groupby("date")["stock_code"].head(STOCKS_HELD).groupby(ranked["date"]).apply(list)
    days = opens.index[(opens.index >= ranked["date"].min()) & (opens.index <= ranked["date"].max())]

    cash, shares, rows = CAPITAL, pd.Series(0.0, index=opens.columns), []
    for number, day in enumerate(days[1:]):
        yesterday = days[number]
        if number % horizon == 0 and yesterday in best.index:
            price = opens.loc[day]
            value = shares * price.fillna(closes.loc[yesterday]).fillna(0.0)
            equity = cash + value.sum()
            target = pd.Series(0.0, index=opens.columns)
            target[best.loc[yesterday]] = equity / len(best.loc[yesterday])
            for _ in range(3):
                change = (target - value).where(price.notna(), 0.0)
                cost = BUY_COST * change.clip(lower=0).sum() - SELL_COST * change.clip(upper=0).sum()
                target *= (equity - cost) / target.sum()
            cash -= change.sum() + cost
            shares += (change / price).fillna(0.0)
        rows.append((day, cash + (shares * closes.loc[day].fillna(0.0)).sum()))
    return pd.DataFrame(rows, columns=["date", "equity"]).astype({"equity": np.float64})
