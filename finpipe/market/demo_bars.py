"""A synthetic US-like stock market as daily bars: the offline provider of demonstrations and tests.

Every number follows from the seed and the ticker, not from what is asked for, so that any two requests agree on the
days they share. The prices are made up and say nothing about any company.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Final
from zlib import crc32

import numpy as np
import polars as pl
from numpy.typing import NDArray

from finpipe.market.daily_bars import (
    BAR_SCHEMA,
    BarBatch,
    BarRequest,
    Progress,
    adjusted_closes,
    listed,
    no_bars,
)
from finpipe.market.exchanges import exchange_sessions
from finpipe.market.tickers import DEMO_GROUP, TickerGroup

Floats = NDArray[np.float64]
Days = NDArray[np.datetime64]

DEMO_INDEX: Final = "^DEMO"
"""The market's benchmark: its stocks weighted by capitalisation, without dividends. Not a member of the group."""

FIRST_DAY: Final = dt.date(2010, 1, 4)
"""The first session of the demo market."""

SECTORS: Final = {
    "COM": ("Communication Services", 5),
    "DIS": ("Consumer Discretionary", 6),
    "STA": ("Consumer Staples", 5),
    "ENE": ("Energy", 4),
    "FIN": ("Financials", 8),
    "HEA": ("Health Care", 7),
    "IND": ("Industrials", 7),
    "TEC": ("Information Technology", 8),
    "MAT": ("Materials", 4),
    "REA": ("Real Estate", 3),
    "UTI": ("Utilities", 4),
}
"""GICS sector and number of stocks by prefix of the ticker: ``TEC01`` is the first of the technology stocks."""

LISTED: Final = {
    "TEC08": dt.date(2021, 6, 15),
    "HEA07": dt.date(2022, 10, 3),
    "DIS06": dt.date(2023, 3, 1),
    "FIN08": dt.date(2024, 9, 16),
}
"""Stocks that came to the market after its first day."""

DELISTED: Final = {"ENE04": dt.date(2023, 11, 10)}
"""Stocks that left it, with their last day."""

_SPLIT_ABOVE, _SPLIT_BELOW = 300.0, 4.0
_YEAR = 252


@dataclass(frozen=True, slots=True)
class DemoBars:
    """Provider ``demo``: about sixty stocks of eleven sectors and their index, deterministic.

    Returns follow a market factor with changing volatility, a factor for each sector and the stock's own noise.
    Some stocks pay quarterly dividends; dear ones are split and cheap ones merged at the turn of a quarter; a few were
    listed late, one was delisted.

    Parameters
    ----------
    seed
        Another seed is another market of the same tickers.
    """

    seed: int = 10

    @property
    def name(self) -> str:
        """``demo``."""
        return "demo"

    def fetch(self, request: BarRequest, progress: Progress | None = None) -> BarBatch:
        """Bars of the request's demo tickers; a ticker outside the demo market fails."""
        days = demo_sessions(request.end)
        known = (*demo_group().tickers, DEMO_INDEX)
        failures = {
            ticker: f"the demo market has no {ticker}; it has {listed(known, 3)}"
            for ticker in request.tickers
            if ticker not in known
        }
        market = _Market(self.seed, days)
        frames = [no_bars()]
        for done, ticker in enumerate(request.tickers, 1):
            if ticker not in failures:
                bars = market.index() if ticker == DEMO_INDEX else market.stock(ticker)
                within = bars.filter(pl.col("date").is_between(request.start, request.end))
                if within.is_empty():
                    failures[ticker] = f"no bars of {ticker} from {request.start} to {request.end}"
                frames.append(within)
            if progress:
                progress(done, len(request.tickers))
        return BarBatch(pl.concat(frames).sort("ticker", "date"), failures)


def demo_group() -> TickerGroup:
    """The stocks of the demo market with their sectors."""
    sectors = {
        f"{prefix}{number:02d}": sector
        for prefix, (sector, count) in SECTORS.items()
        for number in range(1, count + 1)
    }
    return TickerGroup(DEMO_GROUP, tuple(sorted(sectors)), dict(sorted(sectors.items())))


def demo_sessions(end: dt.date) -> Days:
    """Sessions of the demo market up to ``end``, datetime64[D]: those of the New York exchange."""
    if end < FIRST_DAY:
        return np.empty(0, dtype="datetime64[D]")
    return exchange_sessions("XNYS", FIRST_DAY, end)


@dataclass(slots=True)
class _Market:
    seed: int
    days: Days

    def stock(self, ticker: str) -> pl.DataFrame:
        """Bars of a stock from its listing to its last day."""
        traits = self._draws(ticker, "traits", 8)
        first = np.searchsorted(self.days, np.datetime64(LISTED.get(ticker, FIRST_DAY)))
        last = np.searchsorted(self.days, np.datetime64(DELISTED.get(ticker, dt.date.max)), side="right")
        growth = np.exp(self._log_returns(ticker))
        volatility = 0.008 + 0.008 * _uniform(traits[0])
        turns = _quarter_turns(self.days)
        dividend_yield = max(0.0, 0.05 * _uniform(traits[1]) - 0.01)

        # Quarterly payers go ex-dividend on the same session of each quarter.
        ex = np.zeros(len(self.days), dtype=bool)
        payable = turns + 10 + int(40 * _uniform(traits[2]))
        ex[payable[(payable > first) & (payable < last)]] = True
        share = np.where(ex, dividend_yield / 4, 0.0)

        # The price as if never split; what it was split into so far follows at the turns of quarters.
        path = (20.0 + 130.0 * _uniform(traits[3])) * np.cumprod(growth * (1 - share))
        ratio = np.ones(len(self.days))
        shares = 1.0
        for turn in turns[(turns > first) & (turns < last)]:
            price = path[turn - 1] / shares
            ratio[turn] = 3.0 if price > _SPLIT_ABOVE else 0.2 if price < _SPLIT_BELOW else 1.0
            shares *= ratio[turn]
        total = np.cumprod(ratio)
        close = np.maximum(np.round(path / total, 2), 0.01)
        before = np.append(close[:1], close[:-1]) / ratio
        dividend = np.round(before * share, 4)
        opened = np.round((before - dividend) * np.exp(0.3 * volatility * self._draws(ticker, "open")), 2)
        opened = np.maximum(opened, 0.01)
        reach = volatility * np.abs(self._draws(ticker, "high"))
        depth = volatility * np.abs(self._draws(ticker, "low"))
        busy = np.exp(0.35 * self._draws(ticker, "volume") + 8 * np.abs(np.log(growth)))
        frame = pl.DataFrame(
            {
                "ticker": np.full(len(self.days), ticker),
                "date": self.days,
                "open": opened,
                "high": np.maximum(
                    np.round(np.maximum(opened, close) * np.exp(reach), 2), np.maximum(opened, close)
                ),
                "low": np.maximum(
                    np.minimum(np.round(np.minimum(opened, close) * np.exp(-depth), 2), close), 0.01
                ),
                "close": close,
                "volume": np.round((2 + 60 * _uniform(traits[4]) ** 3) * 1e8 / close * busy / 10).astype(
                    np.int64
                ),
                "dividend": dividend,
                "split_ratio": ratio,
            }
        )[first:last]
        return frame.with_columns(adjusted_closes(frame)).select(BAR_SCHEMA.names())

    def index(self) -> pl.DataFrame:
        """Bars of the index: the market's price return, weighted by capitalisation, from 1000 on."""
        tickers = demo_group().tickers
        stocks = pl.concat(self.stock(ticker) for ticker in tickers)
        weight = {ticker: float(np.exp(self._draws(ticker, "size", 1)[0])) for ticker in tickers}
        split = pl.col("split_ratio")
        own = (pl.col("close") / pl.col("close").shift(1).over("ticker") * split - 1).alias("change")
        changes = (
            stocks.with_columns(own)
            .drop_nulls("change")
            .with_columns(pl.col("ticker").replace_strict(weight, return_dtype=pl.Float64).alias("weight"))
            .with_columns(
                (pl.col("weight") * (1 + pl.col("change")).cum_prod().over("ticker")).alias("after")
            )
            .with_columns((pl.col("after") / (1 + pl.col("change"))).alias("before"))
            .group_by("date")
            .agg((pl.col("after").sum() / pl.col("before").sum()).alias("growth"), pl.col("volume").sum())
            .sort("date")
        )
        level = 1000.0 * np.cumprod(changes["growth"].to_numpy())
        close = np.round(np.append(1000.0, level), 2)[: len(self.days)]
        opened = np.append(close[:1], close[:-1])
        return pl.DataFrame(
            {
                "ticker": np.full(len(self.days), DEMO_INDEX),
                "date": self.days,
                "open": opened,
                "high": np.maximum(opened, close),
                "low": np.minimum(opened, close),
                "close": close,
                "volume": np.append([0], changes["volume"].to_numpy())[: len(self.days)],
                "adjusted_close": close,
                "dividend": np.zeros(len(self.days)),
                "split_ratio": np.ones(len(self.days)),
            },
            schema=BAR_SCHEMA,
        )

    def _log_returns(self, ticker: str) -> Floats:
        traits = self._draws(ticker, "traits", 8)
        sector = ticker[:3]
        beta = 0.5 + 1.0 * _uniform(traits[5])
        own = 0.009 + 0.010 * _uniform(traits[6])
        drift = (0.01 + 0.07 * _uniform(traits[7])) / _YEAR
        market = self._volatility() * self._draws("market", "return") + 0.07 / _YEAR
        return np.asarray(
            drift
            + beta * market
            + 0.005 * self._draws(sector, "return")
            + own * self._draws(ticker, "return")
            - own**2 / 2
        )

    def _volatility(self) -> Floats:
        """The market's daily volatility: calm and stormy spells around 0.9 percent."""
        shocks = 0.12 * self._draws("market", "volatility")
        logs = np.empty(len(shocks))
        level = 0.0
        for day, shock in enumerate(shocks):
            level = 0.97 * level + shock
            logs[day] = level
        return np.asarray(0.009 * np.exp(np.clip(logs, -1.0, 1.3)))

    def _draws(self, who: str, what: str, count: int | None = None) -> Floats:
        """Standard normal numbers that depend on the seed and the names alone; fewer days are a prefix of more."""
        generator = np.random.default_rng([self.seed, crc32(f"{who}/{what}".encode())])
        return generator.standard_normal(len(self.days) if count is None else count)


def _uniform(normal: float) -> float:
    from math import erf, sqrt

    return (1 + erf(normal / sqrt(2))) / 2


def _quarter_turns(days: Days) -> NDArray[np.int64]:
    """Positions of the first session of each quarter."""
    months = days.astype("datetime64[M]").astype(np.int64)
    return np.flatnonzero(np.diff(months // 3, prepend=months[:1] // 3)).astype(np.int64)
