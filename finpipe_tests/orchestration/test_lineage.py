"""The lineage that is read out of formulas is the one that the code has: change an input, see what moves."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import polars as pl
import pytest

from finpipe.features.beta import rolling_beta
from finpipe.features.catalogue import FEATURES
from finpipe.features.financial import financial_features
from finpipe.features.macro import macro_features
from finpipe.features.sector import sector_features, sector_of_rows
from finpipe.features.technical import technical_features
from finpipe.market.schema import COMPARISON_COLUMNS, FLOW_COLUMNS, LEVEL_COLUMNS
from finpipe.orchestration.graph import graph
from finpipe.orchestration.lineage import FILINGS, INDICES, PRICES, STOCKS, lineage_of, sources_of
from finpipe.orchestration.workspace import Workspace
from finpipe.panel.traded import is_traded
from finpipe_tests.demo_home import DemoHome

Frames = dict[str, pl.DataFrame]
KEYS = {"stock_code", "date"}


@pytest.fixture(scope="module")
def market(demo_home: DemoHome) -> Frames:
    """The tables of a small market that features are made of."""
    names = (PRICES, FILINGS, INDICES, STOCKS, "krx/technical_features", "krx/sector_features")
    with Workspace(demo_home.settings()) as workspace:
        return {name: workspace.frame(name) for name in names}


def rows(frames: Frames) -> pl.DataFrame:
    return frames[PRICES].filter(is_traded()).select("stock_code", "date", "market_cap")


def technical(frames: Frames) -> pl.DataFrame:
    return technical_features(frames[PRICES], 1)


def beta(frames: Frames) -> pl.DataFrame:
    return rolling_beta(frames[PRICES], 1)


def sector(frames: Frames) -> pl.DataFrame:
    momentum = frames["krx/technical_features"].select("stock_code", "date", "^mom_(5|20|60)d$")
    return sector_features(momentum, sector_of_rows(momentum, frames[STOCKS], frames[FILINGS]), 1)


def financial(frames: Frames) -> pl.DataFrame:
    given = rows(frames).with_columns(frames["krx/sector_features"]["sector"])
    return financial_features(given, frames[FILINGS])


def macro(frames: Frames) -> pl.DataFrame:
    return macro_features(frames[INDICES], frames[PRICES]["date"].unique().sort()).frame


def changed(frames: Frames, key: str, column: str) -> Frames:
    """Return the market with one column changed: numbers by a third at most, labels exchanged."""
    old = frames[key][column]
    random = np.random.default_rng(5)
    if old.dtype.is_numeric():
        factor = pl.Series(random.uniform(0.67, 1.5, len(old)))
        new = (old.cast(pl.Float64) * factor).cast(old.dtype)
    else:
        new = old.gather(random.permutation(len(old)))
    return {**frames, key: frames[key].with_columns(new.alias(column))}


INPUTS: dict[str, tuple[Callable[[Frames], pl.DataFrame], dict[str, Iterable[str]]]] = {
    "krx/technical_features": (
        technical,
        {
            PRICES: [
                *(f"adjusted_{name}" for name in ("close", "high", "low", "volume")),
                "value",
                "market_cap",
            ]
        },
    ),
    "krx/rolling_beta": (beta, {PRICES: ["adjusted_close", "adjusted_high", "value"]}),
    "krx/sector_features": (
        sector,
        {
            "krx/technical_features": ["mom_5d", "mom_20d", "mom_60d"],
            STOCKS: ["listed_sector"],
            FILINGS: ["industry", "revenue"],
        },
    ),
    "krx/financial_features": (
        financial,
        {
            PRICES: ["market_cap"],
            "krx/sector_features": ["sector"],
            FILINGS: [name for name, _ in (*LEVEL_COLUMNS, *FLOW_COLUMNS, *COMPARISON_COLUMNS)],
        },
    ),
    "krx/macro_features": (macro, {INDICES: ["index_code", "index_class", "close"]}),
}


@pytest.mark.parametrize("asset", INPUTS)
def test_the_lineage_of_a_feature_is_what_moves_it(asset, market):
    make, inputs = INPUTS[asset]
    before = make(market)
    moved: dict[str, set[tuple[str, str]]] = {feature.name: set() for feature in FEATURES[asset]}
    for key, columns in inputs.items():
        for column in columns:
            after = make(changed(market, key, column))
            for name, sources in moved.items():
                if not after[name].equals(before[name]):
                    sources.add((key, column))
    read = {name: set(sources_of(asset, name)) for name in moved}
    assert read == moved


def test_the_panel_passes_columns_on_and_makes_one_of_two_features():
    panel = "krx/training_panel"
    assert sources_of(panel, "roe") == {("krx/financial_features", "roe")}
    assert sources_of(panel, "market_cap") == {("krx/universe", "market_cap")}
    for asset, label in (
        ("forward_returns", "target_rank_21d"),
        ("residual_returns", "target_residual_rank_7d"),
    ):
        assert sources_of(panel, label) == {(f"krx/{asset}", label)}
    assert sources_of(panel, "regime_momentum_interaction") == {
        ("krx/macro_features", "market_regime_score"),
        ("krx/technical_features", "mom_20d"),
    }


@pytest.mark.parametrize("asset", FEATURES)
def test_every_column_is_made_of_columns_that_there_are_upstream(asset, demo_home):
    with Workspace(demo_home.settings()) as workspace:
        columns = workspace.shelves["parquet"].get(asset, None).collect_schema().names()
        found = lineage_of(asset)(columns).deps_by_column
        assert list(found) == columns
        for column, deps in found.items():
            assert deps, column
            for dep in deps:
                key = "/".join(dep.asset_key.path)
                assert key in graph().stage(asset).upstream
                assert dep.column_name in workspace.shelves["parquet"].get(key, None).collect_schema()


def test_the_ui_is_told(demo_home):
    with Workspace(demo_home.settings()) as workspace:
        (status,) = [item for item in workspace.statuses() if item.stage.name == "rolling_beta"]
        record = status.records["krx/rolling_beta"]
    lineage = record.metadata["dagster/column_lineage"].deps_by_column
    (dep,) = lineage["rolling_beta_60d"]
    assert ("/".join(dep.asset_key.path), dep.column_name) == (PRICES, "adjusted_close")
    assert lineage.keys() >= KEYS
