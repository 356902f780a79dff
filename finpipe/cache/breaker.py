"""Leaving alone what is broken, and asking now and then whether it works again (a circuit breaker)."""

from __future__ import annotations

from threading import Lock

from finpipe.cache.entry import Clock


class Breaker:
    """Closed while things work; open after failures in a row; then one caller at a time may probe.

    Parameters
    ----------
    clock
        Seconds since 1970.
    trips_after
        Failures in a row that open it.
    probe_every
        Seconds between two probes; doubled with each that fails, up to ``probe_at_most``.
    """

    def __init__(
        self, clock: Clock, *, trips_after: int = 3, probe_every: float = 1.0, probe_at_most: float = 30.0
    ) -> None:
        if trips_after < 1 or not 0 < probe_every <= probe_at_most:
            raise ValueError("a breaker trips after 1 failure or more and probes within a positive time")
        self._clock = clock
        self._trips_after, self._first_pause, self._longest_pause = trips_after, probe_every, probe_at_most
        self._failures = self._changes = 0
        self._pause = probe_every
        self._probe_at: float | None = None
        self._lock = Lock()

    @property
    def is_closed(self) -> bool:
        """Whether things work, as far as is known."""
        return self._probe_at is None

    @property
    def changes(self) -> int:
        """How often it has opened or closed, so that what was asked before the last time can be told apart."""
        return self._changes

    def may_probe(self) -> bool:
        """Return whether the caller is the one to probe now; nobody else is told so until the next pause is over."""
        with self._lock:
            if self._probe_at is None or self._clock() < self._probe_at:
                return False
            self._probe_at = self._clock() + self._pause
            return True

    def succeeded(self, asked_at: int | None = None) -> bool:
        """Take note of a success and return whether it closed the breaker.

        Parameters
        ----------
        asked_at
            ``changes`` when the question was asked: an answer, or a failure, that was on its way when the breaker
            opened or closed says nothing about how things stand since. None: it was asked just now.
        """
        if self._failures == 0 and self._probe_at is None:
            return False
        with self._lock:
            if asked_at is not None and asked_at != self._changes:
                return False
            closed = self._probe_at is not None
            self._changes += closed
            self._failures, self._probe_at, self._pause = 0, None, self._first_pause
            return closed

    def failed(self, asked_at: int | None = None) -> bool:
        """Take note of a failure and return whether it opened the breaker; ``asked_at`` as in ``succeeded``."""
        with self._lock:
            if asked_at is not None and asked_at != self._changes:
                return False
            self._failures += 1
            if self._probe_at is not None:
                self._pause = min(self._pause * 2, self._longest_pause)
                self._probe_at = self._clock() + self._pause
                return False
            if self._failures < self._trips_after:
                return False
            self._changes += 1
            self._probe_at = self._clock() + self._pause
            return True
