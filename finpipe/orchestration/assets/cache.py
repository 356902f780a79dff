"""Tiers of the price cache, filled ahead of requests: what all machines share (L2), what this one has mapped (L1)."""

from __future__ import annotations

import json

import dagster as dg
import polars as pl

from finpipe.orchestration import cache_checks
from finpipe.orchestration.partitions import ticker_groups as groups
from finpipe.orchestration.price_shelf import GroupBars
from finpipe.orchestration.stage import Result, stage
from finpipe.orchestration.ticker_groups import now
from finpipe.settings import Settings


@stage(
    group="cache",
    prefix="prices",
    storage="tier",
    partitions_def=groups,
    checks=cache_checks.PROMISES,
    on_request=True,
)
def shared_cache(
    context: dg.AssetExecutionContext, history: GroupBars, settings: dg.ResourceParam[Settings]
) -> Result:
    """L2: the bars of each ticker of the group, compressed, in Redis or else on disk, as the service asks for them."""
    from finpipe.serve.price_cache import fill_shared

    filled = fill_shared(
        settings,
        context.partition_key,
        _tickers(history),
        end=history.end,
        years=settings.history_years,
        at=now(),
    )
    return Result(
        json.dumps(filled.record, sort_keys=True),
        facts=cache_checks.cache_facts(filled, settings),
        checks=cache_checks.cache_checks(filled, settings),
    )


@stage(
    group="cache",
    prefix="prices",
    storage="tier",
    inputs={"warm_list": "usage/warm_list"},
    partitions_def=groups,
    kinds=("arrow",),
    checks=cache_checks.PROMISES,
    on_request=True,
)
def hot_set(
    context: dg.AssetExecutionContext,
    history: GroupBars,
    warm_list: pl.DataFrame,
    settings: dg.ResourceParam[Settings],
) -> Result:
    """L1: the group's part of the warm list as an Arrow file that all processes map; 1Y and 2Y are rows of the 5Y."""
    from finpipe.orchestration.usage_learning import warmest
    from finpipe.serve.price_cache import publish_hot

    filled = publish_hot(
        settings,
        context.partition_key,
        warmest(_tickers(history), warm_list),
        end=history.end,
        years=settings.history_years,
        at=now(),
    )
    return Result(
        json.dumps(filled.record, sort_keys=True),
        facts=cache_checks.cache_facts(filled, settings),
        checks=cache_checks.cache_checks(filled, settings),
    )


def _tickers(history: GroupBars) -> tuple[str, ...]:
    index = () if history.index is None else (history.index,)
    return tuple(dict.fromkeys((*history.tickers, *index)))
