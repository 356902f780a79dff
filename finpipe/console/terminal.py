"""The terminal: results go to standard output, everything else that is said to standard error."""

from __future__ import annotations

from rich.console import Console

out = Console(highlight=False)


err = Console(stderr=True, highlight=False)


def say(text: str) -> None:
    """Print a sentence for the person at the terminal."""
    err.print(text, soft_wrap=True)


def complain(text: str) -> None:
    """Print what went wrong."""
    err.print("[bold red]error:[/bold red] ", end="")
    err.print(text, markup=False, soft_wrap=True)
