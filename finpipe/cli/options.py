"""What the verbs share: their options, how a home is opened, and how an object is printed for a program."""

from __future__ import annotations

import gc
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from finpipe.panel.memory import keep_freed_memory
from finpipe.settings import Settings, SettingsError

if TYPE_CHECKING:
    from finpipe.orchestration.workspace import Workspace


Home = Annotated[
    Path | None, typer.Option(help="Folder of everything that finpipe writes.", show_default="data")
]


Database = Annotated[Path | None, typer.Option(help="The SQLite market database; remembered by the home.")]


Only = Annotated[list[str] | None, typer.Option(help="Make only this asset and what it needs; repeatable.")]


TickerGroups = Annotated[
    list[str] | None,
    typer.Option("--group", help="Ticker group of the portfolio line, e.g. sp500 or demo; repeatable."),
]


Years = Annotated[
    str | None, typer.Option(help="Test years, e.g. 2018-2024 or 2020,2022.", show_default="all")
]


Preset = Annotated[str, typer.Option(help="The study's preset; `finpipe presets` lists them.")]


Horizon = Annotated[
    int | None, typer.Option(help="Holding period, trading days.", show_default="the preset's")
]


Verify = Annotated[
    bool, typer.Option("--verify", help="Read all stored data and compare them with what was recorded.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]


def open_workspace(settings: Settings) -> Workspace:
    """Return the workspace of the home."""
    keep_freed_memory()
    gc.disable()  # what is loaded now is never garbage: looking for some would take a fifth of the time
    try:
        from finpipe.orchestration.workspace import Workspace

        return Workspace(settings)
    finally:
        if "duckdb" not in sys.modules:  # which complains if its own objects are there to the end
            gc.freeze()  # nor will it be garbage later on, or when the process ends
        gc.enable()


def test_years(text: str | None) -> list[int] | None:
    """Return the years of ``--years``, e.g. 2018-2024 or 2020,2022; None if it is not given.

    Raises
    ------
    SettingsError
        The text has another form, or names no year.
    """
    if text is None:
        return None
    try:
        years: list[int] = []
        for part in text.split(","):
            first, _, last = part.partition("-")
            years.extend(range(int(first), int(last or first) + 1))
    except ValueError as error:
        raise SettingsError(f"--years {text!r} is not of the form 2018-2024 or 2020,2022") from error
    if not years:
        raise SettingsError(f"--years {text!r} is empty: the first year is after the last")
    return sorted(set(years))


def print_json(value: Any) -> None:  # noqa: ANN401 whatever JSON can hold
    """Print ``value`` as one line of JSON."""
    print(json.dumps(value, ensure_ascii=False), flush=True)
