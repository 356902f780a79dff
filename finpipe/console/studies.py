"""The studies of a home, and what goes with those that are removed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from finpipe.console import terminal
from finpipe.console.numbers import bytes_of, moment, span_of_years
from finpipe.console.terminal import say

if TYPE_CHECKING:
    from finpipe.orchestration.cleaning import File, Removal, StudyRecord

COLOURS = {"fresh": "green", "stale": "yellow", "unfinished": "cyan"}
SHOWN = 10
"""Orphaned files that are named; the rest is counted."""


def study_records(studies: Sequence[StudyRecord]) -> list[dict[str, Any]]:
    """Return the studies of a home in the form of ``--json``."""
    return [
        {
            "variant": study.variant,
            "preset": study.preset,
            "horizon": study.horizon,
            "years": list(study.years),
            "last_made": study.last_made,
            "size": study.size,
            "rows": study.rows,
            "state": study.state,
        }
        for study in studies
    ]


def show_studies(studies: Sequence[StudyRecord]) -> None:
    """Print a line for every study."""
    if not studies:
        say("this home holds no study yet: `finpipe run` makes one")
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("study", "preset"):
        table.add_column(heading, no_wrap=True)
    table.add_column("horizon", justify="right")
    table.add_column("years")
    table.add_column("state")
    for heading in ("files", "rows", "made last"):
        table.add_column(heading, justify="right", no_wrap=True)
    for study in studies:
        table.add_row(
            escape(study.variant),
            escape(study.preset),
            str(study.horizon),
            span_of_years(study.years),
            f"[{COLOURS[study.state]}]{study.state}[/]",
            bytes_of(study.size) if study.size else "",
            f"{study.rows:,}" if study.rows else "",
            moment(study.last_made) if study.last_made else "",
        )
    terminal.out.print(table)


def removal_record(removal: Removal) -> dict[str, Any]:
    """Return what goes, in the form of ``--json``."""

    def listed(files: Sequence[File]) -> list[dict[str, Any]]:
        return [{"path": str(file.path), "size": file.size} for file in files]

    return {
        "studies": list(removal.studies),
        "needed": {variant: list(assets) for variant, assets in removal.needed.items()},
        "size": removal.size,
        "files": listed(removal.files),
        "orphans": listed(removal.orphans),
        "rows": [
            {"asset": asset, "variant": variant, "rows": rows}
            for (asset, variant), rows in removal.rows.items()
        ],
        "runs": list(removal.runs),
    }


def show_removal(removal: Removal) -> None:
    """Print what goes and how large it is."""
    for variant, assets in removal.needed.items():
        say(f"{escape(variant)} stays: {escape(', '.join(assets))} was made from it and is fresh")
    if not removal:
        say("nothing to remove")
        return
    for variant in removal.studies:
        terminal.out.print(f"study {variant}", markup=False)
    parts = [
        (f"{len(removal.files):,} file(s) of studies", bytes_of(sum(file.size for file in removal.files)))
    ]
    if removal.rows:
        parts.append((f"{sum(removal.rows.values()):,} row(s) of result tables", ""))
    if removal.runs:
        parts.append((f"{len(removal.runs):,} Dagster run(s) and what they recorded", ""))
    if removal.orphans:
        size = sum(file.size for file in removal.orphans)
        parts.append((f"{len(removal.orphans):,} file(s) that belong to nothing any more", bytes_of(size)))
    for words, size_text in parts:
        terminal.out.print(f"  {words}{f': {size_text}' if size_text else ''}", markup=False)
    for file in removal.orphans[:SHOWN]:
        terminal.out.print(f"    {file.path}", markup=False, soft_wrap=True)
    if len(removal.orphans) > SHOWN:
        terminal.out.print(f"    and {len(removal.orphans) - SHOWN} more")
    terminal.out.print(f"{bytes_of(removal.size)} in all", markup=False)
