"""Cleaning: the studies of a home and what they hold, and the removal of those that are no longer wanted.

With a study go its files, its rows in the result tables, and its Dagster runs with all that they recorded; it stays
if a fresh asset of another was made from it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import dagster as dg
from upath import UPath

from finpipe.orchestration import links, partitions
from finpipe.orchestration.graph import Graph
from finpipe.orchestration.io_managers import SIZE
from finpipe.orchestration.partitions import TEST_YEAR, TICKER_GROUP, VARIANT
from finpipe.orchestration.planner import Status
from finpipe.orchestration.result_tables import PARTITION, ResultTables
from finpipe.orchestration.shelves import ENDINGS
from finpipe.orchestration.store import Store
from finpipe.settings import Settings

STUDY = re.compile(r".+-h\d+")
"""What names of studies look like, beside those of years."""

State = Literal["fresh", "stale", "unfinished"]


class CleaningError(ValueError):
    """What is to be kept or removed does not exist; the message says what there is."""


@dataclass(frozen=True, slots=True)
class StudyRecord:
    """What a home holds of one study.

    Parameters
    ----------
    years
        Test years with predictions.
    last_made
        When the latest of its assets was made, seconds since 1970; None if none was.
    size
        Bytes of its files.
    rows
        Rows of its result tables.
    state
        ``fresh``; ``stale`` if something that was made has to be made again; ``unfinished`` if all that was made is
        fresh, but not everything was.
    """

    variant: str
    preset: str
    horizon: int
    years: tuple[str, ...]
    last_made: float | None
    size: int
    rows: int
    state: State


@dataclass(frozen=True, slots=True)
class File:
    """A file of the store and its size in bytes."""

    path: UPath
    size: int


@dataclass(frozen=True, slots=True)
class Removal:
    """What would be removed.

    Parameters
    ----------
    studies
        Studies that go, with their files.
    rows
        Rows of result tables that go, by asset and variant: those of the studies, and of studies that the home
        does not know.
    runs
        Ids of Dagster runs that made nothing but what goes.
    orphans
        Files in the folders of assets that belong to no asset, year or study that the home knows.
    needed
        Studies that stay although they were to go, with the fresh assets that are made from them.
    """

    studies: tuple[str, ...] = ()
    files: tuple[File, ...] = ()
    rows: Mapping[tuple[str, str], int] = field(default_factory=dict)
    runs: tuple[str, ...] = ()
    orphans: tuple[File, ...] = ()
    needed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in (*self.files, *self.orphans))

    def __bool__(self) -> bool:
        """Return whether there is anything to remove."""
        return bool(self.studies or self.files or self.rows or self.runs or self.orphans)


def study_records(statuses: Iterable[Status]) -> list[StudyRecord]:
    """Return what a home holds of each study, the one made last first.

    Parameters
    ----------
    statuses
        How every stage stands at every partition, but for those that nobody has asked for.
    """
    found = list(statuses)
    shared = [status for status in found if not {VARIANT, TICKER_GROUP} & set(status.stage.dimensions)]
    by_variant: dict[str, list[Status]] = defaultdict(list)
    for status in found:
        if (variant := variant_of(status)) is not None:
            by_variant[variant].append(status)
    records = [_study_record(variant, own, shared) for variant, own in by_variant.items()]
    return sorted(records, key=lambda record: (-(record.last_made or 0.0), record.variant))


def variant_of(status: Status) -> str | None:
    """Return the study that a node belongs to, None if it belongs to all."""
    return partitions.parse(status.partition, status.stage.dimensions).get(VARIANT)


def to_remove(
    records: Sequence[StudyRecord], *, keep: int | None, variants: Sequence[str]
) -> tuple[str, ...]:
    """Return the names of the studies that go.

    Parameters
    ----------
    keep
        How many of those made last stay; all that are not named if None.
    variants
        Studies that go by name; they do not count among the kept.

    Raises
    ------
    CleaningError
        A study does not exist.
    """
    known = [record.variant for record in records]
    if unknown := sorted(set(variants) - set(known)):
        raise CleaningError(
            f"there is no study {', '.join(unknown)} in this home; there are {', '.join(sorted(known)) or 'none'}"
        )
    others = [variant for variant in known if variant not in variants]
    surplus = [] if keep is None else others[keep:]
    return tuple(variant for variant in known if variant in variants or variant in surplus)


class Cleaning:
    """Finds out what goes with studies, and removes it.

    To be used while holding the home.
    """

    def __init__(self, graph: Graph, settings: Settings, instance: dg.DagsterInstance) -> None:
        self._graph = graph
        self._instance = instance
        self._served = settings.dagster_home / "storage" / links.FOLDER
        self._store = Store(settings.store_url)
        self._tables = ResultTables(settings.duckdb_path)

    def plan(self, unwanted: Iterable[str], statuses: Iterable[Status]) -> Removal:
        """Return what would go with the studies ``unwanted``, and what nobody refers to.

        Parameters
        ----------
        statuses
            How every stage stands at every partition.
        """
        found = list(statuses)
        needed = _needed(set(unwanted), found)
        going = {variant for variant in unwanted if variant not in needed}
        owned = [status for status in found if variant_of(status) in going]
        files = [
            file
            for status in owned
            for key in status.stage.outputs
            for file in self._files(key, status.partition)
        ]
        known = set(self._instance.get_dynamic_partitions(VARIANT)) - going
        return Removal(
            studies=tuple(variant for variant in unwanted if variant in going),
            files=tuple(files),
            rows=self._rows(known),
            runs=tuple(self._runs(known)),
            orphans=tuple(self._orphans(files)),
            needed=needed,
        )

    def remove(self, removal: Removal) -> None:
        """Remove what was planned.

        The studies are struck off the list first: whatever an interruption leaves is found as orphans by the next
        cleaning.
        """
        for variant in removal.studies:
            self._instance.delete_dynamic_partition(VARIANT, variant)
        for file in (*removal.files, *removal.orphans):
            file.path.unlink(missing_ok=True)
        self._remove_empty_folders(file.path.parent for file in (*removal.files, *removal.orphans))
        for asset, variant in removal.rows:
            self._tables.remove(asset, variant)
        for run in removal.runs:
            self._instance.delete_run(run)
        self._withdraw_links()

    def _files(self, key: str, partition: str | None) -> list[File]:
        paths = self._paths(key, partition)
        sizes = [(path, self._store.size(path)) for path in paths]
        return [File(path, size) for path, size in sizes if size is not None]

    def _paths(self, key: str, partition: str | None) -> list[UPath]:
        kind = self._graph.stage(key).outputs[key].storage
        return [self._store.path(key, partition, ending) for ending in ENDINGS[kind]]

    def _rows(self, known: set[str]) -> dict[tuple[str, str], int]:
        """Return the rows of studies that are not ``known``, by asset and variant."""
        keys = [
            key
            for key, stage in self._graph.by_key.items()
            if stage.outputs[key].storage == "duckdb" and stage.dimensions == (VARIANT,)
        ]
        return {
            (key, variant): rows
            for key in keys
            for variant, rows in self._rows_by_variant(key).items()
            if variant not in known
        }

    def _rows_by_variant(self, key: str) -> dict[str, int]:
        if not self._tables.rows(key, None):
            return {}
        return dict(self._tables.read(key, None).group_by(PARTITION).len().iter_rows())

    def _runs(self, known: set[str]) -> list[str]:
        """Return the runs that made assets of one study that is not ``known``."""
        return [
            run.run_id
            for run in self._instance.get_runs()
            if run.is_finished and (variant := _variant_of_run(run)) is not None and variant not in known
        ]

    def _orphans(self, going: Iterable[File]) -> list[File]:
        years = tuple(sorted(self._instance.get_dynamic_partitions(TEST_YEAR)))
        variants = tuple(sorted(self._instance.get_dynamic_partitions(VARIANT)))
        groups = tuple(sorted(self._instance.get_dynamic_partitions(TICKER_GROUP)))
        known = {TEST_YEAR: years, VARIANT: variants, TICKER_GROUP: groups}
        explained = {str(file.path) for file in going}
        for key, stage in self._graph.by_key.items():
            for partition in partitions.upstream_keys({}, stage.dimensions, known):
                explained.update(str(path) for path in self._paths(key, partition))
        endings = {ending for kind in ENDINGS.values() for ending in kind}
        found: list[File] = []
        for prefix in sorted({key.partition("/")[0] for key in self._graph.by_key}):
            folder = UPath(self._store.root) / prefix
            if folder.is_dir():
                found += [
                    File(path, path.stat().st_size)
                    for path in sorted(folder.rglob("*"), key=str)
                    if path.suffix in endings and str(path) not in explained and path.is_file()
                ]
        return found

    def _withdraw_links(self) -> None:
        """Take away what the UI hands out of files that are gone."""
        if not self._served.is_dir():
            return
        for path in self._served.rglob("*"):
            name = path.relative_to(self._served).as_posix().replace("|", "/")
            if path.is_file() and not (UPath(self._store.root) / name).exists():
                path.unlink()

    def _remove_empty_folders(self, folders: Iterable[UPath]) -> None:
        root = UPath(self._store.root)
        for start in sorted(set(folders), key=str, reverse=True):
            folder = start
            while folder != root and folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
                folder = folder.parent


def _study_record(variant: str, own: Sequence[Status], shared: Sequence[Status]) -> StudyRecord:
    records = [
        (status, key, record)
        for status in own
        for key in status.stage.outputs
        if (record := status.records[key]) is not None
    ]
    preset, _, horizon = variant.rpartition("-h")
    in_tables = {True: 0, False: 0}
    for status, key, record in records:
        in_tables[status.stage.outputs[key].storage == "duckdb"] += int(record.metadata.get(SIZE, 0))
    years = {
        partitions.parse(status.partition, status.stage.dimensions)[TEST_YEAR]
        for status, _, _ in records
        if TEST_YEAR in status.stage.dimensions and status.state != "missing"
    }
    made = [status for status in (*own, *shared) if any(status.records.values())]
    state: State = (
        "stale"
        if any(status.state != "fresh" for status in made)
        else "fresh"
        if len(made) == len(own) + len(shared)
        else "unfinished"
    )
    return StudyRecord(
        variant=variant,
        preset=preset,
        horizon=int(horizon) if horizon.isdigit() else 0,
        years=tuple(sorted(years)),
        last_made=max((record.timestamp for _, _, record in records), default=None),
        size=in_tables[False],
        rows=in_tables[True],
        state=state,
    )


def _needed(unwanted: set[str], statuses: Sequence[Status]) -> dict[str, tuple[str, ...]]:
    """Return which of the unwanted studies fresh assets outside of them were made from, and those assets."""
    owner = {name: variant for status in statuses if (variant := variant_of(status)) for name in status.names}
    found: dict[str, list[str]] = defaultdict(list)
    for status in statuses:
        own = variant_of(status)
        if own in unwanted or status.state != "fresh":
            continue
        for record in status.records.values():
            for name in record.provenance.get("inputs", {}) if record is not None else ():
                if name.partition("[")[0] in status.stage.as_they_are:
                    continue
                if owner.get(name) in unwanted and owner[name] != own:
                    found[owner[name]].append(status.names[0])
    return {variant: tuple(dict.fromkeys(names)) for variant, names in found.items()}


def _variant_of_run(run: dg.DagsterRun) -> str | None:
    """Return the study of a run of one partition; None if it had none."""
    parts = run.tags.get("dagster/partition", "").split("|")
    return next((part for part in parts if STUDY.fullmatch(part)), None)
