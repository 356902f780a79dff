"""Where a portfolio's prices come from: the source that the settings name, its history in the home, and the period."""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import polars as pl

from finpipe.market.daily_bars import BarProvider, BarRequest, Progress, ProviderError, listed
from finpipe.market.exchanges import exchange_of, latest_change
from finpipe.market.price_history import PriceHistory
from finpipe.market.quarantine import Quarantine
from finpipe.market.tickers import DEMO_GROUP, SHIPPED_GROUPS, TickerGroup, canonical_tickers, ticker_group
from finpipe.portfolio.problem import ProblemError

if TYPE_CHECKING:
    from finpipe.settings import Settings

INDICES: Final = {
    "sp500": "^GSPC",
    "dow30": "^DJI",
    "nasdaq100": "^NDX",
    "kospi200": "^KS200",
    DEMO_GROUP: "^DEMO",
}
"""Index that a shipped group is compared with."""

EXCHANGE_INDICES: Final = {"XNYS": "^GSPC", "XKRX": "^KS11"}
"""Index that tickers of an exchange are compared with."""

FOR_GOOD: Final = dt.timedelta(days=36_500)
"""A ticker that a file does not have is never asked for again: another file is another source."""


@dataclass(frozen=True, slots=True)
class PriceSource:
    """A provider of bars with what the home keeps of it.

    Parameters
    ----------
    name
        ``yahoo``, ``parquet`` or ``demo``.
    provider, history, quarantine
        Where bars come from, where they are kept, and which tickers are not asked for.
    first, last
        Extent of a source at hand, which is taken over whole ticker by ticker; None of a remote source, of which
        only what is asked for is fetched. ``last`` None: the last finished session.
    mirror
        Address that is asked in the place of the provider's own.
    """

    name: str
    provider: BarProvider
    history: PriceHistory
    quarantine: Quarantine
    first: dt.date | None = None
    last: dt.date | None = None
    mirror: str | None = None

    @property
    def origin(self) -> str:
        """Whose bars these are, the same in every home: the provider, its mirror, and which file if it is one."""
        return f"{self.history.path.stem} {self.mirror or ''}".rstrip()


@dataclass(frozen=True, slots=True)
class MarketBars:
    """Bars that were asked for, and what is missing.

    Parameters
    ----------
    bars
        Daily bars in the schema of bars, sorted by ticker and date, within the period.
    failures
        Reason by ticker without any bar in the period.
    notices
        Sentences about what was dropped or could not be brought up to date.
    """

    bars: pl.DataFrame
    failures: Mapping[str, str]
    notices: tuple[str, ...] = ()


def price_source(settings: Settings, *, group: str | None = None) -> PriceSource:
    """Return the source of prices that the settings name.

    A file of bars (``bars``) makes it ``parquet``; the group ``demo`` makes it ``demo`` where no file is named.

    Raises
    ------
    ProviderError
        If the provider is ``parquet`` and no file is named, or the file is no file of bars.
    """
    folder = settings.home / "prices"
    if settings.bars is not None or settings.provider == "parquet":
        if settings.bars is None:
            raise ProviderError(
                "the provider parquet needs a file or folder of bars: name it with --bars FILE"
            )
        return _file_source(settings.bars, folder)
    if group == DEMO_GROUP or settings.provider == "demo":
        from finpipe.market.demo_bars import FIRST_DAY, DemoBars

        return PriceSource("demo", DemoBars(), *_kept(folder, "demo", for_good=True), first=FIRST_DAY)
    from finpipe.market.yahoo import YahooBars

    history, quarantine = _kept(folder, "yahoo")
    mirror = settings.yahoo_mirror
    return PriceSource(
        "yahoo", YahooBars(quarantine=quarantine, mirror=mirror), history, quarantine, mirror=mirror
    )


def chosen_tickers(
    tickers: Sequence[str] | None,
    group: str | None,
    own_groups: Mapping[str, Sequence[str] | str] | None = None,
) -> TickerGroup:
    """Return tickers with their sectors: those of a group, or those named, with sectors from the shipped groups.

    Raises
    ------
    TickerError
        If there is no such group, or a ticker is none or comes twice.
    """
    if group is not None:
        return ticker_group(group, own_groups)
    named = canonical_tickers(tickers or ())
    wanted = set(named)
    sectors: dict[str, str] = {}
    for name in (*SHIPPED_GROUPS, DEMO_GROUP):
        if not wanted:
            break
        known = _shipped(name).sectors
        sectors |= {ticker: known[ticker] for ticker in wanted & known.keys()}
        wanted -= known.keys()
    return TickerGroup("", tuple(sorted(named)), sectors)


def default_benchmark(source: PriceSource, group: str | None, tickers: Sequence[str]) -> str | None:
    """Return the index that a group, or the tickers' exchange, is compared with; None if there is no single one."""
    if source.name == "demo":
        return INDICES[DEMO_GROUP]
    if group in INDICES:
        return INDICES[group]
    exchanges = {exchange_of(ticker) for ticker in tickers}
    return EXCHANGE_INDICES.get(exchanges.pop()) if len(exchanges) == 1 else None


def period(
    source: PriceSource,
    start: dt.date | None,
    end: dt.date | None,
    now: dt.datetime,
    *,
    tickers: Sequence[str],
    years: int,
) -> tuple[dt.date, dt.date]:
    """Fill in the days that were left open, and refuse days to come.

    Parameters
    ----------
    start, end
        First and last day, both included. Without an end it is the last that the source has, or the last session
        that is over on all exchanges of ``tickers``; without a start ``years`` before the end.

    Raises
    ------
    ProblemError
        If a day lies in the future, or the end before the start.
    """
    today = now.astimezone(dt.UTC).date()
    for name, day in (("start", start), ("end", end)):
        if day is not None and day > today:
            raise ProblemError(
                f"the {name} {day} lies in the future, today is {today}: prices of days to come are not known. "
                + ("Leave the end out for the last session" if name == "end" else "Choose an earlier start")
            )
    last = end or source.last or last_session(tickers, now)
    first = start or _years_before(last, years)
    if last < first:
        raise ProblemError(
            f"the end {last} lies before the start {first}: swap them, or choose an earlier start"
        )
    return first, last


def last_session(tickers: Sequence[str], now: dt.datetime) -> dt.date:
    """Return the last day whose session is over on every exchange of ``tickers``."""
    today = now.astimezone(dt.UTC).date()
    days = [today]
    for exchange in {exchange_of(ticker) for ticker in tickers} or {"XNYS"}:
        for back in range(3):
            changed = latest_change(exchange, today - dt.timedelta(days=back), now)
            if changed is not None and changed < now:
                days.append(changed.date())
                break
    return min(days)


def market_bars(
    source: PriceSource,
    tickers: Sequence[str],
    start: dt.date,
    end: dt.date,
    *,
    now: dt.datetime,
    progress: Progress | None = None,
    update: bool = True,
) -> MarketBars:
    """Return bars from the history, which is first brought up to date where it lacks some of them.

    A provider that fails does no harm: what the history has is returned, and what is old or missing is told.

    Parameters
    ----------
    start, end
        First and last day, both included.
    now
        With its time zone.
    progress
        Of the fetch: tickers done, tickers in all.
    update
        Whether the provider may be asked.

    Raises
    ------
    ProviderError
        If the provider as a whole cannot work and the history has none of the tickers.
    """
    names = canonical_tickers(tickers)
    told: list[str] = []
    reasons: dict[str, str] = {}
    broken: ProviderError | None = None
    if update:
        kept = source.quarantine.kept(now)
        reasons = {
            ticker: _told(source, kept[ticker].reason, kept[ticker].until)
            for ticker in names
            if ticker in kept
        }
        lacking = tuple(ticker for ticker in names if ticker not in kept)
        if lacking and not _holds_all(source, lacking, start, end):
            try:
                failures, notices = _update(source, BarRequest(lacking, start, end), now, progress)
                reasons |= failures
                told += notices
            except (ProviderError, OSError) as error:
                broken = error if isinstance(error, ProviderError) else ProviderError(str(error))
    bars = source.history.read(names, start, end)
    arrived = set(bars["ticker"].unique())
    if broken is not None:
        if not arrived:
            raise broken
        told.append(f"{source.name}: {broken}; prices are those kept from earlier")
    old = sorted(ticker for ticker in reasons if ticker in arrived)
    if old:
        told.append(
            f"{source.name}: not brought up to date, the prices are those kept from earlier: {listed(old)} "
            f"({reasons[old[0]]})"
        )
    missing = f"no bars from {start} to {end} from {source.name}"
    failed = {ticker: reasons.get(ticker, missing) for ticker in names if ticker not in arrived}
    return MarketBars(bars, failed, tuple(told))


def _update(
    source: PriceSource, request: BarRequest, now: dt.datetime, progress: Progress | None
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Fetch what the history lacks; returns reasons of failure and notices."""
    if source.first is None:
        report = source.history.update(source.provider, request, now, progress)
        return report.failures, report.notices
    whole = BarRequest(request.tickers, source.first, source.last or last_session(request.tickers, now))
    report = source.history.update(source.provider, whole, now, progress)
    if report.failures:
        source.quarantine.add(report.failures, now)
    _forget_older(source.history.path)
    return report.failures, report.notices


def _holds_all(source: PriceSource, tickers: Sequence[str], start: dt.date, end: dt.date) -> bool:
    """Whether every ticker was asked for over the period, on a day after it: then no bar of it changes any more."""
    try:
        stat = source.history.arrow_path.stat()
    except FileNotFoundError:
        return False
    asked = _asked(source.history.path, stat.st_mtime_ns, stat.st_ino)
    if source.first is not None:
        start = max(start, source.first)
        end = min(end, source.last) if source.last else end
    return all(
        ticker in asked and asked[ticker][0] <= start and asked[ticker][1] >= end and asked[ticker][2] > end
        for ticker in tickers
    )


@functools.lru_cache(maxsize=8)
def _asked(path: Path, _changed: int, _inode: int) -> dict[str, tuple[dt.date, dt.date, dt.date]]:
    """First and last day that each ticker was asked for, and the day of asking, in UTC."""
    held = PriceHistory(path).coverage().drop_nulls("asked_from")
    columns = ("ticker", "asked_from", "asked_to", "fetched_at")
    return {
        ticker: (first, last, moment.date())
        for ticker, first, last, moment in held.select(columns).iter_rows()
    }


@functools.cache
def _shipped(name: str) -> TickerGroup:
    return ticker_group(name)


def _kept(folder: Path, name: str, *, for_good: bool = False) -> tuple[PriceHistory, Quarantine]:
    aside = Quarantine(folder / f"{name}-quarantine.json")
    return PriceHistory(folder / f"{name}.duckdb"), replace(aside, term=FOR_GOOD) if for_good else aside


def _file_source(path: Path, folder: Path) -> PriceSource:
    from finpipe.market.parquet_bars import ParquetBars

    path = path.expanduser().resolve()
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    stats = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files if file.is_file()]
    content = _hash(repr(stats))
    first, last = _extent(path, content)
    title = re.sub(r"[^A-Za-z0-9_-]+", "-", path.stem)[:40]
    name = f"parquet-{title}-{_hash(str(path))}-{content}"
    return PriceSource(
        "parquet", ParquetBars(path), *_kept(folder, name, for_good=True), first=first, last=last
    )


@functools.lru_cache(maxsize=8)
def _extent(path: Path, _content: str) -> tuple[dt.date, dt.date]:
    from finpipe.market.parquet_bars import scan_bars

    try:
        first, last = (
            scan_bars(path)
            .select(pl.col("date").min().alias("first"), pl.col("date").max().alias("last"))
            .collect()
            .row(0)
        )
    except (pl.exceptions.PolarsError, OSError) as error:
        raise ProviderError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error
    if first is None:
        raise ProviderError(f"{path} holds no bars")
    return first, last


def _forget_older(history: Path) -> None:
    """Remove what was kept of a file before it changed."""
    stem, mark, _ = history.stem.rpartition("-")
    if not stem.startswith("parquet-") or not mark:
        return
    for file in history.parent.glob(f"{stem}-*"):
        if not file.name.startswith(history.stem):
            file.unlink(missing_ok=True)


def _told(source: PriceSource, reason: str, until: dt.datetime) -> str:
    return f"in quarantine until {until:%Y-%m-%d}: {reason}" if source.first is None else reason


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _years_before(day: dt.date, years: int) -> dt.date:
    """The same day ``years`` earlier; the 28th of February for a leap day."""
    try:
        return day.replace(year=day.year - years)
    except ValueError:
        return dt.date(day.year - years, 2, 28)
