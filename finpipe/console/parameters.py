"""What can be set, and what it means: presets, studies, settings, the catalogue of features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from finpipe.console import terminal
from finpipe.console.terminal import say

if TYPE_CHECKING:
    from finpipe.orchestration.studies import Study
    from finpipe.settings import Settings

PLAIN = "top_n"
"""The preset that others are compared with."""


EXAMPLE = """
  [preset.v43.rules]            # change a built-in preset
  n = 30

  [preset.mine]                 # or add one that starts from another
  base = "v43"
  horizon = 21
  [preset.mine.ranker]
  search_trials = 30            # search parameters inside training windows
"""


_NOTHING = object()


def show_presets(presets: Mapping[str, Mapping[str, Any]], config_file: Path) -> None:
    """Print presets: the plain one in full, of the others what they do differently, and how to change them."""
    plain = presets[PLAIN]
    for name in (PLAIN, *(name for name in presets if name != PLAIN)):
        preset = presets[name]
        terminal.out.print(
            f"[bold]{escape(name)}[/bold]  {escape(str(preset.get('description', '')))}", soft_wrap=True
        )
        terminal.out.print(
            f"  horizon {preset['horizon']} days, {_round_trip(preset):.2%} for buying and selling again"
        )
        for part in ("ranker", "rules"):
            given, usual = preset.get(part, {}), {} if name == PLAIN else plain.get(part, {})
            changed = {key: value for key, value in given.items() if usual.get(key, _NOTHING) != value}
            if changed:
                values = ", ".join(f"{key} = {_toml(value)}" for key, value in changed.items())
                terminal.out.print(f"  {part}: {values}", markup=False, soft_wrap=True)
    terminal.out.print()
    terminal.out.print(f"{PLAIN} is shown in full, of the others what differs from it.")
    terminal.out.print(
        f"To change one or add your own, write to {config_file}, e.g.:", markup=False, soft_wrap=True
    )
    terminal.out.print(EXAMPLE, markup=False)
    terminal.out.print("`finpipe presets NAME` shows every parameter and what it means.")


def show_study(study: Study) -> None:
    """Print every parameter of a study: its value, and what it means."""
    from finpipe.backtest.report.parameters import documented

    terminal.out.print(f"[bold]{escape(study.preset)}[/bold]  {escape(study.description)}", soft_wrap=True)
    for part, settings in (("ranker", study.ranker), ("rules", study.rules)):
        table = Table(
            title=f"[preset.{study.preset}.{part}]".replace("[", r"\["), box=None, title_justify="left"
        )
        table.add_column("parameter", no_wrap=True)
        table.add_column("value", overflow="fold")
        table.add_column("meaning", overflow="fold", style="dim")
        for name, (value, meaning) in documented(settings).items():
            table.add_row(name, escape(_toml(value)), escape(meaning or ""))
        terminal.out.print(table)


def show_settings(settings: Settings) -> None:
    """Print every setting with its value and meaning."""
    table = Table(box=None, header_style="bold")
    for heading in ("setting", "variable", "value", "meaning"):
        table.add_column(heading, overflow="fold")
    for name, spec in type(settings).model_fields.items():
        table.add_row(name, f"FINPIPE_{name.upper()}", str(getattr(settings, name)), spec.description or "")
    terminal.out.print(table)
    say(
        f"a setting is looked up in this order: flags, variables, {escape(str(settings.config_file))}, the default"
    )


def show_markdown(text: str) -> None:
    """Print a Markdown document laid out for the terminal."""
    from rich.markdown import Markdown

    terminal.out.print(Markdown(text))


def _round_trip(preset: Mapping[str, Any]) -> float:
    from finpipe.backtest.rules import Rules

    costs = {
        spec.name: preset.get("rules", {}).get(spec.name, spec.default)
        for spec in fields(Rules)
        if spec.name in {"commission", "slippage", "sale_tax"}
    }
    return float(2 * (costs["commission"] + costs["slippage"]) + costs["sale_tax"])


def _toml(value: object) -> str:
    """Return a value as it is written in finpipe.toml; none is to leave the parameter out."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return (
            "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
            if value
            else "{}"
        )
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return f'"{value}"' if isinstance(value, str) else str(value)
