"""Bars for clients: L1, L2, the history (L3), and the provider through a worker; by ticker and period."""

from __future__ import annotations

import datetime as dt
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import polars as pl

from finpipe.cache.keys import request_key
from finpipe.cache.lookup import Lookup
from finpipe.cache.request import Absent, Failed, Loaded, Outcome, Request
from finpipe.portfolio.market_data import PriceSource, price_source
from finpipe.serve.expiry import Policy, for_good, price_policy, soon
from finpipe.serve.history_view import HistoryView, HistoryViews
from finpipe.serve.negotiation import Content
from finpipe.serve.plans import Plans
from finpipe.serve.pool import Task, TaskError
from finpipe.serve.problems import ProblemError
from finpipe.settings import Settings

if TYPE_CHECKING:
    from finpipe.serve.answers import Answers
    from finpipe.serve.routes.stocks import PricesQuery

KIND = "prices"
Ask = Callable[[Task], bytes]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Bars of one ticker: what sources need to find them."""

    source: PriceSource
    group: str | None
    ticker: str
    start: dt.date
    end: dt.date


def price_request(wanted: Wanted, version: str, *, to_fetch_by: str | None = None) -> Request:
    """Return the question for bars as a lookup takes it.

    Its key names no home, so that homes that share a Redis answer from each other's bars: those of the same version are
    the same in each. Bars that are still to be fetched are not told by the version of those that are there. They have
    a key of their own and, where the provider may change them, last for minutes: another home that lacks them takes
    them only while they are new.

    Parameters
    ----------
    version
        Of the ticker's bars in the history (``HistoryView.version``): new or corrected bars make a new key, and a
        finished period's bars never expire.
    to_fetch_by
        Version of the code that will fetch the bars; None if the history covers the period.
    """
    lasts: Policy = price_policy((wanted.ticker,), wanted.end)
    if wanted.source.last is not None:
        lasts = for_good
    elif to_fetch_by is not None and wanted.source.first is None:
        lasts = soon
    about = {"ticker": wanted.ticker, "start": wanted.start, "end": wanted.end}
    data = {"origin": wanted.source.origin, "version": version, "to fetch": to_fetch_by is not None}
    key = request_key(KIND, about | data, code_version=to_fetch_by or "")
    return Request(key, wanted, lasts)


def is_held(view: HistoryView, wanted: Wanted) -> bool:
    """Whether the history holds all bars of a period that the source has, so that nothing need be fetched."""
    start = max(wanted.start, wanted.source.first or wanted.start)
    end = min(wanted.end, wanted.source.last or wanted.end)
    return view.covers(wanted.ticker, start, end)


class HistorySource:
    """L3: the history of the home; answers what was asked of the provider before."""

    name = "history"

    def __init__(self, views: HistoryViews) -> None:
        self._views = views

    def load(self, requests: Sequence[Request]) -> Mapping[str, Outcome]:
        """Return tables of bars of those whose period the history covers, as of when they were fetched."""
        found: dict[str, Outcome] = {}
        for wanted, members in _together(requests).items():
            view = self._views.of(wanted.source.history)
            known = [key for key, ticker in members.items() if is_held(view, replace(wanted, ticker=ticker))]
            if known:
                bars = view.bars([members[key] for key in known], wanted.start, wanted.end)
                tables = _tables(bars, {key: members[key] for key in known}, "the history has no bars then")
                found |= {
                    key: replace(outcome, as_of=view.asked[members[key]].fetched_at.timestamp())
                    if isinstance(outcome, Loaded)
                    else outcome
                    for key, outcome in tables.items()
                }
        return found


class ProviderSource:
    """The provider, asked by a worker, which puts what comes into the history."""

    name = "provider"

    def __init__(self, views: HistoryViews, ask: Ask, limit: float) -> None:
        self._views, self._ask, self._limit = views, ask, limit

    def load(self, requests: Sequence[Request]) -> Mapping[str, Outcome]:
        """Return tables of bars, or that there are none and why."""
        found: dict[str, Outcome] = {}
        for wanted, members in _together(requests).items():
            question = {
                "tickers": sorted(members.values()),
                "group": wanted.group,
                "start": wanted.start.isoformat(),
                "end": wanted.end.isoformat(),
            }
            try:
                said = json.loads(
                    self._ask(Task("bring", json.dumps(question), long=True, limit=self._limit))
                )
            except TaskError as error:
                found |= {key: Failed(error) for key in members}
                continue
            bars = self._views.of(wanted.source.history).bars(
                sorted(members.values()), wanted.start, wanted.end
            )
            found |= _tables(bars, members, "there are no bars", said["failures"])
        return found


class PriceAnswers:
    """Answers of ``/api/prices``."""

    def __init__(self, settings: Settings, plans: Plans, lookup: Lookup, answers: Answers) -> None:
        self._settings, self._plans, self._lookup, self._answers = settings, plans, lookup, answers

    async def get(self, query: PricesQuery, _http: object = None) -> Content:
        """Return bars of the tickers or the group of a query."""
        if (query.tickers is None) == (query.group is None):
            raise ProblemError(422, "give either tickers or a group, e.g. tickers=AAPL,MSFT or group=sp500")
        content: Content = await self._answers.in_thread(lambda: self._content(query))
        return content

    def _content(self, query: PricesQuery) -> Content:
        from finpipe.market.tickers import canonical_tickers

        named = None
        if query.tickers is not None:
            named = canonical_tickers(part for part in query.tickers.split(",") if part.strip())
        group = self._plans.group_of(named, query.group)
        source = price_source(self._settings, group=query.group)
        start, end = self._plans.days(source, query.start, query.end, group.tickers)
        view = self._plans.view(source)
        wanted = {}
        for ticker in group.tickers:
            bars = Wanted(source, query.group, ticker, start, end)
            code = None if is_held(view, bars) else self._plans.code
            wanted[ticker] = price_request(bars, view.version((ticker,)), to_fetch_by=code)
        answers = self._lookup.get_many(wanted.values())
        tables, failures, notices = [], {}, []
        for ticker, request in wanted.items():
            answer = answers[request.key]
            if answer.error is not None:
                failures[ticker] = str(answer.error)
            else:
                tables.append(answer.value)
                if answer.stale:
                    notices.append(f"{ticker}: the last bars may be out of date")
        if not tables and len(failures) == 1:
            (ticker, reason), *_ = failures.items()
            raise ProblemError(404, f"there are no prices of {ticker}: {reason}")
        about = {"start": start.isoformat(), "end": end.isoformat(), "failures": failures, "notices": notices}
        return _content(tables, query.every, about)


def _content(tables: list[Any], every: str, about: dict[str, Any]) -> Content:
    import pyarrow as pa

    from finpipe.market.daily_bars import no_bars

    frame = no_bars()
    if tables:
        bars = pl.from_arrow(pa.concat_tables(tables))
        assert isinstance(bars, pl.DataFrame)  # noqa: S101 (a table is a frame)
        frame = bars
    if every != "day":
        from finpipe.market.price_summaries import summaries

        found = summaries(frame, "week" if every == "week" else "month")
        frame = found.select(*frame.columns)
    columns = [name for name in frame.columns if name != "ticker"]
    packed = frame.group_by("ticker", maintain_order=True).agg(pl.col(columns))
    texts = packed.select("ticker", pl.struct(columns).struct.json_encode().alias("json"))
    bars_text = ",".join(f"{json.dumps(ticker)}:{text}" for ticker, text in texts.iter_rows())
    rest = json.dumps(about)
    text = f'{rest[:-1]}, "bars": {{{bars_text}}}}}'
    return Content(json=text.encode(), table=frame.to_arrow)


def _together(requests: Sequence[Request]) -> dict[Wanted, dict[str, str]]:
    """Requests of one source and period together: ticker by key."""
    found: dict[tuple[Any, ...], dict[str, str]] = defaultdict(dict)
    first: dict[tuple[Any, ...], Wanted] = {}
    for request in requests:
        wanted = request.subject
        assert isinstance(wanted, Wanted)  # noqa: S101 (the lookup is asked for prices only)
        period = (wanted.source.history.path, wanted.start, wanted.end)
        first.setdefault(period, wanted)
        found[period][request.key] = wanted.ticker
    return {first[period]: members for period, members in found.items()}


def _tables(
    bars: pl.DataFrame, members: Mapping[str, str], nothing: str, reasons: Mapping[str, str] | None = None
) -> dict[str, Outcome]:
    parts = {name[0]: part for name, part in bars.partition_by("ticker", as_dict=True).items()}
    return {
        key: Loaded(parts[ticker].to_arrow())
        if ticker in parts
        else Absent((reasons or {}).get(ticker, nothing))
        for key, ticker in members.items()
    }
