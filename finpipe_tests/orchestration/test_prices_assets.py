from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from dagster._core.definitions.observe import observe

from finpipe.market.daily_bars import BarRequest, ProviderError
from finpipe.market.demo_bars import DEMO_INDEX, DemoBars
from finpipe.market.price_history import PriceHistory
from finpipe.market.price_summaries import summaries
from finpipe.orchestration import ticker_groups
from finpipe.orchestration.build import build_definitions
from finpipe.orchestration.home import open_instance
from finpipe.orchestration.store import StoreError
from finpipe.orchestration.ticker_groups import TickerGroupError, bars_version, find_group, groups_in_use
from finpipe.orchestration.workspace import Workspace, WorkspaceError
from finpipe.settings import load_settings
from finpipe_tests.orchestration.few_tickers import (
    FRIDAY,
    GROUP,
    MONDAY,
    SATURDAY,
    TICKERS,
    FewTickers,
    few_tickers,
)

PRICES = ("prices/history", "prices/summaries")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FewTickers]:
    """The prices of the group; tests only look."""
    with few_tickers(tmp_path_factory.mktemp("few") / "home") as few:
        assert few.made(*PRICES) == set(PRICES)
        yield few


@pytest.fixture
def few(made: FewTickers, tmp_path: Path) -> Iterator[FewTickers]:
    """A copy of that home, to write to."""
    shutil.copytree(made.home, tmp_path / "home")
    with few_tickers(tmp_path / "home") as few:
        yield few


def test_the_history_has_the_bars_of_the_group_and_its_index(made):
    found = made.load("prices/history")
    wanted = BarRequest((*TICKERS, DEMO_INDEX), dt.date(2012, 1, 10), FRIDAY.date())
    assert found.bars.equals(DemoBars().fetch(wanted).bars.sort("ticker", "date"))
    assert set(found.members["ticker"]) == set(TICKERS)
    assert found.level["close"].to_list() == found.bars.filter(ticker=DEMO_INDEX)["adjusted_close"].to_list()
    assert PriceHistory(made.home / "prices" / found.history).read(TICKERS).height > found.members.height


def test_summaries_are_those_of_the_history(made):
    found, bars = made.load("prices/summaries"), made.load("prices/history").bars
    for every in ("week", "month"):
        assert found.filter(every=every).drop("every").equals(summaries(bars, every))


def test_nothing_runs_until_a_session_is_over(made):
    made.set_time(SATURDAY)
    outcome = made.run(*PRICES, groups=None)
    assert not outcome.materialized
    assert len(outcome.skipped) == len(PRICES)
    made.set_time(FRIDAY)


def test_a_new_session_is_fetched_alone(few, monkeypatch):
    asked: list[dt.date] = []
    fetch = DemoBars.fetch

    def watched(self, request, progress=None):
        asked.append(request.start)
        return fetch(self, request, progress)

    monkeypatch.setattr(DemoBars, "fetch", watched)
    few.set_time(MONDAY)
    status = few.status("prices/history")
    assert (status.state, status.reasons) == ("stale", (f"{ticker_groups.BARS}[{GROUP}] changed",))
    assert few.made(*PRICES, groups=None) == set(PRICES)
    assert few.load("prices/history").bars["date"].max() == MONDAY.date()
    assert asked == [FRIDAY.date() - dt.timedelta(days=1)], "from the last settled bar on"


def test_other_members_are_another_version(made):
    before = bars_version(made.settings, GROUP, FRIDAY)
    assert before.startswith("demo 2014-01-10 ")
    more = made.settings.model_copy(update={"groups": {GROUP: [*TICKERS, "TEC02"]}})
    assert bars_version(more, GROUP, FRIDAY) != before
    assert bars_version(made.settings, GROUP, SATURDAY) == before
    assert bars_version(made.settings, GROUP, MONDAY).startswith("demo 2014-01-13 ")


def test_another_file_is_another_version(made, tmp_path):
    file = tmp_path / "bars.parquet"
    bars = made.load("prices/history").members
    bars.write_parquet(file)
    settings = made.settings.model_copy(update={"bars": file})
    before = bars_version(settings, GROUP, FRIDAY)
    assert before.startswith("parquet 2014-01-10 ")
    bars.filter(pl.col("date") < FRIDAY.date()).write_parquet(file)
    assert bars_version(settings, GROUP, FRIDAY).startswith("parquet 2014-01-09 ")


def test_what_a_source_cannot_bring_leaves_the_history_as_it_was(few, monkeypatch):
    def broken(*_):
        raise ProviderError("the demo market is closed")

    before = few.load("prices/history").version
    few.set_time(MONDAY)
    with monkeypatch.context() as patch:
        patch.setattr(DemoBars, "fetch", broken)
        outcome = few.run("prices/history")
    assert "no bar of 2014-01-13 yet, the last is of 2014-01-10" in outcome.failed[f"prices/history[{GROUP}]"]
    assert "the demo market is closed" in outcome.failed[f"prices/history[{GROUP}]"]
    assert few.load("prices/history").version == before
    assert few.status("prices/history").state == "stale"


def test_bars_that_somebody_else_restates_are_followed(few):
    history = few.load("prices/history")
    kept = PriceHistory(few.home / "prices" / history.history)
    day = history.members.filter(ticker="TEC01").tail(1)
    kept.upsert(day.with_columns(close=pl.col("close") * 1.01, high=pl.col("high") * 1.02), FRIDAY)
    with pytest.raises(StoreError, match="have changed since"):
        few.load("prices/history")
    status = few.status("prices/history")
    assert status.state == "missing"
    assert "no longer those" in status.reasons[0]
    assert few.made("prices/history") == {"prices/history"}
    assert few.load("prices/history").version != history.version
    assert few.status("prices/history").state == "fresh"


def test_bars_that_others_add_change_nothing(few):
    history = few.load("prices/history")
    kept = PriceHistory(few.home / "prices" / history.history)
    kept.upsert(DemoBars().fetch(BarRequest(("REA01",), history.start, history.end)).bars, FRIDAY)
    assert few.status("prices/history").state == "fresh"
    assert few.load("prices/history").version == history.version


def test_tickers_without_bars_are_counted(few):
    few.changes["groups"] = {GROUP: [*TICKERS, "NONE1"]}
    outcome = few.run("prices/history")
    found = outcome.failed_checks[f"prices/history[{GROUP}]"]["tickers_arrived"]
    assert found.startswith("6 of 7 tickers have bars; not NONE1: the demo market has no NONE1")


def test_without_groups_nobody_looks_at_prices(tmp_path, monkeypatch):
    def looked(*_):
        raise AssertionError("prices were looked at")

    monkeypatch.setattr(ticker_groups, "bars_version", looked)
    with Workspace(load_settings(home=tmp_path)) as workspace:
        assert groups_in_use(workspace.instance) == ()
        assert not any("ticker_group" in status.stage.dimensions for status in workspace.statuses())
        assert {key.partition("/")[0] for key in workspace._usual_keys((), only_groups=False)} == {"krx"}
        with pytest.raises(WorkspaceError, match="name one with --group"):
            workspace.run(["prices/history"])


def test_a_group_that_is_gone_is_left_out_and_told(few):
    said: list[str] = []
    few.changes["groups"] = {}
    with Workspace(few.settings) as workspace:
        outcome = workspace.run(waiting=said.append)
    assert not outcome.failed
    assert not outcome.materialized
    assert said == [next(text for text in said if f"group {GROUP} is left out: unknown ticker group" in text)]


def test_a_file_is_no_name_of_a_partition(made):
    with pytest.raises(TickerGroupError, match=r'mine = "own/list.csv"'):
        find_group(made.settings, "own/list.csv")
    assert find_group(made.settings, GROUP).tickers == TICKERS


def test_the_source_can_be_observed_in_the_ui(made):
    definitions = build_definitions(made.settings)
    source = next(
        asset
        for asset in definitions.assets or ()
        if isinstance(asset, dg.SourceAsset) and asset.partitions_def
    )
    with open_instance(made.settings) as instance:
        result = observe([source], instance=instance, resources={"settings": made.settings})
        assert result.success
        record = instance.fetch_observations(source.key, limit=1).records[0]
    assert record.partition_key == GROUP
    assert record.asset_observation.tags["dagster/data_version"] == bars_version(made.settings, GROUP, FRIDAY)


def test_the_schedule_follows_sessions_of_groups_in_use(made):
    definitions = build_definitions(made.settings)
    schedule = definitions.resolve_schedule_def("groups_after_close")

    def requested(at: dt.datetime) -> list[str]:
        with open_instance(made.settings) as instance:
            context = dg.build_schedule_context(
                instance=instance,
                scheduled_execution_time=at,
                repository_def=definitions.get_repository_def(),
            )
            return [run.partition_key for run in schedule.evaluate_tick(context).run_requests or ()]

    assert requested(SATURDAY) == []
    assert requested(MONDAY) == [GROUP]
