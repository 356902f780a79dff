"""Which rows of the daily prices count as trading: the rows that windows, features and labels are made of."""

from __future__ import annotations

import polars as pl

MARKETS = ("kospi", "kosdaq")


def is_traded() -> pl.Expr:
    """Rows of the main markets on which the stock traded: ``market`` kospi or kosdaq, ``volume`` above 0."""
    on_main_market = pl.any_horizontal(pl.col("market") == market for market in MARKETS)
    return on_main_market & (pl.col("volume") > 0)
