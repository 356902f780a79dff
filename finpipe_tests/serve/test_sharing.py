"""Homes that share a Redis answer from each other's entries where the prices are the same, and only there."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from finpipe.cache.entry import NEVER
from finpipe.cache.request import Request
from finpipe.market.daily_bars import BarRequest
from finpipe.market.demo_bars import DEMO_INDEX, DemoBars
from finpipe.portfolio.market_data import price_source
from finpipe.portfolio.requests import AnalyzeRequest
from finpipe.serve import tasks
from finpipe.serve.caches import Caches
from finpipe.serve.expiry import soon
from finpipe.serve.history_view import HistoryViews
from finpipe.serve.plans import Plan, Plans
from finpipe.serve.pool import Task
from finpipe.serve.prices import HistorySource, ProviderSource, Wanted, is_held, price_request
from finpipe.settings import load_settings
from finpipe_tests.cache.redis_server import RedisServer

START, END = dt.date(2023, 1, 2), dt.date(2024, 12, 30)
TICKER = "TEC01"
CODE = "this code"


class Home:
    """One home as a service sees it; ``asked`` are the kinds of its workers' tasks."""

    def __init__(self, home: Path, **own: Any) -> None:
        self.settings = load_settings(home=home, threads=1, **own)
        self.views = HistoryViews()
        self.plans = Plans(self.settings, self.views, CODE)
        self.asked: list[str] = []
        sources = [HistorySource(self.views), ProviderSource(self.views, self._worked, 60.0)]
        self.caches = Caches(self.settings, sources)

    @property
    def source(self):
        return price_source(self.settings)

    def price_key(self, ticker: str = TICKER) -> Request:
        view, wanted = self.views.of(self.source.history), Wanted(self.source, None, ticker, START, END)
        code = None if is_held(view, wanted) else CODE
        return price_request(wanted, view.version((ticker,)), to_fetch_by=code)

    def prices(self) -> tuple[str, pl.DataFrame]:
        """Which tier answers, and the bars."""
        answer = self.caches.prices.get(self.price_key())
        return answer.tier, pl.DataFrame(answer.value)

    def plan(self, ticker: str = TICKER) -> Plan:
        return self.plans.of(AnalyzeRequest(ticker=ticker, start=START, end=END))

    def key(self, ticker: str = TICKER) -> str:
        return self.plans.key("analyze", self.plan(ticker))

    def analysis(self) -> tuple[str, dict[str, Any]]:
        """Which tier answers, and the answer."""
        plan, key = self.plan(), self.key()
        task = Task("analyze", plan.asked.model_dump_json())
        policy = self.plans.policy("analyze", plan, key)
        answer = self.caches.results_lookup.get(Request(key, lambda: json.loads(self._worked(task)), policy))
        value: Any = answer.value
        return answer.tier, value

    def keep(self, bars: pl.DataFrame, fetched: dt.datetime | None = None) -> None:
        """Put bars into the history, as a fetch does."""
        asked = dict.fromkeys(bars["ticker"].unique(), (START, END))
        self.source.history.upsert(bars, fetched or dt.datetime(2025, 1, 2, tzinfo=dt.UTC), asked=asked)

    def _worked(self, task: Task) -> bytes:
        self.asked.append(task.kind)
        return tasks.run(task.kind, task.request, self.settings, lambda *_: None, update=task.update)


Homes = Callable[..., Home]


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    server = RedisServer()
    server.start()
    yield server.patient_url
    server.close()


@pytest.fixture
def homes(tmp_path: Path, redis_url: str) -> Iterator[Homes]:
    """Make homes by name; all have one Redis, empty at first."""
    opened: list[Home] = []

    def made(name: str, **own: Any) -> Home:
        home = Home(tmp_path / name, **{"provider": "demo", "redis_url": redis_url, **own})
        if not opened:
            home.caches.shared.clear()
        opened.append(home)
        return home

    yield made
    for home in opened:
        home.caches.close()


def bars(*, end: dt.date = END, scale: float = 1.0) -> pl.DataFrame:
    found = DemoBars().fetch(BarRequest((TICKER, DEMO_INDEX), START, end)).bars
    return found.with_columns(pl.col("adjusted_close") * scale)


def test_two_homes_of_one_provider_answer_from_each_others_bars(homes):
    first, second = homes("a"), homes("b")
    tier, found = first.prices()
    assert (tier, first.asked) == ("provider", ["bring"])
    tier, same = second.prices()
    assert (tier, second.asked) == ("shared", [])
    assert same.equals(found)
    assert first.prices()[0] == "history"
    second.keep(first.source.history.read([TICKER]))
    tier, same = second.prices()
    assert (tier, second.asked) == ("shared", [])
    assert same.equals(found)


def test_two_homes_of_one_provider_answer_from_each_others_results(homes):
    first, second = homes("a"), homes("b")
    assert first.analysis()[0] == "computed"
    tier, found = first.analysis()
    assert tier == "computed", "its prices have come meanwhile"
    second.keep(first.source.history.read())
    assert second.analysis() == ("shared", found)
    assert second.asked == []


def test_homes_of_other_providers_files_and_mirrors_never_share(homes, tmp_path):
    file, other = tmp_path / "bars.parquet", tmp_path / "other.parquet"
    bars().write_parquet(file)
    bars().write_parquet(other)
    all_homes = [
        homes("demo"),
        homes("file", bars=file),
        homes("other", bars=other),
        homes("yahoo", provider="yahoo"),
        homes("mirror", provider="yahoo", yahoo_mirror="http://mirror.test"),
        homes("another", provider="yahoo", yahoo_mirror="http://another.test"),
    ]
    for _ in range(2):
        assert len({home.price_key().key for home in all_homes}) == len(all_homes)
        assert len({home.key() for home in all_homes}) == len(all_homes)
        for home in all_homes:
            home.keep(bars())
    demo, held = all_homes[:2]
    demo.prices()
    demo.analysis()
    assert held.prices()[0] == "history"
    assert held.analysis()[0] == "computed"
    again = homes("again", bars=file)
    assert again.price_key().key != held.price_key().key, "it has no bars yet"
    again.keep(bars())
    assert (again.prices()[0], again.analysis()[0]) == ("shared", "shared")


def test_other_content_is_not_shared(homes):
    first, same, corrected, longer = (homes(name, provider="yahoo") for name in "abcd")
    first.keep(bars())
    same.keep(bars(), dt.datetime(2025, 3, 1, tzinfo=dt.UTC))
    corrected.keep(bars(scale=0.99))
    longer.keep(bars(end=dt.date(2025, 1, 10)))
    for key in (lambda home: home.price_key().key, Home.key):
        assert key(first) == key(same)
        assert len({key(home) for home in (first, corrected, longer)}) == 3


def test_what_was_fetched_under_a_key_without_bars_lasts_for_minutes(homes):
    """A home without bars may have the answer of one that fetched some while it is new, not for good."""
    home = homes("a", provider="yahoo")
    now = dt.datetime.now(dt.UTC).timestamp()
    plan, key, asked = home.plan(), home.key(), home.price_key()
    assert asked.expiry(now) == soon(now)
    late = home.plans.policy("analyze", plan, key)
    index = home.plans.of(AnalyzeRequest(ticker=TICKER, start=START, end=END)).tickers[-1]
    home.keep(pl.concat([bars(), bars().filter(ticker=DEMO_INDEX).with_columns(ticker=pl.lit(index))]))
    assert late(now) == soon(now)
    assert home.price_key().expiry(now) == NEVER
    assert home.plans.policy("analyze", plan, home.key())(now) == NEVER


def test_an_answer_without_the_bar_of_a_day_that_is_not_over_does_not_last(homes, tmp_path):
    bars().write_parquet(tmp_path / "bars.parquet")
    noon = dt.datetime(2024, 12, 30, 17, tzinfo=dt.UTC).timestamp()
    for home in (homes("demo"), homes("file", bars=tmp_path / "bars.parquet")):
        lasts = home.price_key().expiry, home.plans.policy("analyze", home.plan(), home.key())
        for policy in lasts:
            assert (policy(noon) == NEVER) is (home.settings.bars is not None)
            assert policy(noon + 86400) == NEVER


def test_tickers_that_one_home_keeps_aside_keep_its_answers_apart(homes):
    first, second = homes("a", provider="yahoo"), homes("b", provider="yahoo")
    assert first.key("GONE") == second.key("GONE")
    now = dt.datetime.now(dt.UTC)
    first.source.quarantine.add({"GONE": "delisted"}, now)
    assert first.key("GONE") != second.key("GONE")
    assert first.key() == second.key()
    second.source.quarantine.add({"GONE": "delisted"}, now)
    assert first.key("GONE") == second.key("GONE")
    first.source.quarantine.path.write_text("{")
    assert first.key() == second.key(), "a damaged file is told by whoever fetches"


def test_marks_of_homes_with_other_bars_stand_side_by_side(homes):
    from finpipe.serve.price_cache import fill_shared
    from finpipe.serve.tier_records import still_holds

    first, second, third = (homes(name, provider="yahoo") for name in "abc")
    at = dt.datetime(2025, 1, 2, 12, tzinfo=dt.UTC)
    records = []
    for home, scale in ((first, 1.0), (second, 0.99), (third, 1.0)):
        home.keep(bars(scale=scale))
        filled = fill_shared(home.settings, "few", [TICKER], end=END, years=1, at=at)
        assert filled.tickers == (TICKER,)
        records.append(dict(filled.record))
    assert records[0] == records[2] != records[1]
    assert all(still_holds(first.settings, record) for record in records)
