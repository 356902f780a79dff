"""What is asked for, noted without knowing who asked, and what is fetched before it is asked for again."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from finpipe.cache import request as cached
from finpipe.cache.lookup import Lookup
from finpipe.cache.usage.association import Association
from finpipe.cache.usage.neighbours import Neighbours
from finpipe.cache.usage.popularity import Popularity
from finpipe.cache.usage.prefetch import Prefetcher
from finpipe.cache.usage.request_log import RequestLog
from finpipe.settings import Settings

if TYPE_CHECKING:
    from finpipe.market.tickers import TickerGroup
    from finpipe.serve.plans import Plan

log = logging.getLogger(__name__)

SITTING = "x-sitting"
"""Header with a mark, made at random by the page each time it is opened, that requests of one sitting share."""

_MARK = re.compile(r"[A-Za-z0-9-]{8,64}")
_NEIGHBOURS = 4
_MONTH = 31 * 86_400.0
_MOST_TOGETHER = 50
_EVERY = 0.25
"""Seconds between two looks at what was asked for."""
_REST = 30.0
"""Seconds in which the neighbours of a ticker are proposed once."""
_MOST_NOTED = 100_000

Wanted = Callable[[str], "cached.Request | None"]


class Usage:
    """The request log of a service, and the prefetch that it drives.

    Parameters
    ----------
    settings
        Name the home.
    sectors
        Sector by ticker.
    """

    def __init__(self, settings: Settings, sectors: dict[str, str]) -> None:
        self.log = RequestLog(settings.home / "usage" / "request_log", time.time)
        self._sectors, self._warms = sectors, settings.serve_warm
        self._popularity, self._association = Popularity(), Association()
        self._neighbours = Neighbours(sectors, self._popularity, self._association)
        self._lock = threading.Lock()
        self._prefetcher: Prefetcher | None = None
        self._wanted: Wanted | None = None
        self._noted: deque[tuple[str, TickerGroup, str]] = deque(maxlen=_MOST_NOTED)
        self._looked_around: dict[str, float] = {}
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, lookup: Lookup, wanted: Wanted) -> None:
        """Learn from the log, and begin to prefetch; waits for the disk.

        Parameters
        ----------
        lookup
            Answers what is prefetched.
        wanted
            Makes the request for a ticker's analysis; None if it is not to be had without asking the provider.
        """
        try:
            for row in self.log.read(since=time.time() - _MONTH):
                self._learn(row.items, row.at)
        except (OSError, ValueError) as error:
            log.warning("the request log cannot be read, nothing is learned from it: %s", error)
        if self._warms:
            self._wanted = wanted
            self._prefetcher = Prefetcher(lookup, time.time)
            self._prefetcher.start()
        self._thread = threading.Thread(target=self._run, name="usage", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the prefetch and write what is noted."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join()
        if self._prefetcher is not None:
            self._prefetcher.stop()
        self._take_up()
        self.log.flush()

    def asked(self, kind: str, plan: Plan, headers: Mapping[str, str] | None) -> None:
        """Note a user's question; what follows from it (log, learning, prefetch) happens a moment later, apart."""
        mark = headers.get(SITTING, "") if headers is not None else ""
        self._noted.append((kind, plan.group, mark))

    def popular(self, count: int) -> list[str]:
        """Return the tickers asked for most, recent requests weighing more."""
        with self._lock:
            return self._popularity.top(count, time.time())

    def warm(self, tickers: list[str]) -> None:
        """Propose tickers' analyses for when nobody is waiting."""
        if self._prefetcher is not None and self._wanted is not None:
            found = [self._wanted(ticker) for ticker in tickers]
            self._prefetcher.propose([request for request in found if request is not None], urgent=False)

    def state(self) -> dict[str, int]:
        """Return what became of what was prefetched."""
        if self._prefetcher is None:
            return {}
        found = self._prefetcher.state()
        names = ("fetched", "at_hand", "failed", "dropped", "waiting")
        return {name: getattr(found, name) for name in names}

    def _run(self) -> None:
        while not self._ending.wait(_EVERY):
            try:
                self._take_up()
            except Exception:
                log.exception("what was asked for cannot be learned from")

    def _take_up(self) -> None:
        """Log and learn from what was noted since the last time, and prefetch what lies near."""
        analyzed: dict[str, None] = {}
        for _ in range(len(self._noted)):
            kind, group, mark = self._noted.popleft()
            if not group.name:
                self.log.record(group.tickers, kind=kind, together=mark if _MARK.fullmatch(mark) else None)
                if len(group.tickers) <= _MOST_TOGETHER:
                    self._learn(group.tickers, time.time())
            if kind == "analyze":
                analyzed[group.tickers[0]] = None
        if not self._ending.is_set():
            self._prefetch_near(analyzed)

    def _prefetch_near(self, tickers: Iterable[str]) -> None:
        """Propose the neighbours of tickers around which nobody has looked for a while."""
        if self._wanted is None or self._prefetcher is None:
            return
        now = time.monotonic()
        recent = {ticker: at for ticker, at in self._looked_around.items() if now - at < _REST}
        for ticker in tickers:
            if ticker in recent:
                continue
            recent[ticker] = now
            with self._lock:
                near = self._neighbours.of(ticker, _NEIGHBOURS)
            found = [self._wanted(name) for name in near]
            self._prefetcher.propose([request for request in found if request is not None])
        self._looked_around = recent

    def _learn(self, items: tuple[str, ...], at: float) -> None:
        with self._lock:
            for item in items:
                self._popularity.add(item, at)
            self._association.add(items)
