"""Daily returns of real members of the S&P 500, for tests of the optimiser: five years without a gap."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest

PRICES = "sp500_daily_2010_2016.parquet"
FIRST, LAST = dt.date(2012, 1, 1), dt.date(2016, 12, 31)


@dataclass(frozen=True)
class Stocks:
    """Tickers, their GICS sectors, daily simple returns (T, N), and annual moments of them.

    The covariance is the sample one; with 1257 days and 460 names it is positive definite.
    """

    tickers: tuple[str, ...]
    sectors: dict[str, str]
    returns: np.ndarray
    expected: np.ndarray
    covariance: np.ndarray

    def some(self, count: int) -> Stocks:
        """Every so-manieth stock, ``count`` in all."""
        at = np.linspace(0, len(self.tickers) - 1, count).astype(int)
        tickers = tuple(self.tickers[i] for i in at)
        sectors = {ticker: self.sectors[ticker] for ticker in tickers if ticker in self.sectors}
        return Stocks(
            tickers, sectors, self.returns[:, at], self.expected[at], self.covariance[np.ix_(at, at)]
        )


def us_stocks(shared_data: Path) -> Stocks:
    """All stocks with a bar on every day from 2012 to 2016; absent data skips the test and says so."""
    if not (shared_data / "us" / PRICES).is_file():
        pytest.skip(f"real US prices are absent: {shared_data / 'us' / PRICES}")
    return _read(shared_data / "us")


@cache
def _read(folder: Path) -> Stocks:
    prices = (
        pl.scan_parquet(folder / PRICES)
        .filter(pl.col("date").is_between(FIRST, LAST))
        .select("ticker", "date", "adj_close")
        .collect()
        .pivot(on="ticker", index="date", values="adj_close")
        .sort("date")
        .drop("date")
    )
    complete = [name for name in sorted(prices.columns) if prices[name].null_count() == 0]
    levels = prices.select(complete).to_numpy()
    returns = levels[1:] / levels[:-1] - 1
    companies = pl.read_csv(folder / "constituents.csv").select("Symbol", "GICS Sector")
    sectors = {symbol: sector for symbol, sector in companies.iter_rows() if symbol in complete}
    return Stocks(
        tuple(complete), sectors, returns, returns.mean(axis=0) * 252, np.cov(returns.T, ddof=1) * 252
    )


def small_market(seed: int, count: int, days: int = 120) -> Stocks:
    """A random market of a few names with factors, for property tests."""
    random = np.random.default_rng(seed)
    factors = random.normal(0.0004, 0.01, (days, 3))
    returns = factors @ random.normal(0.6, 0.5, (3, count)) + random.normal(0.0003, 0.012, (days, count))
    tickers = tuple(f"T{at:02d}" for at in range(count))
    sectors = {ticker: "ABC"[at % 3] for at, ticker in enumerate(tickers)}
    covariance = np.cov(returns.T, ddof=1) * 252
    return Stocks(tickers, sectors, returns, returns.mean(axis=0) * 252, covariance)
