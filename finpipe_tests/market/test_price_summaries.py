from __future__ import annotations

import datetime as dt
import math

import polars as pl
import pytest

from finpipe.market.daily_bars import BAR_SCHEMA, BarRequest, ProviderError, no_bars
from finpipe.market.demo_bars import DemoBars
from finpipe.market.exchanges import exchange_sessions
from finpipe.market.price_summaries import SUMMARY_SCHEMA, summaries

FIRST, LAST = dt.date(2023, 10, 4), dt.date(2024, 5, 21)


@pytest.fixture(scope="module")
def bars() -> pl.DataFrame:
    demo = DemoBars().fetch(BarRequest(("TEC01", "ENE04", "FIN01"), FIRST, LAST)).bars
    # A split in the middle of a week, and the same stock on the Korean exchange.
    split = pl.when((pl.col("ticker") == "FIN01") & (pl.col("date") == dt.date(2024, 1, 10))).then(3.0)
    korean = demo.filter(pl.col("ticker") == "TEC01").with_columns(ticker=pl.lit("000001.KS"))
    whole = pl.concat([korean, demo.with_columns(split.otherwise("split_ratio").alias("split_ratio"))])
    return whole.sort("ticker", "date").select(BAR_SCHEMA.names())


def plain(bars: pl.DataFrame, every: str) -> list[dict[str, object]]:
    """The same by hand, a row at a time."""
    rows = []
    span = dt.date(2023, 9, 1), dt.date(2024, 6, 30)
    korean, american = exchange_sessions("XKRX", *span).tolist(), exchange_sessions("XNYS", *span).tolist()
    for ticker in bars["ticker"].unique().sort():
        periods: dict[dt.date, list[dict[str, object]]] = {}
        for row in bars.filter(pl.col("ticker") == ticker).iter_rows(named=True):
            day = row["date"]
            first = day - dt.timedelta(days=day.weekday()) if every == "week" else day.replace(day=1)
            periods.setdefault(first, []).append(row)
        for first, days in periods.items():
            end = (
                first + dt.timedelta(days=6) if every == "week" else (first + dt.timedelta(31)).replace(day=1)
            )
            end = end if every == "week" else end - dt.timedelta(days=1)
            factor = [math.prod(later["split_ratio"] for later in days[i + 1 :]) for i in range(len(days))]
            open_days = korean if ticker.endswith("KS") else american
            sessions = sum(first <= day <= end for day in open_days)
            rows.append(
                {
                    "ticker": ticker,
                    "period": first,
                    "date": days[-1]["date"],
                    "open": days[0]["open"] / factor[0],
                    "high": max(day["high"] / f for day, f in zip(days, factor, strict=True)),
                    "low": min(day["low"] / f for day, f in zip(days, factor, strict=True)),
                    "close": days[-1]["close"],
                    "volume": sum(round(day["volume"] * f) for day, f in zip(days, factor, strict=True)),
                    "adjusted_close": days[-1]["adjusted_close"],
                    "dividend": sum(day["dividend"] / f for day, f in zip(days, factor, strict=True)),
                    "split_ratio": math.prod(day["split_ratio"] for day in days),
                    "bars": len(days),
                    "sessions": sessions,
                    "partial": len(days) < sessions,
                }
            )
    return rows


@pytest.mark.parametrize("every", ["week", "month"])
def test_summaries_equal_a_plain_loop(bars, every):
    made = summaries(bars, every)
    assert made.schema == SUMMARY_SCHEMA
    for got, wanted in zip(made.to_dicts(), plain(bars, every), strict=True):
        assert list(got) == list(wanted)
        for name, value in got.items():
            exact = isinstance(value, str | dt.date | bool)
            assert value == (wanted[name] if exact else pytest.approx(wanted[name], rel=1e-12)), (name, got)


def test_partial_periods_are_flagged(bars):
    months = summaries(bars, "month")
    own = months.filter(pl.col("ticker") == "TEC01")
    assert own.filter("partial")["period"].to_list() == [dt.date(2023, 10, 1), dt.date(2024, 5, 1)]
    gone = months.filter(pl.col("ticker") == "ENE04")
    assert gone.select("period", "date", "partial").row(-1) == (
        dt.date(2023, 11, 1),
        dt.date(2023, 11, 10),
        True,
    )
    week = summaries(bars, "week").filter(
        pl.col("ticker") == "TEC01", pl.col("period") == dt.date(2024, 1, 1)
    )
    assert week.select("bars", "sessions", "partial").row(0) == (4, 4, False), "New Year is no session"


def test_other_periods_and_no_bars():
    assert summaries(no_bars(), "week").schema == SUMMARY_SCHEMA
    with pytest.raises(ProviderError, match="not by 'year'"):
        summaries(no_bars(), "year")
