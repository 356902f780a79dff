"""Redis killed and started again while the service answers: no request fails, and it says where it stands."""

from __future__ import annotations

import threading
import time

import pytest

from finpipe_tests.cache.redis_server import RedisServer
from finpipe_tests.serve.process import ServiceProcess
from finpipe_tests.waiting import until

DAYS = {"start": "2024-01-02", "end": "2025-06-30"}
TICKERS = [f"{sector}{number:02}" for sector in ("TEC", "FIN", "HEA", "IND") for number in range(1, 7)]


@pytest.fixture
def redis_server():
    server = RedisServer()
    server.start()
    yield server
    server.close()


def wait_for_tier(client, wanted):
    until(lambda: client.get("/api/health").json()["cache"] == wanted, wanted, every=0.1)


def wait_for_answers(statuses, count):
    before = len(statuses)
    until(lambda: len(statuses) >= before + count, f"{count} more answers")


def test_traffic_survives_a_redis_that_dies_and_comes_back(tmp_path, redis_server):
    service = ServiceProcess(
        tmp_path / "home",
        redis_url=redis_server.patient_url,
        cache_memory=1,
        serve_warm=False,
        serve_rate=5000,
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
            wait_for_answers(statuses, 10)
            redis_server.kill()
            wait_for_tier(client, "disk")
            health = client.get("/api/health").json()
            assert health["status"] == "degraded"
            assert "disk in place of redis" in health["notices"][0]
            wait_for_answers(statuses, 10)
            redis_server.start()
            wait_for_tier(client, "redis")
            wait_for_answers(statuses, 10)
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
