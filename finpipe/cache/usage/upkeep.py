"""Keeping a warm list warm between two warmings: each item is looked at once a round, evenly spread."""

from __future__ import annotations

from collections.abc import Sequence

from finpipe.cache.entry import Clock
from finpipe.cache.request import Request
from finpipe.cache.usage.prefetch import Prefetcher


class Upkeep:
    """Proposes the requests of a warm list to a prefetcher, all of them in the course of a round.

    What is fresh costs nothing; what is stale is fetched before it is gone. So the last bars of the list stay
    at hand while the market is open, if a round is shorter than a value may be stale, and within the
    prefetcher's budget, behind what its users are at.

    Parameters
    ----------
    prefetcher
        Fetches in the background.
    clock
        Seconds since 1970.
    round_seconds
        Time in which the whole list is proposed once.
    """

    def __init__(self, prefetcher: Prefetcher, clock: Clock, *, round_seconds: float = 1800.0) -> None:
        if not round_seconds > 0:
            raise ValueError(f"a round takes a positive time, not {round_seconds}")
        self._prefetcher, self._clock, self._round = prefetcher, clock, round_seconds
        self._requests: tuple[Request, ...] = ()
        self._next = 0
        self._owed = 0.0
        self._ticked_at = clock()

    def set_list(self, requests: Sequence[Request]) -> None:
        """Look after ``requests`` from now on."""
        self._requests, self._next, self._owed = tuple(requests), 0, 0.0
        self._ticked_at = self._clock()

    def tick(self) -> int:
        """Propose what is due since the last tick, a whole round at most, and return how many these are."""
        now = self._clock()
        size = len(self._requests)
        self._owed = min(size, self._owed + size * (now - self._ticked_at) / self._round)
        self._ticked_at = now
        due = int(self._owed + 1e-9)
        self._owed = max(0.0, self._owed - due)
        places = [(self._next + step) % size for step in range(due)]
        self._next = (self._next + due) % max(size, 1)
        self._prefetcher.propose((self._requests[place] for place in places), urgent=False)
        return due
