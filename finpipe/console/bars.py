"""Progress: what is at work, and a line for everything that is done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from finpipe.console import terminal

if TYPE_CHECKING:
    from finpipe.orchestration.events import Event


@dataclass
class Watch:
    """Shows the nodes at work, and a line for each that is done."""

    bar: Progress
    running: dict[str, TaskID] = field(default_factory=dict)
    fresh: int = 0

    def tell(self, event: Event) -> None:
        """Take note of an event."""
        if event.kind == "started":
            self.running[event.node] = self.bar.add_task(event.node, total=None)
            return
        if event.kind == "working":
            if event.node in self.running:
                self.bar.update(self.running[event.node], description=f"{event.node}  {event.message}")
            return
        if event.kind == "fresh":
            self.fresh += 1
            return
        if event.node in self.running:
            self.bar.remove_task(self.running.pop(event.node))
        rows = "" if event.rows is None else f"{event.rows:>13,} rows"
        lines = {
            "made": f"[green]✓[/green] {escape(f'{event.node:<44}')}{rows:>19}  {event.seconds:>6.1f} s",
            "failed": f"[red]✗[/red] {escape(event.node)}",
            "blocked": f"[dim]– {escape(event.node)} needs what failed[/dim]",
        }
        self.bar.console.print(lines[event.kind])

    def at(self, text: str) -> None:
        """Show what a computation outside of any node is at."""
        if not self.bar.tasks:
            self.bar.add_task(text, total=None)
        self.bar.update(self.bar.task_ids[0], description=text)


@contextmanager
def watching(*, quiet: bool) -> Iterator[Watch]:
    """Show progress on standard error; ``quiet`` keeps the lines but no moving parts."""
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(
        *columns, console=terminal.err, transient=True, disable=quiet or not terminal.err.is_terminal
    ) as bar:
        yield Watch(bar)


@dataclass
class Advance:
    """A bar that a long computation moves by name and share done."""

    bar: Progress
    tasks: dict[str, TaskID] = field(default_factory=dict)

    def advance(self, name: str, share: float) -> None:
        """Show that ``share`` (0 to 1) of ``name`` is done."""
        if name not in self.tasks:
            self.tasks[name] = self.bar.add_task(name, total=1.0)
        self.bar.update(self.tasks[name], completed=share)


@contextmanager
def progress() -> Iterator[Advance]:
    """Show bars on standard error while something long goes on."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=terminal.err, transient=True) as bar:
        yield Advance(bar)
