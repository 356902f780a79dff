"""The tiers as assets: what they are given is what the service asks for, and an emptied cache is a stale asset."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from finpipe.cache.status import PublishedStatus, publish_status
from finpipe.cache.tier import TierState
from finpipe.cache.usage.request_log import RequestLog
from finpipe.market.demo_bars import DEMO_INDEX
from finpipe.orchestration.cache_checks import cache_serves, status_file, tier_filled
from finpipe.orchestration.home import open_instance
from finpipe.orchestration.request_log import log_folder
from finpipe.orchestration.usage_learning import warmest
from finpipe.orchestration.workspace import Workspace
from finpipe.portfolio.market_data import period, price_source
from finpipe.portfolio.requests import AnalyzeRequest
from finpipe.serve.cache_state import clear_caches
from finpipe.serve.caches import Caches, code_version
from finpipe.serve.history_view import HistoryViews
from finpipe.serve.plans import Plans
from finpipe.serve.price_cache import Filled
from finpipe.serve.prices import Wanted, price_request
from finpipe_tests.cache.redis_server import RedisServer
from finpipe_tests.orchestration.few_tickers import FRIDAY, GROUP, MONDAY, TICKERS, FewTickers, few_tickers

TIERS = ("prices/shared_cache", "prices/hot_set")
LEARNED = {"usage/popularity", "usage/warm_list"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FewTickers]:
    """A home whose tiers are filled; tests only look."""
    with few_tickers(tmp_path_factory.mktemp("cached") / "home") as few:
        assert few.made(*TIERS) == {"prices/history", *LEARNED, *TIERS}
        yield few


@pytest.fixture
def few(made: FewTickers, tmp_path: Path) -> Iterator[FewTickers]:
    """A copy of that home, to write to."""
    shutil.copytree(made.home, tmp_path / "home")
    with few_tickers(tmp_path / "home") as few:
        yield few


def asked(few: FewTickers, ticker: str, years: int):
    """The service's question for the bars of a ticker when it is asked with that start."""
    source, views = price_source(few.settings, group=GROUP), HistoryViews()
    start, end = period(source, None, FRIDAY.date(), FRIDAY, tickers=(ticker,), years=years)
    version = views.of(source.history).version([ticker])
    return price_request(Wanted(source, None, ticker, start, end), version), start


@pytest.mark.parametrize("years", [1, 2])
def test_both_ranges_are_mapped_under_the_keys_of_the_service(made, years):
    caches = Caches(made.settings, ())
    bars = made.load("prices/history").bars
    for ticker in (*TICKERS, DEMO_INDEX):
        request, start = asked(made, ticker, years)
        answer = caches.prices.get(request)
        assert answer.tier == "hot_set"
        expected = bars.filter((bars["ticker"] == ticker) & (bars["date"] >= start))
        assert answer.value.num_rows == expected.height > 240 * years
        assert answer.value["date"].to_pylist() == expected["date"].to_list()
        assert answer.value["adjusted_close"].to_pylist() == expected["adjusted_close"].to_list()
    caches.close()
    record = made.load("prices/hot_set")
    assert (record["years"], record["tickers"], record["end"]) == ([1, 2], 7, "2014-01-10")
    assert record["bytes"] < 2 * bars.height * 100, "the shorter range takes no room"


def test_the_shared_cache_has_the_longest_range(made):
    caches = Caches(made.settings, ())
    for ticker in (*TICKERS, DEMO_INDEX):
        entry = caches.shared.get(asked(made, ticker, 2)[0].key)
        assert entry is not None
        assert entry.value.num_rows > 480
    assert caches.shared.get(asked(made, "TEC01", 1)[0].key) is None
    caches.close()


def test_fresh_tiers_stay_and_emptied_ones_are_missing(few):
    assert few.made(*TIERS) == set()
    gone = clear_caches(few.settings)
    assert gone == {"hot_set": 14, "shared": 8}
    for key in TIERS:
        status = few.status(key)
        assert status.state == "missing"
        assert "the cache no longer holds" in status.reasons[0]
    assert few.made(*TIERS) == set(TIERS)
    assert few.status(TIERS[0]).state == "fresh"


def test_a_new_session_brings_new_entries(few):
    before = few.load("prices/hot_set")
    few.set_time(MONDAY)
    assert few.made(*TIERS) >= {"prices/history", *TIERS}
    after = few.load("prices/hot_set")
    assert after["end"] == "2014-01-13"
    assert after["version"] != before["version"]
    assert len(list((few.home / "cache" / "hot_set").glob("*.arrow"))) == 1


def test_a_run_that_names_no_asset_fills_nothing(few):
    clear_caches(few.settings)
    with Workspace(few.settings) as workspace:
        assert {*LEARNED, *TIERS}.isdisjoint(workspace.graph.usual_keys)
        assert {"prices/forecasts", "prices/prophet_models"}.isdisjoint(workspace.graph.usual_keys)
    jobs = {key for stage in _safety_job() for key in stage}
    assert jobs == {"krx/safety"}


def _safety_job() -> list[set[str]]:
    from finpipe.orchestration.jobs import jobs

    (battery,) = [job for job in jobs() if job.name == "safety_battery"]
    return [{"/".join(key.path) for key in battery.selection.resolve(_assets())}]


def _assets() -> list[dg.AssetsDefinition]:
    from finpipe.orchestration.graph import graph

    return [stage.definition for stage in graph().stages]


def test_requests_decide_what_is_popular_and_warm(few):
    clock = dt.datetime(2014, 1, 8, 15, tzinfo=dt.UTC).timestamp()
    log = RequestLog(log_folder(few.settings), lambda: clock)
    for _ in range(3):
        log.record(["UTI01"], kind="analyze")
        log.record(["XYZ", "TEC01"], kind="optimize")
    log.record(["XYZ"], kind="analyze")
    log.flush()
    assert few.made(*TIERS) == {*LEARNED, "prices/hot_set"}, "what is shared does not depend on it"
    with Workspace(few.settings) as workspace:
        popularity, warm = workspace.frame("usage/popularity"), workspace.frame("usage/warm_list")
    found = {row["ticker"]: row for row in popularity.iter_rows(named=True)}
    assert {name: row["requests"] for name, row in found.items()} == {"XYZ": 4, "UTI01": 3, "TEC01": 3}
    assert found["XYZ"]["score"] == 4.0
    assert found["UTI01"]["last_asked"].timestamp() == clock
    assert warm["ticker"].to_list()[:3] == ["XYZ", "TEC01", "UTI01"]
    assert set(warm["ticker"]) >= set(TICKERS), "members of groups in use are warm all the same"
    assert warm.filter(ticker="FIN01")["reason"].to_list() == [f"in {GROUP}"]
    assert warmest(TICKERS, warm, 3) == ["TEC01", "UTI01", *sorted(set(TICKERS) - {"TEC01", "UTI01"})][:3]
    assert few.made(*TIERS) == set()


def test_forecasts_are_the_services_own_answers(few):
    assert few.made("prices/forecasts") == {"prices/forecasts"}
    found = few.load("prices/forecasts").collect()
    assert found["ticker"].to_list() == sorted(TICKERS)
    assert found["failure"].null_count() == len(TICKERS)
    caches = Caches(few.settings, ())
    plans = Plans(few.settings, HistoryViews(), code_version())
    start, end = period(price_source(few.settings), None, FRIDAY.date(), FRIDAY, tickers=("TEC01",), years=2)
    plan = plans.of(AnalyzeRequest(ticker="TEC01", start=start, end=end))
    kept = caches.shared.get(plans.key("analyze", plan))
    caches.close()
    assert kept is not None
    answer = kept.value
    assert answer["ticker"] == "TEC01"
    (row,) = found.filter(ticker="TEC01").iter_rows(named=True)
    assert answer["forecast"]["annual_return"] == row["annual_return"]
    assert (row["method"], row["method_used"]) == ("ensemble", "ensemble")


def test_models_of_prophet_are_json_that_prophet_takes(few, monkeypatch):
    serialize = pytest.importorskip("prophet.serialize", reason="prophet is an extra")
    from finpipe.orchestration.assets import cache

    monkeypatch.setattr(cache, "MODELLED", 1)
    assert few.made("prices/prophet_models") == {"prices/prophet_models"}
    (ticker, text), *others = json.loads(few.load("prices/prophet_models")).items()
    assert (ticker, others) == (min(TICKERS), [])
    model = serialize.model_from_json(text)
    assert model.history["y"].iloc[-1] == pytest.approx(
        few.load("prices/history").bars.filter(ticker=ticker)["adjusted_close"][-1]
    )


def test_a_request_for_a_ticker_with_a_model_fits_nothing(few, fits, monkeypatch):
    from finpipe.orchestration.assets import cache
    from finpipe.serve import tasks

    def grown(ticker: str, end: dt.datetime) -> float:
        """What a worker forecasts for a request without a start."""
        asked = AnalyzeRequest(ticker=ticker, end=end.date(), forecast="prophet")
        told = tasks.run("analyze", asked.model_dump_json(), few.settings, lambda *_: None, update=False)
        found = json.loads(told)["forecast"]
        assert found["method_used"] == "prophet"
        return found["annual_return"]

    monkeypatch.setattr(cache, "MODELLED", 1)
    few.made("prices/prophet_models")
    assert len(fits) == 1
    kept = grown(min(TICKERS), FRIDAY)
    assert len(fits) == 1
    clear_caches(few.settings)
    assert grown(min(TICKERS), FRIDAY) == kept
    assert len(fits) == 2
    few.set_time(MONDAY)
    few.made("prices/history")
    grown(min(TICKERS), MONDAY)
    assert len(fits) == 3


def test_with_redis_the_mark_and_the_bars_are_there_and_a_restart_makes_the_asset_missing(few):
    server = RedisServer()
    server.start()
    try:
        few.changes["redis_url"] = server.patient_url
        assert few.status(TIERS[0]).state == "missing"
        assert few.made(*TIERS) == {TIERS[0]}
        assert few.made(*TIERS) == set()
        assert few.status(TIERS[0]).records[TIERS[0]].metadata["store"] == "redis"
        server.kill()
        server.start()
        assert few.status(TIERS[0]).state == "missing"
        server.kill()
        outcome = few.run(*TIERS)
        assert not outcome.failed, "a cache that is down fails nothing"
    finally:
        server.close()


def test_counters_of_the_service_are_metadata_and_a_check(few):
    class Status:
        @staticmethod
        def as_json():
            return {"hit_ratio": 0.5, "requests": 1000, "tiers": []}

    publish_status(status_file(few.settings), Status(), time.time())
    clear_caches(few.settings)
    outcome = few.run(*TIERS)
    assert outcome.failed_checks[f"prices/hot_set[{GROUP}]"].keys() == {"cache_serves"}
    instance = open_instance(few.settings)
    event = instance.get_latest_materialization_event(dg.AssetKey(["prices", "hot_set"]))
    assert event.asset_materialization.metadata["hit ratio"].value == 0.5
    assert event.asset_materialization.metadata["entries of the tier"].value == 14
    instance.dispose()


MEMORY = {"name": "memory", "entries": 10, "bytes": 100, "budget": 200, "evictions": 0}


@pytest.mark.parametrize(
    ("status", "passed", "said"),
    [
        ({"hit_ratio": 0.95, "requests": 1000, "tiers": [MEMORY]}, True, "95.0% of 1,000"),
        ({"hit_ratio": 0.5, "requests": 1000, "tiers": [MEMORY]}, False, "less than 90%"),
        ({"hit_ratio": 0.5, "requests": 10, "tiers": [MEMORY]}, True, "50.0% of 10"),
        ({"hit_ratio": None, "requests": 0, "tiers": []}, True, "no requests yet"),
        ({"hit_ratio": 1.0, "requests": 9, "tiers": [MEMORY | {"bytes": 201}]}, False, "more than its 200"),
        ({"hit_ratio": 1.0, "requests": 9, "tiers": [MEMORY | {"evictions": 99}]}, False, "let go of 99"),
    ],
)
def test_the_service_is_judged_by_hits_memory_and_evictions(status, passed, said):
    check = cache_serves(PublishedStatus(0.0, status))
    assert check.passed is passed
    assert said in check.finding


def test_no_service_is_nothing_wrong():
    assert cache_serves(None).passed


def test_filling_is_judged_by_what_the_tier_took():
    state = TierState("redis", budget=10)
    good = Filled({}, ("A", "B"), {}, state, wanted="redis", level="redis")
    assert tier_filled(good).passed
    for change, said in (
        ({"level": "disk"}, "redis does not answer"),
        ({"refused": 1}, "1 entries were not kept"),
        ({"evicted": 2}, "2 others had to go"),
        ({"tickers": ()}, "0 of 0 tickers"),
    ):
        check = tier_filled(dataclasses.replace(good, **change))
        assert not check.passed
        assert said in check.finding
