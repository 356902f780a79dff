"""Events: what a run tells whoever watches it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a node: it started, got on, was made, was fresh already, failed, or lost an input."""

    kind: Literal["started", "working", "made", "fresh", "failed", "blocked"]
    node: str
    seconds: float = 0.0
    rows: int | None = None
    message: str = ""


Tell = Callable[[Event], None]


def tell_outcomes(log: Callable[..., None]) -> Tell:
    """Return what writes into a log which nodes were made, failed or lost an input."""

    def tell(event: Event) -> None:
        if event.kind in {"made", "failed", "blocked"}:
            log("%s %s %s", event.kind, event.node, event.message)

    return tell


def tell_nobody(event: Event) -> None:
    """Ignore ``event``: the UI watches runs in its own way."""
