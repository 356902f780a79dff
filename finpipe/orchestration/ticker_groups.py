"""Ticker groups: the partitions of the portfolio line, what is observed of their prices, and how prices come in."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import dagster as dg

from finpipe.orchestration.partitions import TICKER_GROUP
from finpipe.settings import Settings

if TYPE_CHECKING:
    from finpipe.market.tickers import TickerGroup
    from finpipe.orchestration.price_shelf import GroupBars
    from finpipe.portfolio.market_data import PriceSource

BARS = "prices/source/bars"
HISTORY = "prices/history"


class TickerGroupError(ValueError):
    """A ticker group cannot be a partition, or has no prices; the message says why and what would work."""


def now() -> dt.datetime:
    """Return the time by which sessions are over."""
    return dt.datetime.now(dt.UTC)


def find_group(settings: Settings, name: str) -> TickerGroup:
    """Return the members of a shipped group or one of the settings.

    Raises
    ------
    TickerGroupError
        It is the path of a file, which is no name for a partition.
    TickerError
        There is no such group, or its content is wrong.
    """
    from finpipe.market.tickers import ticker_group

    if any(mark in name for mark in "/\\|.") and name not in settings.groups:
        raise TickerGroupError(
            f"{name!r} is the path of a file; assets are kept under a name: write it down in finpipe.toml under "
            f'[groups], e.g. mine = "{name}", and take --group mine'
        )
    return ticker_group(name, settings.groups)


def groups_in_use(instance: dg.DagsterInstance) -> tuple[str, ...]:
    """Return the groups that have prices in this home."""
    if not instance.get_dynamic_partitions(TICKER_GROUP):
        return ()
    return tuple(sorted(instance.get_materialized_partitions(dg.AssetKey(HISTORY.split("/")))))


def offer_groups(settings: Settings, instance: dg.DagsterInstance) -> None:
    """Make the shipped groups and those of the settings partitions, so that the UI can be asked for them."""
    from finpipe.market.tickers import group_names

    instance.add_dynamic_partitions(TICKER_GROUP, list(group_names(settings.groups)))


def bars_version(settings: Settings, name: str, at: dt.datetime) -> str:
    """Return what a group's prices depend on, as text: the source, its last day, and a hash of all the rest.

    The last day is that of the file, or the last session that is over on the exchanges of the group, so a new session
    is a new version. The rest: members, sectors, and which file it is.
    """
    from finpipe.orchestration.versions import text_hash
    from finpipe.portfolio.market_data import last_session, price_source

    group, source = find_group(settings, name), price_source(settings, group=name)
    last = source.last or last_session(group.tickers, at)
    rest = json.dumps([group.tickers, sorted(group.sectors.items()), source.history.path.name])
    return f"{source.name} {last} {text_hash(rest)[:12]}"


def observe_groups(
    settings: Settings, instance: dg.DagsterInstance, names: Iterable[str], *, demanded: bool = True
) -> dict[str, str]:
    """Record the versions of groups' prices that differ from those observed last.

    Parameters
    ----------
    demanded
        Whether a group that cannot be looked at is an error; otherwise it is among what comes back.

    Returns
    -------
    dict
        Why a group could not be looked at, by name: it is no longer in the settings, its file is gone.
    """
    from finpipe.orchestration.provenance import latest_record

    failed: dict[str, str] = {}
    for name in names:
        try:
            version = bars_version(settings, name, now())
        except (ValueError, OSError) as error:
            if demanded:
                raise
            failed[name] = str(error)
            continue
        record = latest_record(instance, BARS, name)
        if record is None or record.data_version != version:
            tags = {"dagster/data_version": version}
            key = dg.AssetKey(BARS.split("/"))
            instance.report_runless_asset_event(dg.AssetObservation(key, partition=name, tags=tags))
    return failed


def observable_bars(description: str) -> dg.AssetsDefinition:
    """Return the source as an observable Dagster asset: observing it looks at every group in use."""
    from finpipe.orchestration.partitions import ticker_groups

    @dg.observable_source_asset(
        key=dg.AssetKey(BARS.split("/")),
        group_name="source",
        description=description,
        partitions_def=ticker_groups,
    )
    def observed(
        context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]
    ) -> dg.DataVersionsByPartition:
        known = groups_in_use(context.instance)
        return dg.DataVersionsByPartition({name: bars_version(settings, name, now()) for name in known})

    return observed


def bring_in(
    settings: Settings, name: str, *, years: int, at: dt.datetime, tell: Callable[[str], None]
) -> GroupBars:
    """Bring the history of a group and its index up to date, and return the bars of the last ``years``.

    Raises
    ------
    TickerGroupError
        No bar of the last day arrived: what there is stays as it was.
    ProviderError
        The source cannot be asked, or is none.
    """
    from finpipe.orchestration.price_shelf import GroupBars
    from finpipe.portfolio.market_data import default_benchmark, market_bars, period, price_source

    group, source = find_group(settings, name), price_source(settings, group=name)
    start, end = period(source, None, None, at, tickers=group.tickers, years=years)
    index = default_benchmark(source, name, group.tickers)
    wanted = tuple(dict.fromkeys((*group.tickers, *([index] if index else []))))
    found = market_bars(
        source,
        wanted,
        start,
        end,
        now=at,
        progress=lambda done, total: tell(f"{done} of {total} tickers from {source.name}"),
    )
    _require_last_day(source, end, found.bars["date"].max(), found.notices)
    failures, notices = dict(found.failures), found.notices
    if index is not None and index in failures and index not in group.tickers:
        notices = (*notices, f"no comparison with {index}: {failures.pop(index)}")
        index = None
    return GroupBars(
        source.name,
        source.history.path.name,
        group.tickers,
        dict(group.sectors),
        index,
        start,
        end,
        failures,
        notices,
        found.bars,
    )


def _require_last_day(source: PriceSource, end: dt.date, last: object, notices: Iterable[str]) -> None:
    if isinstance(last, dt.date) and last >= end:
        return
    raise TickerGroupError(
        f"{source.name} has no bar of {end} yet, the last is of {last or 'no day'}; "
        f"{'; '.join(notices) or 'try again later'}"
    )
