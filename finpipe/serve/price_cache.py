"""Prices of a group put into the caches before anybody asks, under the keys that the service asks for.

A ticker has one entry: the longest range. Shorter ones are rows of it in the hot set, so that they take no room.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from finpipe.cache.entry import NEVER, Entry, Expiry
from finpipe.cache.hot_set import Cut, publish
from finpipe.cache.request import Loaded, entry_of
from finpipe.cache.tier import TierState
from finpipe.portfolio.market_data import PriceSource, period, price_source
from finpipe.serve.caches import Caches
from finpipe.serve.history_view import HistoryViews
from finpipe.serve.prices import HistorySource, Wanted, price_request
from finpipe.serve.tier_records import HOT, SHARED, file_name, mark_key
from finpipe.settings import Settings

YEARS = (1, 2, 5)
"""Ranges at hand, beside the one that is taken when no start is given."""


@dataclass(frozen=True, slots=True)
class Filled:
    """What was put into a tier.

    Attributes
    ----------
    record
        What it is, as plain values that are the same for the same bars: tier, group, last day, ranges in years,
        number of tickers, and a version of all keys.
    tickers
        With an entry.
    missing
        Reason by ticker without one.
    state
        Of the tier, afterwards.
    refused, evicted
        Entries that were not kept, and those that had to go, while it was filled.
    wanted, level
        For the shared cache: the store that the settings name, and the one in use.
    """

    record: Mapping[str, Any]
    tickers: tuple[str, ...]
    missing: Mapping[str, str]
    state: TierState
    refused: int = 0
    evicted: int = 0
    wanted: str = ""
    level: str = ""


@dataclass(frozen=True, slots=True)
class _Loaded:
    version: str
    years: tuple[int, ...]
    entries: dict[str, Entry] = field(repr=False)
    cuts: dict[str, Cut] = field(repr=False)
    tickers: tuple[str, ...]
    missing: dict[str, str]


def fill_shared(
    settings: Settings, group: str, tickers: Sequence[str], *, end: dt.date, years: int, at: dt.datetime
) -> Filled:
    """Put the longest range of each ticker into the shared cache (L2).

    Parameters
    ----------
    group
        Names the source of the prices, as in a question for the group.
    tickers
        Their bars are in the history; one without bars is told in ``missing``.
    end
        Last day, included.
    years
        Of the longest range.
    at
        The time, with its zone.
    """
    found = _load(settings, group, tickers, end=end, years=years, at=at)
    caches = Caches(settings, ())
    try:
        before = caches.shared.state()
        for key, entry in found.entries.items():
            caches.shared.put(key, entry)
        record = _record(SHARED, group, end, found)
        mark = Entry.of(record["version"], at.timestamp(), _soonest(found.entries))
        caches.shared.put(mark_key(group, record["version"]), mark)
        after = caches.shared.state()
        return Filled(
            record,
            found.tickers,
            found.missing,
            after,
            after.refused - before.refused,
            max(0, after.evictions - before.evictions),
            "redis" if settings.redis_url else "disk",
            caches.shared.level,
        )
    finally:
        caches.close()


def publish_hot(
    settings: Settings, group: str, tickers: Sequence[str], *, end: dt.date, years: int, at: dt.datetime
) -> Filled:
    """Write the ranges of the tickers as one Arrow file of the hot set (L1), in place of the group's last one.

    Parameters are those of ``fill_shared``.
    """
    found = _load(settings, group, tickers, end=end, years=years, at=at)
    caches = Caches(settings, ())
    try:
        path = publish(caches.hot.folder, file_name(group), found.entries, found.cuts)
        record = {**_record(HOT, group, end, found), "bytes": path.stat().st_size}
        return Filled(record, found.tickers, found.missing, caches.hot.state())
    finally:
        caches.close()


def _load(
    settings: Settings, group: str, tickers: Sequence[str], *, end: dt.date, years: int, at: dt.datetime
) -> _Loaded:
    source = price_source(settings, group=group)
    views = HistoryViews()
    view = views.of(source.history)
    ranges = (*(number for number in YEARS if number < years), years)
    names = tuple(dict.fromkeys(tickers))
    starts = {number: period(source, None, end, at, tickers=names, years=number)[0] for number in ranges}
    versions = {ticker: view.version([ticker]) for ticker in names}

    def asked(ticker: str, number: int) -> Wanted:
        return Wanted(source, group, ticker, starts[number], end)

    whole = {ticker: price_request(asked(ticker, years), versions[ticker]) for ticker in names}
    answers = HistorySource(views).load(list(whole.values()))
    entries: dict[str, Entry] = {}
    cuts: dict[str, Cut] = {}
    missing: dict[str, str] = {}
    for ticker, request in whole.items():
        outcome = answers.get(request.key)
        entry = entry_of(request, outcome, at.timestamp()) if isinstance(outcome, Loaded) else None
        if not isinstance(entry, Entry):
            missing[ticker] = _reason(source, entry or outcome)
            continue
        entries[request.key] = entry
        table: Any = entry.payload
        days = np.asarray(table["date"], dtype="datetime64[D]")
        for number in ranges[:-1]:
            first = int(np.searchsorted(days, np.datetime64(starts[number])))
            key = price_request(asked(ticker, number), versions[ticker]).key
            cuts[key] = Cut(request.key, first, len(days) - first)
    arrived = tuple(ticker for ticker in names if ticker not in missing)
    return _Loaded(_version(entries, cuts), ranges, entries, cuts, arrived, missing)


def _record(tier: str, group: str, end: dt.date, found: _Loaded) -> dict[str, Any]:
    return {
        "tier": tier,
        "group": group,
        "end": end.isoformat(),
        "years": list(found.years if tier == HOT else found.years[-1:]),
        "tickers": len(found.tickers),
        "version": found.version,
    }


def _version(entries: Mapping[str, Entry], cuts: Mapping[str, Cut]) -> str:
    import xxhash

    return xxhash.xxh3_128_hexdigest(json.dumps([sorted(entries), sorted(cuts)]).encode())


def _reason(source: PriceSource, outcome: object) -> str:
    reason = getattr(outcome, "reason", None)
    return str(reason or outcome or f"the history of {source.name} does not cover the range")


def _soonest(entries: Mapping[str, Entry]) -> Expiry:
    found = [entry.expiry for entry in entries.values()]
    return min(found, key=lambda expiry: expiry.expires_at, default=NEVER)
