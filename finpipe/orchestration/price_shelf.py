"""The shelf of prices: which bars a ticker group has; the bars themselves stay in the history that the home keeps."""

from __future__ import annotations

import datetime as dt
import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from finpipe.market.daily_bars import no_bars
from finpipe.orchestration.store import Store, StoreError

if TYPE_CHECKING:
    from finpipe.orchestration.shelves import Shelved

ENDING = ".json"


@dataclass(frozen=True, slots=True)
class GroupBars:
    """Daily bars of a ticker group and of the index that it is compared with.

    Parameters
    ----------
    source
        ``yahoo``, ``parquet`` or ``demo``.
    history
        Name of the DuckDB file among the home's prices.
    tickers, sectors
        The members of the group, and their sectors, where known.
    index
        None if there is none, or there are no bars of it.
    start, end
        First and last day, both included.
    failures
        Reason by ticker without bars.
    notices
        What was dropped or could not be brought up to date, in sentences.
    bars
        In the schema of bars, sorted by ticker and date; the index is among them.
    """

    source: str = ""
    history: str = ""
    tickers: tuple[str, ...] = ()
    sectors: Mapping[str, str] = field(default_factory=dict)
    index: str | None = None
    start: dt.date = dt.date.min
    end: dt.date = dt.date.max
    failures: Mapping[str, str] = field(default_factory=dict)
    notices: tuple[str, ...] = ()
    bars: pl.DataFrame = field(default_factory=no_bars)

    @property
    def members(self) -> pl.DataFrame:
        """Bars of the group's tickers alone."""
        if self.index is None or self.index in self.tickers:
            return self.bars
        return self.bars.filter(pl.col("ticker") != self.index)

    @property
    def level(self) -> pl.DataFrame | None:
        """``date`` and ``close`` (adjusted) of the index, None if there is none."""
        if self.index is None:
            return None
        return self.bars.filter(pl.col("ticker") == self.index).select("date", close="adjusted_close")

    @property
    def version(self) -> str:
        """A hash of all that it says, wherever it is kept."""
        from finpipe.orchestration.versions import text_hash

        said = {name: value for name, value in self.rule().items() if name != "history"}
        return text_hash(json.dumps(said, sort_keys=True))

    def rule(self) -> dict[str, Any]:
        """Return as plain values which bars these are, with a hash of them in the place of the bars."""
        from finpipe.orchestration.versions import content_hash

        return {
            "source": self.source,
            "history": self.history,
            "tickers": list(self.tickers),
            "sectors": dict(self.sectors),
            "index": self.index,
            "start": self.start.isoformat(),
            "end": self.end.isoformat(),
            "failures": dict(self.failures),
            "notices": list(self.notices),
            "content": content_hash(self.bars),
        }


@dataclass(frozen=True, slots=True)
class BarsShelf:
    """Bars of ticker groups: as JSON which ones and a hash of them; the bars are in the histories in ``folder``."""

    store: Store
    folder: Path

    def put(self, asset: str, partition: str | None, value: GroupBars) -> Shelved:
        """Write down which bars they are; whoever fetched them has put them in the history."""
        from finpipe.orchestration.shelves import Shelved

        path = self.store.path(asset, partition, ENDING)
        rule = {**value.rule(), "stamp": _stamp(self._file(value.history))}
        size = self.store.write_text(path, json.dumps(rule, ensure_ascii=False, indent=1))
        return Shelved(f"{self.folder / value.history} and {path}", size)

    def get(self, asset: str, partition: str | None) -> GroupBars:
        """Read the bars, mapped into memory.

        Raises
        ------
        StoreError
            The history no longer has the bars that were recorded.
        """
        rule = self._rule(asset, partition)
        if not self._has(rule):
            raise StoreError(
                f"the prices in {self.folder / rule['history']} have changed since {asset}[{partition}] was made; "
                f"`finpipe run --only {asset} --group {partition}` follows them"
            )
        return GroupBars(
            rule["source"],
            rule["history"],
            tuple(rule["tickers"]),
            rule["sectors"],
            rule["index"],
            *_days(rule),
            rule["failures"],
            tuple(rule["notices"]),
            self._read(rule),
        )

    def holds(self, asset: str, partition: str | None, size: int) -> bool:
        """Compare the size of the file, and see whether the history still has those bars."""
        if self.store.size(self.store.path(asset, partition, ENDING)) != size:
            return False
        try:
            return self._has(self._rule(asset, partition))
        except (ValueError, KeyError):
            return False

    def digest(self, asset: str, partition: str | None) -> str:
        """Hash the file, which has a hash of the bars in it."""
        return self.store.digest(self.store.path(asset, partition, ENDING))

    def remove(self, asset: str, partition: str | None) -> None:
        """Delete the file; other groups may share the bars."""
        self.store.path(asset, partition, ENDING).unlink(missing_ok=True)

    def _rule(self, asset: str, partition: str | None) -> dict[str, Any]:
        rule: dict[str, Any] = json.loads(
            self.store.read_text(self.store.path(asset, partition, ENDING), asset)
        )
        return rule

    def _has(self, rule: Mapping[str, Any]) -> bool:
        file = self._file(rule["history"])
        stamp = _stamp(file)
        if stamp is not None and stamp == rule["stamp"]:
            return True
        wanted = (*_wanted(rule), *_days(rule))
        return bool(_content(self.folder / rule["history"], tuple(stamp or ()), *wanted) == rule["content"])

    def _read(self, rule: Mapping[str, Any]) -> pl.DataFrame:
        return _bars(self.folder / rule["history"], *_wanted(rule), *_days(rule))

    def _file(self, history: str) -> Path:
        from finpipe.market.price_history import PriceHistory

        return PriceHistory(self.folder / history).arrow_path


def _stamp(file: Path) -> list[int] | None:
    """Return what changes with every write of a file; None if there is no file."""
    try:
        stat = file.stat()
    except FileNotFoundError:
        return None
    return [stat.st_mtime_ns, stat.st_size, stat.st_ino]


def _wanted(rule: Mapping[str, Any]) -> tuple[tuple[str, ...]]:
    return (tuple(dict.fromkeys((*rule["tickers"], *([rule["index"]] if rule["index"] else [])))),)


def _days(rule: Mapping[str, Any]) -> tuple[dt.date, dt.date]:
    return dt.date.fromisoformat(rule["start"]), dt.date.fromisoformat(rule["end"])


def _bars(history: Path, tickers: tuple[str, ...], start: dt.date, end: dt.date) -> pl.DataFrame:
    from finpipe.market.price_history import PriceHistory

    return PriceHistory(history).read(tickers, start, end)


@functools.lru_cache(maxsize=16)
def _content(
    history: Path, _stamp: tuple[int, ...], tickers: tuple[str, ...], start: dt.date, end: dt.date
) -> str:
    """Return a hash of bars; it is asked for several times in a run, and files change between runs."""
    from finpipe.orchestration.versions import content_hash

    return content_hash(_bars(history, tickers, start, end))
