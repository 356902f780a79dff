"""Fetching a whole list before anybody asks, in steps between which users go first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from finpipe.cache.entry import Entry
from finpipe.cache.lookup import Lookup
from finpipe.cache.request import Request


@dataclass(frozen=True, slots=True)
class WarmReport:
    """What became of the requests of a warm list.

    Attributes
    ----------
    fetched
        Came from a source.
    at_hand
        Were in a tier and fresh.
    failures
        Why there is no value, by key.
    entries
        The values by key, e.g. to publish as a hot set.
    """

    fetched: int
    at_hand: int
    failures: dict[str, str]
    entries: dict[str, Entry] = field(repr=False)


def warm(
    lookup: Lookup,
    requests: Sequence[Request],
    *,
    step: int = 50,
    patience: float = 1.0,
    progress: Callable[[int, int], None] | None = None,
) -> WarmReport:
    """Return once all of ``requests`` were asked for, in their order.

    Parameters
    ----------
    step
        Requests asked of the sources together.
    patience
        Seconds for which each step waits for users' requests to be over; then it goes on all the same, so
        that a busy service is warmed too.
    progress
        Called with the requests done and those to do in all.
    """
    fetched = at_hand = 0
    failures: dict[str, str] = {}
    entries: dict[str, Entry] = {}
    for start in range(0, len(requests), step):
        lookup.traffic.wait_until_quiet(patience)
        for key, answer in lookup.get_many(requests[start : start + step], background=True).items():
            if answer.error is not None:
                failures[key] = str(answer.error)
                continue
            at_hand += answer.tier in lookup.tiers
            fetched += answer.tier not in lookup.tiers
            if answer.entry is not None:
                entries[key] = answer.entry
        if progress is not None:
            progress(min(start + step, len(requests)), len(requests))
    return WarmReport(fetched, at_hand, failures, entries)
