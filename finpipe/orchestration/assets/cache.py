"""Tiers of the price cache, filled ahead of requests: what all machines share (L2), what this one has mapped (L1)."""

from __future__ import annotations

import json
from collections.abc import Callable

import dagster as dg
import polars as pl

from finpipe.market.schema import Column, Table
from finpipe.orchestration import cache_checks, ticker_groups
from finpipe.orchestration.check import Check
from finpipe.orchestration.partitions import ticker_groups as groups
from finpipe.orchestration.price_shelf import GroupBars
from finpipe.orchestration.stage import Result, stage
from finpipe.settings import Settings

FORECAST = 50
"""Tickers of a group whose analyses are computed before they are asked for."""
MODELLED = 10
"""Tickers of a group with a model of Prophet, which takes half a second each."""
ANSWERED = 0.9
"""Share of these that should have a forecast."""


def _forecasts_table() -> Table:
    return Table(
        "prices/forecasts",
        "Forecasts of the most requested tickers of a group.",
        (
            Column("ticker", pl.String, "ticker in Yahoo's spelling"),
            Column("method", pl.String, "method asked for", null="there is no forecast"),
            Column("method_used", pl.String, "method that served", null="there is no forecast"),
            Column("annual_return", pl.Float64, "expected return a year", "fraction", "there is no forecast"),
            Column("fallback", pl.String, "why another method served", null="the one asked for did"),
            Column("failure", pl.String, "why there is no forecast", null="there is one"),
        ),
        ("ticker",),
    )


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
        at=ticker_groups.now(),
    )
    return cache_checks.result(filled, settings)


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
        at=ticker_groups.now(),
    )
    return cache_checks.result(filled, settings)


@stage(
    group="cache",
    prefix="prices",
    table=_forecasts_table,
    inputs={"warm_list": "usage/warm_list"},
    partitions_def=groups,
    checks={"forecasts_arrived": "Nearly all of the tickers have a forecast."},
    on_request=True,
)
def forecasts(
    context: dg.AssetExecutionContext,
    history: GroupBars,
    warm_list: pl.DataFrame,
    settings: dg.ResourceParam[Settings],
    progress: Callable[[str], None],
) -> Result:
    """Forecasts of the most requested tickers; their analyses are in the shared cache as the service's own answers."""
    from finpipe.orchestration.usage_learning import warmest
    from finpipe.serve.pretraining import pretrain

    found = pretrain(
        settings,
        context.partition_key,
        warmest(history.tickers, warm_list, FORECAST),
        end=history.end,
        years=settings.history_years,
        risk_free=settings.risk_free,
        at=ticker_groups.now(),
        tell=progress,
    )
    names = _forecasts_table().names
    rows = [[getattr(one, name) for name in names] for one in found]
    failed = [f"{one.ticker}: {one.failure}" for one in found if one.failure]
    finding = f"{len(found) - len(failed)} of {len(found)} tickers have a forecast"
    arrived = Check(len(failed) <= (1 - ANSWERED) * len(found), "; ".join([finding, *failed[:10]]))
    schema = {column.name: column.dtype for column in _forecasts_table().columns}
    return Result(
        pl.DataFrame(rows, schema=schema, orient="row").sort("ticker"), checks={"forecasts_arrived": arrived}
    )


@stage(
    group="cache",
    prefix="prices",
    storage="json",
    inputs={"warm_list": "usage/warm_list"},
    partitions_def=groups,
    kinds=("prophet",),
    on_request=True,
)
def prophet_models(
    history: GroupBars,
    warm_list: pl.DataFrame,
    settings: dg.ResourceParam[Settings],
    progress: Callable[[str], None],
) -> Result:
    """Models of Prophet for the most requested tickers, as JSON by ticker; the service finds them in the shared cache.

    There are none where the extra is not installed.
    """
    from finpipe.orchestration.usage_learning import warmest
    from finpipe.portfolio.prophet_forecast import ProphetMissingError, prophet_models
    from finpipe.portfolio.returns import adjusted_prices
    from finpipe.serve.fitted_models import models_of

    chosen = warmest(history.tickers, warm_list, MODELLED)
    prices = adjusted_prices(history.bars.filter(pl.col("ticker").is_in(chosen)))
    try:
        with models_of(settings):
            found = prophet_models(prices, progress=lambda done, total: progress(f"{done} of {total} models"))
        why = dict(found.failures)
    except ProphetMissingError as error:
        return Result("{}", facts={"models": 0, "not installed": str(error)})
    return Result(
        json.dumps(found.models, sort_keys=True),
        facts={"models": len(found.models), "without a model": dg.MetadataValue.json(why)},
    )


def _tickers(history: GroupBars) -> tuple[str, ...]:
    index = () if history.index is None else (history.index,)
    return tuple(dict.fromkeys((*history.tickers, *index)))
