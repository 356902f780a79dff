"""Where the cache stands: every tier's state and counts, and the hit ratio over a window, as plain data."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from finpipe.cache.counters import TierCounts
from finpipe.cache.entry import Json
from finpipe.cache.lookup import Lookup
from finpipe.cache.tier import TierState

log = logging.getLogger(__name__)


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


@dataclass(frozen=True, slots=True)
class PublishedStatus:
    """What a process wrote down of its cache: the instant, and the status as JSON (see ``CacheStatus.as_json``)."""

    at: float
    status: dict[str, Json]

    @property
    def hit_ratio(self) -> float | None:
        """The hit ratio that it tells of; None where no user had asked."""
        found = self.status.get("hit_ratio")
        return float(found) if isinstance(found, int | float) else None

    @property
    def requests(self) -> int:
        """The users' requests that the ratio is about."""
        found = self.status.get("requests")
        return found if isinstance(found, int) else 0


def publish_status(path: Path, status: CacheStatus, now: float) -> None:
    """Write ``status`` down for other processes, in place of what was there; a disk that fails is only logged."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_text(json.dumps({"at": now, "status": status.as_json()}), encoding="utf-8")
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        log.warning("the status of the cache cannot be written down: %s", error)


def published_status(path: Path) -> PublishedStatus | None:
    """Return what a process wrote down last; None if none did, or it cannot be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return PublishedStatus(float(found["at"]), dict(found["status"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
