"""Tickers that a source does not know, kept aside for a while so that they don't cost every run."""

from __future__ import annotations

import datetime as dt
import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from finpipe.market.daily_bars import ProviderError

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Sentence:
    """Why a ticker is kept aside, and until when."""

    reason: str
    until: dt.datetime


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Dead tickers in a JSON file, each with its reason and the time at which it may be tried again.

    The file is replaced as a whole, so that a reader or a crash sees the old or the new list; writers wait for
    each other.

    Parameters
    ----------
    path
        The file, e.g. ``<home>/quarantine-yahoo.json``; need not exist.
    term
        How long a ticker stays.
    """

    path: Path
    term: dt.timedelta = dt.timedelta(days=14)

    def kept(self, now: dt.datetime) -> dict[str, Sentence]:
        """Tickers kept aside at ``now``, which must know its time zone.

        Raises
        ------
        ProviderError
            If the file is damaged; says where and that it may be deleted.
        """
        return {ticker: sentence for ticker, sentence in self._read().items() if sentence.until > now}

    def add(self, reasons: Mapping[str, str], now: dt.datetime) -> None:
        """Keep tickers aside from ``now`` on, for the term; forget those whose term is over."""
        if reasons:
            until = now + self.term
            self._change({ticker: Sentence(reason, until) for ticker, reason in reasons.items()}, (), now)

    def release(self, tickers: Iterable[str], now: dt.datetime) -> None:
        """Let tickers go before their term is over."""
        self._change({}, tuple(tickers), now)

    def _change(self, added: Mapping[str, Sentence], released: Iterable[str], now: dt.datetime) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{self.path}.lock"):
            kept = self.kept(now) | dict(added)
            for ticker in released:
                kept.pop(ticker, None)
            self._write(kept)

    def _read(self) -> dict[str, Sentence]:
        try:
            text = self.path.read_text("utf-8")
        except FileNotFoundError:
            return {}
        try:
            content = json.loads(text)
            known = content["format"] == _FORMAT
            entries = content["tickers"].items() if known else ()
            kept = {
                ticker: Sentence(
                    str(entry["reason"]), dt.datetime.fromisoformat(entry["until"]).astimezone(dt.UTC)
                )
                for ticker, entry in entries
            }
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ProviderError(f"{self.path} is damaged ({error}); delete it to begin anew") from error
        if not known:
            raise ProviderError(
                f"{self.path} has format {content['format']}, not {_FORMAT}; delete it to begin anew"
            )
        return kept

    def _write(self, kept: Mapping[str, Sentence]) -> None:
        content = {
            "format": _FORMAT,
            "tickers": {
                ticker: {"reason": sentence.reason, "until": sentence.until.isoformat()}
                for ticker, sentence in sorted(kept.items())
            },
        }
        handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}-")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(content, file, indent=1, ensure_ascii=False)
            Path(name).replace(self.path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
