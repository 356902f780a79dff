from __future__ import annotations

import datetime as dt
import json
import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.utils import format_datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from finpipe.market.daily_bars import BAR_SCHEMA, BarRequest, adjusted_closes
from finpipe.market.demo_bars import DEMO_INDEX, DemoBars, demo_group
from finpipe.market.parquet_bars import read_bars
from finpipe.market.quarantine import Quarantine
from finpipe.market.yahoo import READERS, YahooBars
from finpipe_tests.yahoo_server import HTML, NOT_FOUND, Answer, YahooServer, yahoo_server

START, END = dt.date(2019, 11, 20), dt.date(2024, 6, 28)
FEW = ("COM01", "DIS06", "ENE04", "FIN01", "TEC02", DEMO_INDEX)
TOO_MANY = Answer(429, b"Too Many Requests")


@pytest.fixture(scope="module")
def market() -> pl.DataFrame:
    """The demo market up to a day after the end of what the tests ask for."""
    return (
        DemoBars().fetch(BarRequest((*demo_group().tickers, DEMO_INDEX), START, dt.date(2024, 11, 20))).bars
    )


@pytest.fixture
def yahoo(market) -> Iterator[YahooServer]:
    with yahoo_server(market) as server:
        yield server


@dataclass
class FastClock:
    """A clock whose sleep only moves the hands; they move by themselves, too."""

    slept: list[float] = field(default_factory=list)
    ahead: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def now(self) -> dt.datetime:
        return dt.datetime(2024, 11, 21, tzinfo=dt.UTC)

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead

    def sleep(self, seconds: float) -> None:
        with self.lock:
            self.slept.append(seconds)
            self.ahead += seconds


def provider(server: YahooServer, **options: object) -> YahooBars:
    return YahooBars(mirror=server.url, **{"clock": FastClock(), "jitter": lambda: 0.0, **options})


def expected(market: pl.DataFrame, tickers: tuple[str, ...]) -> pl.DataFrame:
    return market.filter(pl.col("ticker").is_in(tickers), pl.col("date").is_between(START, END))


def assert_same_bars(got: pl.DataFrame, wanted: pl.DataFrame) -> None:
    """Equal but for the last digits, and for the scale of adjusted closes, which each source sets as it likes."""
    assert got.schema == BAR_SCHEMA
    exact = ("ticker", "date", "volume")
    assert got.select(exact).equals(wanted.select(exact))
    for name in ("open", "high", "low", "close", "dividend", "split_ratio"):
        np.testing.assert_allclose(got[name], wanted[name], rtol=1e-6, err_msg=name)
    scale = pl.col("adjusted_close") / pl.col("adjusted_close").last().over("ticker")
    np.testing.assert_allclose(got.select(scale).to_series(), wanted.select(scale).to_series(), rtol=1e-6)


def test_bars_come_back_as_traded_through_splits_and_dividends(yahoo, market):
    told: list[tuple[int, int]] = []
    batch = provider(yahoo).fetch(BarRequest(FEW, START, END), lambda *done: told.append(done))
    assert batch.failures == {}
    assert batch.notices == ()
    assert_same_bars(batch.bars, expected(market, FEW))
    assert told[-1] == (6, 6)
    assert (batch.bars["split_ratio"] != 1).any(), "the test has a split in it"
    first = batch.bars.filter(pl.col("ticker") == "DIS06")["date"][0]
    assert first == dt.date(2023, 3, 1), "listed midway"


def test_a_split_after_the_end_does_not_change_what_was_traded(yahoo, market):
    split = market.filter(pl.col("split_ratio") != 1, pl.col("date") > dt.date(2020, 6, 1)).row(0, named=True)
    end = split["date"] - dt.timedelta(days=1)
    bars = provider(yahoo).fetch(BarRequest((split["ticker"],), START, end)).bars
    traded = market.filter(pl.col("ticker") == split["ticker"], pl.col("date") <= end)
    np.testing.assert_allclose(bars["close"], traded["close"], rtol=1e-9)
    assert bars["date"][-1] == traded["date"][-1]


def test_one_cookie_one_crumb_and_few_connections_serve_a_whole_fetch(yahoo):
    tickers = tuple(ticker for ticker in demo_group().tickers if ticker not in {"ENE04", "FIN08"})[:40]
    batch = provider(yahoo, threads=4, batch_size=7).fetch(BarRequest(tickers, dt.date(2024, 6, 3), END))
    assert batch.bars["ticker"].n_unique() == 40
    hosts = [asked.host for asked in yahoo.asked]
    assert hosts.count("fc.yahoo.com") == 1
    assert sum(asked.path == "/v1/test/getcrumb" for asked in yahoo.asked) == 1
    assert yahoo.charts() == 40, "a ticker costs one request"
    charts = [asked for asked in yahoo.asked if asked.path.startswith("/v8/")]
    assert all(asked.cookie and asked.parameters["crumb"] == yahoo.crumb for asked in charts)
    assert {asked.parameters["events"] for asked in charts} == {"div,splits,capitalGains"}
    assert len({asked.connection for asked in charts}) <= 4 * READERS


def test_an_outdated_crumb_is_renewed(yahoo, market):
    first = provider(yahoo)
    first.fetch(BarRequest(FEW[:2], START, END))
    yahoo.crumb = "another.crumb"
    batch = provider(yahoo).fetch(BarRequest(FEW, START, END))
    assert_same_bars(batch.bars, expected(market, FEW))


def test_without_cookie_and_crumb_charts_still_come(yahoo, market):
    yahoo.strict = False
    yahoo.answer("/cookie", Answer(delay=5.0))
    yahoo.answer("/crumb", Answer(delay=5.0))
    yahoo.answer("/consent", Answer(delay=5.0))
    began = time.monotonic()
    batch = provider(yahoo, request_seconds=0.2).fetch(BarRequest(FEW, START, END))
    assert_same_bars(batch.bars, expected(market, FEW))
    assert time.monotonic() - began < 3.0, "what does not answer is asked once"
    assert any("yfinance logged" in notice and "warning" in notice for notice in batch.notices)


def test_too_many_requests_are_followed_by_growing_waits(yahoo, market):
    yahoo.answer("FIN01", TOO_MANY, times=4)  # yfinance itself asks twice
    clock = FastClock()
    batch = provider(yahoo, clock=clock, threads=1).fetch(BarRequest(FEW, START, END))
    assert_same_bars(batch.bars, expected(market, FEW))
    assert clock.slept == pytest.approx([0.5, 1.0], abs=0.05)
    assert any("waited 2 times before asking again (2 limited)" in notice for notice in batch.notices)


def test_jitter_lies_between_half_and_the_whole_wait(yahoo):
    yahoo.answer("FIN01", TOO_MANY, times=2)
    clock = FastClock()
    provider(yahoo, clock=clock, threads=1, jitter=lambda: 0.5, backoff_seconds=8.0).fetch(
        BarRequest(("FIN01",), START, END)
    )
    assert clock.slept == pytest.approx([6.0], abs=0.05)


@pytest.mark.parametrize("as_date", [False, True])
def test_the_wait_that_yahoo_asks_for_is_kept(yahoo, market, as_date):
    soon = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=20)
    wait = format_datetime(soon, usegmt=True) if as_date else "20"
    yahoo.answer("FIN01", Answer(429, b"", {"Retry-After": wait}), times=2)
    clock = FastClock()
    batch = provider(yahoo, clock=clock, threads=1).fetch(BarRequest(FEW, START, END))
    assert_same_bars(batch.bars, expected(market, FEW))
    assert sum(clock.slept) == pytest.approx(20.0, abs=1.5)


def test_a_wait_beyond_the_deadline_ends_the_fetch_with_a_reason(yahoo):
    yahoo.answer("*", Answer(429, b"", {"Retry-After": "3600"}))
    clock = FastClock()
    batch = provider(yahoo, clock=clock, batch_size=5, threads=2).fetch(
        BarRequest(demo_group().tickers, START, END)
    )
    assert batch.bars.is_empty()
    assert set(batch.failures) == set(demo_group().tickers)
    assert clock.slept == [], "nobody waits an hour"
    assert yahoo.charts() <= 8
    reasons = " ".join(batch.failures.values())
    assert "Yahoo asks to wait 3600 s" in reasons
    assert "not tried: two batches had no answer" in reasons


@pytest.mark.parametrize("status", [500, 502, 503])
def test_errors_of_the_server_pass(yahoo, market, status):
    yahoo.answer("TEC02", Answer(status, HTML), times=4)
    batch = provider(yahoo).fetch(BarRequest(FEW, START, END))
    assert_same_bars(batch.bars, expected(market, FEW))


def test_a_lasting_error_of_one_ticker_leaves_the_others_whole(yahoo, market):
    yahoo.answer("TEC02", Answer(503, b"Service Unavailable"))
    batch = provider(yahoo, tries=2).fetch(BarRequest(FEW, START, END))
    assert batch.failures == {"TEC02": "Yahoo is out of order (503)"}
    assert_same_bars(batch.bars, expected(market, tuple(set(FEW) - {"TEC02"})))


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(200, HTML), "the answer is not a chart: '<!DOCTYPE html>"),
        (Answer(cut=0.6), 'the answer is not a chart: \'{"chart": {"result"'),
        (Answer(200, b""), "the answer is not a chart: '(nothing)'"),
        (
            Answer(200, b'{"chart": {"result": [{"meta": {}}], "error": null}}'),
            "the chart cannot be read: KeyError",
        ),
        (Answer(200, b"[]"), "the answer is not a chart: '[]'"),
        (Answer(hang_up=True), "no connection to Yahoo"),
        (Answer(200, b"Will be right back"), "Yahoo is out of order"),
        (Answer(403, b"no"), "Yahoo refuses the request (403)"),
    ],
)
def test_what_is_no_chart_fails_in_words_and_passes_when_it_passes(yahoo, market, answer, reason):
    yahoo.answer("COM01", answer)
    yahoo.answer("FIN01", answer, times=1)
    batch = provider(yahoo, tries=2).fetch(BarRequest(("COM01", "FIN01", "TEC02"), START, END))
    assert list(batch.failures) == ["COM01"]
    assert batch.failures["COM01"].startswith(reason)
    assert_same_bars(batch.bars, expected(market, ("FIN01", "TEC02")))


def test_a_server_that_hangs_holds_nobody_beyond_the_deadline(yahoo, market):
    for ticker in ("COM01", "FIN01"):
        yahoo.answer(ticker, Answer(delay=30.0))
    began = time.monotonic()
    batch = provider(yahoo, threads=2, batch_seconds=1.0, request_seconds=0.4, tries=9).fetch(
        BarRequest(FEW, START, END)
    )
    assert time.monotonic() - began < 4.0
    assert batch.failures == {"COM01": "no answer in time", "FIN01": "no answer in time"}
    assert_same_bars(batch.bars, expected(market, tuple(set(FEW) - {"COM01", "FIN01"})))


def test_a_server_that_hangs_for_all_is_given_up_after_two_batches(yahoo):
    yahoo.answer("*", Answer(delay=30.0))
    began = time.monotonic()
    batch = provider(yahoo, batch_size=4, batch_seconds=0.5, request_seconds=30.0).fetch(
        BarRequest(demo_group().tickers, START, END)
    )
    assert time.monotonic() - began < 4.0
    assert len(batch.failures) == 61
    assert sum(reason.startswith("not tried") for reason in batch.failures.values()) == 61 - 8


def test_nobody_listening_is_told():
    with yahoo_server(pl.DataFrame(schema=BAR_SCHEMA)) as gone:
        pass
    batch = provider(gone, tries=1).fetch(BarRequest(("AAPL",), START, END))
    assert batch.failures["AAPL"].startswith("no connection to Yahoo")


def test_missing_tickers_come_at_the_second_try(yahoo, market):
    yahoo.answer("COM01", Answer(404, NOT_FOUND), times=2)
    batch = provider(yahoo).fetch(BarRequest(FEW, START, END))
    assert_same_bars(batch.bars, expected(market, FEW))
    assert "yahoo: 1 of 1 missing tickers came at the second try" in batch.notices


def test_a_delisted_ticker_keeps_its_past_and_an_empty_range_says_so(yahoo):
    batch = provider(yahoo).fetch(BarRequest(("ENE04", "FIN01"), dt.date(2023, 1, 3), END))
    assert batch.bars.filter(pl.col("ticker") == "ENE04")["date"][-1] == dt.date(2023, 11, 10)
    batch = provider(yahoo).fetch(BarRequest(("ENE04", "FIN01"), dt.date(2024, 1, 3), END))
    assert set(batch.bars["ticker"]) == {"FIN01"}
    assert batch.failures["ENE04"].startswith("Data doesn't exist for startDate")
    batch = provider(yahoo).fetch(BarRequest(("FIN08", "FIN01"), dt.date(2024, 1, 3), END))
    assert batch.failures == {"FIN08": "no bars from 2024-01-03 to 2024-06-28"}, "listed after the end"


def test_dead_tickers_cost_requests_once(yahoo, tmp_path):
    quarantine = Quarantine(tmp_path / "q.json")
    clock = FastClock()
    source = provider(yahoo, quarantine=quarantine, clock=clock)
    request = BarRequest(("DEAD", "COM01", "GONE"), START, END)
    batch = source.fetch(request)
    assert batch.failures == dict.fromkeys(["DEAD", "GONE"], "No data found, symbol may be delisted")
    assert any("in quarantine until 2024-12-05: DEAD, GONE" in notice for notice in batch.notices)
    asked = yahoo.charts()
    batch = source.fetch(request)
    assert yahoo.charts() == asked + 1, "only COM01 was asked for"
    assert batch.failures["GONE"] == "in quarantine until 2024-12-05: No data found, symbol may be delisted"
    assert quarantine.kept(clock.now() + dt.timedelta(days=15)) == {}


def test_passing_failures_and_empty_ranges_are_not_quarantined(yahoo, tmp_path):
    quarantine = Quarantine(tmp_path / "q.json")
    yahoo.answer("COM01", Answer(200, HTML))
    yahoo.answer("FIN01", TOO_MANY)
    provider(yahoo, quarantine=quarantine, tries=1).fetch(
        BarRequest(("COM01", "FIN01", "FIN08", "TEC02"), START, END)
    )
    assert quarantine.kept(FastClock().now()) == {}


def test_when_all_seem_dead_nobody_is_quarantined(yahoo, tmp_path):
    yahoo.answer("*", Answer(404, NOT_FOUND))
    quarantine = Quarantine(tmp_path / "q.json")
    batch = provider(yahoo, quarantine=quarantine).fetch(BarRequest(demo_group().tickers, START, END))
    assert len(batch.failures) == 61
    assert quarantine.kept(FastClock().now()) == {}
    assert any("too many to believe" in notice for notice in batch.notices)


def test_days_without_a_price_are_left_out_and_their_events_move_on(yahoo, market):
    from finpipe_tests.yahoo_server import _chart, _shown

    shown = _shown(market, "TEC02", END)
    chart = _chart("TEC02", shown, shown)
    paid = shown.with_row_index().filter(pl.col("dividend") > 0)["index"][3]
    result = chart["chart"]["result"][0]
    for name in ("open", "high", "low", "close", "volume"):
        result["indicators"]["quote"][0][name][paid] = None
    result["indicators"]["adjclose"][0]["adjclose"][paid] = None
    yahoo.answer("TEC02", Answer(200, json.dumps(chart).encode()))
    batch = provider(yahoo).fetch(BarRequest(("TEC02",), START, END))
    own = expected(market, ("TEC02",))
    assert batch.bars.height == own.height - 1
    assert "1 days without a price left out: TEC02" in batch.notices[0]
    assert batch.bars["dividend"].sum() == pytest.approx(own["dividend"].sum())
    assert batch.bars["dividend"][paid] > 0


def test_yfinance_speaks_to_the_counter_only(yahoo, capfd, caplog):
    log = logging.getLogger("yfinance")
    before = (log.handlers[:], log.propagate)
    yahoo.answer("/crumb", Answer(429, b"Too Many Requests"))
    yahoo.strict = False
    batch = provider(yahoo).fetch(BarRequest(("DEAD", "COM01"), START, END))
    assert any("yfinance logged" in notice for notice in batch.notices)
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []
    assert (log.handlers[:], log.propagate) == before


@pytest.fixture(scope="module")
def real(shared_data: Path) -> pl.DataFrame:
    return read_bars(shared_data / "us" / "sp500_daily_2010_2016.parquet")[0]


def test_real_bars_with_splits_and_dividends_come_back_as_traded(real):
    tickers = ("AAPL", "C", "GOOGL", "KO", "MSI", "NFLX", "WY")
    wanted = real.filter(pl.col("ticker").is_in(tickers))
    with yahoo_server(real) as server:
        batch = provider(server).fetch(BarRequest(tickers, dt.date(2010, 1, 1), dt.date(2016, 12, 31)))
    assert batch.failures == {}
    assert_same_bars(batch.bars, wanted)


def test_the_eight_real_error_bodies_fail_in_words(real, shared_data):
    bodies = {file.stem: file.read_bytes() for file in (shared_data / "us" / "api_error_bodies").iterdir()}
    assert len(bodies) == 8
    with yahoo_server(real) as server:
        for ticker, body in bodies.items():
            server.answer(ticker, Answer(404, body))
        batch = provider(server).fetch(
            BarRequest(("KO", *bodies), dt.date(2016, 1, 1), dt.date(2016, 12, 31))
        )
        with_200 = next(iter(bodies))
        server.answer(with_200, Answer(200, bodies[with_200]))
        other = provider(server, tries=1).fetch(
            BarRequest((with_200,), dt.date(2016, 1, 1), dt.date(2016, 12, 31))
        )
    assert set(batch.failures) == set(bodies)
    assert set(batch.bars["ticker"]) == {"KO"}
    assert all("QECx02" in reason and "not found (404)" in reason for reason in batch.failures.values())
    assert "the answer is not a chart" in other.failures[with_200]


def test_five_hundred_tickers_at_once_with_34_dead_among_them(real, tmp_path):
    alive = real["ticker"].unique().sort().to_list()[:466]
    dead = [f"DEAD{i}" for i in range(34)]
    start, end = dt.date(2016, 11, 1), dt.date(2016, 12, 31)
    with yahoo_server(real.filter(pl.col("date") >= start)) as server:
        source = provider(server, quarantine=Quarantine(tmp_path / "q.json"))
        batch = source.fetch(BarRequest((*alive, *dead), start, end))
        again = server.charts()
        source.fetch(BarRequest((*alive[:5], *dead), start, end))
        assert server.charts() == again + 5
    assert set(batch.failures) == set(dead)
    assert_same_bars(batch.bars, real.filter(pl.col("ticker").is_in(alive), pl.col("date") >= start))


def test_a_different_dividend_history_changes_adjusted_closes_alone(market):
    own = expected(market, ("FIN01",))
    paid = own.with_columns(
        pl.when(pl.col("date") == dt.date(2023, 5, 10)).then(1.0).otherwise("dividend").alias("dividend")
    )
    paid = paid.with_columns(adjusted_closes(paid))
    with yahoo_server(paid) as server:
        bars = provider(server).fetch(BarRequest(("FIN01",), START, END)).bars
    assert_same_bars(bars, paid)
    assert bars["close"].to_list() == pytest.approx(own["close"].to_list())
    assert bars["adjusted_close"][0] < own["adjusted_close"][0] * own["close"][-1] / own["adjusted_close"][-1]
