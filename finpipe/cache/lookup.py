"""The one path of every request: local tiers, shared tiers, sources; what is found is kept on the way back."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import nullcontext
from threading import Lock

from cachetools import TLRUCache

from finpipe.cache.counters import Counters
from finpipe.cache.entry import Clock, Entry, UncacheableError
from finpipe.cache.flights import Flights
from finpipe.cache.request import (
    Absent,
    Answer,
    Failed,
    Loaded,
    Outcome,
    Request,
    Source,
    UnknownError,
    entry_of,
)
from finpipe.cache.tier import Tier
from finpipe.cache.traffic import Traffic

log = logging.getLogger(__name__)

NEGATIVE = "negative"
NOWHERE = "nowhere"
_NEGATIVES = 10_000


class Lookup:
    """Answers requests from tiers and sources; safe for any number of threads.

    A miss is computed once however many threads ask for it; its error goes to all of them and is not kept.
    A stale value is answered at once and replaced in the background. A failing tier is a miss. What a source
    has of old (L3) is answered, marked stale, when the sources after it fail, however old it is.

    Parameters
    ----------
    clock
        Seconds since 1970.
    local
        Tiers of this process or machine, quickest first (``MemoryCache``, ``HotSet``).
    shared
        Tiers that cost a round trip (``SharedCache``).
    sources
        Where values come from, cheapest first: L3, then the provider.
    counters, traffic
        Shared with other lookups on the same tiers when given.
    negative_seconds
        How long an absence is remembered.
    retry_seconds
        How long a stale value is left alone after its refresh has failed.
    executor
        Runs refreshes; a pool of two threads unless given.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        local: Sequence[Tier],
        shared: Sequence[Tier] = (),
        sources: Sequence[Source] = (),
        counters: Counters | None = None,
        traffic: Traffic | None = None,
        negative_seconds: float = 300.0,
        retry_seconds: float = 30.0,
        executor: Executor | None = None,
    ) -> None:
        self._clock = clock
        self.local, self.shared, self.sources = tuple(local), tuple(shared), tuple(sources)
        names = [tier.name for tier in (*self.local, *self.shared)]
        self.tiers = (*names, NEGATIVE)
        """Names of the tiers whose answers count as hits, remembered absences among them."""
        self._path = (*names, *(source.name for source in self.sources))
        self.counters = counters or Counters(clock)
        self.traffic = traffic or Traffic()
        self._flights: Flights[Answer] = Flights()
        self._negatives = _expiring(clock, negative_seconds)
        self._failed_refreshes = _expiring(clock, retry_seconds)
        self._refreshing: set[str] = set()
        self._executor = executor
        self._lock = Lock()

    def get(self, request: Request, *, background: bool = False) -> Answer:
        """Return the answer to one request; see ``get_many``."""
        return self.get_many([request], background=background)[request.key]

    def get_many(self, requests: Iterable[Request], *, background: bool = False) -> dict[str, Answer]:
        """Return the answers by key; an error of one is in its answer and keeps no other from coming.

        Parameters
        ----------
        requests
            Misses among them are asked of the sources together.
        background
            Nobody waits: counted apart, and users' requests are not held up by it.
        """
        asked = {request.key: request for request in requests}
        with nullcontext() if background else self.traffic.user():
            answers: dict[str, Answer] = {}
            missing: list[Request] = []
            for key, request in asked.items():
                answer = self._from(self.local, key) or self._negative(key)
                if answer is None or (answer.stale and background):
                    missing.append(request)
                else:
                    answers[key] = answer
            if missing:
                answers.update(self._fly(missing, accept_stale=not background))
            self._refresh(asked[key] for key, answer in answers.items() if answer.stale)
            self._count(answers.values(), background=background)
        return {key: answers[key] for key in asked}

    def forget(self, key: str) -> None:
        """Remove ``key`` from every tier that others do not fill, its absence too."""
        self._drop_negative(key)
        for tier in (*self.local, *self.shared):
            tier.delete(key)

    def clear(self, prefix: str = "finpipe:") -> dict[str, int]:
        """Remove the keys that begin with ``prefix`` and return how many there were by tier."""
        with self._lock:
            self._negatives.clear()
        return {tier.name: tier.clear(prefix) for tier in (*self.local, *self.shared)}

    def close(self) -> None:
        """Wait for refreshes under way and start no more."""
        if isinstance(self._executor, ThreadPoolExecutor):
            self._executor.shutdown(wait=True, cancel_futures=True)

    def _from(self, tiers: Sequence[Tier], key: str, *, accept_stale: bool = True) -> Answer | None:
        now = self._clock()
        best: Answer | None = None
        for place, tier in enumerate(tiers):
            entry = tier.get(key)
            if entry is None:
                continue
            if entry.is_fresh(now):
                if tiers is not self.local:
                    self._keep(key, entry, (*self.local, *tiers[:place]))
                return Answer(key, tier.name, entry)
            newer = best is None or best.entry is None or entry.stored_at > best.entry.stored_at
            if accept_stale and newer and entry.is_usable(now):
                best = Answer(key, tier.name, entry, stale=True)
        return best

    def _negative(self, key: str) -> Answer | None:
        with self._lock:
            reason = self._negatives.get(key)
        return None if reason is None else Answer(key, NEGATIVE, error=UnknownError(reason))

    def _drop_negative(self, key: str) -> None:
        with self._lock:
            self._negatives.pop(key, None)

    def _fly(self, requests: Sequence[Request], *, accept_stale: bool) -> dict[str, Answer]:
        by_key = {request.key: request for request in requests}
        ours, theirs = self._flights.board(by_key)
        answers: dict[str, Answer] = {}
        failure: BaseException | None = None
        try:
            if ours:
                answers = self._load([by_key[key] for key in ours], accept_stale=accept_stale)
        except BaseException as error:
            failure = error
            raise
        finally:
            self._flights.land(ours, answers, failure)
        for key, future in theirs.items():
            answers[key] = future.result()
        return answers

    def _load(self, requests: Sequence[Request], *, accept_stale: bool) -> dict[str, Answer]:
        answers: dict[str, Answer] = {}
        stale: dict[str, Answer] = {}
        left: list[Request] = []
        for request in requests:
            # Another flight may have landed since the local tiers were asked.
            found = self._from(self.local, request.key, accept_stale=False) or self._from(
                self.shared, request.key
            )
            if found is not None and (accept_stale or not found.stale):
                answers[request.key] = found
                continue
            left.append(request)
            if found is not None:
                stale[request.key] = found
        failures: dict[str, Answer] = {}
        for source in self.sources:
            if not left:
                break
            for request, outcome in self._ask(source, left):
                answer = self._take(source, request, outcome)
                if answer.stale and not (accept_stale and _usable(answer, self._clock())):
                    stale[request.key] = answer
                elif isinstance(outcome, Failed):
                    failures[request.key] = answer
                else:
                    answers[request.key] = answer
            left = [request for request in left if request.key not in answers]
        for request in left:
            key = request.key
            answers[key] = stale.get(key) or failures.get(key) or self._nowhere(key)
        return answers

    def _ask(self, source: Source, requests: Sequence[Request]) -> list[tuple[Request, Outcome]]:
        try:
            found = source.load(requests)
        except Exception as error:  # noqa: BLE001 the error goes to those who asked
            log.info("%s failed for %d requests: %s", source.name, len(requests), error)
            return [(request, Failed(error)) for request in requests]
        return [(request, found[request.key]) for request in requests if request.key in found]

    def _take(self, source: Source, request: Request, outcome: Outcome) -> Answer:
        key = request.key
        match outcome:
            case Failed(error):
                self.counters.error(source.name)
                return Answer(key, source.name, error=error)
            case Absent(reason):
                with self._lock:
                    self._negatives[key] = reason
                return Answer(key, source.name, error=UnknownError(reason))
            case Loaded(value):
                now = self._clock()
                entry = entry_of(request, outcome, now)
                if isinstance(entry, UncacheableError):
                    self.counters.error(source.name)
                    log.warning("the value of %s is not kept: %s", key, entry)
                    return Answer(key, source.name, uncached=value)
                self._drop_negative(key)
                self._keep(key, entry, (*self.local, *self.shared))
                return Answer(key, source.name, entry, stale=not entry.is_fresh(now))

    @staticmethod
    def _keep(key: str, entry: Entry, tiers: Iterable[Tier]) -> None:
        for tier in tiers:
            tier.put(key, entry)

    def _nowhere(self, key: str) -> Answer:
        names = ", ".join(source.name for source in self.sources) or "no source"
        return Answer(
            key,
            NEGATIVE,
            error=LookupError(f"{key} is in no tier, and {names} did not say anything about it"),
        )

    def _refresh(self, requests: Iterable[Request]) -> None:
        with self._lock:
            wanted = [
                request
                for request in requests
                if request.key not in self._refreshing and request.key not in self._failed_refreshes
            ]
            self._refreshing.update(request.key for request in wanted)
            if wanted and self._executor is None:
                self._executor = ThreadPoolExecutor(2, thread_name_prefix="cache-refresh")
        if not wanted or self._executor is None:
            return
        try:
            future = self._executor.submit(self._fly, wanted, accept_stale=False)
        except RuntimeError:  # the executor is shut down: the stale value has to do
            self._refreshed(wanted, None)
            return
        future.add_done_callback(lambda done: self._refreshed(wanted, done))

    def _refreshed(self, requests: Sequence[Request], done: Future[dict[str, Answer]] | None) -> None:
        failed = done is None or done.cancelled() or done.exception() is not None
        answers = {} if failed or done is None else done.result()
        with self._lock:
            for request in requests:
                key = request.key
                self._refreshing.discard(key)
                answer = answers.get(key)
                if answer is None or answer.stale or answer.error is not None:
                    self._failed_refreshes[key] = "failed"
        for answer in answers.values():
            self.counters.background(answer.tier)

    def _count(self, answers: Iterable[Answer], *, background: bool) -> None:
        for answer in answers:
            if background:
                self.counters.background(answer.tier)
                continue
            place = self._path.index(answer.tier) if answer.tier in self._path else len(self.local)
            self.counters.answered(answer.tier, self._path[:place], stale=answer.stale)


def _usable(answer: Answer, now: float) -> bool:
    return answer.entry is not None and answer.entry.is_usable(now)


def _expiring(clock: Callable[[], float], seconds: float) -> TLRUCache[str, str]:
    return TLRUCache(_NEGATIVES, ttu=lambda _key, _value, now: now + seconds, timer=clock)
