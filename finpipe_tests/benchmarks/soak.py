"""Minutes of mixed traffic on the service while Redis is killed and started again twice: errors, memory, hit ratio.

``python -m finpipe_tests.benchmarks soak [--minutes 10] [--bars FILE] [--json]``. Tickers follow a Zipf law; of 100
requests about 70 are analyses, 10 prices, 5 hedges, 5 optimisations of a handful (a third of them new), and the rest
lists and states. Memory is that of the service and of its workers, from the time when everything has been used once
(a fifth of the soak, two minutes at most) to the end.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import itertools
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import psutil

from finpipe_tests.cache.redis_server import RedisServer
from finpipe_tests.serve.process import ServiceProcess

CLIENTS = 8
PAUSE = 0.05
YEARS = 3


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--bars", type=Path, help="parquet file of daily bars")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    redis = RedisServer()
    redis.start()
    with tempfile.TemporaryDirectory(prefix="finpipe-soak-") as folder:
        settings: dict[str, object] = {"redis_url": redis.url, "serve_rate": 100_000, "serve_workers": 3}
        if options.bars:
            settings |= {"provider": "parquet", "bars": options.bars}
        service = ServiceProcess(Path(folder) / "home", **settings)
        service.start()
        try:
            found = asyncio.run(soak(service, redis, options))
        finally:
            service.stop()
            redis.close()
        errors = [event for event in service.events() if event["level"] == "error"]
        found["errors_logged"] = len(errors)
        found["steps_of_the_cache"] = [
            event["event"] for event in service.events() if "shared cache: from" in event["event"]
        ]
    if options.json:
        sys.stdout.write(json.dumps(found) + "\n")
    else:
        for name, value in found.items():
            sys.stdout.write(f"{name:28} {value}\n")
    return 0 if found["server_errors"] == 0 else 1


async def soak(service: ServiceProcess, redis: RedisServer, options: argparse.Namespace) -> dict[str, Any]:
    seconds = options.minutes * 60
    statuses: Counter[int] = Counter()
    memory: list[tuple[float, float, float]] = []
    over = asyncio.Event()
    started = time.monotonic()
    async with httpx.AsyncClient(base_url=service.url, timeout=120) as client:
        tickers, last = await members(client, options)
        days = {"start": last.replace(year=last.year - YEARS, day=1).isoformat(), "end": last.isoformat()}
        await client.get("/api/prices", params={"tickers": ",".join(tickers[:50]), **days})
        clients = [
            asyncio.create_task(traffic(client, tickers, days, random.Random(number), statuses, over))
            for number in range(CLIENTS)
        ]
        watch = asyncio.create_task(watched(service, memory, started, over))
        for kill_at, start_at in ((0.3, 0.4), (0.6, 0.7)):
            await asyncio.sleep(max(0.0, started + kill_at * seconds - time.monotonic()))
            redis.kill()
            await asyncio.sleep(max(0.0, started + start_at * seconds - time.monotonic()))
            await asyncio.to_thread(redis.start)
        await asyncio.sleep(max(0.0, started + seconds - time.monotonic()))
        over.set()
        await asyncio.gather(*clients, watch)
        cache = (await client.get("/api/cache")).json()
    settled = [each for each in memory if each[0] >= min(120.0, seconds / 5)]
    tenth = max(1, len(settled) // 10)

    def mean(part: Sequence[tuple[float, float, float]], which: int) -> float:
        return sum(each[which] for each in part) / len(part)

    growth = [mean(settled[-tenth:], which) / mean(settled[:tenth], which) - 1 for which in (1, 2)]
    return {
        "minutes": options.minutes,
        "requests": statuses.total(),
        "by_status": {str(status): count for status, count in sorted(statuses.items())},
        "server_errors": sum(count for status, count in statuses.items() if status >= 500),
        "memory_start_mib": round(mean(settled[:tenth], 1)),
        "memory_end_mib": round(mean(settled[-tenth:], 1)),
        "memory_growth": round(growth[0], 4),
        "memory_growth_without_workers": round(growth[1], 4),
        "memory_by_minute_mib": [round(mean(part, 1)) for part in by_minute(memory)],
        "memory_by_minute_without_workers_mib": [round(mean(part, 2)) for part in by_minute(memory)],
        "hit_ratio": cache["hit_ratio"],
        "level_at_end": cache["level"],
        "prefetch": cache["prefetch"],
    }


def by_minute(memory: Sequence[tuple[float, float, float]]) -> list[list[tuple[float, float, float]]]:
    return [list(part) for _, part in itertools.groupby(memory, key=lambda each: int(each[0] // 60))]


async def members(client: httpx.AsyncClient, options: argparse.Namespace) -> tuple[list[str], dt.date]:
    """Return the tickers, and the last day that is asked for."""
    if options.bars:
        import polars as pl

        bars = pl.scan_parquet(options.bars)
        names = bars.select(pl.col("ticker").unique().sort()).collect()["ticker"].to_list()
        last: dt.date = bars.select(pl.col("date").max()).collect().item()
        return [name for name in names if not name.startswith("^")], last
    groups = (await client.get("/api/groups")).json()["groups"]
    found: list[str] = next(group["tickers"] for group in groups if group["name"] == "demo")
    return found, dt.datetime.now(dt.UTC).date()


async def traffic(
    client: httpx.AsyncClient,
    tickers: list[str],
    days: dict[str, str],
    chance: random.Random,
    statuses: Counter[int],
    over: asyncio.Event,
) -> None:
    weights = [1 / (rank + 1) for rank in range(len(tickers))]
    order = random.Random(7).sample(tickers, len(tickers))

    def some(count: int) -> list[str]:
        found: list[str] = []
        while len(found) < count:
            found += [name for name in chance.choices(order, weights) if name not in found]
        return found

    while not over.is_set():
        draw = chance.random()
        if draw < 0.70:
            asked = client.get(f"/api/analyze/{some(1)[0]}", params=days)
        elif draw < 0.80:
            asked = client.get("/api/prices", params={"tickers": ",".join(some(3)), **days})
        elif draw < 0.85:
            first, second = some(2)
            asked = client.get("/api/hedge", params={"first": first, "second": second, **days})
        elif draw < 0.90:
            rate = 0.01 if chance.random() < 0.67 else round(chance.random() / 20, 4)
            asked = client.post(
                "/api/optimize", json={"tickers": sorted(order[:12]), "risk_free": rate, **days}
            )
        else:
            asked = client.get(chance.choice(["/api/health", "/api/cache", "/api/groups", "/metrics", "/"]))
        statuses[(await asked).status_code] += 1
        await asyncio.sleep(chance.expovariate(1 / PAUSE))


async def watched(
    service: ServiceProcess, memory: list[tuple[float, float, float]], started: float, over: asyncio.Event
) -> None:
    assert service.process is not None
    whole = psutil.Process(service.process.pid)
    while not over.is_set():
        own = whole.memory_info().rss / 2**20
        workers = sum(each.memory_info().rss for each in whole.children(recursive=True)) / 2**20
        memory.append((time.monotonic() - started, own + workers, own))
        await asyncio.sleep(1)


if __name__ == "__main__":
    sys.exit(main())
