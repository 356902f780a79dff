"""Provenance: what a materialization was made of, recorded with it and compared with today."""

from __future__ import annotations

from collections.abc import Collection, Mapping
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
    """Return the latest materialization of an asset partition (observation of a source), None if there is none."""
    from finpipe.orchestration.graph import graph

    fetch = instance.fetch_observations if key in graph().source_keys else instance.fetch_materializations
    found = fetch(_only(key, partition), limit=1).records
    return _record(found[0]) if found else None


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
    return Ledger(instance, upstream).inputs(upstream, own_dimensions, partition)


class Ledger:
    """What is recorded of the nodes of a home at one moment: everything is looked up once.

    Parameters
    ----------
    keys
        Assets that will be asked for; any if None.
    """

    def __init__(self, instance: dg.DagsterInstance, keys: Collection[str] | None = None) -> None:
        self._instance = instance
        self._keys = keys
        self._records: dict[tuple[str, str | None], Record | None] = {}
        self._partitions: dict[str, tuple[str, ...]] = {}
        self._has_whole = False

    def record(self, key: str, partition: str | None) -> Record | None:
        """Return the latest materialization or observation of a node, None if there is none."""
        return self.records(key, [partition])[partition]

    def records(self, key: str, partitions: Collection[str | None]) -> dict[str | None, Record | None]:
        """Return the latest materialization or observation of an asset at each of ``partitions``."""
        new = [partition for partition in partitions if (key, partition) not in self._records]
        if new == [None]:
            self._look_up_whole()
            if (key, None) not in self._records:
                self._records[key, None] = latest_record(self._instance, key, None)
        elif new:
            found = self._latest_by_partition(key, {name for name in new if name is not None})
            self._records.update({(key, partition): found.get(partition) for partition in new})
        return {partition: self._records[key, partition] for partition in partitions}

    def partitions(self, dimension: str) -> tuple[str, ...]:
        """Return the values of a partition dimension that the home knows."""
        if dimension not in self._partitions:
            self._partitions[dimension] = tuple(sorted(self._instance.get_dynamic_partitions(dimension)))
        return self._partitions[dimension]

    def needed(self, upstream: str, own: Mapping[str, str]) -> list[str | None]:
        """Return the partitions of the asset ``upstream`` that a node at the partition ``own`` reads."""
        from finpipe.orchestration.graph import dimensions_of

        names = dimensions_of(upstream)
        known = {name: self.partitions(name) for name in names if name not in own}
        return partitions.upstream_keys(own, names, known)

    def inputs(
        self, upstream: tuple[str, ...], own_dimensions: tuple[str, ...], partition: str | None
    ) -> dict[str, str]:
        """Return the data versions of everything that the node at ``partition`` reads, by node name."""
        own = partitions.parse(partition, own_dimensions)
        versions: dict[str, str] = {}
        for key in upstream:
            for needed, record in self.records(key, self.needed(key, own)).items():
                versions[node_name(key, needed)] = record.data_version if record else ""
        return versions

    def _look_up_whole(self) -> None:
        """Look up all assets without partitions at once; observations of sources are not among what comes back."""
        from finpipe.orchestration.graph import graph

        if self._has_whole:
            return
        self._has_whole = True
        whole = [key for key, stage in graph().by_key.items() if not stage.dimensions]
        asked = [key for key in whole if self._keys is None or key in self._keys]
        if not asked:
            return
        for found in self._instance.get_asset_records([dg.AssetKey(key.split("/")) for key in asked]):
            latest = found.asset_entry.last_materialization_record
            if latest is not None:
                self._records["/".join(found.asset_entry.asset_key.path), None] = _record(latest)

    def _latest_by_partition(self, key: str, wanted: set[str]) -> dict[str | None, Record]:
        from finpipe.orchestration.graph import graph

        asset = dg.AssetKey(key.split("/"))
        observed = key in graph().source_keys
        kind = (
            dg.DagsterEventType.ASSET_OBSERVATION if observed else dg.DagsterEventType.ASSET_MATERIALIZATION
        )
        places = self._instance.get_latest_storage_id_by_partition(asset, kind, wanted)
        if not places:
            return {}
        latest = dg.AssetRecordsFilter(asset_key=asset, storage_ids=list(places.values()))
        fetch = self._instance.fetch_observations if observed else self._instance.fetch_materializations
        found = fetch(latest, limit=len(places)).records
        return {record.partition_key: _record(record) for record in found}


def _record(found: dg.EventLogRecord) -> Record:
    event = found.asset_materialization or found.asset_observation
    assert event is not None
    return Record(
        data_version=(event.tags or {}).get("dagster/data_version", ""),
        timestamp=found.timestamp,
        run_id=found.run_id,
        metadata={name: value.value for name, value in event.metadata.items()},
    )


def _only(key: str, partition: str | None) -> dg.AssetRecordsFilter:
    return dg.AssetRecordsFilter(
        asset_key=dg.AssetKey(key.split("/")), asset_partitions=None if partition is None else [partition]
    )
