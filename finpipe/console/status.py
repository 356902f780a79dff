"""How the assets of a home stand, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.padding import Padding
from rich.text import Text

from finpipe.console import terminal
from finpipe.console.numbers import bytes_of, short_moment
from finpipe.console.terminal import say

if TYPE_CHECKING:
    from finpipe.orchestration.planner import Status

FEW = 2
"""Reasons in a line of the status; the rest is counted."""
HEADINGS = ("asset", "state", "rows", "size", "took", "made")
WORDS = 2
"""The first so many columns are words, the others figures."""
COLOURS = {"fresh": "green", "stale": "yellow", "missing": "red"}


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
    """Print a line for every asset, with why beneath it; partitions of one asset and state share a line.

    Assets ``on_request`` are those that nobody has asked for yet.
    """
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for record in status_records(statuses):
        checks = ", ".join(record["failed_checks"])
        why = "; ".join([*_few(record["reasons"]), *([f"failed check(s) {checks}"] if checks else [])])
        groups.setdefault((record["asset"], record["state"], why), []).append(record)
    lines = [HEADINGS, *(_cells(asset, state, found) for (asset, state, _), found in groups.items())]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    terminal.out.print(_line(lines[0], widths, "bold"))
    for cells, (_, state, why) in zip(lines[1:], groups, strict=True):
        terminal.out.print(_line(cells, widths))
        if why and (state, why) != ("missing", "never made"):
            terminal.out.print(Padding(Text(why, "dim"), (0, 0, 0, 4), expand=False))
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


def _cells(asset: str, state: str, found: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return what the table says under ``HEADINGS`` of an asset, or of those of its partitions that stand alike."""
    partitions = [record["partition"] for record in found if record["partition"]]
    return (
        f"{asset}[{_span(partitions)}]" if partitions else asset,
        state,
        _total(found, "rows", "{:,}"),
        _size(found),
        _total(found, "seconds", "{:.1f} s"),
        _when(found),
    )


def _line(cells: Sequence[str], widths: Sequence[int], style: str = "") -> Text:
    """Return a line of the table; it is cut off, not folded, where the terminal is narrower."""
    name, state, *figures = (
        cell.ljust(width) if at < WORDS else cell.rjust(width)
        for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    line = Text("  ".join([name, state, *figures]), style, no_wrap=True, overflow="ellipsis")
    line.stylize(COLOURS.get(cells[1], ""), len(name) + 2, len(name) + 2 + len(state))
    return line


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
    return short_moment(max(times)) if times else ""
