"""What the exchange offers on each day of a simulation: prices, who can be traded, splits, delistings.

Everything is an array of days by stocks; who buys what is decided in ``simulate``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray

PRICE_LIMIT = 0.30
PRICE_LIMIT_BEFORE = 0.15
PRICE_LIMIT_CHANGED = date(2015, 6, 15)
AT_LIMIT = 0.9

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


class ExchangeError(ValueError):
    """The prices cannot be traded on: a column is missing, or a day or stock is unknown."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """Days by stocks, from the first signal to the last simulated day.

    Parameters
    ----------
    dates
        The market calendar, ``(days,)``.
    codes
        Stock codes, sorted, ``(stocks,)``.
    open
        Opening prices, ``(days, stocks)``; NaN where there was no trade at the open.
    close
        Closing prices, the last one carried over days without a row; NaN before the first row.
    buyable, sellable
        Whether an order at the open can be filled: the stock traded that day, and not all day long at
        its upper limit (nobody sells) or at its lower limit (nobody buys).
    value
        KRW traded by the whole market in the stock; 0 where there is no row.
    share_ratio
        What one share of the day before has become, before the open; None if prices are adjusted.
    delisting_day
        Day, counted from the first, on which holders of a delisted stock are paid out; the number of
        days if never, ``(stocks,)``.
    delisting_return
        What they get relative to the last price, minus 1, ``(stocks,)``.
    """

    dates: NDArray[np.datetime64]
    codes: pl.Series
    open: Floats
    close: Floats
    buyable: Flags
    sellable: Flags
    value: Floats
    share_ratio: Floats | None
    delisting_day: NDArray[np.int64]
    delisting_return: Floats

    @classmethod
    def of(
        cls,
        daily_prices: pl.DataFrame,
        stocks: pl.DataFrame,
        codes: pl.Series,
        *,
        first: date,
        last: date,
        raw: bool,
        delisting_return: float,
    ) -> Exchange:
        """Lay out the prices of ``codes`` from ``first`` to ``last``.

        Parameters
        ----------
        daily_prices
            ``krx/daily_prices``; adjusted_open, adjusted_close, high, low, volume, value are read,
            and open, close, adjustment_factor if ``raw``.
        stocks
            ``stock_code``, ``delisting_date`` and, if they are known one by one, ``delisting_return``.
        raw
            Prices as traded, with splits as share ratios, instead of adjusted prices.
        delisting_return
            For delisted stocks without one of their own.

        Raises
        ------
        ExchangeError
            A column is missing, or a code has no price in the period.
        """
        needed = ["stock_code", "date", "adjusted_open", "adjusted_close", "high", "low", "volume", "value"]
        needed += ["open", "close", "adjustment_factor"] if raw else []
        missing = [name for name in needed if name not in daily_prices.columns]
        if missing:
            raise ExchangeError(f"daily prices lack {', '.join(missing)}; they have {daily_prices.columns}")
        calendar = daily_prices["date"].unique().sort()
        dates = calendar.filter(calendar.is_between(first, last)).to_numpy().astype("datetime64[D]")
        rows = daily_prices.select(needed).filter(
            pl.col("date").is_between(first, last) & pl.col("stock_code").is_in(codes.implode())
        )
        absent = codes.filter(~codes.is_in(rows["stock_code"].unique().implode()))
        if len(absent):
            raise ExchangeError(
                f"{len(absent)} predicted stock(s) have no price from {first} to {last}, e.g. {absent[0]}; "
                "predictions and prices are of different markets or periods"
            )
        grid = _Grid(rows, dates, codes)
        adjusted_open, adjusted_close = grid.lay("adjusted_open"), grid.lay("adjusted_close")
        is_trading = (grid.lay("volume", absent=0.0) > 0) & (adjusted_open > 0)
        carried = _carry(adjusted_close)
        is_up, is_down = _limit_locked(dates, grid.lay("high") == grid.lay("low"), carried)
        opened, closed, ratio = adjusted_open, carried, None
        if raw:
            opened, closed = grid.lay("open"), _carry(grid.lay("close"))
            factor = _carry(grid.lay("adjustment_factor"))
            ratio = np.ones_like(factor)
            ratio[1:] = np.nan_to_num(factor[1:] / factor[:-1], nan=1.0)
        opened = np.where(is_trading, opened, np.nan)
        paid_on, pays = _delistings(stocks, codes, dates, grid.last_day(), delisting_return)
        return cls(
            dates=dates,
            codes=codes,
            open=opened,
            close=closed,
            buyable=is_trading & ~is_up,
            sellable=is_trading & ~is_down,
            value=grid.lay("value", absent=0.0),
            share_ratio=ratio,
            delisting_day=paid_on,
            delisting_return=pays,
        )


class _Grid:
    """Scatters a column of rows into an array of days by stocks."""

    def __init__(self, rows: pl.DataFrame, dates: NDArray[np.datetime64], codes: pl.Series) -> None:
        self._rows = rows
        self._shape = (len(dates), len(codes))
        self._day = np.searchsorted(dates, rows["date"].to_numpy().astype("datetime64[D]"))
        places = pl.DataFrame({"stock_code": codes, "place": np.arange(len(codes))})
        self._stock = (
            rows.select("stock_code")
            .join(places, on="stock_code", how="left", maintain_order="left")["place"]
            .to_numpy()
        )

    def lay(self, column: str, absent: float = np.nan) -> Floats:
        grid = np.full(self._shape, absent)
        grid[self._day, self._stock] = self._rows[column].cast(pl.Float64).fill_null(absent).to_numpy()
        return grid

    def last_day(self) -> NDArray[np.int64]:
        last = np.full(self._shape[1], -1, dtype=np.int64)
        np.maximum.at(last, self._stock, self._day)
        return last


def _carry(grid: Floats) -> Floats:
    carried = grid.copy()
    for day in range(1, len(carried)):
        np.copyto(carried[day], carried[day - 1], where=np.isnan(carried[day]))
    return carried


def _limit_locked(
    dates: NDArray[np.datetime64], is_flat: Flags, adjusted_close: Floats
) -> tuple[Flags, Flags]:
    """Tell which stocks stood at their upper and lower price limit all day.

    Limits were 15 percent of the base price until 12 June 2015 and 30 percent since; tick sizes round
    them down, hence the tolerance.
    """
    limit = np.where(dates < np.datetime64(PRICE_LIMIT_CHANGED), PRICE_LIMIT_BEFORE, PRICE_LIMIT)
    move = np.full_like(adjusted_close, np.nan)
    move[1:] = adjusted_close[1:] / adjusted_close[:-1] - 1
    bound = AT_LIMIT * limit[:, None]
    return is_flat & (move >= bound), is_flat & (move <= -bound)


def _delistings(
    stocks: pl.DataFrame,
    codes: pl.Series,
    dates: NDArray[np.datetime64],
    last_day: NDArray[np.int64],
    default_return: float,
) -> tuple[NDArray[np.int64], Floats]:
    """Return when holders are paid: the first day after the last row that is not before the delisting."""
    known = stocks if "delisting_return" in stocks.columns else stocks.with_columns(delisting_return=None)
    found = pl.DataFrame({"stock_code": codes}).join(
        known.select("stock_code", "delisting_date", "delisting_return"),
        on="stock_code",
        how="left",
        maintain_order="left",
    )
    gone = found["delisting_date"].to_numpy().astype("datetime64[D]")
    is_gone = ~np.isnat(gone)
    official = np.searchsorted(dates, np.where(is_gone, gone, dates[-1]))
    paid_on = np.where(is_gone, np.maximum(official, last_day + 1), len(dates))
    pays = found["delisting_return"].cast(pl.Float64).fill_null(default_return).to_numpy()
    return paid_on.astype(np.int64), pays
