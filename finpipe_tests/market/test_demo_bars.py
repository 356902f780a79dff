from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest

from finpipe.market.daily_bars import BarRequest, adjusted_closes, bar_faults, require_valid_bars
from finpipe.market.demo_bars import (
    DELISTED,
    DEMO_INDEX,
    FIRST_DAY,
    LISTED,
    DemoBars,
    demo_group,
    demo_sessions,
)
from finpipe.market.exchanges import exchange_sessions

END = dt.date(2025, 6, 30)


@pytest.fixture(scope="module")
def market() -> pl.DataFrame:
    return DemoBars().fetch(BarRequest((*demo_group().tickers, DEMO_INDEX), dt.date(2009, 1, 1), END)).bars


def test_the_market_is_valid_and_whole(market):
    require_valid_bars(market, "demo")
    assert bar_faults(market).is_empty()
    assert market["ticker"].n_unique() == len(demo_group().tickers) + 1
    sessions = exchange_sessions("XNYS", FIRST_DAY, END)
    assert (demo_sessions(END) == sessions).all()
    days = dict(market.group_by("ticker").len().iter_rows())
    assert days[DEMO_INDEX] == days["TEC01"] == len(sessions)


def test_listings_and_delistings_are_as_told(market):
    first = dict(market.group_by("ticker").agg(pl.col("date").min()).iter_rows())
    last = dict(market.group_by("ticker").agg(pl.col("date").max()).iter_rows())
    assert {ticker: first[ticker] for ticker in LISTED} == LISTED
    assert {ticker: last[ticker] for ticker in DELISTED} == DELISTED
    assert {first[t] for t in first if t not in LISTED} == {FIRST_DAY}
    assert {last[t] for t in last if t not in DELISTED} == {END}


def test_any_two_requests_agree_on_the_days_they_share(market):
    tickers = ("FIN01", "TEC08", "ENE04", DEMO_INDEX)
    part = DemoBars().fetch(BarRequest(tickers, dt.date(2021, 6, 1), dt.date(2022, 2, 11))).bars
    whole = market.filter(
        pl.col("ticker").is_in(tickers), pl.col("date").is_between(dt.date(2021, 6, 1), dt.date(2022, 2, 11))
    )
    assert part.drop("adjusted_close").equals(whole.drop("adjusted_close"))
    other = DemoBars(seed=11).fetch(BarRequest(("FIN01",), FIRST_DAY, dt.date(2011, 1, 1))).bars
    assert not other["close"].equals(market.filter(pl.col("ticker") == "FIN01")["close"][: other.height])


def test_it_looks_like_a_stock_market(market):
    stocks = market.filter(pl.col("ticker") != DEMO_INDEX)
    assert (stocks["split_ratio"] > 1).any()
    assert 0.005 < (stocks["dividend"] > 0).mean() < 0.02
    returns = market.select(
        "ticker", "date", change=pl.col("adjusted_close").log().diff().over("ticker")
    ).pivot(on="ticker", index="date", values="change")
    volatility = returns.select(pl.exclude("date").std() * 252**0.5).row(0)
    assert all(0.12 < each < 0.6 for each in volatility)
    near = returns.select(pl.corr("FIN01", "FIN02")).item()
    far = returns.select(pl.corr("FIN01", "UTI02")).item()
    assert 0.1 < far < near < 0.9
    moves = stocks.select(
        (pl.col("close") * pl.col("split_ratio") / pl.col("close").shift(1)).over("ticker").log()
    )
    assert moves.to_series().abs().max() < 0.5, "a split is no jump"


def test_adjusted_closes_follow_from_the_events(market):
    np.testing.assert_allclose(market["adjusted_close"], adjusted_closes(market), rtol=1e-9)


def test_strangers_and_empty_ranges_fail_by_name():
    asked: list[tuple[int, int]] = []
    batch = DemoBars().fetch(
        BarRequest(("TEC01", "AAPL", "TEC08"), dt.date(2015, 1, 1), dt.date(2015, 3, 1)),
        lambda *a: asked.append(a),
    )
    assert set(batch.bars["ticker"]) == {"TEC01"}
    assert batch.failures["AAPL"].startswith("the demo market has no AAPL; it has COM01")
    assert batch.failures["TEC08"] == "no bars of TEC08 from 2015-01-01 to 2015-03-01"
    assert asked[-1] == (3, 3)
    assert DemoBars().fetch(BarRequest(("TEC01",), dt.date(2001, 1, 1), dt.date(2002, 1, 1))).bars.is_empty()
