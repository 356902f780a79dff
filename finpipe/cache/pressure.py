"""How much of its budget a cache in memory may use while the machine runs short of memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from finpipe.cache.entry import Clock

_CGROUP = Path("/sys/fs/cgroup")


def used_memory() -> float:
    """Return the fraction of memory in use: of the machine or of its container, whichever is fuller."""
    import psutil  # type: ignore[import-untyped]

    machine = float(psutil.virtual_memory().percent) / 100
    try:
        limit = (_CGROUP / "memory.max").read_text(encoding="ascii").strip()
        if limit == "max":
            return machine
        return max(machine, int((_CGROUP / "memory.current").read_text(encoding="ascii")) / int(limit))
    except (OSError, ValueError, ZeroDivisionError):
        return machine


class MemoryPressure:
    """The share of a budget that may be used: 1 up to ``soft``, falling in a straight line to 0 at ``hard``.

    Parameters
    ----------
    clock
        Seconds since 1970.
    reading
        Returns the fraction of memory in use; ``used_memory`` unless given.
    soft, hard
        Fractions of memory in use, 0 < soft < hard.
    every
        Seconds between two readings.
    """

    def __init__(
        self,
        clock: Clock,
        reading: Callable[[], float] = used_memory,
        *,
        soft: float = 0.80,
        hard: float = 0.95,
        every: float = 1.0,
    ) -> None:
        if not 0 < soft < hard:
            raise ValueError(
                f"memory pressure begins at soft={soft} and is complete at hard={hard}: 0 < soft < hard"
            )
        self._clock, self._reading = clock, reading
        self.soft, self.hard, self._every = soft, hard, every
        self._read_at = float("-inf")
        self._share = 1.0

    def allowed_share(self) -> float:
        """Return the share of the budget, 0 to 1, as of the last reading."""
        now = self._clock()
        if now - self._read_at >= self._every:
            self._read_at = now
            self._share = min(1.0, max(0.0, (self.hard - self._reading()) / (self.hard - self.soft)))
        return self._share
