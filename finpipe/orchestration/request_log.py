"""The log of requests as a source: what the service has added to it, observed by its files and never written here."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from finpipe.settings import Settings

REQUESTS = "usage/request_log"


def log_folder(settings: Settings) -> Path:
    """Return where the service adds to the log."""
    return settings.home / "usage" / "request_log"


def log_version(settings: Settings) -> str:
    """Return a hash of the names and sizes of the log's files, none of which ever changes; empty if there are none."""
    from finpipe.orchestration.versions import text_hash

    files = sorted((path.name, path.stat().st_size) for path in log_folder(settings).glob("*.parquet"))
    return text_hash(repr(files)) if files else ""


def observe_requests(settings: Settings, instance: dg.DagsterInstance) -> None:
    """Record the version of the log if it differs from that observed last."""
    from finpipe.orchestration.provenance import latest_record

    version = log_version(settings)
    record = latest_record(instance, REQUESTS, None)
    if version != ("" if record is None else record.data_version):
        tags = {"dagster/data_version": version}
        instance.report_runless_asset_event(dg.AssetObservation(dg.AssetKey(REQUESTS.split("/")), tags=tags))


def observable_requests(description: str) -> dg.AssetsDefinition:
    """Return the log as an observable Dagster asset."""

    @dg.observable_source_asset(
        key=dg.AssetKey(REQUESTS.split("/")),
        group_name="usage",
        description=description,
        tags={"dagster/kind/parquet": ""},
    )
    def observed(settings: dg.ResourceParam[Settings]) -> dg.DataVersion:
        return dg.DataVersion(log_version(settings) or "none")

    return observed
