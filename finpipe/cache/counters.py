"""How many requests each tier answered, in all and over any window of the last days."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Collection
from dataclasses import dataclass
from threading import Lock

from finpipe.cache.entry import Clock

_MINUTE = 60.0
_DAY = 1440


@dataclass(frozen=True, slots=True)
class TierCounts:
    """What one tier or source was asked by users: answered, answered with a stale value, not known, failed."""

    hits: int = 0
    stale: int = 0
    misses: int = 0
    errors: int = 0

    @property
    def hit_ratio(self) -> float:
        """Share of the questions to this tier that it answered; NaN when none was asked."""
        asked = self.hits + self.misses
        return self.hits / asked if asked else math.nan


class Counters:
    """Counts by tier; safe for any number of threads.

    What the background asks (warming, prefetch, refresh) is counted apart: it must not flatter the ratios.

    Parameters
    ----------
    clock
        Seconds since 1970.
    keep_minutes
        Minutes in which something was asked that windows can reach back.
    """

    def __init__(self, clock: Clock, *, keep_minutes: int = 31 * _DAY) -> None:
        self._clock = clock
        self._counts: Counter[tuple[str, str]] = Counter()
        self._answers: Counter[str] = Counter()
        self._minutes: deque[tuple[float, Counter[str]]] = deque(maxlen=keep_minutes)
        self._background: Counter[str] = Counter()
        self._lock = Lock()

    def answered(self, tier: str, missed: Collection[str] = (), *, stale: bool = False) -> None:
        """Count a user's request that ``tier`` answered after the tiers in ``missed`` did not know it."""
        with self._lock:
            minute = math.floor(self._clock() / _MINUTE) * _MINUTE
            if not self._minutes or self._minutes[-1][0] < minute:
                self._minutes.append((minute, self._answers.copy()))
            self._answers[tier] += 1
            self._counts[tier, "hits"] += 1
            if stale:
                self._counts[tier, "stale"] += 1
            for other in missed:
                self._counts[other, "misses"] += 1

    def background(self, tier: str) -> None:
        """Count a request of the background that ``tier`` answered."""
        with self._lock:
            self._background[tier] += 1

    def error(self, tier: str) -> None:
        """Count a failure of ``tier``, whoever asked."""
        with self._lock:
            self._counts[tier, "errors"] += 1

    def by_tier(self) -> dict[str, TierCounts]:
        """Return the counts since the start, by tier or source."""
        with self._lock:
            names = sorted({tier for tier, _ in self._counts})
            return {
                name: TierCounts(
                    *(self._counts[name, what] for what in ("hits", "stale", "misses", "errors"))
                )
                for name in names
            }

    def background_by_tier(self) -> dict[str, int]:
        """Return how many requests of the background each tier or source answered."""
        with self._lock:
            return dict(self._background)

    def requests(self, window: float | None = None) -> dict[str, int]:
        """Return how many users' requests each tier or source answered in the last ``window`` seconds.

        Windows begin at a full minute; None is since the start.
        """
        with self._lock:
            before = self._before(window)
            return {
                name: count - before[name] for name, count in self._answers.items() if count > before[name]
            }

    def hit_ratio(self, tiers: Collection[str], window: float | None = None) -> float:
        """Return the share of users' requests that one of ``tiers`` answered; NaN when there were none."""
        found = self.requests(window)
        asked = sum(found.values())
        return sum(found.get(tier, 0) for tier in tiers) / asked if asked else math.nan

    def _before(self, window: float | None) -> Counter[str]:
        if window is None:
            return Counter()
        start = self._clock() - window
        result = self._answers
        for minute, counts in reversed(self._minutes):
            if minute + _MINUTE <= start:
                break
            result = counts
        return result
