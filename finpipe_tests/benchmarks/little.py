"""The little benchmark: how long a command takes when little has changed, and what of a cold run is Dagster's share.

A copy of the package is edited between the commands, and a copy of the database: neither the installed package nor
the given database is touched. Beside the time on the clock stands the time on processors, which other work on the
machine disturbs less.
"""

from __future__ import annotations

import argparse
import functools
import json
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from rich.console import Console
from rich.table import Table

import finpipe
from finpipe_tests.demo_home import environment

COMMAND = "from finpipe.cli import entry; entry()"
PANEL = "krx/training_panel"
PRICE_FEATURES = ("technical_features", "rolling_beta", "sector_features", "financial_features")


@dataclass(frozen=True, slots=True)
class Change:
    """A little change, and what has to follow from it.

    Parameters
    ----------
    limit
        Seconds on the clock within which the command ought to be done; None if there is no such promise.
    spared
        Assets that must not be made again; ``None``: no asset at all may be made.
    """

    name: str
    make: Callable[[Place], None]
    limit: float | None
    spared: Sequence[str] | None


@dataclass(frozen=True, slots=True)
class Timing:
    """What a command took and what it made."""

    name: str
    wall_s: float
    cpu_s: float
    made: tuple[str, ...]
    seconds: dict[str, float]
    limit: float | None
    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Share:
    """Of a cold run: seconds that a plain script would need too, seconds of hashing, and seconds in all.

    Parameters
    ----------
    domain_s, storage_s, checking_s
        What a script would need that calls the same functions, reads and writes the same files and checks the same
        promises.
    hashing_s, fingerprints_s
        Content hashes of what was made, and of all tables of the database, which is read for that: no script needs
        them, nor does Dagster; they spare later runs their work.
    """

    total_s: float
    domain_s: float
    storage_s: float
    checking_s: float
    hashing_s: float
    fingerprints_s: float
    steps: int

    @property
    def overhead(self) -> float:
        """What is left for Dagster, planning and records, as a share of all."""
        known = self.domain_s + self.storage_s + self.checking_s + self.hashing_s + self.fingerprints_s
        return 1 - known / self.total_s


class Clock:
    """Sums up the seconds in functions by what they are for; a function within another counts only by itself."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self._within: list[float] = []

    def timed(self, kind: str, function: Callable[..., object]) -> Callable[..., Any]:
        """Return ``function`` with its seconds counted as ``kind``."""

        @functools.wraps(function)
        def wrapped(*arguments: object, **named: object) -> object:
            began = time.perf_counter()
            self._within.append(0.0)
            try:
                return function(*arguments, **named)
            finally:
                took = time.perf_counter() - began
                self.spent[kind] += took - self._within.pop()
                if self._within:
                    self._within[-1] += took

        return wrapped


@dataclass(frozen=True, slots=True)
class Place:
    """Folder with a copy of the package, of the database, and a home."""

    folder: Path
    assets: tuple[str, ...]

    @property
    def database(self) -> Path:
        """The copy of the database."""
        return self.folder / "market" / "krx_stock_data.db"

    @property
    def home(self) -> Path:
        """The home of all commands."""
        return self.folder / "home"

    def edit(self, file: str, old: str, new: str, count: int = -1) -> None:
        """Replace a text in a module of the copied package, everywhere or the first ``count`` times."""
        path = self.folder / "finpipe" / file
        text = path.read_text(encoding="utf-8")
        if old not in text:
            raise LookupError(
                f"{file} does not say {old!r} any more: the benchmark has to be told what to edit"
            )
        path.write_text(text.replace(old, new, count), encoding="utf-8")

    def run(self, home: Path | None = None) -> tuple[float, float, dict[str, object]]:
        """Run the command on the copies; return seconds on the clock and on processors, and what it said."""
        arguments = ["run", "--home", str(home or self.home), "--database", str(self.database), "--json"]
        for asset in self.assets:
            arguments += ["--only", asset]
        began, before = time.perf_counter(), _children_s()
        done = subprocess.run(
            [sys.executable, "-P", "-c", COMMAND, *arguments],
            env=environment({"PYTHONPATH": str(self.folder)}),
            capture_output=True,
            text=True,
            check=False,
        )
        wall_s, cpu_s = time.perf_counter() - began, _children_s() - before
        if done.returncode != 0:
            raise RuntimeError(f"the command failed:\n{done.stderr[-4000:]}")
        return wall_s, cpu_s, json.loads(done.stdout.splitlines()[-1])


def changes() -> list[Change]:
    """Return the changes, in the order that they are made."""

    def comment(place: Place) -> None:
        place.edit("features/beta.py", "WINDOWS = ", "# the windows of both betas\nWINDOWS = ")
        place.edit("panel/rolling.py", "from __future__", "# plain kernels\nfrom __future__")

    def beta(place: Place) -> None:
        place.edit("features/beta.py", "(252, 60)", "(252, 61)")

    def index_row(place: Place) -> None:
        with closing(sqlite3.connect(place.database)) as connection, connection:
            connection.execute(
                "UPDATE index_daily_prices SET closing_index = closing_index * 1.01 "
                "WHERE index_code = 'KOSPI_코스피_200' AND date = (SELECT max(date) FROM index_daily_prices)"
            )

    def nothing(_: Place) -> None:
        return

    untouched = (
        "daily_prices",
        "technical_features",
        "sector_features",
        "financial_features",
        "macro_features",
    )
    return [
        Change("nothing changed", nothing, 2.0, None),
        Change("a comment changed", comment, None, None),
        Change("the code of beta changed", beta, 15.0, untouched),
        Change("an index row changed", index_row, None, PRICE_FEATURES),
    ]


def measure(place: Place, change: Change, repeat: int = 1) -> Timing:
    """Make a change and run the command; the shortest of ``repeat`` runs where there is nothing to be done."""
    change.make(place)
    wall_s, cpu_s, said = place.run()
    made = tuple(said["materialized"])  # type: ignore[arg-type]
    for _ in range(repeat - 1 if not made else 0):
        again_s, again_cpu_s, _said = place.run()
        wall_s, cpu_s = min(wall_s, again_s), min(cpu_s, again_cpu_s)
    spared = (
        made if change.spared is None else [name for name in made if name.split("/")[-1] in change.spared]
    )
    seconds: dict[str, float] = said["seconds"]  # type: ignore[assignment]
    return Timing(change.name, wall_s, cpu_s, made, seconds, change.limit, tuple(spared))


@contextmanager
def place(database: Path, assets: tuple[str, ...]) -> Iterator[Place]:
    """Copy the package and the database to a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="finpipe-little-") as name:
        folder = Path(name)
        package = Path(finpipe.__file__).parent
        shutil.copytree(package, folder / "finpipe")  # with what numba has compiled: times of files are kept
        shutil.copy2(package.parent / "dagster.yaml", folder)
        made = Place(folder, assets)
        made.database.parent.mkdir()
        for path in (database, database.with_name(f"{database.name}-wal")):
            if path.is_file():
                shutil.copyfile(
                    path, made.database.with_name(path.name.replace(database.name, made.database.name))
                )
        yield made


def dagster_share(database: Path, home: Path, assets: Sequence[str]) -> Share:
    """Make everything in this process, one thing after the other, and add up where the time goes."""
    from finpipe.orchestration import io_managers, recording, stage, workspace
    from finpipe.orchestration.steps import Steps
    from finpipe.settings import load_settings

    clock = Clock()
    timed = (
        ("storage", io_managers.ShelfIOManager, ("load_input", "handle_output")),
        ("records", Steps, ("keeps",)),
        ("records", io_managers, ("latest_materialization",)),
        ("checking", stage, ("record",)),
        ("hashing", recording, ("content_hash", "lazy_content_hash", "text_hash")),
        ("fingerprints", workspace, ("observe",)),
    )
    settings = load_settings(home=home, database=database, workers=1)
    with ExitStack() as stack:
        for kind, owner, names in timed:
            for name in names:
                watched = clock.timed(kind, getattr(owner, name))
                stack.enter_context(mock.patch.object(owner, name, watched))
        opened = stack.enter_context(workspace.Workspace(settings))
        began = time.perf_counter()
        outcome = opened.run(assets)
        total_s = time.perf_counter() - began
        domain_s, steps = 0.0, 0
        for status in opened.statuses():
            record = next((record for record in status.records.values() if record is not None), None)
            if record is not None and set(status.names) & set(outcome.materialized):
                domain_s += float(record.metadata[stage.SECONDS])
                steps += 1
    if outcome.failed:
        raise RuntimeError(str(outcome.failed))
    spent = clock.spent
    return Share(
        total_s,
        domain_s,
        spent["storage"],
        spent["checking"],
        spent["hashing"],
        spent["fingerprints"],
        steps,
    )


def main(arguments: list[str]) -> int:
    """Measure, print a table, and return 1 if something was made that ought to be spared."""
    parser = argparse.ArgumentParser(prog="python -m finpipe_tests.benchmarks little")
    parser.add_argument("--database", type=Path, required=True, help="a market database; it is copied")
    parser.add_argument("--only", action="append", help=f"assets to keep fresh; {PANEL} when none is named")
    parser.add_argument("--everything", action="store_true", help="the whole graph, with all test years")
    parser.add_argument("--repeat", type=int, default=3, help="runs of commands that have nothing to do")
    parser.add_argument("--share", action="store_true", help="only Dagster's share of a cold run")
    options = parser.parse_args(arguments)
    assets = () if options.everything else tuple(options.only or [PANEL])
    out = Console(highlight=False)
    if options.share:
        with tempfile.TemporaryDirectory(prefix="finpipe-share-") as home:
            show_share(dagster_share(options.database, Path(home) / "home", assets), out)
        return 0
    with place(options.database, assets) as copies:
        wall_s, cpu_s, said = copies.run()
        out.print(f"cold: {len(said['materialized'])} assets, {wall_s:.1f} s, {cpu_s:.1f} s of processors")  # type: ignore[arg-type]
        copies.run()
        timings = [measure(copies, change, options.repeat) for change in changes()]
    show(timings, out)
    return int(any(timing.faults for timing in timings))


def show(timings: Sequence[Timing], out: Console) -> None:
    """Print what every command took, and what it made."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("change", "clock s", "processors s", "promised s", "made"):
        table.add_column(heading, justify="right" if heading.endswith(" s") else "left", overflow="fold")
    for timing in timings:
        made = ", ".join(f"{name} {timing.seconds[name]:.1f}" for name in timing.made)
        limit = "" if timing.limit is None else f"{timing.limit:.0f}"
        faults = f"; NOT SPARED: {', '.join(timing.faults)}" if timing.faults else ""
        table.add_row(
            timing.name, f"{timing.wall_s:.2f}", f"{timing.cpu_s:.2f}", limit, f"{made or 'nothing'}{faults}"
        )
    out.print(table)


def show_share(share: Share, out: Console) -> None:
    """Print where the time of a cold run goes."""
    out.print(
        f"cold run of {share.steps} steps: {share.total_s:.1f} s, of which domain functions {share.domain_s:.1f} s, "
        f"reading and writing {share.storage_s:.1f} s, checking {share.checking_s:.1f} s, hashing "
        f"{share.hashing_s:.1f} s, fingerprints of the database {share.fingerprints_s:.1f} s; "
        f"Dagster, planning and records {share.overhead:.1%}"
    )


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
