"""Recording: what is written down of the values that a stage has made, and what checks found in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
import polars as pl

from finpipe.market.schema import Column, SchemaError, Table
from finpipe.orchestration import comparison
from finpipe.orchestration.check import CHECKED, FAILED_CHECKS, SCHEMA, Check
from finpipe.orchestration.links import LINK
from finpipe.orchestration.price_shelf import GroupBars
from finpipe.orchestration.provenance import PROVENANCE, Provenance
from finpipe.orchestration.shelves import PanelView, Parcel
from finpipe.orchestration.versions import content_hash, lazy_content_hash, text_hash

ROWS = "dagster/row_count"
COLUMNS = "dagster/column_schema"
LINEAGE = "dagster/column_lineage"
DAYS = ("first_day", "last_day")

Lineage = Callable[[Sequence[str]], dg.TableColumnLineage]
"""Tells which columns of other assets the columns of an asset are made of."""


@dataclass(slots=True)
class Recorded:
    """A value on its way to a shelf, what is written down of it, and what checks found, by name."""

    output: dg.Output[Any]
    checks: dict[str, Check] = field(default_factory=dict)

    @property
    def metadata(self) -> dict[str, Any]:
        """What is written down, as plain values."""
        return {name: value.value for name, value in self.output.metadata.items()}

    @property
    def rows(self) -> int | None:
        """Number of rows of a table, None for anything else."""
        return self.metadata.get(ROWS)

    def results(self, key: str, link: str | None = None) -> Iterator[Any]:
        """Yield what Dagster is to know of the asset ``key``: the value, then what each check found.

        Parameters
        ----------
        link
            Where a browser finds the file.
        """
        found = {name: check.finding for name, check in self.checks.items()}
        failed = {name: check.finding for name, check in self.checks.items() if not check.passed}
        findings = {CHECKED: found, FAILED_CHECKS: failed}
        written = {name: dg.MetadataValue.json(value) for name, value in findings.items() if value}
        linked = {} if link is None else {LINK: dg.MetadataValue.url(link)}
        yield self.output.with_metadata({**self.output.metadata, **written, **linked})
        yield from self.findings(key)

    def findings(self, key: str) -> Iterator[dg.AssetCheckResult]:
        """Yield what each check found."""
        for name, check in self.checks.items():
            yield check.result(name, key)


def record(
    name: str,
    value: Any,
    *,
    table: Table | None,
    provenance: Provenance,
    facts: Mapping[str, Any],
    lineage: Lineage | None = None,
) -> Recorded:
    """Look at a value: whether it follows its ``table``, what its data version is, and how large it is.

    Parameters
    ----------
    name
        Name of the output.
    facts
        What the shell wants to be known beside that.
    """
    known: dict[str, Any] = {PROVENANCE: dg.MetadataValue.json(provenance.to_json()), **facts}
    checks: dict[str, Check] = {}
    version = ""
    if isinstance(value, pl.LazyFrame):
        value = value.collect()
    if isinstance(value, pl.DataFrame):
        if table is not None:
            value, checks[SCHEMA] = _follows(value, table)
        known |= _described(value, table)
        if lineage is not None:
            known[LINEAGE] = lineage(value.columns)
        if all(check.passed for check in checks.values()):
            version = content_hash(value)
    elif isinstance(value, PanelView):
        known[ROWS] = value.frame.select(pl.len()).collect().item()
        version = lazy_content_hash(value.frame)
    elif isinstance(value, GroupBars):
        known |= _described(value.bars, table)
        version = value.version
    else:
        version = text_hash(
            value if isinstance(value, (str, bytes)) else "\0".join(value.to_files().values())
        )
    output = dg.Output(Parcel(value), output_name=name, metadata=known, data_version=dg.DataVersion(version))
    return Recorded(output, checks)


def refused(recorded: Mapping[str, Recorded]) -> list[str]:
    """Return what keeps the assets out, in sentences; nothing if all are good enough to be stored."""
    return [
        check.finding
        for one in recorded.values()
        for check in one.checks.values()
        if check.blocks and not check.passed
    ]


def _follows(frame: pl.DataFrame, table: Table) -> tuple[pl.DataFrame, Check]:
    try:
        frame = table.validate(frame)
    except SchemaError as error:
        return frame, Check(passed=False, finding=str(error), blocks=True)
    key = f", sorted by and unique in ({', '.join(table.key)})" if table.key else ""
    return frame, Check(passed=True, finding=f"{frame.width} columns as promised{key}")


def _described(frame: pl.DataFrame, table: Table | None) -> dict[str, Any]:
    described: dict[str, Any] = {
        ROWS: frame.height,
        comparison.NULL_SHARES: dg.MetadataValue.json(comparison.null_shares(frame)),
        COLUMNS: _column_schema(frame, table),
    }
    if frame.schema.get("date") == pl.Date and frame.height:
        span = frame.select(first_day=pl.col("date").min(), last_day=pl.col("date").max()).row(0)
        described |= {name: str(day) for name, day in zip(DAYS, span, strict=True)}
    return described


def _column_schema(frame: pl.DataFrame, table: Table | None) -> dg.TableSchema:
    promised = {column.name: column for column in table.columns} if table else {}
    key = [f"sorted by and unique in ({', '.join(table.key)})"] if table and table.key else []
    return dg.TableSchema(
        columns=[_column(name, str(dtype), promised.get(name)) for name, dtype in frame.schema.items()],
        constraints=dg.TableConstraints(other=key),
    )


def _column(name: str, dtype: str, promised: Column | None) -> dg.TableColumn:
    if promised is None:
        return dg.TableColumn(name, dtype)
    unit = f" [{promised.unit}]" if promised.unit else ""
    null = f"; null: {promised.null}" if promised.null else ""
    return dg.TableColumn(
        name,
        dtype,
        description=f"{promised.description}{unit}{null}",
        constraints=dg.TableColumnConstraints(nullable=bool(promised.null)),
    )
