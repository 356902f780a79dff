"""How often each item is asked for, where what is long ago counts less."""

from __future__ import annotations

import math
from collections.abc import Iterable

from finpipe.cache.usage.request_log import Asked

DAY = 86_400.0


class Popularity:
    """Frequency with exponential decay: score(t) = sum over requests of 2^(-(t - t_request) / half-life).

    Parameters
    ----------
    half_life
        Seconds after which a request counts half; three days unless given.
    """

    def __init__(self, half_life: float = 3 * DAY) -> None:
        if not half_life > 0:
            raise ValueError(f"a half-life is positive, not {half_life}")
        self._half_life = half_life
        self._scores: dict[str, tuple[float, float]] = {}
        self.latest = 0.0
        """Instant of the latest request counted."""

    @classmethod
    def of(cls, requests: Iterable[Asked], half_life: float = 3 * DAY) -> Popularity:
        """Return the popularity after ``requests``, in any order."""
        result = cls(half_life)
        for asked in requests:
            for item in asked.items:
                result.add(item, asked.at)
        return result

    def add(self, item: str, at: float) -> None:
        """Count a request for ``item`` at the instant ``at``."""
        self.latest = max(self.latest, at)
        score, reached = self._scores.get(item, (0.0, at))
        if at >= reached:
            self._scores[item] = (score * self._decay(at - reached) + 1.0, at)
        else:
            self._scores[item] = (score + self._decay(reached - at), reached)

    def score(self, item: str, now: float) -> float:
        """Return the score of ``item`` at ``now``, not before its last request; 0 if it was never asked for."""
        score, reached = self._scores.get(item, (0.0, now))
        return score * self._decay(now - reached)

    def scores(self, now: float) -> dict[str, float]:
        """Return the scores of all items at ``now``, the highest first, equal ones by name."""
        found = {item: self.score(item, now) for item in self._scores}
        return dict(sorted(found.items(), key=lambda pair: (-pair[1], pair[0])))

    def top(self, count: int, now: float) -> list[str]:
        """Return the ``count`` items with the highest scores at ``now``."""
        return list(self.scores(now))[:count]

    def _decay(self, seconds: float) -> float:
        return math.exp2(-seconds / self._half_life)
