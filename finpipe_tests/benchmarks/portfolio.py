"""The portfolio benchmark: from kept prices to weights, frontier and analysis, beside skfolio on the same problem.

Real S&P 500 bars where they are at hand, else copies of the demo market. Every side runs in a process of its own, so
that its peak memory is its own. Beside the time on the clock stands the time on processors, which other work on the
machine disturbs less.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

COMMAND = "from finpipe.cli import entry; entry()"
REAL = Path("us") / "sp500_daily_2010_2016.parquet"
PERIOD = ("2012-01-01", "2016-12-31")
DEMO_PERIOD = ("2019-01-02", "2023-12-29")
NAMES = 480
RISK_FREE, MAX_WEIGHT = 0.03, 0.2
LIMITS = {"weights_warm": 1.0, "weights_cold": 5.0, "frontier": 2.0, "analyze": 0.1}
"""Seconds on the clock within which each ought to be done on two cores."""


@dataclass(frozen=True, slots=True)
class Place:
    """Folder of a run: the home, the bars, the group of tickers, the moments that both sides solve."""

    folder: Path
    bars: Path
    period: tuple[str, str]

    @property
    def group(self) -> Path:
        """File of the tickers."""
        return self.folder / "group.txt"

    @property
    def moments(self) -> Path:
        """What finpipe's side writes and skfolio's reads."""
        return self.folder / "moments.npz"

    def command(self, *arguments: str) -> tuple[float, float, dict[str, Any]]:
        """Run the command; return seconds on the clock and on processors, and its object."""
        given = [*arguments, "--home", str(self.folder / "home"), "--bars", str(self.bars), "--json"]
        given += ["--start", self.period[0], "--end", self.period[1]]
        return _timed([sys.executable, "-P", "-c", COMMAND, *given])

    def side(self, name: str, repeat: int) -> dict[str, Any]:
        """Run a side in its own process."""
        arguments = [
            "--side",
            name,
            "--folder",
            str(self.folder),
            "--bars",
            str(self.bars),
            "--repeat",
            str(repeat),
        ]
        module = "finpipe_tests.benchmarks.portfolio"
        return _timed([sys.executable, "-m", module, *arguments, "--period", *self.period])[2]


def measure(bars: Path | None, *, repeat: int = 5, ingest: int = 500) -> dict[str, Any]:
    """Measure everything.

    Parameters
    ----------
    bars
        Parquet file of bars; None: the real ones, or the demo's where these are absent.
    repeat
        Warm runs of each stage, of which the median counts; cold ones are three at most.
    ingest
        Tickers of the ingest from a local server; 0: none.

    Returns
    -------
    dict[str, Any]
        ``seconds`` and ``cpu_seconds`` by stage, ``within`` their limits, ``skfolio`` with the ratio of its time to
        finpipe's, ``peak_rss_mb`` by process, and the ``ingest``.
    """
    with tempfile.TemporaryDirectory() as name:
        place = _prepare(Path(name), bars)
        source = ("--group", str(place.group))
        taken, taken_cpu, made = place.command("prices", "update", *source)
        wanted = (*source, "--risk-free", str(RISK_FREE), "--max-weight", str(MAX_WEIGHT))
        cold = [place.command("optimize", *wanted, "--no-report") for _ in range(min(repeat, 3))]
        with_report = place.command("optimize", *wanted)
        own = place.side("finpipe", repeat)
        peer = place.side("skfolio", max(1, repeat // 2))
    seconds = own["seconds"] | {
        "history_from_file": taken,
        "weights_cold": _median([one[0] for one in cold]),
        "weights_and_report_cold": with_report[0],
    }
    cpu = own["cpu_seconds"] | {
        "history_from_file": taken_cpu,
        "weights_cold": _median([one[1] for one in cold]),
        "weights_and_report_cold": with_report[1],
    }
    measured: dict[str, Any] = {
        "bars": "demo" if place.period == DEMO_PERIOD else place.bars.name,
        "tickers": own["tickers"],
        "history_bars": made["bars"],
        "seconds": {stage: round(value, 4) for stage, value in sorted(seconds.items())},
        "cpu_seconds": {stage: round(value, 4) for stage, value in sorted(cpu.items())},
        "within": {stage: seconds[stage] <= limit for stage, limit in LIMITS.items()},
        "skfolio": {
            "solve_s": round(peer["solve_s"], 4),
            "solve_ratio": round(peer["solve_s"] / seconds["solve"], 2),
            "from_returns_s": round(peer["from_returns_s"], 4),
            "from_returns_ratio": round(peer["from_returns_s"] / seconds["from_returns"], 2),
            "sharpe": peer["sharpe"],
        },
        "sharpe": own["sharpe"],
        "peak_rss_mb": {"finpipe": own["peak_rss_mb"], "skfolio": peer["peak_rss_mb"]},
    }
    if ingest:
        from finpipe_tests.benchmarks.price_ingest import price_ingest

        measured["ingest"] = price_ingest(tickers=ingest, repeat=1)
    return measured


def finpipe_side(place: Place, repeat: int) -> dict[str, Any]:
    """Time the library in this process, after one run that compiles and loads."""
    from finpipe.portfolio import analyze, frontier, optimize
    from finpipe.portfolio.covariance import covariance
    from finpipe.portfolio.optimizer import optimal_weights
    from finpipe.portfolio.problem import Problem
    from finpipe.settings import load_settings

    settings = load_settings(home=place.folder / "home", bars=place.bars)
    common: dict[str, Any] = {"settings": settings, "start": place.period[0], "end": place.period[1]}
    asked = {**common, "group": str(place.group), "risk_free": RISK_FREE, "max_weight": MAX_WEIGHT}
    found = optimize(**asked)
    moments = found.moments
    whole = ~np.isnan(moments.returns.values).any(axis=0)
    complete = moments.returns.pick(
        [name for name, is_whole in zip(moments.tickers, whole, strict=True) if is_whole]
    )
    np.savez(
        place.moments,
        expected=moments.expected.values,
        covariance=moments.covariance.matrix,
        returns=np.nan_to_num(moments.returns.values),
        complete=complete.values,
    )
    problem = Problem(risk_free=RISK_FREE, max_weight=MAX_WEIGHT)

    def solve(tickers: Sequence[str], expected: np.ndarray, matrix: np.ndarray) -> object:
        return optimal_weights(expected, matrix, problem, tickers=tickers)

    def from_returns() -> object:
        matrix = covariance(complete, "ledoit-wolf").matrix
        return solve(complete.tickers, complete.values.mean(axis=0) * 252, matrix)

    stages: dict[str, Callable[[], object]] = {
        "weights_warm": lambda: optimize(**asked),
        "frontier": lambda: frontier(**asked, points=50),
        "analyze": lambda: analyze(moments.tickers[0], **common),
        "solve": lambda: solve(moments.tickers, moments.expected.values, moments.covariance.matrix),
        "from_returns": from_returns,
    }
    taken = {name: _repeated(stage, repeat) for name, stage in stages.items()}
    return {
        "tickers": len(moments.tickers),
        "sharpe": found.sharpe,
        "seconds": {name: wall for name, (wall, _) in taken.items()},
        "cpu_seconds": {name: cpu for name, (_, cpu) in taken.items()},
        "peak_rss_mb": _peak_rss_mb(),
    }


def skfolio_side(place: Place, repeat: int) -> dict[str, Any]:
    """Time skfolio's ``MeanRisk`` on the same moments, and from returns with its own Ledoit-Wolf."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from skfolio import RiskMeasure
        from skfolio.moments import LedoitWolf
        from skfolio.optimization import MeanRisk, ObjectiveFunction
        from skfolio.prior import EmpiricalPrior

    from finpipe_tests.portfolio.skfolio_portfolios import GivenMoments

    given = np.load(place.moments)

    def fitted(prior: object, returns: np.ndarray, risk_free: float) -> np.ndarray:
        model = MeanRisk(
            objective_function=ObjectiveFunction.MAXIMIZE_RATIO,
            risk_measure=RiskMeasure.STANDARD_DEVIATION,
            prior_estimator=prior,
            max_weights=MAX_WEIGHT,
            risk_free_rate=risk_free,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            weights: np.ndarray = model.fit(returns).weights_
        return weights

    def solve() -> np.ndarray:
        prior = GivenMoments(given["expected"], given["covariance"], given["returns"])
        return fitted(prior, given["returns"], RISK_FREE)

    def from_returns() -> np.ndarray:
        prior = EmpiricalPrior(covariance_estimator=LedoitWolf())
        return fitted(prior, given["complete"], RISK_FREE / 252)

    weights = solve()
    risk = float(np.sqrt(weights @ given["covariance"] @ weights))
    return {
        "solve_s": _repeated(solve, repeat)[0],
        "from_returns_s": _repeated(from_returns, repeat)[0],
        "sharpe": (float(weights @ given["expected"]) - RISK_FREE) / risk,
        "peak_rss_mb": _peak_rss_mb(),
    }


def main(arguments: list[str]) -> int:
    """Measure and print; with ``--side`` be one of the sides."""
    parser = argparse.ArgumentParser(prog="python -m finpipe_tests.benchmarks portfolio", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--bars", type=Path, help="parquet file of bars")
    parser.add_argument("--repeat", type=int, default=5, help="warm runs")
    parser.add_argument("--ingest", type=int, default=500, help="tickers of the ingest; 0: none")
    parser.add_argument("--side", choices=("finpipe", "skfolio"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--period", nargs=2, default=PERIOD, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.side:
        place = Place(options.folder, options.bars, tuple(options.period))
        sides = {"finpipe": finpipe_side, "skfolio": skfolio_side}
        sys.stdout.write(json.dumps(sides[options.side](place, options.repeat)) + "\n")
        return 0
    measured = measure(options.bars, repeat=options.repeat, ingest=options.ingest)
    if options.json:
        sys.stdout.write(json.dumps(measured) + "\n")
    else:
        _show(measured)
    return 0


def _prepare(folder: Path, bars: Path | None) -> Place:
    data = Path(
        os.environ.get("FINPIPE_TEST_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data"
    )
    real = data / REAL
    period = PERIOD
    if bars is None and real.is_file():
        bars = real
    elif bars is None:
        from finpipe_tests.benchmarks.price_ingest import write_bars

        bars, period = folder / "bars.parquet", DEMO_PERIOD
        write_bars(bars, NAMES)
    names = pl.scan_parquet(bars).select(pl.col("ticker").unique().sort()).collect()["ticker"]
    place = Place(folder, bars, period)
    place.group.write_text("\n".join(names), encoding="utf-8")
    return place


def _repeated(stage: Callable[[], object], repeat: int) -> tuple[float, float]:
    """Median seconds on the clock and on processors, after one run that does not count."""
    stage()
    walls, cpus = [], []
    for _ in range(repeat):
        wall, cpu = time.perf_counter(), time.process_time()
        stage()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return _median(walls), _median(cpus)


def _timed(command: Sequence[str]) -> tuple[float, float, dict[str, Any]]:
    wall, before = time.perf_counter(), _children_s()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wall, cpu = time.perf_counter() - wall, _children_s() - before
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:6])} … failed:\n{done.stderr[-3000:]}")
    return wall, cpu, json.loads(done.stdout.strip().splitlines()[-1])


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _peak_rss_mb() -> float:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def _median(values: Sequence[float]) -> float:
    return float(statistics.median(values))


def _show(measured: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(
        title=f"{measured['tickers']} tickers of {measured['bars']}", box=None, title_justify="left"
    )
    for heading in ("stage", "seconds", "on processors", "limit"):
        table.add_column(heading, justify="left" if heading == "stage" else "right")
    for stage, seconds in measured["seconds"].items():
        limit = LIMITS.get(stage)
        table.add_row(
            stage,
            f"{seconds:.3f}",
            f"{measured['cpu_seconds'][stage]:.3f}",
            "" if limit is None else f"{limit:g} {'✓' if measured['within'][stage] else '✗'}",
        )
    console = Console()
    console.print(table)
    peer = measured["skfolio"]
    console.print(
        f"skfolio: the same problem in {peer['solve_s']:.3f} s, {peer['solve_ratio']} times finpipe's; from returns in "
        f"{peer['from_returns_s']:.3f} s, {peer['from_returns_ratio']} times; Sharpe {peer['sharpe']:.6f} to "
        f"{measured['sharpe']:.6f}"
    )
    console.print(f"peak memory, MB: {measured['peak_rss_mb']}")
    if "ingest" in measured:
        console.print(f"ingest: {measured['ingest']}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
