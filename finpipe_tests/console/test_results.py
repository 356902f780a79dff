"""What is printed of picks and of the stress battery."""

from __future__ import annotations

import polars as pl
import pytest

from finpipe import console
from finpipe.backtest.safety import STRESSES
from finpipe.backtest.tables import STRESS_VERDICTS
from finpipe.console import terminal


@pytest.fixture(autouse=True)
def _wide(monkeypatch):
    monkeypatch.setattr(terminal, "out", terminal.Console(width=200, highlight=False))


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
