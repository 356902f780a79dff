"""Latencies of the service on this machine's loopback: cached, cold from the history, fresh, and under eight clients.

``python -m finpipe_tests.benchmarks service [--bars FILE] [--json]``: without a file of bars on the demo market. The
service is a process of its own, as users start it; the clients share the machine with it, and the steady traffic comes
from a process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import psutil

from finpipe_tests.serve.process import ServiceProcess

RATE, SECONDS = 200, 10
CLIENTS = 8


def main(arguments: list[str] | None = None) -> int:
    options = _options(arguments)
    with tempfile.TemporaryDirectory(prefix="finpipe-service-") as folder:
        settings: dict[str, object] = {"serve_warm": False, "serve_rate": 100_000, "serve_workers": 3}
        if options.bars:
            settings |= {"provider": "parquet", "bars": options.bars}
        service = ServiceProcess(Path(folder) / "home", **settings)
        service.start()
        try:
            found = asyncio.run(measure(service, options))
        finally:
            service.stop()
    if options.json:
        sys.stdout.write(json.dumps(found) + "\n")
    else:
        for name, value in found.items():
            sys.stdout.write(f"{name:40} {value}\n")
    return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="service", description=__doc__)
    parser.add_argument("--bars", type=Path, help="parquet file of daily bars")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of cached traffic")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args(arguments)


async def measure(service: ServiceProcess, options: argparse.Namespace) -> dict[str, Any]:
    limits = httpx.Limits(max_connections=64)
    async with httpx.AsyncClient(base_url=service.url, timeout=120, limits=limits) as client:
        if options.bars:
            import polars as pl

            frame = pl.scan_parquet(options.bars).select("ticker", "date")
            names = frame.select(pl.col("ticker").unique().sort()).collect()["ticker"].to_list()
            tickers = [name for name in names if not name.startswith("^")]
            last = frame.select(pl.col("date").max()).collect().item()
        else:
            groups = (await client.get("/api/groups")).json()["groups"]
            tickers = next(group["tickers"] for group in groups if group["name"] == "demo")
            last = None
        asked: dict[str, Any] = {"tickers": tickers}
        days = {"end": last.isoformat()} if last else {}
        first, _ = await optimized(client, {**asked, **days})
        # The prices are in the history now; what follows is warm.
        cold = [
            await timed(lambda name=name: client.get(f"/api/analyze/{name}", params=days))
            for name in tickers[:20]
        ]
        cached = await at_rate(service, tickers[:20], days, options.seconds)
        fresh = [
            (await optimized(client, {**asked, **days, "risk_free": 0.001 * step}))[0] for step in range(1, 6)
        ]
        at_once = [
            await timed(lambda: client.post("/api/optimize", json={**asked, **days, "risk_free": 0.001}))
            for _ in range(20)
        ]
        together = await asyncio.gather(
            *(
                optimized(client, {**asked, **days, "risk_free": 0.01 + 0.001 * step})
                for step in range(CLIENTS)
            )
        )
        health = [await timed(lambda: client.get("/api/health")) for _ in range(50)]
        cache = (await client.get("/api/cache")).json()
    assert service.process is not None
    whole = psutil.Process(service.process.pid)
    memory = sum(each.memory_info().rss for each in (whole, *whole.children(recursive=True)))
    return {
        "tickers": len(tickers),
        "first_optimisation_with_ingest_s": round(first, 3),
        "analysis_cold_from_l3_ms": quantiles(cold),
        "analysis_cached_at_200_per_s_ms": cached,
        "optimise_fresh_ms": quantiles(fresh),
        "optimise_cached_ms": quantiles(at_once),
        "optimise_8_clients_ms": quantiles([seconds for seconds, _ in together]),
        "optimise_8_clients_failed": sum(not done for _, done in together),
        "health_ms": quantiles(health),
        "hit_ratio": cache["hit_ratio"],
        "memory_mib_all_processes": round(memory / 2**20),
    }


async def timed(ask: Callable[[], Awaitable[httpx.Response]]) -> float:
    started = time.perf_counter()
    answer = await ask()
    assert answer.status_code == 200, answer.text[:300]
    return time.perf_counter() - started


async def at_rate(
    service: ServiceProcess, tickers: list[str], days: dict[str, str], seconds: float
) -> dict[str, float]:
    """Open-loop traffic of a client in a process of its own: a request is due every 1/RATE s, whatever came before.

    Latencies count from when a request was due; ``server_cpu`` is what the service itself spent on one, in ms.
    """
    assert service.process is not None
    server, url = psutil.Process(service.process.pid), httpx.URL(service.url)
    query = f"?{httpx.QueryParams(days)}" if days else ""
    asked = {
        "host": url.host,
        "port": url.port,
        "paths": [f"/api/analyze/{ticker}{query}" for ticker in tickers],
        "rate": RATE,
        "seconds": seconds,
    }
    spent = sum(server.cpu_times()[:2])
    client = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "finpipe_tests.benchmarks.steady_traffic"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await client.communicate(json.dumps(asked).encode())
    found = json.loads(said)
    count = len(found["latencies"])
    return {
        **quantiles(found["latencies"]),
        "per_s": round(count / found["took"], 1),
        "server_cpu": round(1000 * (sum(server.cpu_times()[:2]) - spent) / count, 3),
    }


async def optimized(client: httpx.AsyncClient, asked: dict[str, Any]) -> tuple[float, bool]:
    """Seconds until the result of an optimisation is there, by its events; and whether it came."""
    started = time.perf_counter()
    answer = await client.post("/api/optimize", json=asked)
    if answer.status_code == 200:
        return time.perf_counter() - started, True
    done = False
    async with client.stream("GET", f"{answer.headers['location']}/events") as stream:
        async for line in stream.aiter_lines():
            done = done or line == "event: done"
    return time.perf_counter() - started, done


def quantiles(seconds: list[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    at = {"p50": 0.5, "p99": 0.99, "max": 1.0}
    return {
        name: round(1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))], 2)
        for name, share in at.items()
    }


if __name__ == "__main__":
    sys.exit(main())
