from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from finpipe.market.daily_bars import BarBatch, BarRequest, Progress, ProviderError, adjusted_closes
from finpipe.market.demo_bars import DemoBars, demo_group
from finpipe.market.price_history import PriceHistory
from finpipe.market.price_update import SAME
from finpipe.market.quarantine import Quarantine
from finpipe.market.yahoo import YahooBars
from finpipe_tests.yahoo_server import Answer, yahoo_server

START = dt.date(2023, 1, 3)
FEW = ("COM01", "DIS06", "FIN01", "TEC02")


def evening(day: str) -> dt.datetime:
    """Well after the close in New York, on the day after by the clock of Greenwich."""
    return dt.datetime.fromisoformat(day).replace(tzinfo=dt.UTC) + dt.timedelta(hours=26)


def request(end: str, tickers: tuple[str, ...] = FEW, start: dt.date = START) -> BarRequest:
    return BarRequest(tickers, start, dt.date.fromisoformat(end))


@dataclass
class Shelf:
    """A provider with bars of its own, restated as Yahoo does; it remembers what it was asked for."""

    bars: pl.DataFrame
    dead: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[tuple[str, ...], dt.date, dt.date]] = field(default_factory=list)
    name: str = "shelf"

    def fetch(self, request: BarRequest, progress: Progress | None = None) -> BarBatch:
        self.asked.append((request.tickers, request.start, request.end))
        alive = [ticker for ticker in request.tickers if ticker not in self.dead]
        bars = self.bars.filter(
            pl.col("ticker").is_in(alive), pl.col("date").is_between(request.start, request.end)
        )
        if progress:
            progress(len(request.tickers), len(request.tickers))
        return BarBatch(bars, {t: self.dead[t] for t in request.tickers if t in self.dead})


@pytest.fixture(scope="module")
def market() -> pl.DataFrame:
    return DemoBars().fetch(BarRequest(demo_group().tickers, dt.date(2022, 1, 3), dt.date(2024, 6, 28))).bars


@pytest.fixture
def history(tmp_path: Path) -> PriceHistory:
    return PriceHistory(tmp_path / "prices.duckdb")


def scaled(bars: pl.DataFrame, day: str) -> pl.DataFrame:
    """Bars as known at the close of a day: adjusted closes reach no further."""
    known = bars.filter(pl.col("date") <= dt.date.fromisoformat(day))
    return known.with_columns(adjusted_closes(known))


def within(bars: pl.DataFrame, tickers: tuple[str, ...] = FEW, start: dt.date = START) -> pl.DataFrame:
    return bars.filter(pl.col("ticker").is_in(tickers), pl.col("date") >= start)


def test_the_first_update_fetches_all_and_the_second_nothing(history, market):
    shelf = Shelf(scaled(market, "2024-03-01"))
    report = history.update(shelf, request("2024-03-01"), evening("2024-03-01"))
    assert report.counts == {"new": 4}
    assert report.frame["bars"].sum() == history.read().height
    assert history.read().equals(within(shelf.bars))
    told: list[tuple[int, int]] = []
    report = history.update(
        shelf, request("2024-03-01"), evening("2024-03-03"), lambda *done: told.append(done)
    )
    assert report.counts == {"current": 4}, "a weekend brings no bars"
    assert len(shelf.asked) == 1
    assert told == [(4, 4)]


def test_only_the_tail_is_fetched_with_one_overlapping_day(history, market):
    quiet = ("COM01", "FIN01")
    days = market.filter(pl.col("ticker") == "COM01", pl.col("date") > dt.date(2024, 3, 1))
    paid = market.filter(pl.col("ticker").is_in(quiet), pl.col("dividend") > 0)["date"].to_list()
    first, second = next(
        (str(a), str(b))
        for a, b in zip(days["date"], days["date"][3:], strict=False)
        if not any(a < day <= b for day in paid)
    )
    shelf = Shelf(scaled(market, first))
    history.update(shelf, request(first, quiet), evening(first))
    shelf.bars = scaled(market, second)
    report = history.update(shelf, request(second, quiet), evening(second))
    assert report.counts == {"extended": 2}
    assert shelf.asked[-1] == (quiet, dt.date.fromisoformat(first), dt.date.fromisoformat(second))
    assert report.frame["bars"].to_list() == [4, 4], "three new days and the overlap"
    assert history.read().drop("adjusted_close").equals(within(shelf.bars, quiet).drop("adjusted_close"))
    np.testing.assert_allclose(
        history.read()["adjusted_close"], within(shelf.bars, quiet)["adjusted_close"], rtol=SAME
    )


def test_a_dividend_between_two_fetches_brings_the_whole_ticker_anew(history, market):
    paid = market.filter(pl.col("ticker") == "TEC02", pl.col("dividend") > 0)["date"][-2]
    before, after = str(paid - dt.timedelta(days=4)), str(paid + dt.timedelta(days=4))
    shelf = Shelf(scaled(market, before))
    history.update(shelf, request(before, ("TEC02",)), evening(before))
    shelf.bars = scaled(market, after)
    report = history.update(shelf, request(after, ("TEC02",)), evening(after))
    assert report.counts == {"refetched": 1}
    assert "adjusted close of" in report.frame["reason"][0]
    assert history.read().equals(within(shelf.bars, ("TEC02",)))


def test_if_the_whole_cannot_be_had_the_old_bars_stay_as_they_are(history, market):
    paid = market.filter(pl.col("ticker") == "TEC02", pl.col("dividend") > 0)["date"][-2]
    before, after = str(paid - dt.timedelta(days=4)), str(paid + dt.timedelta(days=4))
    shelf = Shelf(scaled(market, before))
    history.update(shelf, request(before), evening(before))
    held = history.read(["TEC02"])

    class Tired(Shelf):
        def fetch(self, request: BarRequest, progress: Progress | None = None) -> BarBatch:
            self.dead = {"TEC02": "tired"} if request.start == START else {}
            return super().fetch(request, progress)

    report = history.update(Tired(scaled(market, after)), request(after), evening(after))
    assert report.failures == {"TEC02": "tired"}
    assert history.read(["TEC02"]).equals(held)
    assert history.read(["COM01"])["date"][-1] > held["date"][-1], "the others went on"


def test_an_earlier_start_fetches_whole_but_a_late_listing_is_not_asked_for_again(history, market):
    shelf = Shelf(scaled(market, "2024-03-01"))
    late = ("DIS06",)
    history.update(shelf, request("2024-03-01", late), evening("2024-03-01"))
    assert history.coverage()["first"][0] == dt.date(2023, 3, 1)
    assert history.update(shelf, request("2024-03-01", late), evening("2024-03-01")).counts == {"current": 1}
    earlier = request("2024-03-01", late, dt.date(2022, 6, 1))
    report = history.update(shelf, earlier, evening("2024-03-01"))
    assert report.counts == {"refetched": 1}
    assert report.frame["reason"][0] == "wanted from 2022-06-01 on"
    assert history.update(shelf, earlier, evening("2024-03-01")).counts == {"current": 1}
    assert len(shelf.asked) == 2


def test_a_bar_of_a_running_session_is_fetched_again(history, market):
    shelf = Shelf(scaled(market, "2024-03-05"))
    noon = dt.datetime(2024, 3, 5, 17, tzinfo=dt.UTC)
    running = (pl.col("date") == dt.date(2024, 3, 5)) & (pl.col("ticker") == "COM01")
    unfinished = shelf.bars.with_columns(
        pl.when(running).then(pl.col("close") * 1.01).otherwise("close").alias("close")
    )
    history.update(Shelf(unfinished), request("2024-03-05"), noon)
    report = history.update(shelf, request("2024-03-05"), noon + dt.timedelta(hours=5))
    assert report.counts == {"extended": 4}, "a moving last bar is no corporate action"
    assert history.read().equals(within(shelf.bars))


def test_refresh_fetches_everything_again(history, market):
    shelf = Shelf(scaled(market, "2024-03-01"))
    history.update(shelf, request("2024-03-01"), evening("2024-03-01"))
    # A correction of the distant past leaves the overlapping day alone.
    corrected = pl.when(pl.col("date") == dt.date(2023, 5, 3)).then(pl.col("volume") + 1).otherwise("volume")
    shelf.bars = shelf.bars.with_columns(corrected.alias("volume"))
    assert history.update(shelf, request("2024-03-01"), evening("2024-03-01")).counts == {"current": 4}
    assert history.update(shelf, request("2024-03-01"), evening("2024-03-01"), refresh=True).counts == {
        "refetched": 4
    }
    assert history.read().equals(within(shelf.bars))


def test_failures_are_reported_and_cost_nothing_valid(history, market):
    shelf = Shelf(scaled(market, "2024-03-01"), {"XX": "unknown"})
    report = history.update(shelf, request("2024-03-01", (*FEW, "XX", "YY")), evening("2024-03-01"))
    assert report.counts == {"new": 4, "failed": 2}
    assert report.failures == {"XX": "unknown", "YY": "shelf returned no bars and no reason"}
    row = report.frame.filter(pl.col("ticker") == "XX").row(0, named=True)
    assert (row["bars"], row["first"], row["reason"]) == (0, None, "unknown")


def test_the_future_is_not_asked_for(history, market):
    shelf = Shelf(scaled(market, "2024-03-01"))
    history.update(shelf, request("2030-01-01"), evening("2024-03-01"))
    assert shelf.asked[0][2] == dt.date(2024, 3, 2)
    with pytest.raises(ProviderError, match="lies in the future; today is 2024-03-02"):
        history.update(shelf, request("2030-01-01", start=dt.date(2025, 1, 1)), evening("2024-03-01"))
    with pytest.raises(ProviderError, match="no time zone"):
        history.update(shelf, request("2024-03-01"), dt.datetime(2024, 3, 1))  # noqa: DTZ001


def test_a_split_between_two_fetches_from_yahoo(history, market, tmp_path):
    when = dt.date(2024, 5, 15)
    row = (pl.col("ticker") == "FIN01") & (pl.col("date") == when)
    after = (pl.col("ticker") == "FIN01") & (pl.col("date") >= when)
    split = market.with_columns(
        *(
            pl.when(after).then(pl.col(name) / 4).otherwise(name).alias(name)
            for name in ("open", "high", "low", "close")
        ),
        pl.when(row).then(4.0).otherwise("split_ratio").alias("split_ratio"),
    )
    split = split.with_columns(adjusted_closes(split))
    with yahoo_server(split, today=dt.date(2024, 5, 13)) as server:
        yahoo = YahooBars(mirror=server.url, quarantine=Quarantine(tmp_path / "q.json"))
        first = history.update(yahoo, request("2024-05-13", (*FEW, "DEAD")), evening("2024-05-13"))
        assert first.counts == {"new": 4, "failed": 1}
        server.restate(split, dt.date(2024, 5, 17))
        asked = server.charts()
        second = history.update(yahoo, request("2024-05-17", (*FEW, "DEAD")), evening("2024-05-17"))
        assert second.counts == {"extended": 3, "refetched": 1, "failed": 1}
        assert server.charts() == asked + 5, "three tails, FIN01 twice, the dead one not at all"
        assert server.charts("DEAD") == 4
        # The charts of the tails began with the overlapping day, give or take the zone.
        tail = [a for a in server.asked if a.path.endswith("COM01")][-1]
        began = dt.datetime.fromtimestamp(int(tail.parameters["period1"]), dt.UTC).date()
        assert dt.date(2024, 5, 12) <= began <= dt.date(2024, 5, 13)
    held = history.read()
    wanted = within(split).filter(pl.col("date") <= dt.date(2024, 5, 17))
    assert held.select("ticker", "date", "volume").equals(wanted.select("ticker", "date", "volume"))
    for name in ("open", "high", "low", "close", "dividend", "split_ratio"):
        np.testing.assert_allclose(held[name], wanted[name], rtol=1e-6)
    own = held.filter(pl.col("ticker") == "FIN01")
    growth = own["adjusted_close"][-1] / own["adjusted_close"][-4]
    assert growth == pytest.approx(own["close"][-1] * 4 / own["close"][-4], rel=0.05)


def test_bad_answers_leave_what_is_held(history, market):
    with yahoo_server(market, today=dt.date(2024, 5, 13)) as server:
        yahoo = YahooBars(mirror=server.url, tries=1)
        history.update(yahoo, request("2024-05-13"), evening("2024-05-13"))
        held = history.read()
        server.restate(market, dt.date(2024, 5, 14))
        server.answer("*", Answer(cut=0.5))
        report = history.update(yahoo, request("2024-05-14"), evening("2024-05-14"))
    assert report.counts == {"failed": 4}
    assert all("not a chart" in reason for reason in report.failures.values())
    assert history.read().equals(held)
