"""Fetching in the background what is likely to be asked for next, within a budget, after every user."""

from __future__ import annotations

import logging
from collections import Counter, OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from threading import Condition, Thread

from finpipe.cache.entry import Clock
from finpipe.cache.lookup import Lookup
from finpipe.cache.request import Request

log = logging.getLogger(__name__)

_MINUTE = 60.0
_PAUSE = 0.05


@dataclass(frozen=True, slots=True)
class PrefetchState:
    """What became of proposals: fetched, already at hand, failed, dropped for lack of budget or room, waiting."""

    fetched: int = 0
    at_hand: int = 0
    failed: int = 0
    dropped: int = 0
    waiting: int = 0


class Prefetcher:
    """A queue of requests that nobody waits for.

    The latest proposals come first, since they belong to what a user does now. A step begins only while no
    user's request is under way, and asks for a few requests at once, so that a user who comes meanwhile is
    not held up by a long one. Beyond the budget proposals are dropped and counted, not postponed.

    Parameters
    ----------
    lookup
        Answers the requests, as background ones; its ``traffic`` says when it is quiet.
    clock
        Seconds since 1970.
    per_minute
        Requests that may reach the sources in a minute; half a minute's worth may be spent at once.
    step
        Requests asked for together.
    most_waiting
        Proposals kept; beyond it the oldest are dropped.
    """

    def __init__(
        self, lookup: Lookup, clock: Clock, *, per_minute: float = 120, step: int = 8, most_waiting: int = 500
    ) -> None:
        if per_minute <= 0 or step < 1 or most_waiting < 1:
            raise ValueError("a prefetcher needs a budget, a step and a queue of at least 1")
        self._lookup, self._clock = lookup, clock
        self._per_minute, self._step, self._most = per_minute, step, most_waiting
        self._largest = max(per_minute / 2, float(step))
        self._tokens, self._filled_at = self._largest, clock()
        self._queue: OrderedDict[str, Request] = OrderedDict()
        self._counts: Counter[str] = Counter()
        self._changed = Condition()
        self._thread: Thread | None = None
        self._stopping = False

    def propose(self, requests: Iterable[Request], *, urgent: bool = True) -> None:
        """Put ``requests`` before those that wait, the first one first, or behind them if not urgent."""
        with self._changed:
            if urgent:
                for request in reversed(list(requests)):
                    self._queue[request.key] = request
                    self._queue.move_to_end(request.key, last=False)
            else:
                for request in requests:
                    self._queue.setdefault(request.key, request)
            excess = len(self._queue) - self._most
            for _ in range(excess):
                self._queue.popitem(last=True)
            self._counts["dropped"] += max(0, excess)
            self._changed.notify_all()

    def run_step(self) -> int:
        """Ask for a few of the requests that wait, if it is quiet; return how many were taken off the queue."""
        if not self._lookup.traffic.is_quiet:
            return 0
        with self._changed:
            taken = [self._queue.popitem(last=False)[1] for _ in range(min(self._step, len(self._queue)))]
            self._fill()
            affordable = int(self._tokens)
            wanted, dropped = taken[:affordable], taken[affordable:]
            self._tokens -= len(wanted)
            self._counts["dropped"] += len(dropped)
        if not wanted:
            return len(taken)
        answers = self._lookup.get_many(wanted, background=True)
        failed = sum(answer.error is not None for answer in answers.values())
        at_hand = sum(
            answer.error is None and answer.tier in self._lookup.tiers for answer in answers.values()
        )
        with self._changed:
            # Only what reached a source costs.
            self._tokens = min(self._largest, self._tokens + at_hand)
            self._counts.update(fetched=len(answers) - at_hand - failed, at_hand=at_hand, failed=failed)
        return len(taken)

    def drain(self) -> None:
        """Run steps in this thread until nothing waits, or a user's request is under way."""
        while self._queue and self.run_step():
            pass

    def start(self) -> None:
        """Run steps in a thread of its own until ``stop``."""
        with self._changed:
            if self._thread is None:
                self._stopping = False
                self._thread = Thread(target=self._run, name="cache-prefetch", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """End the thread after the step under way; what waits stays."""
        with self._changed:
            thread, self._thread = self._thread, None
            self._stopping = True
            self._changed.notify_all()
        if thread is not None:
            thread.join()

    def state(self) -> PrefetchState:
        """Return what became of the proposals so far."""
        with self._changed:
            return PrefetchState(**self._counts, waiting=len(self._queue))

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopping or bool(self._queue))
                if self._stopping:
                    return
            if not self._lookup.traffic.wait_until_quiet(_PAUSE):
                continue
            try:
                self.run_step()
            except Exception:
                log.exception("a step of the prefetch failed")

    def _fill(self) -> None:
        now = self._clock()
        self._tokens = min(self._largest, self._tokens + (now - self._filled_at) * self._per_minute / _MINUTE)
        self._filled_at = now
