"""Runs one side of a benchmark in a process of its own: stage times, peak memory, and its frames as parquet.

A side is a module with ``STAGES`` (name to function of a state, in order), ``start``, ``warm_up`` and ``results``.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import polars as pl


class Side(Protocol):
    """One way to do the work, stage by stage."""

    STAGES: Mapping[str, Callable[[object], None]]

    def start(self, database: Path, horizon: int) -> object:
        """Return the state before the first stage."""
        ...

    def warm_up(self, folder: Path) -> None:
        """Do what happens once per installation (compiling), on a tiny input; may write to ``folder``."""
        ...

    def results(self, state: object) -> dict[str, pl.DataFrame]:
        """Return the frames to compare, by name."""
        ...


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one side took: median seconds by stage, and the peak resident memory of its process after each."""

    seconds: dict[str, float]
    warm_up_s: float
    peak_rss_mb: dict[str, float]
    rows: dict[str, int]


class SideFailedError(RuntimeError):
    """A side of the benchmark ended with an error."""


def measure(
    module: str, database: Path, folder: Path, *, horizon: int, last: str, repeat: int
) -> Measurement:
    """Run ``module`` up to stage ``last`` in a new process; its frames are left in ``folder``.

    Raises
    ------
    SideFailedError
        With the end of what the process wrote to standard error.
    """
    command = [sys.executable, "-m", __name__, module, str(database), str(folder)]
    command += ["--horizon", str(horizon), "--last", last, "--repeat", str(repeat)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SideFailedError(f"{module} ended with exit code {done.returncode}:\n{done.stderr[-4000:]}")
    return Measurement(**json.loads((folder / "measurement.json").read_text()))


def run(side: Side, database: Path, folder: Path, *, horizon: int, last: str, repeat: int) -> Measurement:
    """Run ``side`` in this process ``repeat`` times and write the frames of the last time to ``folder``."""
    began = time.perf_counter()
    side.warm_up(folder)
    warm_up_s = time.perf_counter() - began
    names = list(side.STAGES)
    names = names[: names.index(last) + 1]
    times: dict[str, list[float]] = {name: [] for name in names}
    peaks: dict[str, float] = {}
    state: object = None
    for _ in range(repeat):
        state = None
        gc.collect()
        state = side.start(database, horizon)
        for name in names:
            began = time.perf_counter()
            side.STAGES[name](state)
            times[name].append(time.perf_counter() - began)
            # The system counts in batches, so that a later reading may be a little lower.
            peaks.setdefault(name, max([_peak_rss_mb(), *peaks.values()]))
    frames = side.results(state)
    for name, frame in frames.items():
        frame.write_parquet(folder / f"{name}.parquet", compression="lz4")
    return Measurement(
        {name: statistics.median(values) for name, values in times.items()},
        warm_up_s,
        peaks,
        {name: frame.height for name, frame in frames.items()},
    )


def _peak_rss_mb() -> float:
    status = Path("/proc/self/status")
    if status.is_file():
        # The peak of this program alone: getrusage would count the parent's memory at the fork as well.
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)


def _main() -> None:
    parser = argparse.ArgumentParser(prog=f"python -m {__spec__.name if __spec__ else __name__}")
    parser.add_argument("module")
    parser.add_argument("database", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--horizon", type=int, required=True)
    parser.add_argument("--last", required=True)
    parser.add_argument("--repeat", type=int, default=1)
    options = parser.parse_args()
    side = importlib.import_module(options.module)
    measurement = run(
        side,  # type: ignore[arg-type]
        options.database,
        options.folder,
        horizon=options.horizon,
        last=options.last,
        repeat=options.repeat,
    )
    (options.folder / "measurement.json").write_text(json.dumps(asdict(measurement)))


if __name__ == "__main__":
    _main()
