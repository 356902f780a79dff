"""The krx benchmark: from market database to training panel, finpipe against plain pandas, in one run.

Each side runs in a process of its own, one after the other, on the same database; the file is read once before,
so that neither pays for a cold disk. Compiling is done on a tiny market before the clock starts.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table

from finpipe_tests.benchmarks.comparison import Difference, compare
from finpipe_tests.benchmarks.krx_baseline import STAGES
from finpipe_tests.benchmarks.krx_differences import known_differences
from finpipe_tests.benchmarks.process import Measurement, measure

KEYS = {"rows": ("stock_code", "date"), "days": ("date",), "simulated_days": ("date",)}
TO_THE_PANEL = tuple(STAGES)[: tuple(STAGES).index("training_panel") + 1]
SIDES = ("baseline", "finpipe")


@dataclass(frozen=True, slots=True)
class Report:
    """Both measurements, the stages asked for, and how far the values of the two sides are apart."""

    baseline: Measurement
    finpipe: Measurement
    stages: tuple[str, ...]
    differences: tuple[Difference, ...]

    def times(self, stages: Iterable[str]) -> dict[str, float]:
        """Return the seconds of both sides over these stages, and how many times faster finpipe is."""
        names = list(stages)
        baseline = sum(self.baseline.seconds[name] for name in names)
        finpipe = sum(self.finpipe.seconds[name] for name in names)
        return {"baseline_s": baseline, "finpipe_s": finpipe, "ratio": baseline / max(finpipe, 1e-9)}

    @property
    def total(self) -> dict[str, float]:
        """The seconds from the database to the training panel, or as far as was measured."""
        return self.times(name for name in TO_THE_PANEL if name in self.baseline.seconds)

    @property
    def peak_rss_mb(self) -> dict[str, float]:
        """Peak memory of each side up to the training panel, or as far as was measured."""
        sides = {"baseline": self.baseline, "finpipe": self.finpipe}
        return {
            name: max(peak for stage, peak in side.peak_rss_mb.items() if stage in TO_THE_PANEL)
            for name, side in sides.items()
        }

    @property
    def unexplained(self) -> list[Difference]:
        """Columns that differ although they should not."""
        return [difference for difference in self.differences if not (difference.agrees or difference.known)]

    def as_json(self) -> dict[str, object]:
        """Return the report as one JSON object."""
        return {
            "stages": {name: self.times([name]) for name in self.stages},
            "total": self.total,
            "peak_rss_mb": self.peak_rss_mb,
            "warm_up_s": self.finpipe.warm_up_s,
            "rows": self.finpipe.rows,
            "differences": {difference.column: asdict(difference) for difference in self.differences},
            "unexplained": [difference.column for difference in self.unexplained],
            "machine": machine(),
        }


def main(arguments: list[str]) -> int:
    """Run the benchmark; return 0 if every column agrees or differs on purpose, else 1."""
    options = _parse(arguments)
    screen = Console(stderr=options.json)
    screen.print(f"reading {options.database} once, so that both sides find it in memory")
    _read_once(options.database)
    report = benchmark(
        options.database, horizon=options.horizon, stages=options.stages, repeat=options.repeat, screen=screen
    )
    for table in (_times_table(report), _differences_table(report)):
        screen.print(table)
    for number, reason in enumerate(_reasons(report), start=1):
        screen.print(f"{number}: {reason}")
    screen.print(_closing(report))
    if options.json:
        sys.stdout.write(json.dumps(_rounded(report.as_json()), ensure_ascii=False) + "\n")
    return 1 if report.unexplained else 0


def benchmark(
    database: Path, *, horizon: int, stages: tuple[str, ...], repeat: int, screen: Console
) -> Report:
    """Measure both sides up to the last of ``stages`` and compare their values."""
    last = [name for name in STAGES if name in stages][-1]
    with tempfile.TemporaryDirectory(prefix="finpipe-benchmark-") as scratch:
        measured = {}
        for side in SIDES:
            folder = Path(scratch) / side
            folder.mkdir()
            screen.print(f"measuring {side}, {repeat} time(s), up to {last}")
            module = f"finpipe_tests.benchmarks.krx_{side}"
            measured[side] = measure(module, database, folder, horizon=horizon, last=last, repeat=repeat)
        differences: list[Difference] = []
        for name, key in KEYS.items():
            files = [Path(scratch) / side / f"{name}.parquet" for side in SIDES]
            if all(file.is_file() for file in files):
                differences += compare(*files, key, known_differences(horizon))
    return Report(measured["baseline"], measured["finpipe"], stages, tuple(differences))


def machine() -> dict[str, object]:
    """Return what the figures depend on: processor, memory and versions."""
    model = platform.processor() or platform.machine()
    details = Path("/proc/cpuinfo")
    if details.is_file():
        names = [
            line.split(":", 1)[1] for line in details.read_text().splitlines() if line[:10] == "model name"
        ]
        model = names[0].strip() if names else model
    packages = ("pandas", "polars", "numpy", "numba", "connectorx")
    return {
        "processor": model,
        "cores": os.cpu_count() or 1,
        "memory_gb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30,
        "system": platform.platform(),
        "python": platform.python_version(),
        **{package: version(package) for package in packages},
    }


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m finpipe_tests.benchmarks krx", description=__doc__)
    parser.add_argument("--database", type=Path, required=True, help="SQLite database in the KRX schema")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--repeat", type=int, default=3, help="runs per side; the median counts (default 3)")
    parser.add_argument("--horizon", type=int, default=21, help="horizon of the labels in days (default 21)")
    parser.add_argument(
        "--stages",
        default=",".join(STAGES),
        help=f"stages to report, separated by commas; what they need runs too (default {','.join(STAGES)})",
    )
    options = parser.parse_args(arguments)
    options.stages = tuple(options.stages.split(","))
    unknown = [name for name in options.stages if name not in STAGES]
    if unknown:
        parser.error(f"unknown stage(s) {', '.join(unknown)}; there are {', '.join(STAGES)}")
    if not options.database.is_file():
        parser.error(f"no database at {options.database}")
    if options.repeat < 1:
        parser.error("--repeat must be 1 or more")
    return options


def _read_once(database: Path) -> None:
    with database.open("rb") as file:
        while file.read(1 << 24):
            pass


def _times_table(report: Report) -> Table:
    table = Table(
        title="Seconds by stage; the total is from the database to the training panel", title_justify="left"
    )
    table.add_column("stage")
    for header in ("pandas", "finpipe", "times faster"):
        table.add_column(header, justify="right")
    rows = {name: report.times([name]) for name in report.stages}
    for name, times in {**rows, "total": report.total}.items():
        if name == "total":
            table.add_section()
        table.add_row(
            name, f"{times['baseline_s']:.2f}", f"{times['finpipe_s']:.2f}", f"{times['ratio']:.1f}"
        )
    baseline, finpipe = report.peak_rss_mb.values()
    table.add_section()
    table.add_row("peak memory, MB", f"{baseline:,.0f}", f"{finpipe:,.0f}", f"{baseline / finpipe:.1f}")
    return table


def _differences_table(report: Report) -> Table:
    table = Table(title="Columns that differ, in rows", title_justify="left")
    table.add_column("column", no_wrap=True)
    for header in ("nulls", "values", "largest", "relative", "why"):
        table.add_column(header, justify="right", no_wrap=True)
    reasons = _reasons(report)
    for difference in report.differences:
        if not difference.agrees:
            table.add_row(
                difference.column,
                f"{difference.null_mismatches:,}",
                f"{difference.outside:,}",
                f"{difference.max_abs:.2g}",
                f"{difference.max_rel:.2g}",
                str(reasons.index(difference.known) + 1) if difference.known else "UNEXPLAINED",
            )
    return table


def _reasons(report: Report) -> list[str]:
    reasons = [difference.known for difference in report.differences if not difference.agrees]
    return [reason for reason in dict.fromkeys(reasons) if reason]


def _closing(report: Report) -> str:
    agreeing = sum(difference.agrees for difference in report.differences)
    rows = ", ".join(f"{count:,} {name}" for name, count in report.finpipe.rows.items())
    return (
        f"{rows}; {agreeing} of {len(report.differences)} columns agree within 1e-5 relative, "
        f"{len(report.differences) - agreeing - len(report.unexplained)} differ on purpose, "
        f"{len(report.unexplained)} without explanation. "
        f"Compiling and loading took finpipe {report.finpipe.warm_up_s:.1f} s before the clock started."
    )


def _rounded(value: object) -> object:
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return value
