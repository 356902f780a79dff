"""What a lookup asks of a tier, and what a tier tells about itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from finpipe.cache.entry import Entry


@dataclass(frozen=True, slots=True)
class TierState:
    """What a tier holds and what happened to it since it was opened.

    Attributes
    ----------
    name
        Which tier, or which store within it.
    entries
        Entries held; None where counting would cost too much.
    bytes
        Bytes held; None where only others know.
    budget
        Bytes at most; None without a limit of ours.
    evictions
        Entries that went to make room.
    refused
        Entries that were not kept: larger than the budget, or the store was full.
    undecodable
        Values that did not decode and were deleted.
    errors
        Operations that failed.
    detail
        One sentence for people: where a shared cache stands and why; empty when there is nothing to say.
    """

    name: str
    entries: int | None = None
    bytes: int | None = None
    budget: int | None = None
    evictions: int = 0
    refused: int = 0
    undecodable: int = 0
    errors: int = 0
    detail: str = ""


class Tier(Protocol):
    """A place that keeps entries. It answers None rather than fail; faults are counted in its state."""

    @property
    def name(self) -> str:
        """Short name, as it stands in counters."""
        ...

    def get(self, key: str) -> Entry | None:
        """Return the entry under ``key`` if it may still be used, fresh or stale."""
        ...

    def put(self, key: str, entry: Entry) -> None:
        """Keep ``entry`` if possible; a tier that others fill ignores it."""
        ...

    def delete(self, key: str) -> None:
        """Forget ``key``."""
        ...

    def clear(self, prefix: str = "") -> int:
        """Forget the keys that begin with ``prefix`` and return how many they were."""
        ...

    def state(self) -> TierState:
        """Return what it holds and what happened to it."""
        ...
