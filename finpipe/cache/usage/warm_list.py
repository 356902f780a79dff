"""What to have at hand before it is asked for, in order of importance, each item with its reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from finpipe.cache.usage.neighbours import Neighbours
from finpipe.cache.usage.popularity import Popularity

_LEADERS = 50
_NEIGHBOURS_EACH = 4


@dataclass(frozen=True, slots=True)
class WarmItem:
    """An item to warm: its score (decayed requests; 0 if never asked for) and why it is on the list."""

    item: str
    score: float
    reason: str


def warm_list(
    popularity: Popularity,
    neighbours: Neighbours,
    groups: Mapping[str, Iterable[str]],
    *,
    size: int,
    now: float,
) -> list[WarmItem]:
    """Return up to ``size`` items: those asked for, by score; neighbours of the leaders; members of groups.

    Parameters
    ----------
    groups
        Items that are warm whether or not anybody asked for them, by the name of their group, the most
        important group first.
    size
        Items at most.
    now
        Instant at which scores are taken.
    """
    chosen: dict[str, WarmItem] = {}
    scores = popularity.scores(now)
    for item, score in scores.items():
        chosen[item] = WarmItem(item, score, "asked for")
    for leader in list(scores)[:_LEADERS]:
        for item in neighbours.of(leader, _NEIGHBOURS_EACH):
            chosen.setdefault(item, WarmItem(item, 0.0, f"neighbour of {leader}"))
    for group, members in groups.items():
        for item in members:
            chosen.setdefault(item, WarmItem(item, 0.0, f"in {group}"))
    return list(chosen.values())[:size]
