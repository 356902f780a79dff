"""Bars that are not final are kept as the hours of their exchanges say."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from finpipe.cache.entry import NEVER, Entry
from finpipe.cache.request import Loaded, entry_of
from finpipe.market.daily_bars import BarRequest
from finpipe.market.demo_bars import DemoBars
from finpipe.market.price_history import PriceHistory
from finpipe.market.quarantine import Quarantine
from finpipe.portfolio.market_data import PriceSource
from finpipe.serve.expiry import LIVE, STALE, for_good, price_policy, soon
from finpipe.serve.history_view import HistoryViews
from finpipe.serve.prices import HistorySource, Wanted, price_request


def at(text: str) -> float:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC).timestamp()


@pytest.mark.parametrize(
    ("tickers", "fetched", "until"),
    [
        (("AAPL",), "2025-06-10 15:00", "2025-06-10 15:05"),  # New York trades from 13:30 to 20:00 in summer
        (("AAPL",), "2025-06-10 20:18", "2025-06-10 20:20"),  # it settles
        (("AAPL",), "2025-06-10 21:00", "2025-06-11 13:30"),
        (("AAPL",), "2025-06-13 21:00", "2025-06-16 13:30"),  # a weekend
        (("AAPL",), "2025-11-28 18:30", "2025-12-01 14:30"),  # an early close, then winter time
        (("005930.KS",), "2025-06-10 15:00", "2025-06-11 00:00"),
        (("005930.KS", "AAPL"), "2025-06-10 21:00", "2025-06-11 00:00"),  # Seoul opens first
        (("005930.KS", "AAPL"), "2025-06-10 15:00", "2025-06-10 15:05"),
    ],
)
def test_the_last_bar_is_right_until_trading_may_change_it(
    tickers: tuple[str, ...], fetched: str, until: str
) -> None:
    found = price_policy(tickers, dt.date(2025, 12, 31))(at(fetched))
    assert found.fresh_until == at(until)
    assert found.expires_at == at(until) + STALE


def test_final_bars_are_right_for_good_and_missing_ones_are_asked_for_soon() -> None:
    day = dt.date(2025, 6, 10)
    assert price_policy(("AAPL",), day)(at("2025-06-10 20:20")) == NEVER
    assert price_policy(("AAPL",), day)(at("2026-06-10 15:00")) == NEVER
    during = price_policy(("AAPL",), day)(at("2025-06-10 15:00"))
    assert during.expires_at < at("2025-06-10 20:20"), "a bar of a running session is never taken as final"
    assert for_good(0.0) == NEVER
    assert soon(1000.0).fresh_until == 1000 + LIVE


def test_a_bar_fetched_in_its_session_does_not_pass_for_the_final_one(tmp_path: Path) -> None:
    day = dt.date(2025, 6, 10)
    bars = DemoBars().fetch(BarRequest(("TEC01",), dt.date(2025, 6, 2), day)).bars
    history = PriceHistory(tmp_path / "prices.duckdb")
    source = PriceSource("yahoo", DemoBars(), history, Quarantine(tmp_path / "quarantine.json"))
    for fetched, final in (("2025-06-10 15:00", False), ("2025-06-10 21:00", True)):
        when = dt.datetime.fromisoformat(fetched).replace(tzinfo=dt.UTC)
        history.upsert(bars, when, asked={"TEC01": (dt.date(2025, 6, 2), day)})
        request = price_request(Wanted(source, None, "TEC01", dt.date(2025, 6, 3), day), "1")
        found = HistorySource(HistoryViews()).load([request])[request.key]
        assert isinstance(found, Loaded)
        assert found.as_of == when.timestamp()
        entry = entry_of(request, found, at("2025-06-12 12:00"))
        assert isinstance(entry, Entry)
        assert entry.is_usable(at("2025-06-12 12:00")) is final
