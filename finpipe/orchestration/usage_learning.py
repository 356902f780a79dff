"""From the log of requests to frames: how popular tickers are, and which to have at hand."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import polars as pl

from finpipe.cache.usage.association import Association
from finpipe.cache.usage.neighbours import Neighbours
from finpipe.cache.usage.popularity import Popularity
from finpipe.cache.usage.request_log import Asked
from finpipe.cache.usage.warm_list import warm_list
from finpipe.market.tickers import DEMO_GROUP, SHIPPED_GROUPS, TickerError, ticker_group

LENGTH = 1000
"""Tickers on the warm list at most."""
POPULARITY = pl.Schema(
    {
        "ticker": pl.String(),
        "score": pl.Float64(),
        "requests": pl.Int64(),
        "last_asked": pl.Datetime("us", "UTC"),
    }
)
WARM_LIST = pl.Schema({"rank": pl.Int64(), "ticker": pl.String(), "reason": pl.String()})
_SCORED = 6
"""Decimals of a score, so that its last bits make no new version."""


def learned(
    asked: Sequence[Asked],
    sectors: Mapping[str, str],
    groups: Mapping[str, Sequence[str]],
    *,
    size: int = LENGTH,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return how popular each ticker is, and the warm list, at the latest request.

    Parameters
    ----------
    asked
        Requests.
    sectors
        Sector by ticker: those of one sector are neighbours.
    groups
        Members of groups that are warm whether or not anybody asked, the most important group first.
    size
        Length of the list at most.

    Returns
    -------
    tuple[DataFrame, DataFrame]
        ``ticker``, ``score``, ``requests``, ``last_asked``, sorted by ticker; and ``rank``, ``ticker``, ``reason``.
    """
    popularity = Popularity.of(asked)
    now = popularity.latest
    counts = Counter(item for row in asked for item in row.items)
    last: dict[str, float] = {}
    for row in asked:
        last |= {item: max(row.at, last.get(item, row.at)) for item in row.items}
    rows = [
        (item, round(score, _SCORED), counts[item], dt.datetime.fromtimestamp(last[item], dt.UTC))
        for item, score in sorted(popularity.scores(now).items())
    ]
    neighbours = Neighbours(sectors, popularity, Association.of(asked))
    found = warm_list(popularity, neighbours, groups, size=size, now=now)
    places = [(number, item.item, item.reason) for number, item in enumerate(found, 1)]
    return (
        pl.DataFrame(rows, schema=POPULARITY, orient="row"),
        pl.DataFrame(places, schema=WARM_LIST, orient="row"),
    )


def warmest(tickers: Iterable[str], warm: pl.DataFrame, most: int = LENGTH) -> list[str]:
    """Return up to ``most`` of ``tickers``, those on the warm list first and in its order."""
    place = dict(zip(warm["ticker"], warm["rank"], strict=True))
    return sorted(tickers, key=lambda ticker: place.get(ticker, len(place) + 1))[:most]


def known_sectors(own_groups: Mapping[str, Sequence[str] | str]) -> dict[str, str]:
    """Return the sector of each ticker of the shipped groups and of those of the settings."""
    found: dict[str, str] = {}
    for name in (*own_groups, *SHIPPED_GROUPS, DEMO_GROUP):
        try:
            found = {**ticker_group(name, own_groups).sectors, **found}
        except (TickerError, OSError):
            continue
    return found


def members_of(
    names: Iterable[str], own_groups: Mapping[str, Sequence[str] | str]
) -> dict[str, tuple[str, ...]]:
    """Return the tickers of each group that still exists."""
    found: dict[str, tuple[str, ...]] = {}
    for name in names:
        try:
            found[name] = ticker_group(name, own_groups).tickers
        except (TickerError, OSError):
            continue
    return found
