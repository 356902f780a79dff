"""Verification: whether a stored value is, to the last bit, what was recorded of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from finpipe.orchestration.io_managers import DIGEST
from finpipe.orchestration.price_shelf import GroupBars
from finpipe.orchestration.provenance import Record
from finpipe.orchestration.shelves import PanelView, Shelf
from finpipe.orchestration.versions import content_hash, lazy_content_hash, text_hash

if TYPE_CHECKING:
    from finpipe.market.schema import Table


def is_intact(shelf: Shelf, asset: str, partition: str | None, record: Record, table: Table | None) -> bool:
    """Read a value that is stored, all of it, and tell whether it is the one that was recorded.

    Files are compared byte by byte, through their digest; where none was recorded, as of result tables, the data
    version is computed anew.

    Parameters
    ----------
    table
        The schema of a frame, which gives back the types that its shelf does not keep.
    """
    recorded = record.metadata.get(DIGEST)
    found = shelf.digest(asset, partition)
    if recorded and found:
        return bool(recorded == found)
    try:
        return stored_version(shelf.get(asset, partition), table) == record.data_version
    except Exception:  # noqa: BLE001 whatever a damaged file makes its reader say
        return False


def stored_version(value: Any, table: Table | None) -> str:
    """Return the data version of a value as its shelf hands it out."""
    import polars as pl

    if isinstance(value, PanelView):
        return lazy_content_hash(value.frame)
    if isinstance(value, GroupBars):
        return value.version
    if isinstance(value, (pl.LazyFrame, pl.DataFrame)):
        frame = value.lazy().collect()
        return content_hash(frame if table is None else table.cast(frame))
    return text_hash(value if isinstance(value, (str, bytes)) else "\0".join(value.to_files().values()))
