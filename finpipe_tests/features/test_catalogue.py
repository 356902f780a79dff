"""The catalogue declares each feature once, and what it declares is what the families produce."""

from __future__ import annotations

import polars as pl
import pytest

from finpipe.features import beta, catalogue, sector, technical
from finpipe.features.feature import Feature
from finpipe_tests.features import market

V3 = {
    *("mom_5d", "mom_60d", "mom_126d", "rs_vs_market_20d", "rs_vs_sector_20d", "rs_acceleration"),
    *("volume_surprise", "volume_trend", "volume_breakout", "value_surprise", "smart_money_flow"),
    *("accumulation_index", "price_volume_synergy"),
    *("volatility_20d", "volatility_ratio", "drawdown_from_high", "recovery_from_low", "rolling_beta"),
    *("past_glory_1y", "fallen_angel_score", "vcp_score", "glory_correction_volume", "fear_greed_signal"),
    *("smart_accumulation", "vcp_breakout_potential", "rsi_14", "bb_squeeze", "financial_quality_index"),
}
MACRO = {
    *("market_regime_score", "kosdaq_regime_score", "size_spread", "market_breadth", "fear_index_level"),
    *("fear_index_delta", "dollar_impact", "bond_stock_spread", "macro_risk_score"),
    "regime_momentum_interaction",
}
V5 = {
    *("gp_over_assets", "roe_delta_yoy", "pb_sector_zscore", "intermediate_momentum", "drawdown_from_high"),
    *("fallen_angel_score", "volume_surprise", "mom_5d", "market_regime_score", "rolling_beta_60d"),
}


def declared() -> list[Feature]:
    return [one for family in catalogue.FEATURES.values() for one in family]


def test_every_feature_is_declared_once():
    names = [one.name for one in declared()]
    assert len(names) == len(set(names))


def test_what_is_declared_is_what_is_produced():
    bars = market.daily_prices(seed=51)
    features = technical.technical_features(bars)
    labels = pl.Series(["은행"] * features.height, dtype=pl.Categorical)
    frames = {
        "krx/technical_features": features,
        "krx/rolling_beta": beta.rolling_beta(bars),
        "krx/sector_features": sector.sector_features(features, labels),
    }
    for asset, frame in frames.items():
        validated = catalogue.table(asset).validate(frame)
        assert validated.columns == frame.columns, asset


@pytest.mark.parametrize(("name", "members"), [("v3", V3), ("v4", V3 | MACRO), ("v5", V5)])
def test_feature_sets_are_those_of_the_specification(name, members):
    chosen = catalogue.feature_set(name)
    assert set(chosen) == members
    assert len(chosen) == len(members) == {"v3": 28, "v4": 38, "v5": 10}[name]


def test_every_model_input_belongs_to_a_named_set():
    for one in declared():
        assert set(one.models) <= set(catalogue.FEATURE_SETS), one.name
        assert ("v4" in one.models) >= ("v3" in one.models), one.name


def test_declarations_are_complete():
    for one in declared():
        assert one.formula, one.name
        assert one.source, one.name
        assert one.unit, one.name
        assert one.window >= 0, one.name
        assert one.low is None or one.high is None or one.low < one.high, one.name


def test_a_feature_is_found_by_name_and_a_misspelt_one_gets_a_hint():
    assert catalogue.feature("mom_20d").window == 21
    with pytest.raises(KeyError, match="did you mean mom_20d"):
        catalogue.feature("mom_20")
    with pytest.raises(KeyError, match="no feature is called 'zzz'"):
        catalogue.feature("zzz")


def test_unknown_sets_and_tables_are_refused_with_the_known_ones():
    with pytest.raises(KeyError, match="v3, v4, v5"):
        catalogue.feature_set("v9")
    with pytest.raises(KeyError, match="krx/rolling_beta"):
        catalogue.table("krx/universe")


def test_the_table_of_macro_features_is_by_date():
    assert catalogue.table("krx/macro_features").key == ("date",)


def test_markdown_has_a_row_for_every_feature():
    text = catalogue.markdown()
    for one in declared():
        assert text.count(f"| `{one.name}` |") == 1
    for line in text.splitlines():
        if line.startswith("| `"):
            assert line.replace("\\|", "").count("|") == 10, line


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [(None, None, ""), (0, 1, "[0, 1]"), (-1, None, "[-1, inf)"), (None, 3, "(-inf, 3]")],
)
def test_ranges_read_as_intervals(low, high, text):
    feature = Feature("x", "g", "f", window=1, source="s", null="n", low=low, high=high)
    assert feature.range == text
    assert feature.column.name == "x"
