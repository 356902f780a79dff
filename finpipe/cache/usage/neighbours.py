"""What is likely to be asked for after an item: co-requested items, then the popular ones of its label."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from finpipe.cache.usage.association import Association
from finpipe.cache.usage.popularity import Popularity


class Neighbours:
    """The neighbours of items, as learned from the requests so far.

    Parameters
    ----------
    labels
        Label of each item (for tickers: the sector); items without one have no neighbours by label.
    popularity
        Orders those of one label. All scores decay alike, so that their order holds until more is asked.
    association
        Finds those asked for together.
    """

    def __init__(self, labels: Mapping[str, str], popularity: Popularity, association: Association) -> None:
        self._labels, self._association = labels, association
        self._members: defaultdict[str, list[str]] = defaultdict(list)
        now = popularity.latest
        for item in sorted(labels, key=lambda item: (-popularity.score(item, now), item)):
            self._members[labels[item]].append(item)
        self._found: dict[tuple[str, int], list[str]] = {}

    def of(self, item: str, count: int) -> list[str]:
        """Return up to ``count`` items, the likeliest first, without ``item``.

        Up to half of them are co-requested ones, by lift; the rest has the same label, by popularity, items of
        equal popularity by name.
        """
        known = self._found.get((item, count))
        if known is not None:
            return list(known)
        together = [neighbour.item for neighbour in self._association.neighbours(item, count)]
        label = self._labels.get(item)
        same = self._members[label][: count + 1] if label is not None else []
        ranked = dict.fromkeys([*together[: (count + 1) // 2], *same, *together])
        ranked.pop(item, None)
        found = self._found[item, count] = list(ranked)[:count]
        return list(found)
