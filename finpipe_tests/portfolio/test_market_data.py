from __future__ import annotations

import datetime as dt
import os

import polars as pl
import pytest

from finpipe.market.daily_bars import BarBatch, ProviderError, no_bars
from finpipe.market.demo_bars import FIRST_DAY, DemoBars
from finpipe.market.price_history import PriceHistory
from finpipe.market.quarantine import Quarantine
from finpipe.market.tickers import TickerError
from finpipe.portfolio.market_data import (
    PriceSource,
    chosen_tickers,
    default_benchmark,
    last_session,
    market_bars,
    period,
    price_source,
)
from finpipe.portfolio.problem import ProblemError
from finpipe.settings import load_settings
from finpipe_tests.portfolio.files import FIRST, LAST, NAMES, NOW, SHORT, settings_of, write_bars
from finpipe_tests.portfolio.sample_bars import bars_of, random_prices


class Remote:
    """A provider that counts what it is asked for, and may be broken."""

    name = "remote"

    def __init__(self, bars: pl.DataFrame) -> None:
        self.bars = bars
        self.asked: list[tuple[str, ...]] = []
        self.broken: Exception | None = None
        self.down: dict[str, str] = {}

    def fetch(self, request, progress=None):
        self.asked.append(request.tickers)
        if self.broken:
            raise self.broken
        within = pl.col("date").is_between(request.start, request.end)
        found = self.bars.filter(pl.col("ticker").is_in(request.tickers) & within)
        found = found.filter(~pl.col("ticker").is_in(list(self.down)))
        missing = set(request.tickers) - set(found["ticker"])
        if progress:
            progress(len(request.tickers), len(request.tickers))
        failures = {ticker: self.down.get(ticker, "unknown") for ticker in missing}
        return BarBatch(found if found.height else no_bars(), failures)


@pytest.fixture
def remote(tmp_path):
    provider = Remote(bars_of(random_prices(NAMES, 420)))
    source = PriceSource(
        "remote", provider, PriceHistory(tmp_path / "remote.duckdb"), Quarantine(tmp_path / "quarantine.json")
    )
    return provider, source


def test_what_the_history_has_is_not_asked_for_again(remote):
    provider, source = remote
    first = market_bars(source, NAMES[:2], FIRST, LAST, now=NOW)
    again = market_bars(source, NAMES[:2], FIRST, LAST, now=NOW)
    assert provider.asked == [NAMES[:2]]
    assert first.bars.equals(again.bars)
    assert first.bars.equals(provider.bars.filter(pl.col("ticker").is_in(NAMES[:2])))
    assert not first.failures
    assert not first.notices
    market_bars(source, NAMES[:3], FIRST, LAST, now=NOW)
    assert provider.asked[1:] == [(NAMES[2],)]


def test_both_days_are_included(remote):
    provider, source = remote
    days = provider.bars["date"].unique().sort()
    found = market_bars(source, NAMES, days[100], days[109], now=NOW).bars
    assert found["date"].unique().sort().to_list() == days[100:110].to_list()


def test_a_broken_provider_leaves_what_the_history_has_and_says_so(remote):
    provider, source = remote
    market_bars(source, NAMES[:2], FIRST, LAST - dt.timedelta(days=60), now=NOW)
    provider.broken = ProviderError("the network is away")
    found = market_bars(source, NAMES[:3], FIRST, LAST, now=NOW)
    assert set(found.bars["ticker"]) == set(NAMES[:2])
    assert list(found.failures) == [NAMES[2]]
    assert any("the network is away" in notice for notice in found.notices)


def test_a_broken_provider_and_an_empty_history_is_an_error(remote):
    provider, source = remote
    provider.broken = OSError("no route")
    with pytest.raises(ProviderError, match="no route"):
        market_bars(source, NAMES, FIRST, LAST, now=NOW)


def test_a_ticker_that_cannot_be_brought_up_to_date_is_told(remote):
    provider, source = remote
    market_bars(source, NAMES[:2], FIRST, LAST - dt.timedelta(days=60), now=NOW)
    provider.down = {NAMES[0]: "500 from the server"}
    found = market_bars(source, NAMES[:2], FIRST, LAST, now=NOW)
    assert not found.failures
    assert [notice for notice in found.notices if NAMES[0] in notice and "500 from the server" in notice]


def test_tickers_in_quarantine_are_not_asked_for(remote):
    provider, source = remote
    source.quarantine.add({"DEAD": "delisted"}, NOW)
    found = market_bars(source, (*NAMES[:2], "DEAD"), FIRST, LAST, now=NOW)
    assert provider.asked == [NAMES[:2]]
    assert "delisted" in found.failures["DEAD"]
    assert "quarantine until" in found.failures["DEAD"]


def test_without_update_the_provider_is_left_alone(remote):
    provider, source = remote
    found = market_bars(source, NAMES[:2], FIRST, LAST, now=NOW, update=False)
    assert provider.asked == []
    assert set(found.failures) == set(NAMES[:2])


def test_a_file_is_taken_over_and_read_anew_when_it_changes(tmp_path):
    settings = settings_of(tmp_path)
    source = price_source(settings)
    found = market_bars(source, (*NAMES, "ZZZ"), FIRST, LAST, now=NOW)
    assert set(found.bars["ticker"]) == set(NAMES)
    assert "does not have ZZZ" in found.failures["ZZZ"]
    assert (source.first, source.last) == (FIRST, LAST)
    assert price_source(settings).history.path == source.history.path

    write_bars(tmp_path / "bars.parquet", index=True)
    os.utime(tmp_path / "bars.parquet", ns=(1, 1))
    changed = price_source(settings)
    assert changed.history.path != source.history.path
    assert not market_bars(changed, ("^GSPC",), FIRST, LAST, now=NOW).failures
    assert not source.history.path.exists(), "what was kept of the old file is gone"


def test_a_ticker_that_a_file_lacks_is_looked_for_once(tmp_path, monkeypatch):
    source = price_source(settings_of(tmp_path))
    market_bars(source, ("KO", "ZZZ"), FIRST, LAST, now=NOW)
    monkeypatch.setattr(type(source.provider), "fetch", lambda *_: pytest.fail("the file was read again"))
    later = NOW + dt.timedelta(days=400)
    found = market_bars(source, ("KO", "ZZZ"), FIRST, LAST, now=later)
    assert "does not have ZZZ" in found.failures["ZZZ"]
    assert "quarantine" not in found.failures["ZZZ"]


def test_sources_by_the_settings(tmp_path):
    home = tmp_path / "home"
    assert price_source(load_settings(home=home)).name == "yahoo"
    assert price_source(load_settings(home=home), group="demo").name == "demo"
    demo = price_source(load_settings(home=home, provider="demo"))
    assert isinstance(demo.provider, DemoBars)
    assert (demo.first, demo.last) == (FIRST_DAY, None)
    mirrored = price_source(load_settings(home=home, yahoo_mirror="http://127.0.0.1:9"))
    assert mirrored.provider.mirror == "http://127.0.0.1:9"
    assert price_source(settings_of(tmp_path), group="demo").name == "parquet", "a named file goes first"
    with pytest.raises(ProviderError, match="--bars FILE"):
        price_source(load_settings(home=home, provider="parquet"))
    with pytest.raises(ProviderError, match="no file"):
        price_source(load_settings(home=home, bars=tmp_path / "absent.parquet"))


def test_sectors_come_from_the_group_or_from_shipped_groups():
    assert chosen_tickers(None, "dow30").sectors["AAPL"] == "Information Technology"
    named = chosen_tickers(("XOM", "AAPL", "TEC01", "NOBODY"), None)
    assert named.tickers == ("AAPL", "NOBODY", "TEC01", "XOM")
    assert named.sectors == {
        "AAPL": "Information Technology",
        "TEC01": "Information Technology",
        "XOM": "Energy",
    }
    assert chosen_tickers(None, "two", {"two": ["KO", "PEP"]}).tickers == ("KO", "PEP")
    with pytest.raises(TickerError, match="unknown ticker group"):
        chosen_tickers(None, "nothing")


def test_what_tickers_are_compared_with(tmp_path):
    source = price_source(load_settings(home=tmp_path))
    assert default_benchmark(source, "nasdaq100", ()) == "^NDX"
    assert default_benchmark(source, None, ("AAPL", "KO")) == "^GSPC"
    assert default_benchmark(source, None, ("005930.KS",)) == "^KS11"
    assert default_benchmark(source, None, ("AAPL", "005930.KS")) is None
    assert default_benchmark(price_source(load_settings(home=tmp_path), group="demo"), "demo", ()) == "^DEMO"


MONDAY_NOON = dt.datetime(2024, 6, 3, 16, 0, tzinfo=dt.UTC)


def test_the_last_finished_session():
    friday, monday = dt.date(2024, 5, 31), dt.date(2024, 6, 3)
    assert last_session(("AAPL",), MONDAY_NOON) == friday, "New York is open"
    assert last_session(("AAPL",), MONDAY_NOON.replace(hour=21)) == monday
    assert last_session(("005930.KS",), MONDAY_NOON) == monday, "Seoul has closed"
    assert last_session(("AAPL", "005930.KS"), MONDAY_NOON) == friday
    assert last_session(("AAPL",), dt.datetime(2024, 6, 1, 12, tzinfo=dt.UTC)) == friday, "a Saturday"


def test_days_left_open_are_filled_in(tmp_path):
    source = price_source(load_settings(home=tmp_path))
    asked = {"tickers": ("AAPL",), "years": 5}
    assert period(source, None, None, MONDAY_NOON, **asked) == (dt.date(2019, 5, 31), dt.date(2024, 5, 31))
    leap = dt.date(2024, 2, 29)
    assert period(source, None, leap, MONDAY_NOON, **asked) == (dt.date(2019, 2, 28), leap)
    start = dt.date(2020, 1, 1)
    assert period(source, start, start, MONDAY_NOON, **asked) == (start, start)
    file = price_source(settings_of(tmp_path))
    assert period(file, FIRST, None, MONDAY_NOON, **asked) == (FIRST, LAST)


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        (dt.date(2031, 1, 1), None, "start 2031-01-01 lies in the future"),
        (None, dt.date(2031, 1, 1), "end 2031-01-01 lies in the future"),
        (dt.date(2024, 6, 3), None, "end 2024-05-31 lies before the start"),
    ],
)
def test_days_that_make_no_sense_are_refused(tmp_path, start, end, words):
    source = price_source(load_settings(home=tmp_path))
    with pytest.raises(ProblemError, match=words):
        period(source, start, end, MONDAY_NOON, tickers=("AAPL",), years=5)


def test_a_short_ticker_is_there_for_the_days_it_has(tmp_path):
    found = market_bars(price_source(settings_of(tmp_path)), (SHORT,), FIRST, LAST, now=NOW)
    assert found.bars.height == 20
    assert not found.failures
