"""What is printed of presets and of all parameters of a study."""

from __future__ import annotations

from pathlib import Path

import pytest

from finpipe import console
from finpipe.console import parameters, terminal
from finpipe.orchestration.studies import presets, study

HORIZONS = (1, 5, 21, 63, 126)
OWN = {"mine": {"base": "v43", "horizon": 21, "rules": {"n": 30}, "ranker": {"search_trials": 9}}}


@pytest.fixture(autouse=True)
def _wide(monkeypatch):
    monkeypatch.setattr(terminal, "out", terminal.Console(width=200, highlight=False))


def blocks(text: str) -> dict[str, str]:
    """The lines of each preset by its name."""
    found: dict[str, str] = {}
    for line in text.split("\n\n", maxsplit=1)[0].splitlines():
        if not line.startswith(" "):
            name = line.split()[0]
        found[name] = found.get(name, "") + line + "\n"
    return found


def test_presets_are_shown_by_what_differs_from_the_plain_one(capsys):
    console.show_presets(presets(OWN), Path("/market/finpipe.toml"))
    text = capsys.readouterr().out
    shown = blocks(text)
    assert list(shown) == ["top_n", "quintile", "qepm", "v4", "v42", "v43", "v5", "mine"]
    assert "n = 20" in shown["top_n"]
    assert "n = 20" not in shown["v43"]
    assert 'selection = "quintile"' in shown["quintile"]
    assert "horizon 63 days, 0.61% for buying and selling again" in shown["qepm"]
    assert "stop_loss = 0.07" in shown["v43"]
    assert "risk_weighting = true" in shown["v43"]
    assert "As v43, with changes from finpipe.toml." in shown["mine"]
    assert "n = 30" in shown["mine"]
    assert "search_trials = 9" in shown["mine"]
    assert "/market/finpipe.toml" in text


def test_the_example_can_be_copied_to_the_file():
    import tomllib

    example = tomllib.loads(parameters.EXAMPLE)["preset"]
    assert study("v43-h63", example, HORIZONS).rules.n == 30
    assert study("mine-h21", example, HORIZONS).ranker.search_trials == 30


def test_a_study_is_shown_with_what_every_parameter_means(capsys):
    console.show_study(study("mine-h21", OWN, HORIZONS))
    text = capsys.readouterr().out
    assert "[preset.mine.ranker]" in text
    assert "[preset.mine.rules]" in text
    for row in ("stop_loss", "sector_cap", "search_trials", "time_decay", "whole_shares"):
        (line,) = [line for line in text.splitlines() if line.split()[:1] == [row]]
        assert len(line.split()) > 5
