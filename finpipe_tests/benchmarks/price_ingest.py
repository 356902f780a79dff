"""Ingest of many tickers from a local Yahoo server, beside fetching the very same addresses and dropping the answers.

The server runs in a process of its own and answers after a delay, as a server on the other side of the world does;
with no delay the comparison is with a server that is faster than any parser.
"""

from __future__ import annotations

import datetime as dt
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from finpipe.market.daily_bars import BarRequest
from finpipe.market.demo_bars import DemoBars, demo_group

START, END = dt.date(2019, 1, 2), dt.date(2023, 12, 29)
THREADS = 8


def price_ingest(*, tickers: int = 500, latency: float = 0.15, repeat: int = 3) -> dict[str, object]:
    """Measure the ingest of ``tickers`` × 5 years.

    Parameters
    ----------
    tickers
        How many; copies of the demo market under other seeds.
    latency
        Seconds before the server answers with a chart.
    repeat
        Pairs of raw fetch and ingest; medians are reported.

    Returns
    -------
    dict[str, object]
        ``raw_s``, ``client_s`` (to valid bars as traded), ``overhead`` (client / raw - 1), ``peak_rss_mb`` of the
        client's process, ``bars``, ``failures``, and the parameters.
    """
    with tempfile.TemporaryDirectory() as folder:
        bars = Path(folder) / "bars.parquet"
        names = write_bars(bars, tickers)
        with served(bars, latency) as url:
            command = [sys.executable, "-m", "finpipe_tests.benchmarks.price_ingest", url, str(repeat)]
            done = subprocess.run(
                command, input=json.dumps(names), capture_output=True, text=True, check=False
            )
            if done.returncode:
                raise RuntimeError(f"the client failed:\n{done.stderr[-2000:]}")
    measured: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return {"tickers": tickers, "latency_s": latency, "threads": THREADS, **measured}


def write_bars(path: Path, tickers: int) -> list[str]:
    """Write bars of so many stocks; returns their names."""
    whole = tuple(ticker for ticker in demo_group().tickers if ticker not in {"ENE04", "FIN08"})
    frames: list[pl.DataFrame] = []
    for seed in range(-(-tickers // len(whole))):
        bars = DemoBars(seed).fetch(BarRequest(whole[: tickers - seed * len(whole)], START, END)).bars
        frames.append(bars.with_columns(pl.format("{}X{}", "ticker", pl.lit(seed)).alias("ticker")))
    market = pl.concat(frames)
    market.write_parquet(path)
    return market["ticker"].unique().sort().to_list()


@contextmanager
def served(bars: Path, latency: float) -> Iterator[str]:
    """The local Yahoo server in its own process; yields its address."""
    command = [sys.executable, "-m", "finpipe_tests.yahoo_server", str(bars), "--latency", str(latency)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.kill()


def raw_seconds(url: str, names: list[str]) -> float:
    """Fetch the charts as the client does, with its library, threads and connections, and drop them."""
    from curl_cffi import requests

    session: requests.Session[requests.Response] = requests.Session(
        impersonate="chrome", proxies={"http": url}
    )
    session.get("http://fc.yahoo.com")
    crumb = session.get("http://query1.finance.yahoo.com/v1/test/getcrumb").text
    first = int(dt.datetime.combine(START, dt.time(), dt.UTC).timestamp()) - 86400
    parameters = {
        "period1": first,
        "period2": int(time.time()),
        "interval": "1d",
        "includePrePost": "False",
        "events": "div,splits,capitalGains",
        "crumb": crumb,
    }

    def chart(name: str) -> int:
        answer = session.get(f"http://query2.finance.yahoo.com/v8/finance/chart/{name}", params=parameters)
        answer.raise_for_status()
        return len(answer.content)

    began = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        assert min(pool.map(chart, names)) > 100
    return time.perf_counter() - began


def client_seconds(url: str, names: list[str]) -> tuple[float, int, int]:
    """Fetch with the provider: seconds, bars, failures."""
    from finpipe.market.yahoo import YahooBars

    began = time.perf_counter()
    batch = YahooBars(mirror=url, threads=THREADS).fetch(BarRequest(tuple(names), START, END))
    return time.perf_counter() - began, batch.bars.height, len(batch.failures)


def main(arguments: list[str]) -> int:
    """Measure in this process; the names of the tickers come as JSON on the standard input."""
    url, repeat = arguments[0], int(arguments[1])
    names = json.load(sys.stdin)
    raw_seconds(url, names)
    client_seconds(url, names[:20])
    raw: list[float] = []
    client: list[float] = []
    bars = failures = 0
    for _ in range(repeat):
        raw.append(raw_seconds(url, names))
        seconds, bars, failures = client_seconds(url, names)
        client.append(seconds)
    measured = {
        "raw_s": round(statistics.median(raw), 3),
        "client_s": round(statistics.median(client), 3),
        "overhead": round(statistics.median(client) / statistics.median(raw) - 1, 3),
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "bars": bars,
        "failures": failures,
    }
    sys.stdout.write(json.dumps(measured) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
