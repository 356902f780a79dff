"""What the command prints of presets, picks and the stress battery."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from finpipe import console
from finpipe.backtest.safety import STRESSES
from finpipe.backtest.tables import STRESS_VERDICTS
from finpipe.orchestration.studies import presets, study

HORIZONS = (1, 5, 21, 63, 126)
OWN = {"mine": {"base": "v43", "horizon": 21, "rules": {"n": 30}, "ranker": {"search_trials": 9}}}


@pytest.fixture(autouse=True)
def _wide(monkeypatch):
    monkeypatch.setattr(console, "out", console.Console(width=200, highlight=False))


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

    example = tomllib.loads(console.EXAMPLE)["preset"]
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


def picks(*lists: str) -> pl.DataFrame:
    row = {
        "rank": 1,
        "stock_code": "005930",
        "name": "삼성전자",
        "sector": None,
        "close": 70_000,
        "score": 0.5,
    }
    own = {"date": "2024-12-30", "weight": 0.05, "reasons": "mom"}
    return pl.DataFrame([{**own, "list": name, **row} for name in lists])


def test_every_list_of_picks_is_a_table_and_an_empty_one_is_said(capsys):
    console.show_picks(picks("buy", "avoid"))
    text = capsys.readouterr().out
    assert text.index("buy, as of the close of 2024-12-30") < text.index("avoid, as of the close of")
    assert text.count("weight") == 1
    assert "70,000    5.0%  0.500" in text
    console.show_picks(picks("avoid"))
    captured = capsys.readouterr()
    assert "nothing to buy" in captured.err
    assert "weight" not in captured.out


def test_verdicts_are_shown_with_the_reason_of_every_stress(capsys):
    rows = [
        (
            "cost_sweep",
            "slippage 0.50% a side",
            "annual_return",
            -0.05,
            0.1,
            0.0,
            "fail",
            "It earns.",
            "Costs eat.",
        ),
        (
            "cost_sweep",
            "slippage 1.00% a side",
            "annual_return",
            -0.2,
            0.1,
            None,
            "shown",
            "It earns.",
            "Costs eat.",
        ),
        ("filing_lag", "90 days", "mean_rank_ic", None, None, None, "not run", "Half remains.", "Too early."),
    ]
    verdicts = pl.DataFrame(rows, schema=STRESS_VERDICTS.names, orient="row")
    console.show_safety(verdicts, "top_n-h21")
    text = capsys.readouterr().out
    assert "return -5.0%" in text
    assert "fail    cost_sweep  It earns. Costs eat." in text
    assert "not run filing_lag  Half remains. Too early." in text
    record = console.safety_record(verdicts, "top_n-h21")
    assert record["failed"] == ["cost_sweep"]
    assert len(record["verdicts"]) == 3
    assert len({stress.name for stress in STRESSES}) == len(STRESSES)
