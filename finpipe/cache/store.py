"""What a shared cache asks of the place that keeps its bytes: Redis, or a folder."""

from __future__ import annotations

from typing import Protocol

from finpipe.cache.tier import TierState


class StoreError(OSError):
    """The store did not do what was asked: it is gone, too slow, or broken."""


class StoreFullError(StoreError):
    """The store works, but has no room for more."""


class Store(Protocol):
    """Bytes by key, shared by processes, with an instant at which each is gone."""

    @property
    def name(self) -> str:
        """Short name, as it stands in counters and logs."""
        ...

    def get(self, key: str) -> bytes | None:
        """Return what stands under ``key``; None if nothing does. Raises ``StoreError``."""
        ...

    def put(self, key: str, data: bytes, expires_at: float) -> None:
        """Keep ``data`` until ``expires_at``. Raises ``StoreFullError`` and ``StoreError``."""
        ...

    def delete(self, key: str) -> None:
        """Forget ``key``. Raises ``StoreError``."""
        ...

    def clear(self, prefix: str) -> int:
        """Forget the keys that begin with ``prefix``; return how many. Raises ``StoreError``."""
        ...

    def ping(self) -> None:
        """Return if the store works. Raises ``StoreError``."""
        ...

    def state(self) -> TierState:
        """Return what it holds. Raises ``StoreError``."""
        ...

    def close(self) -> None:
        """Let go of connections and files; a later use opens them again."""
        ...
