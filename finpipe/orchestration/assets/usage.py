"""What is asked for: learned from the log that the service keeps, without knowing who asked."""

from __future__ import annotations

import dagster as dg
import polars as pl

from finpipe.market.schema import Column, Table
from finpipe.orchestration.request_log import REQUESTS, log_folder
from finpipe.orchestration.stage import Output, Result, stage
from finpipe.orchestration.ticker_groups import groups_in_use
from finpipe.settings import Settings


def _popularity_table() -> Table:
    return Table(
        "usage/popularity",
        "How often each ticker is asked for, where what is long ago counts less.",
        (
            Column("ticker", pl.String, "ticker in Yahoo's spelling"),
            Column("score", pl.Float64, "sum over requests of 2^(-age / 3 days) at the latest request"),
            Column("requests", pl.Int64, "requests that named it"),
            Column("last_asked", pl.Datetime("us", "UTC"), "minute of its latest request"),
        ),
        ("ticker",),
    )


def _warm_list_table() -> Table:
    return Table(
        "usage/warm_list",
        "Tickers to have at hand before they are asked for, the most important first.",
        (
            Column("rank", pl.Int64, "place on the list, from 1"),
            Column("ticker", pl.String, "ticker in Yahoo's spelling"),
            Column("reason", pl.String, "asked for, neighbour of another, or member of a group"),
        ),
        ("rank",),
    )


@stage(
    group="usage",
    prefix="usage",
    outputs={
        "popularity": Output(
            "duckdb",
            _popularity_table,
            "How often each ticker is asked for, with exponential decay: the half-life is three days.",
        ),
        "warm_list": Output(
            "duckdb",
            _warm_list_table,
            "What to have at hand: tickers asked for, their neighbours (asked for together, or of one sector), and "
            "the members of groups in use.",
        ),
    },
    deps=(REQUESTS,),
    on_request=True,
)
def usage(context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]) -> Result:
    """Learn from the log of requests."""
    from finpipe.cache.usage.request_log import read_requests
    from finpipe.orchestration.usage_learning import known_sectors, learned, members_of

    asked = list(read_requests(log_folder(settings)))
    groups = members_of(groups_in_use(context.instance), settings.groups)
    popularity, warm_list = learned(asked, known_sectors(settings.groups), groups)
    facts = {
        "requests": len(asked),
        "on the warm list": warm_list.height,
        "groups": ", ".join(groups) or "none",
    }
    return Result({"popularity": popularity, "warm_list": warm_list}, facts=facts)
