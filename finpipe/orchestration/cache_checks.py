"""Checks of the cache tiers: what filling one came to, and how the running service fares with its cache."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from finpipe.cache.status import PublishedStatus, published_status
from finpipe.orchestration.check import Check
from finpipe.orchestration.stage import Result
from finpipe.settings import Settings

if TYPE_CHECKING:
    from finpipe.serve.price_cache import Filled

FILLED = "tier_filled"
FILLED_PROMISE = (
    "The tier took every ticker that has bars, in the store that the settings name, and nothing had to go."
)
SERVED = "cache_serves"
SERVED_PROMISE = (
    "The service answers most requests from its cache, within its memory, and loses little to evictions."
)
PROMISES = {FILLED: FILLED_PROMISE, SERVED: SERVED_PROMISE}
LEAST_HITS = 0.9
"""Share of requests that the cache should answer."""
ENOUGH = 200
"""Requests from which the share says something."""
MOST_EVICTED = 0.1
"""Evictions of a tier in relation to the entries that it holds."""


def status_file(settings: Settings) -> Path:
    """Return where the service writes down how its cache stands."""
    return settings.home / "cache" / "status.json"


def result(filled: Filled, settings: Settings) -> Result:
    """Return what the asset of a filled tier makes: the record of what is in it, with facts and checks."""
    record = json.dumps(filled.record, sort_keys=True)
    return Result(record, facts=cache_facts(filled, settings), checks=cache_checks(filled, settings))


def cache_checks(filled: Filled, settings: Settings) -> dict[str, Check]:
    """Return the checks of a tier by name."""
    return {FILLED: tier_filled(filled), SERVED: cache_serves(published_status(status_file(settings)))}


def tier_filled(filled: Filled) -> Check:
    """Judge what filling a tier came to."""
    total = len(filled.tickers) + len(filled.missing)
    said = [f"{len(filled.tickers)} of {total} tickers at hand in {filled.level or filled.state.name}"]
    if filled.wanted != filled.level:
        said.append(f"{filled.wanted} does not answer ({filled.state.detail})")
    if filled.refused:
        said.append(f"{filled.refused} entries were not kept")
    if filled.evicted:
        said.append(
            f"{filled.evicted} others had to go: the budget of {filled.state.budget:,} bytes is too small"
        )
    passed = (
        filled.wanted == filled.level and not filled.refused and not filled.evicted and bool(filled.tickers)
    )
    return Check(passed, "; ".join(said))


def cache_serves(published: PublishedStatus | None) -> Check:
    """Judge what the service wrote down last: hit ratio, memory, evictions; nothing known is nothing wrong."""
    if published is None:
        return Check(passed=True, finding="no service has told yet how its cache stands")
    wrong: list[str] = []
    ratio, requests = published.hit_ratio, published.requests
    told = "no requests yet" if ratio is None else f"{ratio:.1%} of {requests:,} requests from the cache"
    if ratio is not None and requests >= ENOUGH and ratio < LEAST_HITS:
        wrong.append(f"less than {LEAST_HITS:.0%} of requests are answered from the cache")
    for tier in tiers_of(published):
        held, budget = tier.get("bytes"), tier.get("budget")
        if held is not None and budget is not None and held > budget:
            wrong.append(f"{tier['name']} holds {held:,} bytes, more than its {budget:,}")
        entries = tier.get("entries") or 0
        if tier.get("evictions", 0) > MOST_EVICTED * max(entries, ENOUGH):
            wrong.append(f"{tier['name']} let go of {tier['evictions']:,} entries and holds {entries:,}")
    return Check(
        not wrong, "; ".join([told, *wrong]), metadata={"told_at": dg.MetadataValue.timestamp(published.at)}
    )


def tiers_of(published: PublishedStatus) -> list[Mapping[str, Any]]:
    """Return the tiers of a published status."""
    found = published.status.get("tiers")
    return [tier for tier in found if isinstance(tier, dict)] if isinstance(found, list) else []


def cache_facts(filled: Filled, settings: Settings) -> dict[str, Any]:
    """Return the counters of a tier, and of the service that was asked last, as metadata."""
    state = filled.state
    facts: dict[str, Any] = {
        "tickers": len(filled.tickers),
        "entries of the tier": state.entries or 0,
        "bytes of the tier": state.bytes or 0,
        "evictions": state.evictions,
        "refused": state.refused,
        "errors": state.errors,
        "store": filled.level or state.name,
        "without bars": dg.MetadataValue.json(dict(filled.missing)),
    }
    published = published_status(status_file(settings))
    if published is not None:
        facts["counters of the service"] = dg.MetadataValue.json(published.status)
        if published.hit_ratio is not None:
            facts["hit ratio"] = published.hit_ratio
    return facts
