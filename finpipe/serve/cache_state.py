"""Where the caches of a home stand, seen from outside of the service, and how they are emptied."""

from __future__ import annotations

from dataclasses import dataclass

from finpipe.cache.keys import key_prefix
from finpipe.cache.shared import NO_STORE
from finpipe.cache.status import PublishedStatus, published_status
from finpipe.cache.tier import TierState
from finpipe.serve.caches import Caches
from finpipe.serve.tier_records import MARK
from finpipe.settings import Settings

KINDS = ("prices", "analyze", "optimize", "frontier", "hedge", "benchmark", "prophet-model")
"""Kinds of what the caches hold."""


class CacheKindError(ValueError):
    """There is no such kind of entries; the message lists those that there are."""


@dataclass(frozen=True, slots=True)
class CacheState:
    """The tiers as they are now, and what the service told last.

    Attributes
    ----------
    hot, shared
        L1's mapped files, and the store of L2 that is in use.
    wanted, level
        The store of L2 that the settings name, and the one that answers: ``redis``, ``disk`` or ``memory only``.
    service
        What a service on this home wrote down last; None if none has run.
    """

    hot: TierState
    shared: TierState
    wanted: str
    level: str
    service: PublishedStatus | None


def cache_state(settings: Settings) -> CacheState:
    """Return where the caches stand; asks the shared store, but not the service."""
    caches = Caches(settings, ())
    try:
        shared = caches.shared.state()
        return CacheState(
            caches.hot.state(),
            shared,
            "redis" if settings.redis_url else "disk",
            NO_STORE if shared.name == NO_STORE else shared.name,
            published_status(settings.home / "cache" / "status.json"),
        )
    finally:
        caches.close()


def clear_caches(settings: Settings, kind: str | None = None) -> dict[str, int]:
    """Remove the entries of a kind, or all, from the tiers that processes share; return how many by tier.

    Files of the hot set hold prices and nothing else.

    Raises
    ------
    CacheKindError
        There is no such kind.
    """
    if kind is not None and kind not in KINDS:
        raise CacheKindError(f"the cache holds no {kind!r}: choose one of {', '.join(KINDS)}")
    caches = Caches(settings, ())
    try:
        gone = {caches.hot.name: caches.hot.clear(key_prefix(kind)) if kind else caches.hot.clear()}
        prefixes = ["finpipe:"] if kind is None else [key_prefix(kind)]
        if kind == "prices":
            prefixes.append(key_prefix(MARK))
        gone[caches.shared.name] = sum(caches.shared.clear(prefix) for prefix in prefixes)
        return gone
    finally:
        caches.close()
