"""Verbs that show what can be set and computed: presets, features, settings and the asset graph."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from finpipe.cli.options import Database, Home, Json, print_json
from finpipe.settings import load_settings


def presets(
    name: Annotated[str | None, typer.Argument(help="Show all parameters of this preset.")] = None,
    home: Home = None,
    database: Database = None,
    as_json: Json = False,
) -> None:
    """Show every preset and its parameters, and how to change them or add your own in finpipe.toml.

    [dim]Examples:[/dim]
      finpipe presets
      finpipe presets v43
    """
    from finpipe import console
    from finpipe.orchestration import studies

    settings = load_settings(home=home, database=database)
    found = studies.presets(settings.preset)
    if name is None:
        if as_json:
            print_json(found)
        else:
            console.show_presets(found, settings.config_file)
        return
    chosen = studies.study(
        studies.variant_name(name, None, settings.preset, settings.horizons),
        settings.preset,
        settings.horizons,
        train_years=settings.train_years,
        delisting_return=settings.delisting_return,
    )
    if as_json:
        print_json(chosen.to_dict())
    else:
        console.show_study(chosen)


def features(
    out: Annotated[Path | None, typer.Option(help="Markdown file to write instead of the terminal.")] = None,
) -> None:
    """Show every feature: formula, window, unit, range, what a null means, and its source.

    [dim]Example:[/dim]  finpipe features --out docs/features.md
    """
    from finpipe import console
    from finpipe.features.catalogue import markdown

    if out is None:
        console.show_markdown(markdown())
    else:
        out.write_text(markdown(), encoding="utf-8")
        console.say(f"feature catalogue written to {out}")


def settings(home: Home = None, database: Database = None) -> None:
    """Show every setting: its value, what it means, and how to change it."""
    from finpipe import console

    console.show_settings(load_settings(home=home, database=database))


def graph(out: Annotated[Path, typer.Option(help="SVG file to write.")] = Path("asset_graph.svg")) -> None:
    """Draw the asset graph."""
    from finpipe import console
    from finpipe.orchestration.graph import graph as asset_graph
    from finpipe.orchestration.picture import asset_graph_svg

    out.write_text(asset_graph_svg(asset_graph()), encoding="utf-8")
    console.say(f"asset graph drawn in {out}")
