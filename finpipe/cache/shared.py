"""L2: entries as bytes in the first of several stores that works; Redis, then disk, then none at all."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TypeVar

from finpipe.cache.breaker import Breaker
from finpipe.cache.disk_store import GIGABYTE, DiskStore
from finpipe.cache.encoding import DecodeError, decode, encode
from finpipe.cache.entry import Clock, Entry, UncacheableError
from finpipe.cache.redis_store import RedisStore
from finpipe.cache.store import Store, StoreError, StoreFullError
from finpipe.cache.tier import TierState

log = logging.getLogger(__name__)

NO_STORE = "memory only"
_REMEMBERED_STEPS = 100

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class Step:
    """A change of the store in use: at which instant, from which to which, and why."""

    at: float
    before: str
    after: str
    reason: str


class _Guarded:
    def __init__(self, store: Store, breaker: Breaker) -> None:
        self.store, self.breaker = store, breaker
        self.errors = self.refused = 0
        self.full = False


class SharedCache:
    """Entries shared by processes. It never raises because of a store; each step down and up is logged once.

    Parameters
    ----------
    stores
        In order of preference. A store that fails is left alone until a probe finds that it works again;
        meanwhile the next one is used. What a store missed meanwhile it does not know: a miss, no more.
    clock
        Seconds since 1970.
    breaker
        Makes the breaker of each store.
    """

    name = "shared"

    def __init__(
        self, stores: Sequence[Store], clock: Clock, *, breaker: Callable[[Clock], Breaker] = Breaker
    ) -> None:
        self._clock = clock
        self._guarded = [_Guarded(store, breaker(clock)) for store in stores]
        self._undecodable = self._unencodable = 0
        self._level = self._best()
        self._steps: deque[Step] = deque(maxlen=_REMEMBERED_STEPS)
        self._lock = Lock()

    @property
    def level(self) -> str:
        """Name of the store in use; ``memory only`` when none works."""
        return self._level

    @property
    def steps(self) -> tuple[Step, ...]:
        """The latest changes of level, oldest first."""
        return tuple(self._steps)

    def get(self, key: str) -> Entry | None:
        """Return the entry under ``key`` if it may still be used; one that does not decode is deleted."""
        data = self._ask(lambda store: store.get(key))
        if data is None:
            return None
        try:
            entry = decode(data)
        except DecodeError as error:
            self._undecodable += 1
            log.warning("shared cache: the value of %s is deleted: %s", key, error)
            self.delete(key)
            return None
        return entry if entry.is_usable(self._clock()) else None

    def put(self, key: str, entry: Entry) -> None:
        """Keep ``entry`` as long as it may be used."""
        if not entry.is_usable(self._clock()):
            return
        try:
            data = encode(entry)
        except UncacheableError as error:
            self._unencodable += 1
            log.warning("shared cache: the value of %s is not kept: %s", key, error)
            return
        self._ask(lambda store: store.put(key, data, entry.expiry.expires_at), writes=True)

    def delete(self, key: str) -> None:
        """Forget ``key``."""
        self._ask(lambda store: store.delete(key))

    def clear(self, prefix: str = "finpipe:") -> int:
        """Forget the keys that begin with ``prefix`` in every store that works; return how many they were."""
        gone = 0
        for guarded in self._guarded:
            if guarded.breaker.is_closed:
                gone += self._try(guarded, lambda store: store.clear(prefix))[1] or 0
        return gone

    def state(self) -> TierState:
        """Return what the store in use holds, and in ``detail`` where the cache stands and since when."""
        for guarded in self._guarded:
            if guarded.breaker.is_closed:
                _, found = self._try(guarded, lambda store: store.state())
                if found is not None:
                    return self._described(found)
        return self._described(TierState(name=NO_STORE))

    def close(self) -> None:
        """Let go of the stores' connections and files."""
        for guarded in self._guarded:
            guarded.store.close()

    def _described(self, found: TierState) -> TierState:
        last = self._steps[-1] if self._steps else None
        told = [f"on {self._level}"]
        if last is not None:
            told[0] += f" since {last.at:.0f} ({last.reason})"
        told += [f"{guarded.store.name} is full" for guarded in self._guarded if guarded.full]
        return TierState(
            name=found.name,
            entries=found.entries,
            bytes=found.bytes,
            budget=found.budget,
            evictions=found.evictions,
            refused=found.refused + self._unencodable + sum(guarded.refused for guarded in self._guarded),
            undecodable=self._undecodable,
            errors=sum(guarded.errors for guarded in self._guarded),
            detail="; ".join([*told, *filter(None, [found.detail])]),
        )

    def _ask(self, question: Callable[[Store], _Answer], *, writes: bool = False) -> _Answer | None:
        for guarded in self._guarded:
            if guarded.breaker.is_closed or self._works_again(guarded):
                works, answer = self._try(guarded, question, writes=writes)
                if works:
                    return answer
        return None

    def _try(
        self, guarded: _Guarded, question: Callable[[Store], _Answer], *, writes: bool = False
    ) -> tuple[bool, _Answer | None]:
        name, asked_at = guarded.store.name, guarded.breaker.changes
        try:
            answer = question(guarded.store)
        except StoreFullError as error:
            guarded.refused += 1
            if not guarded.full:
                guarded.full = True
                log.warning("shared cache: %s is full, new values are not kept: %s", name, error)
            return True, None
        except StoreError as error:
            guarded.errors += 1
            if guarded.breaker.failed(asked_at):
                self._step(str(error))
            return False, None
        if writes and guarded.full:
            guarded.full = False
            log.warning("shared cache: %s has room again", name)
        if guarded.breaker.succeeded(asked_at):
            self._step(f"{name} answers again")
        return True, answer

    def _works_again(self, guarded: _Guarded) -> bool:
        if not guarded.breaker.may_probe():
            return False
        self._try(guarded, lambda store: store.ping())
        return guarded.breaker.is_closed

    def _best(self) -> str:
        return next((item.store.name for item in self._guarded if item.breaker.is_closed), NO_STORE)

    def _step(self, reason: str) -> None:
        with self._lock:
            before, after = self._level, self._best()
            if before == after:
                return
            self._level = after
            self._steps.append(Step(self._clock(), before, after, reason))
        log.warning("shared cache: from %s to %s: %s", before, after, reason)


def open_shared_cache(
    folder: Path, clock: Clock, *, redis_url: str | None = None, disk_budget: int = 4 * GIGABYTE
) -> SharedCache:
    """Return the shared cache of a home: Redis where ``redis_url`` names one, and the disk behind it."""
    stores: list[Store] = [] if redis_url is None else [RedisStore(redis_url, clock)]
    stores.append(DiskStore(folder, clock, disk_budget))
    return SharedCache(stores, clock)
