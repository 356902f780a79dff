"""Bytes in Redis, with time-outs so short that a Redis in trouble is no trouble to a request."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from finpipe.cache.entry import FOREVER, Clock
from finpipe.cache.store import StoreError, StoreFullError
from finpipe.cache.tier import TierState

_SCAN = 1000


class RedisStore:
    """A ``Store`` in Redis. It evicts by its own ``maxmemory-policy``; ``allkeys-lru`` suits a cache.

    Parameters
    ----------
    url
        As redis-py takes it: ``redis://host:6379/0``, ``rediss://``, ``unix://``.
    clock
        Seconds since 1970.
    timeout
        Seconds for connecting and for each answer; ``?socket_timeout=2`` in ``url`` comes first.
    """

    name = "redis"

    def __init__(self, url: str, clock: Clock, *, timeout: float = 0.25) -> None:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        self._clock = clock
        # One retry, and only for a connection that was closed while it lay in the pool.
        retry = Retry(NoBackoff(), 1, supported_errors=(redis.exceptions.ConnectionError,))
        try:
            self._redis: Any = redis.Redis.from_url(
                url, socket_timeout=timeout, socket_connect_timeout=timeout, retry=retry
            )
        except ValueError as error:
            raise ValueError(f"the address of Redis cannot be used: {error}") from error

    def get(self, key: str) -> bytes | None:
        """Return what stands under ``key``."""
        with _store_errors():
            found: bytes | None = self._redis.get(key)
            return found

    def put(self, key: str, data: bytes, expires_at: float) -> None:
        """Keep ``data`` until ``expires_at``."""
        left = expires_at - self._clock()
        with _store_errors():
            if expires_at == FOREVER:
                self._redis.set(key, data)
            elif left > 0:
                self._redis.set(key, data, px=max(1, int(left * 1000)))

    def delete(self, key: str) -> None:
        """Forget ``key``."""
        with _store_errors():
            self._redis.unlink(key)

    def clear(self, prefix: str) -> int:
        """Forget the keys that begin with ``prefix`` and return how many they were."""
        pattern = "".join(f"\\{letter}" if letter in "*?[]\\" else letter for letter in prefix) + "*"
        gone = 0
        with _store_errors():
            keys = list(self._redis.scan_iter(match=pattern, count=_SCAN))
            for start in range(0, len(keys), _SCAN):
                gone += self._redis.unlink(*keys[start : start + _SCAN])
        return gone

    def ping(self) -> None:
        """Return if Redis answers."""
        with _store_errors():
            self._redis.ping()

    def state(self) -> TierState:
        """Return the memory that Redis uses and what it evicted, of all its tenants."""
        with _store_errors():
            memory, stats = self._redis.info("memory"), self._redis.info("stats")
            return TierState(
                name=self.name,
                entries=int(self._redis.dbsize()),
                bytes=int(memory["used_memory"]),
                budget=int(memory.get("maxmemory", 0)) or None,
                evictions=int(stats.get("evicted_keys", 0)),
            )

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()


@contextmanager
def _store_errors() -> Iterator[None]:
    import redis

    try:
        yield
    except redis.exceptions.OutOfMemoryError as error:
        raise StoreFullError(f"Redis is full: {error}") from error
    except (redis.exceptions.RedisError, OSError) as error:
        raise StoreError(f"Redis: {error}") from error
