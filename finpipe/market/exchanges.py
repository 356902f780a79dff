"""Sessions of the exchanges that tickers trade on, from exchange-calendars: when a bar is final, how long a week is."""

from __future__ import annotations

import datetime as dt
import functools
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

EXCHANGES: Final = {
    "KS": "XKRX",
    "KQ": "XKRX",
    "T": "XTKS",
    "HK": "XHKG",
    "L": "XLON",
    "DE": "XETR",
    "PA": "XPAR",
    "AS": "XAMS",
    "SW": "XSWX",
    "TO": "XTSE",
    "AX": "XASX",
}
"""Calendar by the suffix of Yahoo's tickers; all others trade as New York does."""

SETTLING: Final = dt.timedelta(minutes=20)
"""After the close, until the day's bar is taken as final."""


def exchange_of(ticker: str) -> str:
    """The calendar of a ticker's exchange, e.g. ``XKRX`` for ``005930.KS``."""
    return EXCHANGES.get(ticker.rpartition(".")[2], "XNYS") if "." in ticker else "XNYS"


def exchange_sessions(exchange: str, start: dt.date, end: dt.date) -> NDArray[np.datetime64]:
    """Sessions of an exchange from ``start`` to ``end``, both included: datetime64[D]."""
    calendar, first, last = _calendar(exchange, start, end)
    return np.asarray(calendar.sessions_in_range(first, last).to_numpy(), dtype="datetime64[D]")


def trading_hours(
    exchange: str, start: dt.date, end: dt.date
) -> list[tuple[dt.date, dt.datetime, dt.datetime]]:
    """Sessions of an exchange from ``start`` to ``end``, both included, with the times (UTC) of open and close."""
    calendar, first, last = _calendar(exchange, start, end)
    return [
        (
            session.date(),
            calendar.session_open(session).to_pydatetime(),
            calendar.session_close(session).to_pydatetime(),
        )
        for session in calendar.sessions_in_range(first, last)
    ]


def latest_change(exchange: str, end: dt.date, now: dt.datetime) -> dt.datetime | None:
    """The last moment up to ``now`` at which a bar up to ``end`` may have changed in the ordinary course of trading.

    While a session runs, and shortly after, that is ``now``; else it is when the last session settled.

    Parameters
    ----------
    exchange
        As :func:`exchange_of` gives it.
    end
        Last day of interest, included.
    now
        With its time zone.

    Returns
    -------
    dt.datetime | None
        UTC; None if there was no session for a month before ``end``.
    """
    last_day = min(end, now.astimezone(dt.UTC).date() + dt.timedelta(days=1))
    calendar, first, last = _calendar(exchange, last_day - dt.timedelta(days=31), last_day)
    for session in reversed(calendar.sessions_in_range(first, last)):
        opened: dt.datetime = calendar.session_open(session).to_pydatetime()
        settled: dt.datetime = calendar.session_close(session).to_pydatetime() + SETTLING
        if settled <= now:
            return settled
        if opened <= now:
            return now.astimezone(dt.UTC)
    return None


def _calendar(exchange: str, start: dt.date, end: dt.date) -> tuple[Any, pd.Timestamp, pd.Timestamp]:
    import pandas as pd

    return _years(exchange, start.year - 1, end.year + 1), pd.Timestamp(start), pd.Timestamp(end)


@functools.cache
def _years(exchange: str, first: int, last: int) -> Any:  # noqa: ANN401 (exchange-calendars has no types)
    """The calendar of whole years; making one takes longer than all that is asked of it."""
    import exchange_calendars

    return exchange_calendars.get_calendar(exchange, start=f"{first}-01-01", end=f"{last}-12-31")
