"""The shelf of cache tiers: the tier has the values; the shelf keeps which, and asks the tier whether it still does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from finpipe.orchestration.store import Store
from finpipe.settings import Settings

if TYPE_CHECKING:
    from finpipe.orchestration.shelves import Shelved

ENDING = ".json"


@dataclass(frozen=True, slots=True)
class TierShelf:
    """What was put into a tier, as JSON; whoever made it has put it there."""

    store: Store
    settings: Settings

    def put(self, asset: str, partition: str | None, value: str) -> Shelved:
        """Write down what the tier has."""
        from finpipe.orchestration.shelves import Shelved

        path = self.store.path(asset, partition, ENDING)
        return Shelved(f"the cache of the home, and {path}", self.store.write_text(path, value))

    def get(self, asset: str, partition: str | None) -> Mapping[str, Any]:
        """Return what the tier was given."""
        path = self.store.path(asset, partition, ENDING)
        self.store.require(path, asset)
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return record

    def holds(self, asset: str, partition: str | None, size: int) -> bool:
        """Compare the size of the file, and ask the tier."""
        from finpipe.serve.tier_records import still_holds

        if self.store.size(self.store.path(asset, partition, ENDING)) != size:
            return False
        try:
            return still_holds(self.settings, self.get(asset, partition))
        except (ValueError, KeyError):
            return False

    def digest(self, asset: str, partition: str | None) -> str:
        """Hash the file, which has a version of the entries in it."""
        return self.store.digest(self.store.path(asset, partition, ENDING))

    def remove(self, asset: str, partition: str | None) -> None:
        """Delete the file; the tier lets go of the entries by itself."""
        self.store.path(asset, partition, ENDING).unlink(missing_ok=True)
