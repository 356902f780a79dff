"""Daily bars from Yahoo through yfinance: batches with deadlines, back-off, second tries and a quarantine."""

from __future__ import annotations

import datetime as dt
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Protocol

import polars as pl

from finpipe.market.daily_bars import (
    BarBatch,
    BarRequest,
    Progress,
    listed,
    no_bars,
    valid_bars,
)
from finpipe.market.quarantine import Quarantine

if TYPE_CHECKING:
    import pandas as pd

    from finpipe.market.yahoo_client import ListeningSession, YahooError

AGAIN = frozenset({"limited", "busy", "garbled"})
"""Kinds of failure after which a ticker is tried again in its batch; without an answer it waits for the second try."""

READERS = 2
"""Threads for each request under way, so that charts are read while others are waited for."""

_NO_ANSWER = frozenset({"limited", "busy", "silent"})


class Clock(Protocol):
    """Time as the provider sees it; tests bring their own."""

    def now(self) -> dt.datetime:
        """The time of day, with its zone: for the quarantine."""

    def monotonic(self) -> float:
        """Seconds that never run back: for deadlines."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class SystemClock:
    """The computer's clock."""

    def now(self) -> dt.datetime:
        """UTC."""
        return dt.datetime.now(dt.UTC)

    def monotonic(self) -> float:
        """Seconds since some moment."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


@dataclass(frozen=True)
class YahooBars:
    """Provider ``yahoo``.

    Every ticker is asked for in batches, and what was asked is compared with what came. What is missing is tried once
    more in small batches. Tickers that Yahoo does not know then go to the quarantine, unless they are so many that
    the fault must be Yahoo's. When two batches in a row bring no answer at all, the rest is not tried.

    Parameters
    ----------
    quarantine
        Tickers not to ask for; None: ask for all.
    mirror
        HTTP server that answers in place of Yahoo's, see ``yahoo_client``; None: Yahoo itself.
    batch_size, retry_size
        Tickers in a batch, at first and in the second try; a multiple of ``threads`` leaves none idle.
    threads
        Requests at a time.
    batch_seconds
        Deadline of a batch: after it nothing of the batch is waited for.
    request_seconds
        Longest time for one request.
    tries
        Requests for a ticker within a batch, while Yahoo is busy.
    backoff_seconds
        Wait before the second of them; doubles with each. Between half and the whole of it is waited, at random, but
        at least what Yahoo asks for.
    clock, jitter
        Time, and random numbers in [0, 1).
    """

    quarantine: Quarantine | None = None
    mirror: str | None = None
    batch_size: int = 96
    retry_size: int = 10
    threads: int = 8
    batch_seconds: float = 60.0
    request_seconds: float = 10.0
    tries: int = 4
    backoff_seconds: float = 1.0
    clock: Clock = field(default_factory=SystemClock)
    jitter: Callable[[], float] = random.random

    @property
    def name(self) -> str:
        """``yahoo``."""
        return "yahoo"

    def fetch(self, request: BarRequest, progress: Progress | None = None) -> BarBatch:
        """Get what can be had; see the class.

        Raises
        ------
        ProviderError
            Only if the quarantine cannot be read; a ticker that fails is reported by its reason.
        """
        from finpipe.market.yahoo_client import yahoo_session

        now = self.clock.now()
        kept = self.quarantine.kept(now) if self.quarantine else {}
        failures = {
            ticker: f"in quarantine until {kept[ticker].until:%Y-%m-%d}: {kept[ticker].reason}"
            for ticker in request.tickers
            if ticker in kept
        }
        wanted = [ticker for ticker in request.tickers if ticker not in kept]
        with yahoo_session(self.clock.monotonic, self.request_seconds, self.threads, self.mirror) as (
            session,
            log,
        ):
            fetch = _Fetch(self, session, request, progress, done=len(failures))
            missing = fetch.run(wanted, self.batch_size)
            first_try = len(missing)
            empty = {ticker: error for ticker, error in missing.items() if error.kind == "empty"}
            if not fetch.stopped:
                missing = empty | fetch.run(missing.keys() - empty.keys(), self.retry_size)
        failures |= {ticker: error.reason for ticker, error in missing.items()}
        dead = {ticker: error.reason for ticker, error in missing.items() if error.kind == "dead"}
        notices = list(fetch.notices(first_try, len(missing), log))
        if self.quarantine and dead:
            if len(dead) > max(10, len(wanted) // 2):
                notices.append(
                    f"yahoo: {len(dead)} of {len(wanted)} tickers are unknown, too many to believe: none quarantined"
                )
            else:
                self.quarantine.add(dead, now)
                until = now + self.quarantine.term
                notices.append(f"yahoo: in quarantine until {until:%Y-%m-%d}: {listed(sorted(dead))}")
        if progress and failures:
            progress(len(request.tickers), len(request.tickers))
        bars, faults = valid_bars(pl.concat([no_bars(), *fetch.frames]).sort("ticker", "date"), "yahoo")
        for ticker in set(wanted) - set(failures) - set(bars["ticker"].unique()):
            failures[ticker] = f"no bars from {request.start} to {request.end}"
        return BarBatch(bars, dict(sorted(failures.items())), (*notices, *faults))


class _Fetch:
    """The state of one fetch: the gate that all threads heed, and what came of it."""

    def __init__(
        self,
        settings: YahooBars,
        session: ListeningSession,
        request: BarRequest,
        progress: Progress | None,
        done: int,
    ) -> None:
        self.settings = settings
        self.session = session
        self.request = request
        self.progress = progress
        self.done = done
        self.frames: list[pl.DataFrame] = []
        self.without_price: Counter[str] = Counter()
        self.waits: Counter[str] = Counter()
        self.stopped = False
        self._not_before = 0.0
        self._lock = Lock()

    def run(self, tickers: Iterable[str], size: int) -> dict[str, YahooError]:
        """Fetch tickers in batches; returns the failures."""
        from finpipe.market.yahoo_client import YahooError

        tickers = sorted(tickers)
        missing: dict[str, YahooError] = {}
        unanswered = 0
        with _threads(READERS * self.settings.threads) as pool:
            for at in range(0, len(tickers), size):
                batch = tickers[at : at + size]
                failed = self._batch(pool, batch)
                missing |= failed
                silent = len(failed) == len(batch) and all(e.kind in _NO_ANSWER for e in failed.values())
                unanswered = unanswered + 1 if silent else 0
                if unanswered == 2 and at + size < len(tickers):
                    self.stopped = True
                    last = failed[batch[-1]]
                    missing |= {
                        ticker: YahooError(f"not tried: two batches had no answer ({last.reason})", last.kind)
                        for ticker in tickers[at + size :]
                    }
                    break
        return missing

    def notices(self, first_try: int, missing: int, log: Counter[str]) -> Iterator[str]:
        """What a user should know beside the failures."""
        if first_try > missing:
            yield f"yahoo: {first_try - missing} of {first_try} missing tickers came at the second try"
        if self.waits:
            yield f"yahoo: waited {self.waits.total()} times before asking again ({_counted(self.waits)})"
        if self.without_price:
            tickers = listed(sorted(self.without_price))
            yield f"yahoo: {self.without_price.total()} days without a price left out: {tickers}"
        if log.total():
            yield f"yahoo: yfinance logged {_counted(log)}"

    def _batch(self, pool: ThreadPoolExecutor, batch: list[str]) -> dict[str, YahooError]:
        from finpipe.market.yahoo_client import YahooError

        deadline = self.settings.clock.monotonic() + self.settings.batch_seconds
        self.session.deadline = deadline
        self.session.listen_again()
        failed: dict[str, YahooError] = {}
        running = {pool.submit(self._ticker, ticker, deadline): ticker for ticker in batch}
        # Requests end at the deadline by themselves; the grace is for what a thread does with the last answer.
        for future in _done_within(running, self.settings.batch_seconds + 5.0):
            ticker = running.pop(future)
            try:
                self.frames.append(future.result())
            except YahooError as error:
                failed[ticker] = error
            else:
                self.done += 1
                if self.progress:
                    self.progress(self.done, len(self.request.tickers))
        for future, ticker in running.items():
            future.cancel()
            failed[ticker] = YahooError("no answer in time", "silent")
        return failed

    def _ticker(self, ticker: str, deadline: float) -> pl.DataFrame:
        from finpipe.market.yahoo_client import YahooError, fetch_chart
        from finpipe.market.yahoo_frame import bars_of_chart

        for attempt in range(1, self.settings.tries + 1):
            self._pass_gate(deadline)
            try:
                chart: pd.DataFrame = fetch_chart(self.session, ticker, self.request.start)
                break
            except YahooError as error:
                if error.kind not in AGAIN or attempt == self.settings.tries:
                    raise
                if not self._pause(error, attempt, deadline):
                    raise
        bars, without_price = bars_of_chart(ticker, chart, self.request.start, self.request.end)
        if without_price:
            with self._lock:
                self.without_price[ticker] += without_price
        if bars.is_empty():
            raise YahooError(f"no bars from {self.request.start} to {self.request.end}", "empty")
        return bars

    def _pause(self, error: YahooError, attempt: int, deadline: float) -> bool:
        """Wait before the next attempt, all threads if Yahoo limits requests; False if the deadline comes first."""
        longest = self.settings.backoff_seconds * 2 ** (attempt - 1)
        wait = max(longest * (0.5 + 0.5 * self.settings.jitter()), error.retry_after or 0.0)
        until = self.settings.clock.monotonic() + wait
        with self._lock:
            if error.kind == "limited":
                self._not_before = max(self._not_before, until)
            if until >= deadline:
                return False
            self.waits[error.kind] += 1
        if error.kind != "limited":
            self.settings.clock.sleep(wait)
        return True

    def _pass_gate(self, deadline: float) -> None:
        """Wait as long as Yahoo wants no requests."""
        from finpipe.market.yahoo_client import YahooError

        clock = self.settings.clock
        while (left := self._not_before - clock.monotonic()) > 0:
            if self._not_before >= deadline:
                raise YahooError(
                    f"too many requests; Yahoo wants no request for another {left:.0f} s", "limited"
                )
            clock.sleep(left)
        if clock.monotonic() >= deadline:
            raise YahooError("no answer in time", "silent")


@contextmanager
def _threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """A pool whose end does not wait for threads that hang."""
    pool = ThreadPoolExecutor(count, thread_name_prefix="yahoo")
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _done_within(futures: Iterable[Future[pl.DataFrame]], seconds: float) -> Iterator[Future[pl.DataFrame]]:
    try:
        yield from as_completed(list(futures), timeout=seconds)
    except TimeoutError:
        return


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
