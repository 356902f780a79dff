"""Verbs that look at what a home holds, and make nothing."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from finpipe.cli.options import Database, Home, Horizon, Json, Preset, Verify, open_workspace, print_json
from finpipe.panel.memory import keep_freed_memory
from finpipe.settings import load_settings

if TYPE_CHECKING:
    from finpipe.orchestration.planner import Status
    from finpipe.orchestration.workspace import Workspace


def status(
    home: Home = None,
    database: Database = None,
    why: Annotated[
        str | None, typer.Option(help="Explain how this asset stands, or one partition: 'ASSET[PARTITION]'.")
    ] = None,
    verify: Verify = False,
    as_json: Json = False,
) -> None:
    """Show every asset: fresh, stale (and why) or missing, its rows, size, age and how long it took.

    [dim]Examples:[/dim]
      finpipe status
      finpipe status --why krx/training_panel
      finpipe status --why 'krx/yearly_ranker[2024|top_n-h21]'
      finpipe status --verify
    """
    from finpipe import console

    with open_workspace(load_settings(home=home, database=database)) as workspace:
        found = workspace.statuses(verify=verify)
        if why is not None:
            found = _named(found, why, workspace)
        if as_json:
            print_json(console.status_records(found))
        elif why is not None:
            console.show_reasons(found)
        else:
            made = {key for status in found for key in status.stage.outputs}
            requested = [key for key in workspace.graph.by_key if key not in workspace.graph.usual_keys]
            console.show_status(found, [key for key in requested if key not in made])


def _named(found: Sequence[Status], name: str, workspace: Workspace) -> list[Status]:
    """Return the statuses of an asset, or of the partition in brackets behind it."""
    from finpipe.orchestration.graph import UnknownAssetError

    asset, bracket, partition = name.removesuffix("]").partition("[")
    workspace.graph.stage(asset)
    of_asset = [status for status in found if asset in status.stage.outputs]
    chosen = [status for status in of_asset if not bracket or status.partition == partition]
    if not chosen:
        there = ", ".join(status.partition for status in of_asset if status.partition)
        said = f"there are {there}" if there else "name it alone"
        raise UnknownAssetError(f"{asset} has no partition {partition!r}; {said}")
    return chosen


def export(
    asset: Annotated[str, typer.Argument(help="Asset key, e.g. krx/technical_features.")],
    out: Annotated[
        Path, typer.Option(help="File to write: .parquet, .csv, .arrow; reports .html, models .txt.")
    ],
    partition: Annotated[str | None, typer.Option(help="One partition, e.g. '2018|top_n-h21'.")] = None,
    home: Home = None,
) -> None:
    """Write any asset to a file, in the format of the file's ending.

    [dim]Examples:[/dim]
      finpipe export krx/training_panel --out panel.parquet
      finpipe export krx/picks --partition top_n-h21 --out picks.csv
    """
    from finpipe import console

    with open_workspace(load_settings(home=home)) as workspace:
        rows = workspace.export(asset, partition, out)
    console.say(f"{asset}: {rows:,} row(s) written to {out}")


def report(
    home: Home = None,
    preset: Preset = "top_n",
    horizon: Horizon = None,
    out: Annotated[Path | None, typer.Option(help="Also copy the page to this file.")] = None,
    browse: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Name the latest report of a study, copy it or open it.

    [dim]Example:[/dim]  finpipe report --open
    """
    from finpipe import console

    settings = load_settings(home=home)
    with open_workspace(settings) as workspace:
        variant = workspace.variant(preset, horizon)
        workspace.frame("krx/performance", variant)
        page = workspace.report_path(variant)
        if out is not None:
            workspace.export("krx/performance_report", variant, out)
    console.say(f"report: {out or page}")
    if browse:
        typer.launch(str(out or page))


def ui(
    home: Home = None,
    database: Database = None,
    port: Annotated[int, typer.Option(help="Port on this machine.")] = 3000,
) -> None:
    """Open the Dagster UI on this home: the same runs, assets and partitions that the command sees.

    [dim]Example:[/dim]  finpipe ui --home data
    """
    keep_freed_memory()
    from finpipe.orchestration.home import serve_ui

    sys.exit(serve_ui(load_settings(home=home, database=database), port))
