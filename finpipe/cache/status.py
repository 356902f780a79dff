"""Where the cache stands: every tier's state and counts, and the hit ratio over a window, as plain data."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from finpipe.cache.counters import TierCounts
from finpipe.cache.entry import Json
from finpipe.cache.lookup import Lookup
from finpipe.cache.tier import TierState


@dataclass(frozen=True, slots=True)
class CacheStatus:
    """What a lookup on its tiers has done in this process.

    Attributes
    ----------
    tiers
        What each tier holds, quickest first.
    counts
        Users' requests by tier and source, since the start.
    background
        Requests of warming, prefetch and refresh by the tier or source that answered.
    hit_ratio
        Share of users' requests that a tier answered in the window, sources (L3 among them) left out; NaN
        when there were none.
    requests
        Users' requests in the window.
    window
        Seconds; None is since the start.
    """

    tiers: tuple[TierState, ...]
    counts: dict[str, TierCounts]
    background: dict[str, int]
    hit_ratio: float
    requests: int
    window: float | None

    def as_json(self) -> dict[str, Json]:
        """Return the same as JSON; NaN becomes null."""
        known = self.hit_ratio == self.hit_ratio
        return {
            "tiers": [asdict(tier) for tier in self.tiers],
            "counts": {name: asdict(counts) for name, counts in self.counts.items()},
            "background": dict(self.background),
            "hit_ratio": self.hit_ratio if known else None,
            "requests": self.requests,
            "window_seconds": self.window,
        }


def cache_status(lookup: Lookup, window: float | None = None) -> CacheStatus:
    """Return the status of ``lookup``, its hit ratio over the last ``window`` seconds."""
    return CacheStatus(
        tiers=tuple(tier.state() for tier in (*lookup.local, *lookup.shared)),
        counts=lookup.counters.by_tier(),
        background=lookup.counters.background_by_tier(),
        hit_ratio=lookup.counters.hit_ratio(lookup.tiers, window),
        requests=sum(lookup.counters.requests(window).values()),
        window=window,
    )
