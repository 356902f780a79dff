"""The caches of a service: the tiers of its home, and the lookups of prices and of results on them."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from importlib import metadata, resources
from importlib.resources.abc import Traversable
from typing import TypedDict

from finpipe.cache.counters import Counters
from finpipe.cache.hot_set import HotSet
from finpipe.cache.lookup import Lookup
from finpipe.cache.memory import MemoryCache
from finpipe.cache.pressure import MemoryPressure
from finpipe.cache.request import Source
from finpipe.cache.results import ComputedSource, ResultsCache
from finpipe.cache.shared import SharedCache, open_shared_cache
from finpipe.cache.traffic import Traffic
from finpipe.settings import Settings

MEBIBYTE = 1 << 20
COMPUTING = ("finpipe.portfolio", "finpipe.market", "finpipe.serve")
LIBRARIES = ("polars", "numpy", "scipy", "numba", "clarabel", "statsforecast", "skfolio")
"""What results depend on: a change of the text of these packages, or of these versions, makes them anew."""

EXTRAS = ("prophet",)
"""Those that need not be installed."""


class _Common(TypedDict):
    counters: Counters
    traffic: Traffic


class Caches:
    """Tiers and what looks things up on them.

    Parameters
    ----------
    settings
        Name the home, Redis and the budgets.
    price_sources
        Where prices come from: L3, then the provider.
    """

    def __init__(self, settings: Settings, price_sources: Sequence[Source]) -> None:
        clock = time.time
        folder = settings.home / "cache"
        self.memory = MemoryCache(clock, settings.cache_memory * MEBIBYTE, pressure=MemoryPressure(clock))
        self.hot = HotSet(folder / "hot_set", clock)
        self.shared = shared_cache(settings)
        self.counters, self.traffic = Counters(clock), Traffic()
        common = _Common(counters=self.counters, traffic=self.traffic)
        self.results_lookup = Lookup(
            clock, local=[self.memory], shared=[self.shared], sources=[ComputedSource()], **common
        )
        self.results = ResultsCache(self.results_lookup)
        self.prices = Lookup(
            clock, local=[self.memory, self.hot], shared=[self.shared], sources=price_sources, **common
        )

    def at_hand(self, key: str) -> bool:
        """Whether memory has a fresh value under ``key``, so that a lookup will not wait for anything."""
        entry = self.memory.get(key)
        return entry is not None and entry.is_fresh(time.time())

    def holds(self, key: str) -> bool:
        """Whether any tier has a fresh value under ``key``; nothing is counted."""
        now = time.time()
        return any(
            (entry := tier.get(key)) is not None and entry.is_fresh(now)
            for tier in (*self.results_lookup.local, *self.results_lookup.shared)
        )

    def close(self) -> None:
        """Let go of connections and files."""
        self.results_lookup.close()
        self.prices.close()
        self.shared.close()


def shared_cache(settings: Settings) -> SharedCache:
    """Return the shared cache (L2) alone, of the home that the settings name."""
    return open_shared_cache(
        settings.home / "cache",
        time.time,
        redis_url=settings.redis_url,
        disk_budget=settings.cache_disk * MEBIBYTE,
    )


def code_version() -> str:
    """Return the version of all code that results depend on: its text, and the versions of what it stands on."""
    found = hashlib.blake2b(digest_size=8)
    for package in COMPUTING:
        for part in sorted(_sources(resources.files(package)), key=str):
            found.update(part.read_bytes())
    for name in LIBRARIES:
        found.update(f"{name}={metadata.version(name)}".encode())
    for name in EXTRAS:
        found.update(f"{name}={_version_of(name)}".encode())
    return found.hexdigest()


def _version_of(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _sources(folder: Traversable) -> list[Traversable]:
    found = []
    for part in folder.iterdir():
        if part.is_dir() and part.name not in {"__pycache__", "page"}:
            found += _sources(part)
        elif part.name.endswith((".py", ".csv")):
            found.append(part)
    return found
