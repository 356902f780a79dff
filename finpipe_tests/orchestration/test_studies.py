from __future__ import annotations

import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

import finpipe
from finpipe.learning.ranker_config import RankerConfig
from finpipe.orchestration.studies import Study, StudyError, presets, study, variant_name

HORIZONS = (1, 5, 21, 63, 126)
BUILT_IN = {"quintile", "top_n", "qepm", "v4", "v42", "v43", "v5"}


def test_the_named_strategies_are_there():
    assert set(presets({})) == BUILT_IN


@pytest.mark.parametrize("preset", sorted(BUILT_IN))
def test_a_built_in_preset_is_a_study_at_every_horizon(preset):
    for horizon in HORIZONS:
        found = study(f"{preset}-h{horizon}", {}, HORIZONS)
        assert (found.preset, found.horizon) == (preset, horizon)
        assert found.ranker.horizon == found.rules.horizon == horizon
        assert found.description


def test_parameters_of_the_file_are_those_of_the_study():
    text = (Path(finpipe.__file__).parent / "presets.toml").read_text("utf-8")
    for name, preset in tomllib.loads(text)["preset"].items():
        found = study(variant_name(name, None, {}, HORIZONS), {}, HORIZONS).to_dict()
        assert found["horizon"] == preset["horizon"]
        for part in ("ranker", "rules"):
            assert found[part] | preset[part] | {"horizon": preset["horizon"]} == found[part]


def test_a_study_survives_json():
    for name in BUILT_IN:
        before = study(variant_name(name, None, {}, HORIZONS), {}, HORIZONS)
        assert Study.from_json(before.to_json()) == before


def test_a_variant_is_named_by_preset_and_horizon():
    assert variant_name("v43", 21, {}, HORIZONS) == "v43-h21"
    assert variant_name("top_n", None, {}, HORIZONS) == f"top_n-h{presets({})['top_n']['horizon']}"


def test_own_values_change_a_built_in_preset_and_nothing_else():
    own = {"top_n": {"rules": {"n": 10}, "ranker": {"rounds": 50}}}
    changed, before = study("top_n-h21", own, HORIZONS), study("top_n-h21", {}, HORIZONS)
    assert (changed.rules.n, changed.ranker.rounds) == (10, 50)
    for field in fields(RankerConfig):
        if field.name != "rounds":
            assert getattr(changed.ranker, field.name) == getattr(before.ranker, field.name)
    assert changed.rules.commission == before.rules.commission
    assert study("quintile-h21", own, HORIZONS) == study("quintile-h21", {}, HORIZONS)


def test_an_own_preset_starts_from_a_base():
    own = {"mine": {"base": "v43", "horizon": 5, "rules": {"n": 7}}}
    assert set(presets(own)) == BUILT_IN | {"mine"}
    found = study(variant_name("mine", None, own, HORIZONS), own, HORIZONS)
    assert (found.variant, found.rules.n, found.horizon) == ("mine-h5", 7, 5)
    assert found.rules.stop_loss == study("v43-h5", {}, HORIZONS).rules.stop_loss


def test_an_own_preset_may_start_from_another_of_ones_own():
    own = {"first": {"rules": {"n": 7}}, "second": {"base": "first", "rules": {"slippage": 0.01}}}
    found = study("second-h21", own, HORIZONS)
    assert (found.rules.n, found.rules.slippage) == (7, 0.01)


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"a|b": {"horizon": 5}}, r"preset 'a\|b'.*partition key"),
        ({"mine": {"base": "v44"}}, r"'mine' starts from 'v44', which is none of .*v43"),
        (
            {"top_n": {"rules": {"m": 1}}},
            r"preset\.top_n\.rules: unknown parameter\(s\) m; there are .*\bn\b",
        ),
        ({"top_n": {"ranker": {"trees": 1}}}, r"preset\.top_n\.ranker: unknown parameter\(s\) trees"),
        ({"top_n": {"ranker": {"objective": "magic"}}}, r"preset\.top_n\.ranker: .*magic"),
        ({"top_n": {"ranker": {"rounds": 0}}}, r"preset\.top_n\.ranker: rounds must be 1 or more"),
        ({"top_n": {"rules": {"selection": "all"}}}, r"preset\.top_n\.rules: .*all"),
        ({"top_n": {"rulez": {"n": 1}}}, r"preset\.top_n.*rulez"),
        ({"top_n": {"rules": 5}}, r"preset\.top_n.*rules"),
        ({"top_n": {"horizon": "long"}}, r"preset\.top_n.*horizon"),
    ],
)
def test_what_cannot_be_used_is_named(own, message):
    with pytest.raises(StudyError, match=message):
        study(variant_name("top_n", None, own, HORIZONS), own, HORIZONS)


def test_an_unknown_preset_is_named_with_those_that_there_are():
    with pytest.raises(StudyError, match=r"no preset 'v44'; there are .*v43"):
        variant_name("v44", None, {}, HORIZONS)


def test_a_horizon_without_labels_is_named_with_what_to_set():
    with pytest.raises(StudyError, match=r"horizon 10 .*FINPIPE_HORIZONS=1,5,10,21,63,126"):
        variant_name("top_n", 10, {}, HORIZONS)


@pytest.mark.parametrize("variant", ["top_n", "top_n-h", "-h21", "top_n-h21x", "top_n-h021"])
def test_a_name_that_is_no_variant_is_refused(variant):
    with pytest.raises(StudyError):
        study(variant, {}, HORIZONS)
