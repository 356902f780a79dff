"""Provenance: what a materialization was made of, recorded with it and compared with today."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg

from finpipe.orchestration import partitions

PROVENANCE = "finpipe/provenance"


@dataclass(frozen=True, slots=True)
class Provenance:
    """Digests of the code modules, values of the settings, and data versions of the inputs (by node name)."""

    code: Mapping[str, str]
    settings: Mapping[str, Any]
    inputs: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """Return a form that survives JSON: settings by their ``repr``."""
        return {
            "code": dict(self.code),
            "settings": {name: repr(value) for name, value in self.settings.items()},
            "inputs": dict(self.inputs),
        }


@dataclass(frozen=True, slots=True)
class Record:
    """The latest materialization (or observation) of a node."""

    data_version: str
    timestamp: float
    run_id: str
    metadata: Mapping[str, Any]

    @property
    def provenance(self) -> dict[str, Any]:
        """The recorded provenance in JSON form; empty for sources."""
        found: dict[str, Any] = self.metadata.get(PROVENANCE, {})
        return found


def node_name(key: str, partition: str | None) -> str:
    """Return how a node is written, e.g. ``krx/yearly_ranker[2018|top_n-h21]``."""
    return key if partition is None else f"{key}[{partition}]"


def latest_record(instance: dg.DagsterInstance, key: str, partition: str | None) -> Record | None:
    """Return the latest materialization or observation of an asset partition, None if there is none."""
    wanted = _only(key, partition)
    found = instance.fetch_materializations(wanted, limit=1).records
    if not found:
        found = instance.fetch_observations(wanted, limit=1).records
    if not found:
        return None
    event = found[0].asset_materialization or found[0].asset_observation
    assert event is not None
    return Record(
        data_version=(event.tags or {}).get("dagster/data_version", ""),
        timestamp=found[0].timestamp,
        run_id=found[0].run_id,
        metadata={name: value.value for name, value in event.metadata.items()},
    )


def latest_materialization(
    instance: dg.DagsterInstance, key: str, partition: str | None
) -> dg.AssetMaterialization | None:
    """Return the latest materialization of an asset partition as it was logged, None if there is none."""
    found = instance.fetch_materializations(_only(key, partition), limit=1).records
    return found[0].asset_materialization if found else None


def recorded_inputs(
    instance: dg.DagsterInstance,
    upstream: tuple[str, ...],
    own_dimensions: tuple[str, ...],
    partition: str | None,
) -> dict[str, str]:
    """Return the present data versions of everything that the node at ``partition`` reads."""
    from finpipe.orchestration.graph import dimensions_of

    own = partitions.parse(partition, own_dimensions)
    versions: dict[str, str] = {}
    for key in upstream:
        names = dimensions_of(key)
        known = {
            name: tuple(sorted(instance.get_dynamic_partitions(name))) for name in names if name not in own
        }
        for needed in partitions.upstream_keys(own, names, known):
            record = latest_record(instance, key, needed)
            versions[node_name(key, needed)] = record.data_version if record else ""
    return versions


def _only(key: str, partition: str | None) -> dg.AssetRecordsFilter:
    return dg.AssetRecordsFilter(
        asset_key=dg.AssetKey(key.split("/")), asset_partitions=None if partition is None else [partition]
    )
