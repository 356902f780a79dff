"""A client as a process of its own: GETs at a steady rate on kept connections, however long answers take.

``python -m finpipe_tests.benchmarks.steady_traffic`` reads ``{"host", "port", "paths", "rate", "seconds"}`` as JSON and
writes the seconds from when each request was due to the last byte of its answer. It does not unpack what it gets.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]

_AHEAD = 0.5
"""Seconds before the first request is due."""


async def steady(
    host: str, port: int, paths: list[str], *, rate: float, seconds: float
) -> dict[str, list[float] | float]:
    """Return latencies in seconds, and the seconds from the first request's due time to the last answer."""
    free: list[Connection] = [await asyncio.open_connection(host, port) for _ in range(8)]
    started = time.perf_counter() + _AHEAD

    async def one(number: int, due: float) -> float:
        connection = free.pop() if free else await asyncio.open_connection(host, port)
        reader, writer = connection
        path = paths[number % len(paths)]
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nAccept-Encoding: gzip\r\n\r\n".encode()
        )
        head = await reader.readuntil(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        assert status.split()[1] == "200", head
        length = next(line for line in lines if line.lower().startswith("content-length:"))
        await reader.readexactly(int(length.partition(":")[2]))
        free.append(connection)
        return time.perf_counter() - due

    asked: list[asyncio.Task[float]] = []
    for number in range(int(rate * seconds)):
        due = started + number / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        asked.append(asyncio.create_task(one(number, due)))
    latencies = list(await asyncio.gather(*asked))
    took = time.perf_counter() - started
    for _, writer in free:
        writer.close()
    return {"latencies": latencies, "took": took}


def main() -> None:
    asked: dict[str, Any] = json.loads(sys.stdin.read())
    place = (asked["host"], asked["port"], asked["paths"])
    found = asyncio.run(steady(*place, rate=asked["rate"], seconds=asked["seconds"]))
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
