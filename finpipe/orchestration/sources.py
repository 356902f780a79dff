"""Source assets: the tables of the user's database, observed by fingerprint and never written; and daily bars."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from finpipe.orchestration import request_log, ticker_groups
from finpipe.orchestration.home import write_atomically
from finpipe.orchestration.partitions import TICKER_GROUP
from finpipe.settings import Settings

PREFIX = "krx/source"


@dataclass(frozen=True, slots=True)
class Source:
    """What one or more stages read together: tables of the database, or bars of a ticker group, which are no tables."""

    key: str
    tables: tuple[str, ...]
    description: str
    dimensions: tuple[str, ...] = ()


SOURCES = (
    Source(f"{PREFIX}/daily_prices", ("daily_prices",), "Daily bars as published by the exchange."),
    Source(f"{PREFIX}/stocks", ("stocks",), "The list of stocks with their latest names and markets."),
    Source(
        f"{PREFIX}/filings",
        ("financial_periods", "financial_items_bs_cf", "financial_items_pl"),
        "Financial statements as filed.",
    ),
    Source(
        f"{PREFIX}/indices",
        ("indices", "index_daily_prices", "deriv_index_daily", "bond_index_daily"),
        "Levels of market, derivative and bond indices.",
    ),
    Source(f"{PREFIX}/delistings", ("delisted_stocks",), "Stocks that left the exchange, and when."),
    Source(
        ticker_groups.BARS,
        (),
        "Daily bars of a ticker group as their source has them, known by its last finished session.",
        (TICKER_GROUP,),
    ),
    Source(
        request_log.REQUESTS,
        (),
        "Tickers asked for of the service, and when to the minute; nothing about who asked. The service only adds.",
    ),
)
UNTABLED = {
    ticker_groups.BARS: ticker_groups.observable_bars,
    request_log.REQUESTS: request_log.observable_requests,
}
"""What makes the asset of a source that is no table."""


def observable_assets() -> list[dg.AssetsDefinition]:
    """Return the sources as observable Dagster assets: observing one reads the fingerprint of its tables."""
    return [
        _observable(source) if source.tables else UNTABLED[source.key](source.description)
        for source in SOURCES
    ]


def fingerprints(settings: Settings) -> dict[str, str]:
    """Return the fingerprint of each source by asset key.

    What is found is kept in the home: as long as nobody writes to the database, it is not read again.
    """
    from finpipe.market.fingerprint import Fingerprints, combined, table_fingerprints
    from finpipe.market.snapshot import settle

    assert settings.database is not None
    settle(settings.database)  # a state that equals no other would look like a later change
    kept = settings.home / "fingerprints.json"
    tables = [table for source in SOURCES for table in source.tables]
    found = table_fingerprints(
        settings.database, tables, Fingerprints.from_json(_read(kept, settings.database))
    )
    record = {"database": str(settings.database), **found.to_json()}
    write_atomically(kept, json.dumps(record, ensure_ascii=False))
    return {source.key: combined(found.tables, source.tables) for source in SOURCES if source.tables}


def observe(settings: Settings, instance: dg.DagsterInstance) -> None:
    """Record the fingerprints that differ from those observed last."""
    from finpipe.orchestration.provenance import latest_record

    for key, version in fingerprints(settings).items():
        record = latest_record(instance, key, None)
        if record is None or record.data_version != version:
            instance.report_runless_asset_event(
                dg.AssetObservation(dg.AssetKey(key.split("/")), tags={"dagster/data_version": version})
            )


def observed_state(settings: Settings) -> str:
    """Return the commit state of the database in which its sources were observed last; empty if never."""
    if settings.database is None:
        return ""
    return str(_read(settings.home / "fingerprints.json", settings.database).get("commit_state", ""))


def _read(kept: Path, database: Path) -> dict[str, object]:
    try:
        record: dict[str, object] = json.loads(kept.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if record.get("database") == str(database) else {}


def _observable(source: Source) -> dg.AssetsDefinition:
    @dg.observable_source_asset(
        key=dg.AssetKey(source.key.split("/")),
        group_name="source",
        description=f"{source.description} Tables: {', '.join(source.tables)}.",
        tags={"dagster/kind/sqlite": ""},
    )
    def observed(settings: dg.ResourceParam[Settings]) -> dg.DataVersion:
        return dg.DataVersion(fingerprints(settings)[source.key])

    return observed
