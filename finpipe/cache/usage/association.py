"""Which items are asked for together more often than chance would have it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

from finpipe.cache.usage.request_log import Asked


@dataclass(frozen=True, slots=True)
class Neighbour:
    """An item asked for together with another: how often, and how many times more than by chance."""

    item: str
    together: int
    lift: float


class Association:
    """Co-requests: lift(a, b) = P(a and b) / (P(a) P(b)) over sets of items asked for together.

    A lift of 1 is what independent requests would give. Rare pairs are drawn towards it: with e the number
    of co-requests that chance would give, (n + k) / (e + k), so that a single coincidence is no neighbour.

    Parameters
    ----------
    least
        Co-requests from which a pair counts at all.
    smoothing
        k, in co-requests.
    largest
        Sets with more items are whole groups and say nothing about pairs: they are not counted.
    """

    def __init__(self, *, least: int = 3, smoothing: float = 2.0, largest: int = 50) -> None:
        self._least, self._smoothing, self._largest = least, smoothing, largest
        self._sets = 0
        self._items: Counter[str] = Counter()
        self._pairs: defaultdict[str, Counter[str]] = defaultdict(Counter)

    @classmethod
    def of(cls, requests: Iterable[Asked], *, least: int = 3) -> Association:
        """Return the association in ``requests``."""
        result = cls(least=least)
        for asked in requests:
            result.add(asked.items)
        return result

    def add(self, items: Iterable[str]) -> None:
        """Count items asked for together; a single one counts too, as a set of its own."""
        unique = sorted(set(items))
        if not unique or len(unique) > self._largest:
            return
        self._sets += 1
        self._items.update(unique)
        for one, other in combinations(unique, 2):
            self._pairs[one][other] += 1
            self._pairs[other][one] += 1

    def lift(self, one: str, other: str) -> float:
        """Return the smoothed lift of two items; 1 where nothing is known."""
        expected = self._items[one] * self._items[other] / self._sets if self._sets else 0.0
        together = self._pairs[one][other] if one in self._pairs else 0
        return (together + self._smoothing) / (expected + self._smoothing)

    def neighbours(self, item: str, count: int) -> list[Neighbour]:
        """Return up to ``count`` items with a lift above 1, the highest first."""
        if item not in self._pairs:
            return []
        found = [
            Neighbour(other, together, self.lift(item, other))
            for other, together in self._pairs[item].items()
            if together >= self._least
        ]
        found = [neighbour for neighbour in found if neighbour.lift > 1]
        return sorted(found, key=lambda neighbour: (-neighbour.lift, neighbour.item))[:count]
