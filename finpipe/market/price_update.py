"""Keeping the history up to date: what is missing is fetched, and what a corporate action restated is fetched anew."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

from finpipe.market.daily_bars import (
    KEY,
    BarProvider,
    BarRequest,
    Progress,
    ProviderError,
    no_bars,
    valid_bars,
)
from finpipe.market.exchanges import exchange_of, latest_change

if TYPE_CHECKING:
    from finpipe.market.price_history import PriceHistory

SAME = 2e-6
"""Relative difference up to which two fetches of a price agree: more than single precision loses, less than a dividend
of a cent moves the adjusted close of a share of a thousand."""

REPORT_SCHEMA = pl.Schema(
    {
        "ticker": pl.String(),
        "outcome": pl.Enum(["current", "new", "extended", "refetched", "failed"]),
        "bars": pl.UInt32(),
        "first": pl.Date(),
        "last": pl.Date(),
        "reason": pl.String(),
    }
)
"""One row for each ticker asked for, sorted.

``outcome``: ``current``: nothing was missing, nothing was asked; ``new``: fetched whole; ``extended``: only the tail
was fetched; ``refetched``: fetched whole again; ``failed``: the bars held stay. ``reason`` says why, for these two.
``bars``: written. ``first``, ``last``: held now, null if none.
"""


@dataclass(frozen=True, slots=True)
class UpdateReport:
    """What an update did, ticker by ticker.

    Parameters
    ----------
    frame
        :data:`REPORT_SCHEMA`.
    notices
        What the provider had to say.
    """

    frame: pl.DataFrame
    notices: tuple[str, ...] = ()

    @property
    def failures(self) -> dict[str, str]:
        """Reason by ticker that failed."""
        return dict(self.frame.filter(pl.col("outcome") == "failed").select("ticker", "reason").iter_rows())

    @property
    def counts(self) -> dict[str, int]:
        """Tickers by outcome, those that occur."""
        counted = self.frame.group_by("outcome").len().sort("outcome")
        return {str(outcome): int(count) for outcome, count in counted.iter_rows()}


@dataclass(slots=True)
class _Round:
    """Fetches of one update, and what came of them."""

    provider: BarProvider
    tickers: int
    done: int
    progress: Progress | None
    failures: dict[str, str] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)

    def fetch(self, starts: Mapping[str, dt.date], ends: Mapping[str, dt.date]) -> pl.DataFrame:
        """Bars of tickers, each from its start to its end; one request for all that share a month and an end."""
        groups: dict[tuple[int, int, dt.date], list[str]] = defaultdict(list)
        for ticker, start in starts.items():
            groups[start.year, start.month, ends[ticker]].append(ticker)
        frames = [no_bars()]
        for (_, _, end), tickers in sorted(groups.items()):
            batch = self.provider.fetch(
                BarRequest(tuple(sorted(tickers)), min(starts[ticker] for ticker in tickers), end), self._told
            )
            self.done += len(tickers)
            self.failures |= batch.failures
            self.notices += batch.notices
            frames.append(batch.bars)
        bars, faults = valid_bars(pl.concat(frames).sort(KEY), self.provider.name)
        # Providers have told of bars that are merely odd.
        self.notices += [
            fault for fault in faults if fault not in self.notices and "kept as they are" not in fault
        ]
        return bars

    def _told(self, done: int, _: int) -> None:
        if self.progress:
            self.progress(min(self.done + done, self.tickers), self.tickers)


def update_history(
    history: PriceHistory,
    provider: BarProvider,
    request: BarRequest,
    now: dt.datetime,
    progress: Progress | None = None,
    *,
    refresh: bool = False,
) -> UpdateReport:
    """Fetch what the history lacks of ``request`` and write it in one transaction.

    Of a ticker that the history holds, only the tail is fetched, from the last settled bar on. If that bar differs from
    the one held, a split or dividend has restated the past and the ticker is fetched whole; the new bars then take
    the place of all that were held. If that fails, the old bars stay as they are. A ticker is whole, too, if it is
    wanted from an earlier day than it was ever asked for. A source that corrects the past but not the overlapping day
    goes unnoticed: ``refresh`` fetches everything again.

    Parameters
    ----------
    history, provider, request
        Where to, where from, what. Days after ``now`` are not asked for.
    now
        With its time zone.
    progress
        Called with tickers done and tickers in all.
    refresh
        Fetch every ticker whole.

    Raises
    ------
    ProviderError
        If the request begins after ``now``, or the provider as a whole cannot work. A failing ticker is reported.
    """
    if now.tzinfo is None:
        raise ProviderError(f"now, {now}, has no time zone")
    today = now.astimezone(dt.UTC).date()
    if request.start > today:
        raise ProviderError(f"the start {request.start} lies in the future; today is {today}")
    end = min(request.end, today)
    held = {row["ticker"]: row for row in history.coverage().iter_rows(named=True)}
    whole, tails = _plan(request, end, held, now, refresh=refresh)
    current = len(request.tickers) - len(whole) - len(tails)
    rounds = _Round(provider, len(request.tickers), current, progress)

    ends = {
        ticker: max(end, held[ticker]["asked_to"]) if ticker in held else end for ticker in (*whole, *tails)
    }
    fetched = rounds.fetch(whole, ends)
    tail = rounds.fetch(tails, ends)
    reasons = _disagreements(history.read(list(tails)) if tails else no_bars(), tail, tails, rounds.failures)
    if reasons:
        rounds.done -= len(reasons)
        again = rounds.fetch({ticker: held[ticker]["asked_from"] for ticker in reasons}, ends)
        tail = tail.filter(~pl.col("ticker").is_in(list(reasons)))
        fetched = pl.concat([fetched, again])
    written = pl.concat([fetched, tail]).filter(~pl.col("ticker").is_in(list(rounds.failures))).sort(KEY)
    arrived = set(written["ticker"].unique())
    for ticker in (whole.keys() | tails.keys()) - arrived - rounds.failures.keys():
        rounds.failures[ticker] = f"{provider.name} returned no bars and no reason"
    if arrived:
        starts = {**tails, **whole}
        history.upsert(
            written,
            now,
            asked={ticker: (starts[ticker], ends[ticker]) for ticker in arrived},
            replaced=[
                ticker for ticker in arrived if ticker in held and (ticker in whole or ticker in reasons)
            ],
        )
    outcomes = dict.fromkeys(request.tickers, "current")
    outcomes |= {ticker: "new" if ticker not in held else "refetched" for ticker in whole}
    outcomes |= {ticker: "refetched" if ticker in reasons else "extended" for ticker in tails}
    outcomes |= dict.fromkeys(rounds.failures, "failed")
    why = dict.fromkeys(whole, "fetched whole, as wanted" if refresh else f"wanted from {request.start} on")
    why = {ticker: reason for ticker, reason in why.items() if ticker in held} | reasons | rounds.failures
    if progress:
        progress(len(request.tickers), len(request.tickers))
    return UpdateReport(_report(outcomes, why, written, history.coverage()), tuple(rounds.notices))


def _plan(
    request: BarRequest, end: dt.date, held: Mapping[str, dict[str, Any]], now: dt.datetime, *, refresh: bool
) -> tuple[dict[str, dt.date], dict[str, dt.date]]:
    """The first day to fetch by ticker: of those fetched whole, and of those of which a tail is missing."""
    whole: dict[str, dt.date] = {}
    tails: dict[str, dt.date] = {}
    changes: dict[str, dt.datetime | None] = {}
    for ticker in request.tickers:
        known = held.get(ticker)
        if known is None:
            whole[ticker] = request.start
        elif refresh or request.start < known["asked_from"] or known["settled"] is None:
            whole[ticker] = min(request.start, known["asked_from"])
        else:
            exchange = exchange_of(ticker)
            if exchange not in changes:
                changes[exchange] = latest_change(exchange, end, now)
            changed = changes[exchange]
            finished = known["asked_to"] >= end and (changed is None or known["fetched_at"] >= changed)
            if not finished:
                tails[ticker] = known["settled"]
    return whole, tails


def _disagreements(
    stored: pl.DataFrame, tail: pl.DataFrame, overlaps: Mapping[str, dt.date], failures: Mapping[str, str]
) -> dict[str, str]:
    """Tickers whose overlapping day is not what it was, and how."""
    days = pl.DataFrame(
        {"ticker": list(overlaps), "date": list(overlaps.values())},
        schema={"ticker": pl.String, "date": pl.Date},
    ).filter(~pl.col("ticker").is_in(list(failures)))
    values = ("close", "adjusted_close")
    compared = (
        days.join(stored.select(*KEY, *values), on=KEY, how="inner")
        .join(tail.select(*KEY, *values), on=KEY, how="left", suffix="_now")
        .sort("ticker")
    )
    reasons = {}
    for row in compared.iter_rows(named=True):
        for name in values:
            before, after = row[name], row[f"{name}_now"]
            if after is None:
                reasons[row["ticker"]] = f"the bar of {row['date']} is gone"
            elif abs(after - before) > SAME * before:
                reasons[row["ticker"]] = (
                    f"{name.replace('_', ' ')} of {row['date']} was {before:g}, now is {after:g}"
                )
    return reasons


def _report(
    outcomes: Mapping[str, str], reasons: Mapping[str, str], written: pl.DataFrame, coverage: pl.DataFrame
) -> pl.DataFrame:
    tickers = sorted(outcomes)
    return (
        pl.DataFrame(
            {
                "ticker": tickers,
                "outcome": [outcomes[ticker] for ticker in tickers],
                "reason": [reasons.get(ticker) for ticker in tickers],
            },
            schema={"ticker": pl.String, "outcome": pl.String, "reason": pl.String},
        )
        .join(written.group_by("ticker").agg(pl.len().alias("bars")), on="ticker", how="left")
        .join(coverage.select("ticker", "first", "last"), on="ticker", how="left")
        .with_columns(pl.col("bars").fill_null(0))
        .select(REPORT_SCHEMA.names())
        .cast(REPORT_SCHEMA)
        .sort("ticker")
    )
