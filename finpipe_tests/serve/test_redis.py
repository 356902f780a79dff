"""Redis killed and started again while the service answers: no request fails, and it says where it stands."""

from __future__ import annotations

import threading
import time

import pytest

from finpipe_tests.cache.redis_server import RedisServer
from finpipe_tests.serve.process import ServiceProcess

DAYS = {"start": "2024-01-02", "end": "2025-06-30"}
TICKERS = [f"{sector}{number:02}" for sector in ("TEC", "FIN", "HEA", "IND") for number in range(1, 7)]


@pytest.fixture
def redis_server():
    server = RedisServer()
    server.start()
    yield server
    server.close()


def waited_for(client, wanted, seconds=20):
    for _ in range(int(seconds / 0.1)):
        if client.get("/api/health").json()["cache"] == wanted:
            return True
        time.sleep(0.1)
    return False


def answered_more(statuses, count):
    before = len(statuses)
    for _ in range(200):
        if len(statuses) >= before + count:
            return True
        time.sleep(0.05)
    return False


def test_traffic_survives_a_redis_that_dies_and_comes_back(tmp_path, redis_server):
    service = ServiceProcess(
        tmp_path / "home", redis_url=redis_server.url, cache_memory=1, serve_warm=False, serve_rate=5000
    )
    service.start()
    statuses: list[int] = []
    over = threading.Event()

    def ask(offset):
        with service.client() as client:
            number = offset
            while not over.is_set():
                ticker = TICKERS[number % len(TICKERS)]
                statuses.append(client.get(f"/api/analyze/{ticker}", params=DAYS).status_code)
                number += 5
                time.sleep(0.01)

    try:
        with service.client() as client:
            assert client.get("/api/health").json()["cache"] == "redis"
            client.get("/api/prices", params={"group": "demo", **DAYS})
            threads = [threading.Thread(target=ask, args=(number,)) for number in range(2)]
            for thread in threads:
                thread.start()
            assert answered_more(statuses, 10)
            redis_server.kill()
            assert waited_for(client, "disk")
            health = client.get("/api/health").json()
            assert health["status"] == "degraded"
            assert "disk in place of redis" in health["notices"][0]
            assert answered_more(statuses, 10)
            redis_server.start()
            assert waited_for(client, "redis")
            assert answered_more(statuses, 10)
            assert client.get("/api/health").json()["status"] == "ok"
            over.set()
            for thread in threads:
                thread.join()
    finally:
        over.set()
        service.stop()
    assert set(statuses) == {200}
    steps = [event["event"] for event in service.events() if "shared cache: from" in event["event"]]
    assert len(steps) == 2  # one step down, one up, each told once
