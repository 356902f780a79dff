"""A past day's predictions and portfolio are what they were when that day was the last one known."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest

from finpipe.orchestration.graph import graph
from finpipe_tests.integration.altered_market import truncated
from finpipe_tests.integration.whole_graph import STUDY, TESTED_YEAR, assert_same_bits, run

REPLAYED = ("predictions", "backtest", "trades", "holdings", "capacity")
"""Assets of a study whose rows are of a day."""
OF_THE_LAST_DAY = ("picks",)


def test_every_dated_asset_of_a_study_has_its_place():
    dated = {
        key.removeprefix("krx/")
        for key in graph().by_key
        if graph().dimensions(key) == ("variant",)
        and (table := graph().table(key)) is not None
        and "date" in table.names
    }
    assert dated == {*REPLAYED, *OF_THE_LAST_DAY}


@pytest.mark.parametrize("last", [dt.date(TESTED_YEAR, 3, 31), dt.date(TESTED_YEAR, 9, 15)], ids=str)
def test_days_of_the_past_are_as_they_were_when_they_were_the_last(market, whole, tmp_path, last):
    copy = truncated(market, tmp_path / "copy.db", last)
    then = run(copy, REPLAYED, **STUDY)
    assert then["yearly_ranker"].to_files()["model.txt"] == whole["yearly_ranker"].to_files()["model.txt"]
    for asset in REPLAYED:
        now = whole[asset].filter(pl.col("date") <= last)
        assert_same_bits(asset, then[asset], now)
    assert then["backtest"]["date"].max() == last
    assert now.height < whole[asset].height


def test_the_study_uses_every_rule_that_could_look_ahead(whole):
    reasons = whole["trades"]["reason"].cast(pl.String).unique()
    assert {"rebalance", "stop_loss", "cash_rule"} <= set(reasons)
    assert whole["yearly_ranker"].metrics["rounds"] < whole["yearly_ranker"].config.rounds
