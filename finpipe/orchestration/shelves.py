"""Shelves: one for each kind of value that assets have, over the store and the result tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import polars as pl

from finpipe.orchestration.cache_shelf import TierShelf
from finpipe.orchestration.partitions import TICKER_GROUP
from finpipe.orchestration.price_shelf import BarsShelf
from finpipe.orchestration.result_tables import ResultTables
from finpipe.orchestration.store import Store
from finpipe.settings import Settings

if TYPE_CHECKING:
    from finpipe.learning.ranker import TrainedRanker
    from finpipe.learning.window import Window

ENDINGS: Mapping[str, tuple[str, ...]] = {
    "parquet": (".parquet",),
    "model": (".txt", ".json"),
    "view": (".json",),
    "bars": (".json",),
    "tier": (".json",),
    "json": (".json",),
    "html": (".html",),
    "png": (".png",),
    "duckdb": (),
}
"""Endings of the files of a value, by storage kind."""
COLUMNS = dict.fromkeys(("prices", "portfolio"), TICKER_GROUP)
"""Column of the partition in result tables, by the first part of asset keys, where it is no study."""
PANEL = "krx/training_panel"
"""The asset that views look at."""


@dataclass(frozen=True, slots=True)
class Shelved:
    """Where a value was put, and its size there: bytes of a file, rows of a table."""

    location: str
    size: int


class Parcel:
    """A value on its way to a shelf: whoever opens it has it alone.

    Dagster keeps what the steps of a run return until the run ends; of a parcel it keeps the wrapping.
    """

    def __init__(self, value: Any) -> None:
        self._value = [value]

    def open(self) -> Any:
        """Return the value, and forget it."""
        return self._value.pop()


class Shelf(Protocol):
    """Keeps the values of assets of one kind, by asset key (slash form) and partition."""

    def put(self, asset: str, partition: str | None, value: Any) -> Shelved:
        """Keep ``value`` in the place of what was there."""

    def get(self, asset: str, partition: str | None) -> Any:
        """Return the value, lazily where the kind allows it."""

    def holds(self, asset: str, partition: str | None, size: int) -> bool:
        """Return whether a value of the recorded ``size`` is there, without reading it."""

    def digest(self, asset: str, partition: str | None) -> str:
        """Return a hash of the bytes that are kept; empty where whoever keeps them notices damage itself."""

    def remove(self, asset: str, partition: str | None) -> None:
        """Forget the value, if there is one."""


@dataclass(frozen=True, slots=True)
class ParquetShelf:
    """Frames as parquet files; come back as LazyFrames."""

    store: Store

    def put(self, asset: str, partition: str | None, value: pl.DataFrame) -> Shelved:
        """Write the frame."""
        path = self.store.path(asset, partition, ".parquet")
        return Shelved(str(path), self.store.write_frame(path, value))

    def get(self, asset: str, partition: str | None) -> pl.LazyFrame:
        """Scan the frame."""
        return self.store.scan(self.store.path(asset, partition, ".parquet"), asset)

    def holds(self, asset: str, partition: str | None, size: int) -> bool:
        """Compare the size of the file, and see whether it ends as parquet files do."""
        path = self.store.path(asset, partition, ".parquet")
        return self.store.size(path) == size and self.store.ends_with(path, b"PAR1")

    def digest(self, asset: str, partition: str | None) -> str:
        """Hash the file."""
        return self.store.digest(self.store.path(asset, partition, ".parquet"))

    def remove(self, asset: str, partition: str | None) -> None:
        """Delete the file."""
        self.store.path(asset, partition, ".parquet").unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class FileShelf:
    """Pages, pictures and parameters as files with one ``ending``; come back as text, or bytes if ``binary``."""

    store: Store
    ending: str
    binary: bool = False

    def put(self, asset: str, partition: str | None, value: str | bytes) -> Shelved:
        """Write the file."""
        path = self.store.path(asset, partition, self.ending)
        content = value.encode() if isinstance(value, str) else value
        return Shelved(str(path), self.store.write(path, lambda target: _fill(target, content)))

    def get(self, asset: str, partition: str | None) -> str | bytes:
        """Read the file."""
        path = self.store.path(asset, partition, self.ending)
        self.store.require(path, asset)
        content: bytes = path.read_bytes()
        return content if self.binary else content.decode()

    def holds(self, asset: str, partition: str | None, size: int) -> bool:
        """Compare the size of the file."""
        return self.store.size(self.store.path(asset, partition, self.ending)) == size

    def digest(self, asset: str, partition: str | None) -> str:
        """Hash the file."""
        return self.store.digest(self.store.path(asset, partition, self.ending))

    def remove(self, asset: str, partition: str | None) -> None:
        """Delete the file."""
        self.store.path(asset, partition, self.ending).unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class ModelShelf:
    """Rankers as LightGBM's text model with a JSON beside it, which describes and completes it."""

    store: Store

    def put(self, asset: str, partition: str | None, value: TrainedRanker) -> Shelved:
        """Write the model, then the JSON that makes it complete."""
        model, sidecar = value.to_files().values()
        path = self.store.path(asset, partition, ".txt")
        size = self.store.write_text(path, model)
        return Shelved(str(path), size + self.store.write_text(path.with_suffix(".json"), sidecar))

    def get(self, asset: str, partition: str | None) -> TrainedRanker:
        """Read both files."""
        from finpipe.learning.ranker import TrainedRanker

        path = self.store.path(asset, partition, ".txt")
        texts = [self.store.read_text(file, asset) for file in (path, path.with_suffix(".json"))]
        return TrainedRanker.from_text(*texts)

    def holds(self, asset: str, partition: str | None, size: int) -> bool:
        """Compare the size of both files together."""
        path = self.store.path(asset, partition, ".txt")
        return (self.store.size(path) or 0) + (self.store.size(path.with_suffix(".json")) or 0) == size

    def digest(self, asset: str, partition: str | None) -> str:
        """Hash both files."""
        path = self.store.path(asset, partition, ".txt")
        return self.store.digest(path, path.with_suffix(".json"))

    def remove(self, asset: str, partition: str | None) -> None:
        """Delete both files."""
        path = self.store.path(asset, partition, ".txt")
        path.unlink(missing_ok=True)
        path.with_suffix(".json").unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class PanelView:
    """A window onto the training panel, and the rows and columns that it shows."""

    window: Window
    frame: pl.LazyFrame


@dataclass(frozen=True, slots=True)
class ViewShelf:
    """Windows onto the training panel as JSON: the rule is kept, the rows stay where they are."""

    store: Store

    def put(self, asset: str, partition: str | None, value: PanelView) -> Shelved:
        """Write the rule."""
        path = self.store.path(asset, partition, ".json")
        return Shelved(str(path), self.store.write_text(path, value.window.to_json()))

    def get(self, asset: str, partition: str | None) -> PanelView:
        """Read the rule and look through it."""
        from finpipe.learning.window import Window

        window = Window.from_json(self.store.read_text(self.store.path(asset, partition, ".json"), asset))
        panel = self.store.scan(self.store.path(PANEL, None, ".parquet"), PANEL)
        return PanelView(window, window.of(panel))

    def holds(self, asset: str, partition: str | None, size: int) -> bool:
        """Compare the size of the file."""
        return self.store.size(self.store.path(asset, partition, ".json")) == size

    def digest(self, asset: str, partition: str | None) -> str:
        """Hash the file: the rule, not the rows."""
        return self.store.digest(self.store.path(asset, partition, ".json"))

    def remove(self, asset: str, partition: str | None) -> None:
        """Delete the file."""
        self.store.path(asset, partition, ".json").unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class TableShelf:
    """Small frames as tables of the DuckDB file; come back as DataFrames."""

    tables: ResultTables

    def put(self, asset: str, partition: str | None, value: pl.DataFrame) -> Shelved:
        """Replace the partition in its table."""
        self.tables.replace(asset, partition, value)
        return Shelved(f"{self.tables.path}: {asset.replace('/', '.')}", value.height)

    def get(self, asset: str, partition: str | None) -> pl.DataFrame:
        """Read the partition; stock codes and other labels come back as text."""
        return self.tables.read(asset, partition)

    def holds(self, asset: str, partition: str | None, size: int) -> bool:
        """Count the rows."""
        return self.tables.rows(asset, partition) == size

    def digest(self, asset: str, partition: str | None) -> str:  # noqa: ARG002
        """Return nothing: DuckDB has checksums of its own."""
        return ""

    def remove(self, asset: str, partition: str | None) -> None:
        """Delete the partition's rows."""
        if partition is not None:
            self.tables.remove(asset, partition)


def shelves(settings: Settings) -> dict[str, Shelf]:
    """Return the shelf of each storage kind under ``settings``."""
    store = Store(settings.store_url)
    return {
        "parquet": ParquetShelf(store),
        "model": ModelShelf(store),
        "html": FileShelf(store, ".html"),
        "json": FileShelf(store, ".json"),
        "png": FileShelf(store, ".png", binary=True),
        "view": ViewShelf(store),
        "bars": BarsShelf(store, settings.home / "prices"),
        "tier": TierShelf(store, settings),
        "duckdb": TableShelf(ResultTables(settings.duckdb_path, columns=COLUMNS)),
    }


def _fill(target: Path, content: bytes) -> None:
    target.write_bytes(content)
