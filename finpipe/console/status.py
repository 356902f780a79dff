"""How the assets of a home stand, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from finpipe.console import terminal
from finpipe.console.numbers import bytes_of, moment
from finpipe.console.terminal import say

if TYPE_CHECKING:
    from finpipe.orchestration.planner import Status

FEW = 2
"""Reasons in a line of the status; the rest is counted."""


def status_records(statuses: Sequence[Status]) -> list[dict[str, Any]]:
    """Return the status of every node, in the form of ``--json``."""
    return [
        {
            "asset": key,
            "partition": status.partition,
            "state": status.state,
            "reasons": list(status.reasons),
            "failed_checks": dict(status.failed_checks(key)),
            "rows": _meta(status, key, "dagster/row_count"),
            "size": None
            if status.stage.outputs[key].storage == "duckdb"
            else _meta(status, key, "finpipe/size"),
            "seconds": _meta(status, key, "finpipe/seconds"),
            "materialized_at": record.timestamp if (record := status.records[key]) else None,
            "path": _meta(status, key, "path"),
        }
        for status in statuses
        for key in status.stage.outputs
    ]


def show_status(statuses: Sequence[Status], on_request: Sequence[str]) -> None:
    """Print a table of every asset; partitions of one asset and state share a line.

    Assets ``on_request`` are those that nobody has asked for yet.
    """
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("asset", "state", "why"):
        table.add_column(heading, overflow="fold")
    for heading in ("rows", "size", "seconds", "when"):
        table.add_column(heading, justify="right")
    records = status_records(statuses)
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for record in records:
        checks = ", ".join(record["failed_checks"])
        why = "; ".join([*_few(record["reasons"]), *([f"failed check(s) {checks}"] if checks else [])])
        groups.setdefault((record["asset"], record["state"], why), []).append(record)
    colours = {"fresh": "green", "stale": "yellow", "missing": "red"}
    for (asset, state, why), found in groups.items():
        partitions = [record["partition"] for record in found if record["partition"]]
        name = asset if not partitions else escape(f"{asset}[{_span(partitions)}]")
        table.add_row(
            name,
            f"[{colours[state]}]{state}[/]",
            "" if state == "missing" and why == "never made" else escape(why),
            _total(found, "rows", "{:,}"),
            _size(found),
            _total(found, "seconds", "{:.1f}"),
            _when(found),
        )
    terminal.out.print(table)
    if on_request:
        names = " ".join(f"--only {key}" for key in on_request)
        say(f"made on request only: finpipe run {names}")


def show_reasons(statuses: Sequence[Status]) -> None:
    """Print why the given nodes stand as they do."""
    for status in statuses:
        name = status.names[0]
        terminal.out.print(f"{name} is {status.state}", markup=False)
        for reason in status.reasons:
            terminal.out.print(f"  {reason}", markup=False)
        for key in status.stage.outputs:
            for check, finding in status.failed_checks(key).items():
                terminal.out.print(f"  check {check} failed: {finding}", markup=False)


def _few(reasons: Sequence[str]) -> list[str]:
    more = len(reasons) - FEW
    return [*reasons[:FEW], f"{more} more (see --why)"] if more > 1 else list(reasons)


def _meta(status: Status, key: str, name: str) -> Any:  # noqa: ANN401 metadata of any kind
    record = status.records[key]
    return None if record is None else record.metadata.get(name)


def _span(partitions: Sequence[str]) -> str:
    return partitions[0] if len(partitions) == 1 else f"{len(partitions)} partitions"


def _total(records: Sequence[Mapping[str, Any]], name: str, form: str) -> str:
    values = [record[name] for record in records if record[name] is not None]
    return form.format(sum(values)) if values else ""


def _size(records: Sequence[Mapping[str, Any]]) -> str:
    size = sum(
        record["size"] for record in records if record["size"] is not None and record["path"] is not None
    )
    return bytes_of(size) if size else ""


def _when(records: Sequence[Mapping[str, Any]]) -> str:
    times = [record["materialized_at"] for record in records if record["materialized_at"]]
    return moment(max(times)) if times else ""
