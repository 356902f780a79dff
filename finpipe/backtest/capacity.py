"""How large a portfolio's orders are beside the market's, and how much money its rules could carry."""

from __future__ import annotations

import polars as pl

from finpipe.backtest.rules import Rules
from finpipe.backtest.tables import CAPACITY


def capacity(trades: pl.DataFrame, daily: pl.DataFrame, rules: Rules) -> pl.DataFrame:
    """Compare the orders of each day with what the market traded in the same stocks that day.

    ``capacity`` of a day is the equity with which its largest order, relative to the market, would
    have been ``rules.participation`` of the stock's traded value. Market impact below that is taken to
    be the slippage of the rules.

    Parameters
    ----------
    trades, daily
        ``tables.TRADES`` and ``tables.DAILY`` of one simulation.

    Returns
    -------
    pl.DataFrame
        ``tables.CAPACITY``; days without orders have no row.
    """
    by_stock = (
        trades.filter(pl.col("market_value") > 0)
        .group_by("date", "stock_code", maintain_order=True)
        .agg(pl.col("value").sum(), pl.col("market_value").first())
    )
    largest = pl.col("largest_share")
    return CAPACITY.validate(
        by_stock.group_by("date", maintain_order=True)
        .agg(
            orders=pl.len().cast(pl.Int32),
            traded_value=pl.col("value").sum(),
            market_value=pl.col("market_value").sum(),
            share=pl.col("value").sum() / pl.col("market_value").sum(),
            largest_share=(pl.col("value") / pl.col("market_value")).max(),
        )
        .join(daily.select("date", "equity"), on="date")
        .with_columns(capacity=pl.col("equity") * rules.participation / largest)
        .drop("equity")
        .sort("date")
    )
