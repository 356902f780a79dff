"""The price history as the service sees it: mapped once for each state, with a version of each ticker's bars."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import polars as pl
import xxhash

from finpipe.market.price_history import PriceHistory

UNKNOWN = "none"
"""Version of a ticker without bars."""


class Asked(NamedTuple):
    """The range that a source was asked for, and when last."""

    first: dt.date
    last: dt.date
    fetched_at: dt.datetime


class HistoryView:
    """One state of a history; safe for any number of threads.

    Parameters
    ----------
    history
        To look at; its Arrow file may be replaced meanwhile, which makes another state.
    """

    def __init__(self, history: PriceHistory) -> None:
        self._history = history
        self._versions: dict[str, str] = {}
        self._lock = Lock()

    @cached_property
    def coverage(self) -> pl.DataFrame:
        """What the history holds by ticker, see ``price_history.COVERAGE_SCHEMA``."""
        return self._history.coverage()

    @cached_property
    def asked(self) -> dict[str, Asked]:
        """What was asked of the source by ticker."""
        held = self.coverage.drop_nulls("asked_from")
        columns = ("ticker", "asked_from", "asked_to", "fetched_at")
        return {ticker: Asked(*rest) for ticker, *rest in held.select(columns).iter_rows()}

    def bars(self, tickers: Sequence[str], start: dt.date, end: dt.date) -> pl.DataFrame:
        """Bars of tickers between two days, both included."""
        return self._history.read(tickers, start, end)

    def covers(self, ticker: str, start: dt.date, end: dt.date) -> bool:
        """Whether the source was asked for all of a ticker's period."""
        found = self.asked.get(ticker)
        return found is not None and found.first <= start and found.last >= end

    def version(self, tickers: Iterable[str]) -> str:
        """Return a version of the bars of ``tickers``: another one whenever any of them changes, and only then."""
        names = sorted(tickers)
        with self._lock:
            self._learn([name for name in names if name not in self._versions])
            text = "\n".join(f"{name} {self._versions[name]}" for name in names)
            return xxhash.xxh3_128_hexdigest(text.encode())

    def _learn(self, tickers: Sequence[str]) -> None:
        if not tickers:
            return
        bars = self._history.read(tickers)
        found = (
            bars.select("ticker", bars.drop("ticker").hash_rows().alias("hash"))
            .group_by("ticker")
            .agg(pl.col("hash").sum(), pl.col("hash").max().alias("most"), pl.len().alias("bars"))
        )
        self._versions |= dict.fromkeys(tickers, UNKNOWN)
        self._versions |= {
            name: f"{total:x}-{most:x}-{bars}" for name, total, most, bars in found.iter_rows()
        }


class HistoryViews:
    """The current view of each history that is asked for."""

    def __init__(self) -> None:
        self._views: dict[Path, tuple[tuple[int, int, int], HistoryView]] = {}
        self._lock = Lock()

    def of(self, history: PriceHistory) -> HistoryView:
        """Return the view of a history as it is now."""
        path = history.arrow_path
        try:
            found = path.stat()
            stamp = (found.st_ino, found.st_mtime_ns, found.st_size)
        except FileNotFoundError:
            stamp = (0, 0, 0)
        with self._lock:
            known = self._views.get(path)
            if known is None or known[0] != stamp:
                known = self._views[path] = (stamp, HistoryView(history))
            return known[1]
