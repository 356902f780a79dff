"""Sessions of the exchanges that tickers trade on, from exchange-calendars: when a bar is final, how long a week is."""

from __future__ import annotations

import datetime as dt
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
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


def exchange_sessions(
    exchange: str, start: dt.date | np.datetime64, end: dt.date | np.datetime64
) -> NDArray[np.datetime64]:
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


def _calendar(
    exchange: str, start: dt.date | np.datetime64, end: dt.date | np.datetime64
) -> tuple[Any, pd.Timestamp, pd.Timestamp]:
    import pandas as pd

    first, last = pd.Timestamp(start), pd.Timestamp(end)
    return _years(exchange, first.year - 1, last.year + 1), first, last


def _years(exchange: str, first: int, last: int) -> Any:  # noqa: ANN401 (exchange-calendars has no types)
    """The calendar of at least these years; making one takes longer than all that is asked of it, so it is kept.

    It is made in a thread of its own. CPython takes memory for the frames of calls in chunks, and a loop of calls that
    happens to stand at the end of one takes and returns a chunk with each call; the lunar calendar of Korea made so
    takes half a minute instead of a second. A thread begins with a chunk of its own, whatever calls this.
    """
    with _making:
        made = _made.get(exchange)
        if made is not None and made[0] <= first and last <= made[1]:
            return made[2]
        if made is not None:
            first, last = min(first, made[0]), max(last, made[1])
        with ThreadPoolExecutor(1) as apart:
            calendar = apart.submit(_make, exchange, first, last).result()
        _made[exchange] = first, last, calendar
        return calendar


def _make(exchange: str, first: int, last: int) -> Any:  # noqa: ANN401
    import exchange_calendars

    return exchange_calendars.get_calendar(exchange, start=f"{first}-01-01", end=f"{last}-12-31")


_made: dict[str, tuple[int, int, Any]] = {}
"""First year, last year and calendar by exchange."""
_making = Lock()
