"""One chart from Yahoo through yfinance: the session that listens to the answers, and failures in words.

yfinance keeps one session, cookie and crumb for the whole process, so one fetch runs at a time. This module loads
yfinance and is therefore imported where a fetch begins, not at the top of other modules.
"""

from __future__ import annotations

import atexit
import datetime as dt
import functools
import logging
import math
import os
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import yfinance  # type: ignore[import-untyped]
from curl_cffi import requests
from curl_cffi.requests import exceptions
from yfinance.config import YfConfig  # type: ignore[import-untyped]
from yfinance.data import YfData  # type: ignore[import-untyped]
from yfinance.exceptions import (  # type: ignore[import-untyped]
    YFDataException,
    YFPricesMissingError,
    YFRateLimitError,
)
from yfinance.scrapers.history import PriceHistory  # type: ignore[import-untyped]

if TYPE_CHECKING:
    import pandas as pd

CHART = "/v8/finance/chart/"

_ONE_FETCH = threading.Lock()
_SHOWN = 80


class YahooError(Exception):
    """A chart could not be had.

    Parameters
    ----------
    reason
        In words, for the user.
    kind
        ``dead``: Yahoo does not know the ticker. ``empty``: no bars in the range. ``limited``: too many requests.
        ``busy``: Yahoo's own error or no connection. ``silent``: no answer in time. ``garbled``: not a chart.
    retry_after
        Seconds that Yahoo asked to wait, None if it did not say.
    """

    def __init__(self, reason: str, kind: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.kind = kind
        self.retry_after = retry_after


@dataclass(slots=True)
class _Heard:
    """What a thread's last chart request was answered with."""

    status: int = 0
    retry_after: float | None = None
    beginning: str = ""


class ListeningSession(requests.Session[requests.Response]):
    """yfinance's own kind of session, which keeps the answers' status in mind and ends requests at the deadline.

    Parameters
    ----------
    mirror
        HTTP server that answers in place of Yahoo's hosts, e.g. ``http://127.0.0.1:8000``; asked without encryption.

    Attributes
    ----------
    clock
        Monotonic seconds.
    request_timeout
        Longest time for one request, seconds.
    deadline
        By the clock; no request lasts longer.
    slots
        Charts that may be under way at a time: threads read one while others wait for theirs.
    """

    def __init__(self, mirror: str | None) -> None:
        proxies: Any = {"http": mirror} if mirror else None
        super().__init__(impersonate="chrome", proxies=proxies)
        self.mirror = mirror
        self.clock: Callable[[], float] = time.monotonic
        self.request_timeout = 30.0
        self.deadline = math.inf
        self.slots = threading.Semaphore(1)
        self._mute: set[str] = set()
        self._thread_local = threading.local()

    @property
    def heard(self) -> _Heard:
        """What this thread's last chart request was answered with."""
        if not hasattr(self._thread_local, "heard"):
            self._thread_local.heard = _Heard()
        heard: _Heard = self._thread_local.heard
        return heard

    def request(self, method: Any, url: str, *args: Any, **options: Any) -> Any:  # noqa: ANN401 (as the parent)
        """Send a request, but not beyond the deadline; cookie and crumb are not asked for again where none comes."""
        if CHART in url:
            with self.slots:
                return self._send(method, url, *args, **options)
        return self._send(method, url, *args, **options)

    def _send(self, method: Any, url: str, *args: Any, **options: Any) -> Any:  # noqa: ANN401 (as the parent)
        chart = CHART in url
        place = url.partition("?")[0]
        remaining = self.deadline - self.clock()
        if remaining <= 0 or (not chart and place in self._mute):
            raise exceptions.Timeout(f"no time left for {place}")
        wanted = options.get("timeout")
        longest = min(self.request_timeout, remaining)
        options["timeout"] = min(wanted, longest) if isinstance(wanted, int | float) else longest
        if self.mirror:
            url = url.replace("https://", "http://", 1)
        if chart:
            self._thread_local.heard = _Heard()
        try:
            response = super().request(method, url, *args, **options)
        except exceptions.Timeout:
            if not chart:
                self._mute.add(place)
            raise
        if chart:
            self._thread_local.heard = _Heard(
                response.status_code,
                _seconds(response.headers.get("Retry-After")),
                response.content[:_SHOWN].decode("utf-8", "replace"),
            )
        return response

    def listen_again(self) -> None:
        """Ask for cookies and crumbs again that did not come before."""
        self._mute.clear()


@contextmanager
def yahoo_session(
    clock: Callable[[], float], request_timeout: float, slots: int, mirror: str | None
) -> Iterator[tuple[ListeningSession, Counter[str]]]:
    """Give yfinance the session of this process and its log a counter; one fetch at a time.

    yfinance logs to nobody meanwhile: the counter holds how many messages of each level there were.
    """
    log = logging.getLogger("yfinance")
    count = _CountingHandler()
    with _ONE_FETCH:
        before = (log.handlers[:], log.propagate, YfConfig.debug.hide_exceptions)
        log.handlers[:], log.propagate = [count], False
        YfConfig.debug.hide_exceptions = False
        session = _process_session(os.getpid(), mirror)
        session.clock, session.request_timeout = clock, request_timeout
        session.slots = threading.Semaphore(slots)
        try:
            YfData(session=session)
            yield session, count.levels
        finally:
            log.handlers[:], log.propagate, YfConfig.debug.hide_exceptions = before
            session.clock, session.request_timeout, session.deadline = time.monotonic, 30.0, math.inf


def fetch_chart(session: ListeningSession, ticker: str, start: dt.date) -> pd.DataFrame:
    """The chart of a ticker from ``start`` to now, as yfinance returns it, unadjusted for dividends, with events.

    Raises
    ------
    YahooError
        Whatever goes wrong, in words.
    """
    # A day earlier and UTC: no request for the exchange's time zone is needed, the bars are cut by date afterwards.
    # No end: with one in the past yfinance would answer from memory, and later splits would be unknown.
    day_before = start - dt.timedelta(days=1)
    try:
        history = PriceHistory(YfData(), ticker, "UTC", session)
        chart: pd.DataFrame = history.history(
            start=day_before, interval="1d", auto_adjust=False, actions=True, keepna=True
        )
    except Exception as error:
        raise _failure(error, session, start) from error
    return chart


@functools.cache
def _process_session(process: int, mirror: str | None) -> ListeningSession:
    """The session of this process, whose cookie belongs to the crumb that yfinance keeps.

    yfinance's caches of time zones and cookies are SQLite files that lock: they get a folder for this process alone.
    """
    folder = tempfile.mkdtemp(prefix=f"finpipe-yfinance-{process}-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    yfinance.set_tz_cache_location(folder)
    return ListeningSession(mirror)


def _failure(error: Exception, session: ListeningSession, start: dt.date) -> YahooError:
    heard = session.heard
    wait = heard.retry_after
    if isinstance(error, YFRateLimitError) or heard.status == 429:
        asked = f"; Yahoo asks to wait {wait:.0f} s" if wait is not None else ""
        said, kind = f"too many requests (429){asked}", "limited"
    elif isinstance(error, exceptions.Timeout):
        said, kind = "no answer in time", "silent"
    elif heard.status == 404:
        reason = getattr(error, "yahoo_reason", None)
        said, kind = str(reason or f"not found (404): {_one_line(heard.beginning)}"), "dead"
    elif heard.status >= 500 or isinstance(error, YFDataException):
        said, kind = f"Yahoo is out of order ({heard.status})", "busy"
    elif isinstance(error, YFPricesMissingError) and heard.beginning.lstrip().startswith('{"chart"'):
        said, kind = str(error.yahoo_reason or f"no prices since {start}"), "empty"
    elif heard.status in {401, 403}:
        said, kind = f"Yahoo refuses the request ({heard.status})", "busy"
    elif isinstance(error, exceptions.RequestException) and not heard.status:
        said, kind = f"no connection to Yahoo: {_one_line(str(error))}", "busy"
    elif isinstance(error, exceptions.RequestException | ValueError | YFPricesMissingError):
        said, kind = f"the answer is not a chart: {_one_line(heard.beginning)!r}", "garbled"
    else:
        said, kind = f"the chart cannot be read: {type(error).__name__} {error}", "garbled"
    return YahooError(said, kind, wait)


class _CountingHandler(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.levels: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        self.levels[record.levelname.lower()] += 1


def _one_line(text: str) -> str:
    return " ".join(text.split())[:_SHOWN] or "(nothing)"


def _seconds(retry_after: str | None) -> float | None:
    """Seconds of a Retry-After header, which may be a number or a date."""
    if retry_after is None:
        return None
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    except ValueError:
        return None
