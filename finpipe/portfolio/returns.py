"""Aligned prices and simple returns of a group of tickers, and how daily figures become annual ones.

All returns are simple, p1 / p0 - 1, because a portfolio's simple return is the weighted mean of its assets' (logs do
not add up across assets). A year has 252 trading days: a mean return is multiplied by 252 (arithmetic), a standard
deviation by sqrt(252); growth over n days compounds, (end / start)^(252 / n) - 1. Where a formula wants the compound
figure its docstring says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from finpipe.market.daily_bars import listed

TRADING_DAYS = 252

Floats = NDArray[np.float64]
Dates = NDArray[np.datetime64]


@dataclass(frozen=True, slots=True)
class Returns:
    """Daily simple returns of tickers on common dates.

    Parameters
    ----------
    tickers
        Sorted as in the prices.
    dates
        datetime64[D], ascending; one fewer than the prices have.
    values
        float64 (days, tickers), columns contiguous; NaN where the ticker has no price on the day or on the session
        before, so a gap of one day costs two returns and a late listing costs nobody else any.
    """

    tickers: tuple[str, ...]
    dates: Dates
    values: Floats

    def pick(self, tickers: Sequence[str]) -> Returns:
        """Return the returns of ``tickers`` in their order; raises ValueError for one that is not there."""
        return Returns(tuple(tickers), self.dates, self.values[:, places(self.tickers, tickers)])


@dataclass(frozen=True, slots=True)
class Prices:
    """Adjusted closes of tickers on common dates.

    Parameters
    ----------
    tickers
        Sorted, each once.
    dates
        datetime64[D], ascending: every day on which any of the tickers has a bar.
    values
        float64 (days, tickers), columns contiguous, positive; NaN where the ticker has no price that day.
    """

    tickers: tuple[str, ...]
    dates: Dates
    values: Floats

    def pick(self, tickers: Sequence[str]) -> Prices:
        """Return the prices of ``tickers`` in their order; raises ValueError for one that is not there."""
        return Prices(tuple(tickers), self.dates, self.values[:, places(self.tickers, tickers)])

    def returns(self) -> Returns:
        """Return the simple returns from each session to the next."""
        by_ticker = self.values.T
        growth = by_ticker[:, 1:] / by_ticker[:, :-1]
        growth -= 1.0
        return Returns(self.tickers, self.dates[1:], growth.T)


def adjusted_prices(bars: pl.DataFrame) -> Prices:
    """Lay the adjusted closes of bars out by day and ticker, on the union of the tickers' dates.

    Parameters
    ----------
    bars
        ``ticker``, ``date``, ``adjusted_close`` of daily bars. A price that is null, not finite or not positive is
        no price; the quality prefilter tells of such tickers.

    Raises
    ------
    ValueError
        If there are no bars, or two of one ticker and day.
    """
    if bars.is_empty():
        raise ValueError("there are no bars to take prices from")
    runs = bars.select(pl.col("ticker").rle()).unnest("ticker")
    tickers = runs["value"].unique().sort()
    column = runs["value"].replace_strict(tickers, np.arange(len(tickers)), return_dtype=pl.Int64)
    row = bars["date"].to_physical().to_numpy()
    first = int(row.min())
    is_session = np.zeros(int(row.max()) - first + 1, dtype=bool)
    is_session[row - first] = True
    sessions = np.flatnonzero(is_session)
    place = np.cumsum(is_session) - 1

    flat = np.repeat(column.to_numpy() * len(sessions), runs["len"].to_numpy()) + place[row - first]
    _require_single(bars, flat, len(tickers) * len(sessions))
    price = bars["adjusted_close"].cast(pl.Float64).to_numpy()
    values = np.full(len(tickers) * len(sessions), np.nan)
    with np.errstate(invalid="ignore"):
        values[flat] = np.where((price > 0) & np.isfinite(price), price, np.nan)
    dates = (sessions + first).astype("datetime64[D]")
    return Prices(tuple(tickers), dates, values.reshape(len(tickers), len(sessions)).T)


def simple_returns(bars: pl.DataFrame) -> Returns:
    """Return the aligned simple returns of bars' adjusted closes; see :func:`adjusted_prices` for errors."""
    return adjusted_prices(bars).returns()


def annual_mean(returns: Floats) -> Floats:
    """Return the mean of the known daily returns x 252, per column; NaN for a column without any."""
    known = ~np.isnan(returns)
    count = known.sum(axis=0)
    total = np.where(known, returns, 0.0).sum(axis=0)
    mean: Floats = np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0) * TRADING_DAYS
    return mean


def annual_volatility(returns: Floats) -> Floats:
    """Return the sample standard deviation of the known daily returns x sqrt(252), per column.

    NaN for a column with fewer than two.
    """
    known = ~np.isnan(returns)
    count = known.sum(axis=0)
    deviation = np.where(known, returns - annual_mean(returns) / TRADING_DAYS, 0.0)
    square = (deviation**2).sum(axis=0)
    variance = np.divide(square, count - 1, out=np.full(count.shape, np.nan), where=count > 1)
    volatility: Floats = np.sqrt(variance * TRADING_DAYS)
    return volatility


def places(have: Sequence[str], wanted: Sequence[str]) -> NDArray[np.int64]:
    """Return where each of ``wanted`` stands among ``have``.

    Raises
    ------
    ValueError
        Names those that are not there.
    """
    at = {ticker: i for i, ticker in enumerate(have)}
    absent = [ticker for ticker in wanted if ticker not in at]
    if absent:
        raise ValueError(f"no prices of {listed(absent)}; there are those of {listed(list(have))}")
    return np.array([at[ticker] for ticker in wanted], dtype=np.int64)


def _require_single(bars: pl.DataFrame, flat: NDArray[np.int64], cells: int) -> None:
    taken = np.zeros(cells, dtype=bool)
    taken[flat] = True
    if int(taken.sum()) == len(flat):
        return
    twice = bars.filter(pl.struct("ticker", "date").is_duplicated()).row(0, named=True)
    raise ValueError(f"{twice['ticker']} has more than one bar of {twice['date']}")
