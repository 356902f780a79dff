"""The named strategies are data that rules and ranker accept, with the parameters of the reference line."""

from __future__ import annotations

import tomllib
from importlib.resources import files

import pytest

from finpipe.backtest.rules import Rules
from finpipe.learning.ranker import RankerConfig

PRESETS = tomllib.loads(files("finpipe").joinpath("presets.toml").read_text(encoding="utf-8"))["preset"]


def rules(name: str) -> Rules:
    return Rules(horizon=PRESETS[name]["horizon"], **PRESETS[name]["rules"])


def test_all_modes_of_the_reference_have_a_name():
    assert list(PRESETS) == ["quintile", "top_n", "qepm", "v4", "v42", "v43", "v5"]


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_valid_and_says_what_it_costs(name):
    preset = PRESETS[name]
    assert rules(name).round_trip_cost > 0.002
    assert {"commission", "sale_tax", "slippage"} <= preset["rules"].keys()
    assert RankerConfig(horizon=preset["horizon"], **preset["ranker"]).target == preset["ranker"]["target"]
    assert preset["description"].endswith(".")


def test_presets_build_on_each_other_as_in_the_reference():
    qepm, v42, v43, v5 = (rules(name) for name in ("qepm", "v42", "v43", "v5"))
    assert (qepm.n, qepm.sector_cap, qepm.buy_rank, qepm.weighting) == (20, 3, 40, "inverse_volatility")
    assert (v42.n, v42.regime_threshold, v42.stop_loss, v42.max_amihud_rank) == (20, 0.0, 0.07, None)
    assert (v43.max_amihud_rank, v5.max_amihud_rank) == (0.9, 0.9)
    assert (v43.regime_threshold, v43.stop_loss) == (v42.regime_threshold, v42.stop_loss)
    targets = {name: PRESETS[name]["ranker"]["target"] for name in PRESETS}
    assert targets == {
        "quintile": "raw", "top_n": "raw", "qepm": "alpha", "v4": "raw", "v42": "raw", "v43": "residual",
        "v5": "residual",
    }  # fmt: skip
    assert [PRESETS[name]["horizon"] for name in ("qepm", "v5")] == [63, 63]
