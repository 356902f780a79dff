"""Prices of ticker groups: daily bars from their source into the home's history, and summaries of them."""

from __future__ import annotations

from collections.abc import Callable

import dagster as dg
import polars as pl

from finpipe.market.schema import Column, Table
from finpipe.orchestration import portfolio_checks, ticker_groups
from finpipe.orchestration.partitions import ticker_groups as groups
from finpipe.orchestration.price_shelf import GroupBars
from finpipe.orchestration.stage import Result, stage
from finpipe.settings import Settings


def _summaries_table() -> Table:
    from finpipe.market.price_summaries import SUMMARY_SCHEMA

    every = Column("every", pl.String, "week or month")
    columns = tuple(Column(name, kind, name.replace("_", " ")) for name, kind in SUMMARY_SCHEMA.items())
    return Table(
        "prices/summaries", "Weekly and monthly bars.", (every, *columns), ("every", "ticker", "period")
    )


@stage(
    group="prices",
    prefix="prices",
    storage="bars",
    deps=(ticker_groups.BARS,),
    partitions_def=groups,
    kinds=("duckdb",),
    checks={portfolio_checks.COVERAGE: "Nearly all tickers of the group have bars."},
)
def history(
    context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings], progress: Callable[[str], None]
) -> Result:
    """Daily bars of a ticker group and its index, as traded and adjusted; only what is missing is fetched."""
    found = ticker_groups.bring_in(
        settings,
        context.partition_key,
        years=settings.history_years,
        at=ticker_groups.now(),
        tell=progress,
    )
    missing = dict(found.failures)
    arrived = portfolio_checks.tickers_arrived(len(found.tickers), missing)
    facts = {
        "source": found.source,
        "tickers": len(found.tickers),
        "tickers without bars": len(missing),
        "index": found.index or "none",
        "reasons": dg.MetadataValue.json(missing),
        "notices": "\n".join(found.notices) or "none",
    }
    return Result(found, facts=facts, checks={portfolio_checks.COVERAGE: arrived})


@stage(
    group="prices",
    prefix="prices",
    storage="duckdb",
    table=_summaries_table,
    partitions_def=groups,
)
def summaries(history: GroupBars) -> pl.DataFrame:
    """Weekly and monthly bars by the calendar of each ticker's exchange."""
    from finpipe.market.price_summaries import summaries

    return pl.concat(
        summaries(history.bars, every).select(pl.lit(every).alias("every"), pl.all())
        for every in ("month", "week")
    )
