"""Waiting for what other threads and processes do: long, for machines are busy, and with a word if in vain."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_S = 200


def until(condition: Callable[[], object], what: str, *, every: float = 0.02) -> None:
    """Wait until ``condition`` holds, which is asked ``every`` so many seconds."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE_S} s in vain for {what}"
        time.sleep(every)
