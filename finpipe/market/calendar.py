"""Trading days: the market calendar that the data themselves tell, and the exchange's official one beside it."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from finpipe.market.exchanges import exchange_sessions

Days = NDArray[np.datetime64]
Positions = NDArray[np.int64]


class CalendarError(ValueError):
    """A day is not a trading day, or the calendar does not reach it."""


@dataclass(frozen=True, slots=True)
class MarketCalendar:
    """The days on which the market traded, as the days that occur in ``krx/daily_prices``.

    Parameters
    ----------
    days
        datetime64[D], ascending, each once.

    Examples
    --------
    >>> calendar = MarketCalendar.of(["2024-02-08", "2024-02-13", "2024-02-14"])
    >>> str(calendar.offset("2024-02-08", 1))
    '2024-02-13'
    >>> str(calendar.next_on_or_after("2024-02-09"))
    '2024-02-13'
    """

    days: Days

    @classmethod
    def of(cls, dates: ArrayLike | pl.Series) -> MarketCalendar:
        """Make the calendar of ``dates``: any order, repeated or not, e.g. the column ``date`` of prices."""
        distinct = dates.unique() if isinstance(dates, pl.Series) else dates
        return cls(np.unique(_days(distinct)))

    def __len__(self) -> int:
        return len(self.days)

    def index_of(self, dates: ArrayLike | pl.Series) -> Positions:
        """Positions of ``dates`` in the calendar, in the shape of ``dates``.

        Raises
        ------
        CalendarError
            If one of them is not a trading day; names the first.
        """
        wanted = _days(dates)
        index = np.searchsorted(self.days, wanted).astype(np.int64)
        found = np.take(self.days, index, mode="clip") if len(self.days) else np.zeros_like(wanted)
        strange = ~(found == wanted) | (index == len(self.days))
        if np.any(strange):
            raise CalendarError(
                f"{np.atleast_1d(wanted)[np.atleast_1d(strange)][0]} is no trading day of {self._span()}"
            )
        return index

    def offset(self, dates: ArrayLike | pl.Series, sessions: int) -> Days:
        """The trading day ``sessions`` after each of ``dates`` (before it, if negative).

        Raises
        ------
        CalendarError
            If a date is no trading day, or the day lies outside the calendar.
        """
        index = self.index_of(dates) + sessions
        if np.any((index < 0) | (index >= len(self.days))):
            raise CalendarError(f"{sessions:+d} trading days lead out of {self._span()}")
        return np.asarray(self.days[index])

    def next_on_or_after(self, dates: ArrayLike | pl.Series) -> Days:
        """Each of ``dates`` if it is a trading day, else the next; NaT after the last one."""
        index = np.searchsorted(self.days, _days(dates))
        return np.append(self.days, np.datetime64("NaT", "D"))[index]

    def sessions_between(self, start: ArrayLike, end: ArrayLike) -> Positions:
        """Number of trading days after ``start``, up to and including ``end``; negative if end is first."""
        through = np.searchsorted(self.days, _days(end), side="right")
        return np.asarray(through - np.searchsorted(self.days, _days(start), side="right"), dtype=np.int64)

    def _span(self) -> str:
        return f"the calendar {self.days[0]} to {self.days[-1]}" if len(self.days) else "an empty calendar"


@dataclass(frozen=True, slots=True)
class UnexpectedDays:
    """Where the data and the exchange's official calendar disagree, within the span of the data.

    Parameters
    ----------
    extra
        Days in the data on which the exchange was closed.
    missing
        Sessions of the exchange that the data lack.
    """

    extra: Days
    missing: Days


def xkrx_sessions(start: dt.date | np.datetime64, end: dt.date | np.datetime64) -> Days:
    """Sessions of the Korea Exchange from ``start`` to ``end``, both included, by exchange-calendars (XKRX)."""
    return exchange_sessions("XKRX", start, end)


def next_xkrx_session(day: dt.date | np.datetime64) -> np.datetime64:
    """The first session of the Korea Exchange after ``day``: when the picks of the last day can be traded."""
    import pandas as pd

    after = pd.Timestamp(day) + pd.Timedelta(days=1)
    return np.datetime64(xkrx_sessions(after, after + pd.Timedelta(days=31))[0])


def unexpected_days(dates: ArrayLike | pl.Series) -> UnexpectedDays:
    """Compare the days of the data with the sessions of the Korea Exchange."""
    days = MarketCalendar.of(dates).days
    sessions = xkrx_sessions(days[0], days[-1]) if len(days) else days
    return UnexpectedDays(np.setdiff1d(days, sessions), np.setdiff1d(sessions, days))


def _days(dates: ArrayLike | pl.Series) -> Days:
    values = dates.to_numpy() if isinstance(dates, pl.Series) else dates
    return np.asarray(values, dtype="datetime64[D]")
