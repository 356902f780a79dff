"""L1: the least recently used entries of this process, within a budget of bytes that it really holds."""

from __future__ import annotations

from collections.abc import Callable
from threading import RLock
from typing import NamedTuple

from cachetools import TLRUCache

from finpipe.cache.buffers import BufferLedger, admissible
from finpipe.cache.entry import Clock, Entry
from finpipe.cache.pressure import MemoryPressure
from finpipe.cache.tier import TierState

GIGABYTE = 1 << 30


class _Held(NamedTuple):
    entry: Entry
    buffers: dict[int, int]


class MemoryCache:
    """LRU with expiry over entries; safe for any number of threads.

    Bytes are those of the allocations that the entries keep alive: shared ones count once, and a small
    slice of something large is copied, so that it costs what it shows. Under memory pressure the budget
    shrinks, and what is least recently used goes first.

    Parameters
    ----------
    clock
        Seconds since 1970.
    budget
        Bytes.
    pressure
        What makes the budget shrink; None: nothing.
    max_entries
        Entries at most, since even an empty one costs memory.
    """

    name = "memory"

    def __init__(
        self,
        clock: Clock,
        budget: int = GIGABYTE,
        *,
        pressure: MemoryPressure | None = None,
        max_entries: int = 100_000,
    ) -> None:
        if budget < 0 or max_entries < 1:
            raise ValueError(f"a cache of {budget} bytes and {max_entries} entries cannot hold anything")
        self.budget = budget
        self._pressure = pressure
        self._ledger = BufferLedger()
        self._entries = _Entries(max_entries, clock, self._removed)
        self._lock = RLock()
        self._evictions = self._refused = 0

    def get(self, key: str) -> Entry | None:
        """Return the entry under ``key`` if it may still be used, and make it the most recently used."""
        with self._lock:
            try:
                return self._entries[key].entry
            except KeyError:
                return None

    def put(self, key: str, entry: Entry) -> None:
        """Keep ``entry``, in place of what stood there; too large for the budget of the moment: counted as refused."""
        with self._lock:
            self._remove(key)
            limit = self._limit()
            payload, buffers = admissible(entry.payload, self._ledger)
            if sum(buffers.values()) > limit:
                self._refused += 1
                self._shrink(limit)
                return
            self._ledger.add(buffers)
            self._entries[key] = _Held(Entry(payload, entry.stored_at, entry.expiry), buffers)
            if key not in self._entries:  # expired on arrival
                self._ledger.release(buffers)
            self._shrink(limit)

    def delete(self, key: str) -> None:
        """Forget ``key``."""
        with self._lock:
            self._remove(key)

    def clear(self, prefix: str = "") -> int:
        """Forget the keys that begin with ``prefix`` and return how many they were."""
        with self._lock:
            keys = [key for key in self._entries if key.startswith(prefix)]
            for key in keys:
                self._remove(key)
            return len(keys)

    def relieve(self) -> None:
        """Look at the memory pressure and give way; ``put`` does it too."""
        with self._lock:
            self._shrink(self._limit())

    def state(self) -> TierState:
        """Return what is held and what had to go."""
        with self._lock:
            return TierState(
                name=self.name,
                entries=len(self._entries),
                bytes=self._ledger.bytes,
                budget=self.budget,
                evictions=self._evictions,
                refused=self._refused,
            )

    def _limit(self) -> int:
        share = 1.0 if self._pressure is None else self._pressure.allowed_share()
        return int(self.budget * share)

    def _shrink(self, limit: int) -> None:
        self._entries.expire()
        while self._ledger.bytes > limit and len(self._entries):
            self._entries.popitem()

    def _remove(self, key: str) -> None:
        held = self._entries.pop(key, None)
        if held is not None:
            self._ledger.release(held.buffers)

    def _removed(self, held: _Held, *, evicted: bool) -> None:
        self._ledger.release(held.buffers)
        self._evictions += evicted


class _Entries(TLRUCache[str, _Held]):
    """The policy of cachetools; says what it takes away on its own."""

    def __init__(self, max_entries: int, clock: Clock, removed: Callable[..., None]) -> None:
        super().__init__(max_entries, ttu=lambda _key, held, _now: held.entry.expiry.expires_at, timer=clock)
        self._tell = removed

    def expire(self, time: float | None = None) -> list[tuple[str, _Held]]:
        gone = list(super().expire(time))
        for _, held in gone:
            self._tell(held, evicted=False)
        return gone

    def popitem(self) -> tuple[str, _Held]:
        key, held = super().popitem()
        self._tell(held, evicted=True)
        return key, held
