"""IO managers: how assets reach their shelves, and how they come back as inputs.

A frame input annotated ``pl.DataFrame`` arrives read, any other as the shelf hands it out (parquet:
``pl.LazyFrame``). An input annotated ``dict`` covers several partitions of the upstream asset and arrives
as a dict from partition key to value, of those that have been made.
"""

from __future__ import annotations

import time
from typing import Any

import dagster as dg
import polars as pl

from finpipe.orchestration.graph import graph
from finpipe.orchestration.provenance import latest_materialization, node_name
from finpipe.orchestration.shelves import Shelf, shelves
from finpipe.orchestration.steps import KEPT, Steps
from finpipe.orchestration.store import StoreError
from finpipe.settings import Settings

LOCATION = "path"
SIZE = "finpipe/size"
DIGEST = "finpipe/digest"


class ShelfIOManager(dg.IOManager):
    """Puts outputs on one shelf and takes inputs from it.

    Parameters
    ----------
    steps
        Knows which steps keep what is stored: they write nothing and need not load their inputs.
    """

    def __init__(self, shelf: Shelf, steps: Steps) -> None:
        self._shelf = shelf
        self._steps = steps

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Keep what is in the parcel ``obj``, and record where and how large it is."""
        if obj is KEPT:
            return
        partition = context.partition_key if context.has_partition_key else None
        kept = self._shelf.put(_asset(context), partition, obj.open())
        context.add_output_metadata(
            {
                LOCATION: dg.MetadataValue.path(kept.location),
                SIZE: kept.size,
                DIGEST: self._shelf.digest(_asset(context), partition),
            }
        )

    def load_input(self, context: dg.InputContext) -> Any:
        """Take one value, or those of several partitions; for a step that keeps its assets, an empty one."""
        wanted = context.dagster_type.typing_type
        run = context.step_context.dagster_run
        own = run.tags.get("dagster/partition")
        if self._steps.keeps(context.instance, run, context.op_def.name, own):
            return wanted()
        keys = sorted(context.asset_partition_keys) if context.has_asset_partitions else [None]
        if wanted is dict:
            made = context.instance.get_materialized_partitions(context.asset_key)
            return {key: self._get(context, key) for key in keys if key in made}
        value = self._get(context, keys[0])
        if isinstance(value, pl.DataFrame) and (table := graph().table(_asset(context))) is not None:
            return table.cast(value)
        return value.collect() if wanted is pl.DataFrame and isinstance(value, pl.LazyFrame) else value

    def _get(self, context: dg.InputContext, partition: str | None) -> Any:
        """Take a value, if it is what was recorded; what another run has just put there is recorded in a moment."""
        asset = _asset(context)
        for wait in (0.1, 0.4, 1.5, 0.0):
            value = self._shelf.get(asset, partition)
            made = latest_materialization(context.instance, asset, partition)
            recorded = made.metadata.get(DIGEST) if made is not None else None
            if recorded is None or recorded.value in {"", self._shelf.digest(asset, partition)}:
                return value
            time.sleep(wait)
        where = made.metadata[LOCATION].value if made is not None else asset
        raise StoreError(
            f"{node_name(asset, partition)} is damaged: {where} does not hold what was stored there. Delete the file, "
            "and `finpipe run` makes it again"
        )


def io_managers(settings: Settings) -> dict[str, dg.IOManagerDefinition]:
    """Return the IO manager of each storage kind under ``settings``; they need the resource ``steps``."""
    return {kind: _io_manager(kind, shelf) for kind, shelf in shelves(settings).items()}


def _io_manager(kind: str, shelf: Shelf) -> dg.IOManagerDefinition:
    @dg.io_manager(required_resource_keys={"steps"}, description=f"Keeps values of kind {kind}.")
    def on_shelf(context: dg.InitResourceContext) -> ShelfIOManager:
        return ShelfIOManager(shelf, context.resources.steps)

    return on_shelf


def _asset(context: dg.InputContext | dg.OutputContext) -> str:
    return "/".join(context.asset_key.path)
