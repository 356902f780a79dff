"""From features to out-of-sample scores: universe, labels, one ranker per test year and study."""

from __future__ import annotations

from dataclasses import replace

import dagster as dg
import polars as pl

from finpipe.backtest.leaks import feature_leaks  # up here: checks do not decide what an asset contains
from finpipe.market import schema
from finpipe.market.schema import Table
from finpipe.orchestration import checks, metadata
from finpipe.orchestration.check import SCHEMA, SCHEMA_PROMISE
from finpipe.orchestration.lineage import lineage_of
from finpipe.orchestration.partitions import (
    TEST_YEAR,
    test_year_variants,
    test_years,
    variants,
    window_of_year,
)
from finpipe.orchestration.shelves import PanelView
from finpipe.orchestration.stage import Output, Result, stage
from finpipe.orchestration.studies import ranker_from_json
from finpipe.settings import Settings


def _panel_table() -> Table:
    from finpipe.learning.training_panel import TRAINING_PANEL

    return TRAINING_PANEL


@stage(
    group="learning",
    table=lambda: schema.UNIVERSE,
    kinds=("polars",),
    checks={"members_every_year": "Every year of the market but the first has members."},
)
def universe(
    daily_prices: pl.LazyFrame,
    technical_features: pl.LazyFrame,
    stocks: pl.DataFrame,
    settings: dg.ResourceParam[Settings],
) -> Result:
    """The (stock, day) pairs that may be ranked and bought, by what was known at the close."""
    from finpipe.learning.universe import REQUIRED_FEATURES, universe

    members = universe(
        daily_prices,
        technical_features.select("stock_code", "date", *REQUIRED_FEATURES).collect(),
        stocks,
        min_price=settings.min_price,
        min_market_cap=settings.min_market_cap,
        min_value=settings.min_value,
        exclude_preferred=settings.exclude_preferred,
        exclude_spacs=settings.exclude_spacs,
    )
    days = daily_prices.lazy().select(pl.col("date").unique().sort()).collect().to_series()
    return Result(
        members.frame,
        facts={"funnel": metadata.table(members.funnel)},
        checks={"members_every_year": checks.members_every_year(members.frame, days)},
    )


@stage(group="learning", kinds=("numba", "polars"), checks={SCHEMA: SCHEMA_PROMISE})
def forward_returns(
    daily_prices: pl.LazyFrame,
    universe: pl.DataFrame,
    sector_features: pl.LazyFrame,
    stocks: pl.DataFrame,
    settings: dg.ResourceParam[Settings],
) -> Result:
    """What each traded row earns from the next open over each horizon, and the labels made of it."""
    from finpipe.learning.targets import forward_returns, forward_returns_table

    labels = forward_returns(
        daily_prices,
        universe,
        sector_features.select("sector").collect().to_series(),
        horizons=settings.horizons,
        rank_scope=settings.rank_scope,
        delisting_return=settings.delisting_return,
        stocks=stocks,
        threads=settings.threads,
    )
    return Result(labels, table=forward_returns_table(settings.horizons))


@stage(group="learning", kinds=("numba", "polars"), checks={SCHEMA: SCHEMA_PROMISE})
def residual_returns(
    forward_returns: pl.LazyFrame,
    rolling_beta: pl.DataFrame,
    universe: pl.DataFrame,
    settings: dg.ResourceParam[Settings],
) -> Result:
    """What beta leaves of each forward return, and the labels made of that."""
    from finpipe.learning.targets import residual_returns, residual_returns_table

    labels = residual_returns(
        forward_returns,
        rolling_beta,
        universe,
        horizons=settings.horizons,
        rank_scope=settings.rank_scope,
        threads=settings.threads,
    )
    return Result(labels, table=residual_returns_table(settings.horizons))


@stage(
    group="learning",
    table=_panel_table,
    lineage=lineage_of("krx/training_panel"),
    kinds=("polars",),
    checks={
        "no_empty_feature": "No feature that models may learn from is null in every row.",
        "no_feature_leak": "No feature orders the returns that follow better than anybody could.",
    },
)
def training_panel(
    universe: pl.DataFrame,
    technical_features: pl.LazyFrame,
    rolling_beta: pl.LazyFrame,
    sector_features: pl.LazyFrame,
    financial_features: pl.LazyFrame,
    macro_features: pl.DataFrame,
    forward_returns: pl.LazyFrame,
    residual_returns: pl.LazyFrame,
    settings: dg.ResourceParam[Settings],
) -> Result:
    """Universe members with every feature and every label: what rankers learn from and predict on."""
    from finpipe.features.catalogue import FEATURE_SETS, feature_set
    from finpipe.learning.training_panel import training_panel

    features = {
        "krx/technical_features": technical_features,
        "krx/rolling_beta": rolling_beta,
        "krx/sector_features": sector_features,
        "krx/financial_features": financial_features,
    }
    labels = {"krx/forward_returns": forward_returns, "krx/residual_returns": residual_returns}
    inputs = tuple(dict.fromkeys(name for models in FEATURE_SETS for name in feature_set(models)))
    panel = training_panel(universe, features, labels, macro_features, require=inputs, fill=settings.fill)
    soon = min(settings.horizons)
    ahead = {name for frame in labels.values() for name in frame.collect_schema().names()}
    known = panel.drop(ahead - set(universe.columns))
    realized = panel.select("stock_code", "date", f"realized_return_{soon}d")
    leaks = feature_leaks(known, realized, horizon=soon, days=LEAK_DAYS)
    return Result(
        panel,
        checks={
            "no_empty_feature": checks.no_empty_feature(panel, inputs),
            "no_feature_leak": checks.no_feature_leak(leaks, soon),
        },
    )


@stage(
    group="walk_forward",
    partitions_def=variants,
    outputs={
        "study": Output(
            "json", None, "Every parameter of a study: how it ranks and what its portfolio does."
        ),
        "ranker_config": Output(
            "json", None, "How a study ranks: all that its models depend on but the data."
        ),
    },
)
def study(context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]) -> Result:
    """The parameters of a study as data; those of its rankers apart, so that new rules train no model again."""
    from finpipe.features.catalogue import feature_set
    from finpipe.orchestration.studies import ranker_json, study

    chosen = study(
        context.partition_key,
        settings.preset,
        settings.horizons,
        train_years=settings.train_years,
        delisting_return=settings.delisting_return,
    )
    given = chosen.ranker.features
    features = feature_set(given) if isinstance(given, str) else given
    made = {"study": chosen.to_json(), "ranker_config": ranker_json(chosen.ranker, features)}
    return Result(made, facts={"parameters": dg.MetadataValue.json(chosen.to_dict())})


@stage(
    group="walk_forward",
    partitions_def=test_years,
    outputs={
        "training_window": Output(
            "view", None, "What the models of a test year may see of the panel: rows and labels."
        ),
        "test_window": Output(
            "view", None, "What is predicted in a test year: its rows so far, without labels."
        ),
    },
)
def windows(
    context: dg.AssetExecutionContext, training_panel: pl.LazyFrame, settings: dg.ResourceParam[Settings]
) -> Result:
    """The part of the training panel that one test year may see; later days leave it as it is."""
    from finpipe.learning.window import test_window, training_window

    year = int(context.partition_key)
    days = training_panel.select(pl.col("date").unique()).collect().to_series().to_list()
    train = training_window(days, year, horizons=settings.horizons, train_years=settings.train_years or None)
    test = test_window(days, year)
    made = {
        "training_window": PanelView(train, train.of(training_panel)),
        "test_window": PanelView(test, test.of(training_panel)),
    }
    return Result(made)


@stage(
    group="walk_forward",
    storage="model",
    partitions_def=test_year_variants,
    mappings={"training_window": window_of_year},
    kinds=("lightgbm",),
)
def yearly_ranker(
    context: dg.AssetExecutionContext,
    training_window: object,
    ranker_config: str,
    settings: dg.ResourceParam[Settings],
) -> Result:
    """The model of one test year: trained on the years before it, purged and embargoed."""
    from finpipe.learning.folds import walk_forward_folds
    from finpipe.learning.ranker import training_columns
    from finpipe.learning.search import train_best

    assert isinstance(training_window, PanelView)
    config = ranker_from_json(ranker_config)
    days = training_window.window.calendar
    (fold,) = walk_forward_folds(
        days,
        [int(context.partition_key.keys_by_dimension[TEST_YEAR])],
        horizon=config.horizon,
        embargo_days=settings.embargo_days,
        train_years=config.train_years,
    )
    rows = training_window.frame.select(training_columns(config.features, config)).collect()
    ranker = train_best(rows, fold, config.features, config, threads=settings.threads, days=days)
    return Result(ranker, facts=dict(ranker.metrics))


@stage(
    group="walk_forward",
    table=lambda: schema.PREDICTIONS,
    partitions_def=test_year_variants,
    mappings={"test_window": window_of_year},
    kinds=("lightgbm",),
)
def yearly_predictions(
    yearly_ranker: object, test_window: object, settings: dg.ResourceParam[Settings]
) -> pl.DataFrame:
    """Out-of-sample scores and ranks of one test year, by the model of that year."""
    from finpipe.learning.ranker import TrainedRanker, predict

    assert isinstance(yearly_ranker, TrainedRanker)
    assert isinstance(test_window, PanelView)
    fold = replace(yearly_ranker.fold, test_last=test_window.window.last)
    rows = test_window.frame.select("stock_code", "date", *yearly_ranker.features).collect()
    return predict(replace(yearly_ranker, fold=fold), rows, threads=settings.threads)


LEAK_DAYS = 100
"""Days on which features are looked at for leaks: plenty for an alarm, and quick."""
