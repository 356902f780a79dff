"""Verbs that look after the studies of a home: which there are, and the removal of those no longer wanted."""

from __future__ import annotations

from typing import Annotated

import typer

from finpipe.cli.options import Database, Home, Json, open_workspace, print_json
from finpipe.settings import SettingsError, load_settings


def variants(home: Home = None, database: Database = None, as_json: Json = False) -> None:
    """Show every study of the home: its years, when it was made last, its size, and whether it is fresh.

    [dim]Example:[/dim]  finpipe variants --home data
    """
    from finpipe import console

    with open_workspace(load_settings(home=home, database=database)) as workspace:
        found = workspace.studies()
    if as_json:
        print_json(console.study_records(found))
    else:
        console.show_studies(found)


def clean(
    keep: Annotated[
        int | None, typer.Option(help="Keep this many studies, those made last.", min=0, show_default="all")
    ] = None,
    variant: Annotated[list[str] | None, typer.Option(help="Remove this study; repeatable.")] = None,
    home: Home = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be removed, no more.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Remove studies with all that they hold, and files that belong to nothing any more.

    What a fresh asset of another study was made from is never removed.

    [dim]Examples:[/dim]
      finpipe clean --keep 3
      finpipe clean --variant v43-h63 --dry-run
    """
    from finpipe import console

    with open_workspace(load_settings(home=home)) as workspace:
        removal = workspace.removal(keep=keep, variants=variant or ())
        if not as_json:
            console.show_removal(removal)
        if removal and not dry_run:
            if not yes and as_json:
                raise SettingsError("--json asks nobody: say --yes to remove, or --dry-run to look")
            if not yes and not typer.confirm("Remove all this?"):
                raise typer.Exit(1)
            removal = workspace.remove(removal, waiting=console.say)
            console.say(f"removed: {console.bytes_of(removal.size)}")
    if as_json:
        print_json({**console.removal_record(removal), "removed": bool(removal) and not dry_run})
