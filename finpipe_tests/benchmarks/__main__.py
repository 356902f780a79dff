"""Starts a benchmark by name; each is a module of this package with a ``main`` that takes its arguments."""

from __future__ import annotations

import importlib
import sys

BENCHMARKS = {
    "krx": "market database to training panel, against plain pandas",
    "little": "the command after little has changed, and Dagster's share of a cold run",
    "portfolio": "kept prices to weights, frontier and analysis, against skfolio",
    "service": "latencies of the service: cached, cold, fresh, and under eight clients",
    "soak": "mixed traffic for minutes while Redis is killed and started again twice",
}


def main(arguments: list[str]) -> int:
    """Run the benchmark named first in ``arguments`` with the rest of them; return its exit code."""
    if not arguments or arguments[0] not in BENCHMARKS:
        lines = [f"  {name:<12}{description}" for name, description in BENCHMARKS.items()]
        usage = ["usage: python -m finpipe_tests.benchmarks NAME [options]", "", *lines, ""]
        asked = bool(arguments) and arguments[0] in {"-h", "--help"}
        (sys.stdout if asked else sys.stderr).write("\n".join(usage))
        return 0 if asked else 2
    module = importlib.import_module(f"finpipe_tests.benchmarks.{arguments[0]}")
    return int(module.main(arguments[1:]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
