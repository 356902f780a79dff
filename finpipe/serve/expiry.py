"""Until when bars, and answers that stand on them, are right: by the sessions of their exchanges."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Final

from finpipe.cache.entry import NEVER, Expiry
from finpipe.cache.policy import Session, SessionPolicy
from finpipe.market.exchanges import SETTLING, exchange_of, trading_hours

LIVE: Final = 300.0
"""Seconds for which the last bar is right during a session, and what lacks bars before they are asked for again."""
STALE: Final = 1800.0
"""Seconds after that in which it is shown while a new one is fetched."""
_BACK, _AHEAD = dt.timedelta(days=15), dt.timedelta(days=30)

Policy = Callable[[float], Expiry]


def price_policy(tickers: Iterable[str], end: dt.date) -> Policy:
    """Return until when bars are right that were fetched at an instant.

    For good if every session up to ``end`` had settled by then, since a correction makes another data version. Else for
    minutes while a session runs or settles, and out of hours until the next open.

    Parameters
    ----------
    tickers
        Whose bars they are; where they trade on several exchanges, the first change counts.
    end
        Last day asked for, included.
    """
    exchanges = tuple(sorted({exchange_of(ticker) for ticker in tickers})) or ("XNYS",)

    def expiry(as_of: float) -> Expiry:
        day = dt.datetime.fromtimestamp(as_of, dt.UTC).date()
        found = [_sessions(exchange, day).expiry(end, as_of) for exchange in exchanges]
        return min(found, key=lambda each: each.fresh_until)

    return expiry


def for_good(_as_of: float) -> Expiry:
    """Return the policy of bars of a file, which does not change."""
    return NEVER


def soon(as_of: float) -> Expiry:
    """Return the policy of what lacks bars that were not to be had: right for minutes, then asked for again."""
    return Expiry(as_of + LIVE, as_of + LIVE + STALE)


@lru_cache(64)
def _sessions(exchange: str, day: dt.date) -> SessionPolicy:
    hours = trading_hours(exchange, day - _BACK, day + _AHEAD)
    sessions = [Session.of(session, opens, closes) for session, opens, closes in hours]
    return SessionPolicy(sessions, live=LIVE, settle=SETTLING.total_seconds(), stale=STALE)
