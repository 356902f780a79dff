"""How long market data stays right, from the opening hours of an exchange.

A day's bar is final once its session has closed and the closing prints have settled. Until then the last
bar of a series changes: it lives minutes while the market is open, and until the next open after the close.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import pairwise

from finpipe.cache.entry import NEVER, Expiry

MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class Session:
    """One trading day: its date and the instants of open and close, seconds since 1970 in UTC.

    Early closes and clock changes need no rule of their own: they are in the instants.
    """

    day: date
    opens_at: float
    closes_at: float

    @classmethod
    def of(cls, day: date, opens: datetime, closes: datetime) -> Session:
        """Return the session of ``day`` from times with a time zone.

        Raises
        ------
        ValueError
            A time has no time zone, or the session closes before it opens.
        """
        if opens.tzinfo is None or closes.tzinfo is None:
            raise ValueError(f"session of {day}: open and close need a time zone")
        if not opens < closes:
            raise ValueError(f"session of {day} closes ({closes}) before it opens ({opens})")
        return cls(day, opens.timestamp(), closes.timestamp())


class SessionPolicy:
    """Until when bars are right, given the sessions of their exchange.

    Parameters
    ----------
    sessions
        In order, without gaps, from the oldest day asked for to well after now. Outside of them nothing is
        known, so that values live ``live`` seconds only.
    live
        Seconds for which the last bar is right while the market is open.
    settle
        Seconds after the close in which the day's bar may still change.
    stale
        Seconds for which a bar that is no longer right may be shown while a new one is fetched.

    Raises
    ------
    ValueError
        There are no sessions, they overlap or are out of order, or a duration is negative.
    """

    def __init__(
        self,
        sessions: Sequence[Session],
        *,
        live: float = 5 * MINUTE,
        settle: float = 20 * MINUTE,
        stale: float = 30 * MINUTE,
    ) -> None:
        if not sessions:
            raise ValueError("a session policy needs sessions: give those of the exchange's calendar")
        if min(live, settle, stale) < 0:
            raise ValueError(f"durations are not negative: live={live}, settle={settle}, stale={stale}")
        for before, after in pairwise(sessions):
            if before.day >= after.day or before.closes_at + settle > after.opens_at:
                raise ValueError(f"sessions of {before.day} and {after.day} overlap or are out of order")
        self._sessions = tuple(sessions)
        self._opens = [session.opens_at for session in sessions]
        self._days = [session.day for session in sessions]
        self.live, self.settle, self.stale = live, settle, stale

    def expiry(self, last_day: date | None, as_of: float) -> Expiry:
        """Return until when bars up to ``last_day`` are right that were fetched at ``as_of``.

        Parameters
        ----------
        last_day
            Last day asked for, included; None for "up to now". A finished day never expires: a correction
            or a corporate action changes the data version in the key instead.
        as_of
            Instant of the fetch.
        """
        if last_day is not None and self.is_final(last_day, as_of):
            return NEVER
        fresh_until = self._changes_at(as_of)
        return Expiry(fresh_until, fresh_until + self.stale)

    def is_final(self, day: date, at: float) -> bool:
        """Return whether every bar up to ``day`` is final at the instant ``at``."""
        if day > self._days[-1] or at < self._opens[0]:
            return False
        place = bisect_right(self._days, day) - 1
        return place < 0 or at >= self._sessions[place].closes_at + self.settle

    def is_open(self, at: float) -> bool:
        """Return whether the last bar changes at the instant ``at``: in a session or while it settles."""
        return self._running(at) is not None

    def next_open(self, at: float) -> float | None:
        """Return the instant of the first open after ``at``; None beyond the sessions given."""
        place = bisect_right(self._opens, at)
        return self._opens[place] if place < len(self._opens) else None

    def covers(self, at: float) -> bool:
        """Return whether the sessions reach beyond ``at``, so that closed hours are known as such."""
        return self._opens[0] <= at and self.next_open(at) is not None

    def _running(self, at: float) -> Session | None:
        place = bisect_right(self._opens, at) - 1
        if place < 0 or at >= self._sessions[place].closes_at + self.settle:
            return None
        return self._sessions[place]

    def _changes_at(self, as_of: float) -> float:
        running = self._running(as_of)
        if running is not None:
            return min(as_of + self.live, running.closes_at + self.settle)
        following = self.next_open(as_of)
        known = following is not None and as_of >= self._opens[0]
        return following if known and following is not None else as_of + self.live
