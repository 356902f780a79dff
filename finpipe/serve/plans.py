"""From a question to what its answer depends on: days filled in, tickers chosen, the version of their prices, a key."""

from __future__ import annotations

import datetime as dt
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import xxhash

from finpipe.cache.entry import Expiry
from finpipe.cache.keys import request_key
from finpipe.market.daily_bars import ProviderError
from finpipe.market.quarantine import Quarantine, Sentence
from finpipe.market.tickers import TickerGroup, group_names
from finpipe.portfolio.market_data import (
    PriceSource,
    chosen_tickers,
    default_benchmark,
    period,
    price_source,
)
from finpipe.portfolio.requests import AnalyzeRequest, BenchmarkRequest, HedgeRequest, Request
from finpipe.serve.expiry import for_good, price_policy, soon
from finpipe.serve.history_view import HistoryView, HistoryViews
from finpipe.serve.problems import ProblemError
from finpipe.settings import Settings

EARLIEST = dt.date(1900, 1, 1)
_EVER = dt.datetime.min.replace(tzinfo=dt.UTC)
_REMEMBERED = 4096
_FOR = 30.0


@dataclass(frozen=True, slots=True)
class Plan:
    """A question with all that its answer depends on but the prices themselves.

    Parameters
    ----------
    asked
        With its days filled in.
    group
        Its tickers and their sectors; the name is the group's, if one was named.
    tickers
        Those whose prices matter, the benchmark's among them.
    source
        Where prices come from.
    about
        Digest of the question and of the group's members and sectors.
    """

    asked: Request
    group: TickerGroup
    tickers: tuple[str, ...]
    source: PriceSource
    about: str


class Plans:
    """Plans of questions; those of the last half minute are remembered.

    Parameters
    ----------
    settings
        Of the home.
    views
        The histories.
    code
        Version of the code, for keys.
    """

    def __init__(self, settings: Settings, views: HistoryViews, code: str) -> None:
        self._settings, self._views, self.code = settings, views, code
        self._aside = _Aside()
        self._known: OrderedDict[str, tuple[float, Plan]] = OrderedDict()
        self._lock = Lock()
        self._groups = frozenset(group_names(settings.groups))

    def at_hand(self, asked: Request) -> Plan | None:
        """The plan of a question, if it was made a moment ago."""
        return self.known(asked.canonical())

    def known(self, question: str) -> Plan | None:
        """The plan of a question by its canonical text, if it was made a moment ago."""
        with self._lock:
            found = self._known.get(question)
        return found[1] if found is not None and time.monotonic() - found[0] < _FOR else None

    def of(self, asked: Request) -> Plan:
        """Return the plan of a question.

        Raises
        ------
        ProblemError, TickerError, finpipe.portfolio.problem.ProblemError
            It names too many tickers, no group, or days that cannot be.
        """
        found = self.at_hand(asked)
        if found is not None:
            return found
        made = self._made(asked)
        with self._lock:
            self._known[asked.canonical()] = (time.monotonic(), made)
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return made

    def key(self, kind: str, plan: Plan) -> str:
        """Return the key of the answer: another one whenever what it depends on changes, and only then.

        That is whose prices they are, their content, and what is told of tickers that are kept aside. The home is no
        part of it: homes with the same prices have the same answers.
        """
        data: dict[str, object] = {
            "origin": plan.source.origin,
            "version": self.view(plan.source).version(plan.tickers),
            "aside": self._aside.told(plan.source, plan.tickers),
        }
        return request_key(kind, {"about": plan.about, **data}, code_version=self.code)

    def policy(self, kind: str, plan: Plan, key: str) -> Callable[[float], Expiry]:
        """Return until when the answer under ``key`` is right.

        As long as its prices are, or minutes if some were not to be had. Minutes too if they have changed since the
        question: its answer is of newer prices than ``key`` says, which another home may have for long.
        """
        if plan.source.last is not None:
            return for_good
        assert plan.asked.end is not None  # noqa: S101 (it is filled in)
        settled = price_policy(plan.tickers, plan.asked.end)
        if plan.source.first is not None:
            return settled

        def expiry(as_of: float) -> Expiry:
            is_told_by_key = self.key(kind, plan) == key
            return settled(as_of) if is_told_by_key and self._is_up_to_date(plan, as_of) else soon(as_of)

        return expiry

    def _is_up_to_date(self, plan: Plan, now: float) -> bool:
        """Whether the provider was asked for all prices of a plan since they last changed."""
        start, end = plan.asked.start, plan.asked.end
        assert start is not None and end is not None  # noqa: S101, PT018 (they are filled in)
        view, aside = self.view(plan.source), self._aside.now(plan.source, plan.tickers)
        return all(
            ticker in aside
            or (
                view.covers(ticker, start, end)
                and price_policy((ticker,), end)(view.asked[ticker].fetched_at.timestamp()).fresh_until > now
            )
            for ticker in plan.tickers
        )

    def view(self, source: PriceSource) -> HistoryView:
        """The history of a source as it is now."""
        return self._views.of(source.history)

    def group_of(self, tickers: tuple[str, ...] | None, name: str | None) -> TickerGroup:
        """Return the tickers of a question and their sectors; a group is one by name, never a file.

        Raises
        ------
        ProblemError
            There is no such group (404), or there are too many tickers (422).
        """
        if name is not None and name not in self._groups:
            raise ProblemError(
                422, f"there is no group {name[:64]!r}; there are {', '.join(sorted(self._groups))}"
            )
        if tickers is not None and len(tickers) > self._settings.serve_tickers:
            raise ProblemError(
                422, f"{len(tickers)} tickers are more than the {self._settings.serve_tickers} of one request"
            )
        return chosen_tickers(tickers, name, self._settings.groups)

    def days(
        self, source: PriceSource, start: dt.date | None, end: dt.date | None, tickers: tuple[str, ...]
    ) -> tuple[dt.date, dt.date]:
        """Fill in days that were left open; refuse those to come, and those before anything was traded here."""
        for name, day in (("start", start), ("end", end)):
            if day is not None and day < EARLIEST:
                raise ProblemError(422, f"the {name} {day} is too early: prices begin after {EARLIEST}")
        years = self._settings.history_years
        return period(source, start, end, dt.datetime.now(dt.UTC), tickers=tickers, years=years)

    def _made(self, asked: Request) -> Plan:
        name = getattr(asked, "group", None)
        group = self.group_of(_tickers_of(asked), name)
        source = price_source(self._settings, group=name)
        start, end = self.days(source, asked.start, asked.end, group.tickers)
        dated = asked.model_copy(update={"start": start, "end": end})
        index = None
        if not isinstance(asked, HedgeRequest):
            index = getattr(asked, "benchmark", None) or default_benchmark(source, name, group.tickers)
        tickers = tuple(dict.fromkeys((*group.tickers, *([index] if index else []))))
        about = {
            "request": json.loads(dated.canonical()),
            "members": list(group.tickers),
            "sectors": dict(sorted(group.sectors.items())),
        }
        digest = xxhash.xxh3_128_hexdigest(json.dumps(about, sort_keys=True).encode())
        return Plan(dated, group, tickers, source, digest)


class _Aside:
    """Tickers that sources keep aside, read once for each state of a file."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[tuple[int, int, int], dict[str, Sentence]]] = {}

    def told(self, source: PriceSource, tickers: Sequence[str]) -> dict[str, str]:
        """What an answer says of those of ``tickers`` that are kept aside."""
        aside = self.now(source, tickers)
        if source.first is not None:
            return {ticker: sentence.reason for ticker, sentence in aside.items()}
        return {ticker: f"{sentence.until:%Y-%m-%d} {sentence.reason}" for ticker, sentence in aside.items()}

    def now(self, source: PriceSource, tickers: Sequence[str]) -> dict[str, Sentence]:
        """Those of ``tickers`` kept aside now; none if the file is damaged, which whoever fetches is told."""
        try:
            known = self._state(source.quarantine)
        except (OSError, ProviderError):
            return {}
        now = dt.datetime.now(dt.UTC)
        return {name: known[name] for name in tickers if name in known and known[name].until > now}

    def _state(self, quarantine: Quarantine) -> dict[str, Sentence]:
        found = quarantine.path.stat()
        stamp = (found.st_ino, found.st_mtime_ns, found.st_size)
        known = self._known.get(quarantine.path)
        if known is None or known[0] != stamp:
            known = self._known[quarantine.path] = (stamp, quarantine.kept(_EVER))
        return known[1]


def _tickers_of(asked: Any) -> tuple[str, ...] | None:  # noqa: ANN401 (each kind has its own)
    if isinstance(asked, AnalyzeRequest):
        return (asked.ticker,)
    if isinstance(asked, HedgeRequest):
        return (asked.first, asked.second)
    if isinstance(asked, BenchmarkRequest):
        return tuple(asked.weights)
    found: tuple[str, ...] | None = asked.tickers
    return found
