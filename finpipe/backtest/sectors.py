"""In which sectors a simulated portfolio was invested and earned its return."""

from __future__ import annotations

import polars as pl

from finpipe.backtest.simulate import Simulation
from finpipe.backtest.tables import SECTORS

UNKNOWN = "unknown"


def sector_attribution(simulation: Simulation, sector: pl.DataFrame) -> pl.DataFrame:
    """Split weights and profits by sector.

    The profit of a stock on a day is its value at the close, less its value at the close before, less
    what was bought, plus what was sold, all before costs. Divided by the previous equity and summed over
    stocks it is the day's return before costs (and before interest on cash).

    Parameters
    ----------
    sector
        ``stock_code``, ``date``, ``sector``; a day without a row has the stock's last known sector.

    Returns
    -------
    pl.DataFrame
        ``tables.SECTORS``, largest contribution first.
    """
    days = (
        simulation.daily.select("date", "equity")
        .with_row_index("day")
        .with_columns(before=pl.col("equity").shift(1).fill_null(simulation.rules.initial_capital))
    )
    profits = _profits(simulation, days).sort("date", "stock_code")
    labels = sector.select("stock_code", "date", pl.col("sector").cast(pl.String)).drop_nulls("sector")
    labelled = profits.join_asof(
        labels.sort("date"), on="date", by="stock_code", strategy="backward", check_sortedness=False
    )
    return SECTORS.validate(
        labelled.with_columns(pl.col("sector").fill_null(UNKNOWN))
        .group_by("sector", maintain_order=True)
        .agg(weight=pl.col("value") / pl.col("equity"), contribution=pl.col("profit") / pl.col("before"))
        # Few large groups are added up by several threads, in any order; a list is not.
        .select(
            "sector",
            mean_weight=pl.col("weight").list.sum() / max(days.height, 1),
            contribution=pl.col("contribution").list.sum(),
        )
        .sort("contribution", "sector", descending=[True, False])
    )


def _profits(simulation: Simulation, days: pl.DataFrame) -> pl.DataFrame:
    """Return profit and closing value of every stock and day on which it was held or traded."""
    keys = ["stock_code", "day"]
    held = simulation.holdings.select("stock_code", "date", "value").join(
        days.select("date", "day"), on="date"
    )
    bought = (
        pl.when(pl.col("side").cast(pl.String) == "buy").then(pl.col("value")).otherwise(-pl.col("value"))
    )
    traded = (
        simulation.trades.with_columns(bought=bought)
        .join(days.select("date", "day"), on="date", maintain_order="left")
        .group_by(keys)
        .agg(pl.col("bought").sum())
    )
    before = held.select("stock_code", day=pl.col("day") + 1, value_before=pl.col("value"))
    return (
        held.select(*keys, "value")
        .join(before, on=keys, how="full", coalesce=True)
        .join(traded, on=keys, how="full", coalesce=True)
        .join(days, on="day")
        .with_columns(pl.col("value", "value_before", "bought").fill_null(0))
        .with_columns(profit=pl.col("value") - pl.col("value_before") - pl.col("bought"))
    )
