"""L2 goes from Redis to disk to memory only and back, and no request fails because of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import numpy as np
import pytest
import redis

from finpipe.cache.breaker import Breaker
from finpipe.cache.disk_store import DiskStore
from finpipe.cache.entry import FOREVER, Expiry
from finpipe.cache.lookup import Lookup
from finpipe.cache.redis_store import RedisStore
from finpipe.cache.request import Request
from finpipe.cache.results import ComputedSource
from finpipe.cache.shared import SharedCache, open_shared_cache
from finpipe.cache.store import StoreError, StoreFullError
from finpipe.cache.tier import TierState
from finpipe_tests.cache.clock import VirtualClock
from finpipe_tests.cache.redis_server import RedisServer
from finpipe_tests.cache.values import entry, table


@pytest.fixture
def server() -> Iterator[RedisServer]:
    running = RedisServer()
    running.start()
    yield running
    running.close()


class Shelf:
    """A store in a dictionary that can be told to fail."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.kept: dict[str, bytes] = {}
        self.trouble: Exception | None = None
        self.writing_trouble: Exception | None = None
        self.asked = 0

    def _ask(self) -> None:
        self.asked += 1
        if self.trouble is not None:
            raise self.trouble

    def get(self, key: str) -> bytes | None:
        self._ask()
        return self.kept.get(key)

    def put(self, key: str, data: bytes, expires_at: float) -> None:  # noqa: ARG002 a store's signature
        self._ask()
        if self.writing_trouble is not None:
            raise self.writing_trouble
        self.kept[key] = data

    def delete(self, key: str) -> None:
        self._ask()
        self.kept.pop(key, None)

    def clear(self, prefix: str) -> int:
        self._ask()
        gone = [key for key in self.kept if key.startswith(prefix)]
        for key in gone:
            del self.kept[key]
        return len(gone)

    def ping(self) -> None:
        self._ask()

    def close(self) -> None:
        self.kept = {}

    def state(self) -> TierState:
        self._ask()
        return TierState(self.name, entries=len(self.kept))


def test_redis_keeps_values_as_long_as_they_may_be_used(server):
    clock = VirtualClock()
    store = RedisStore(server.url, clock, timeout=5.0)
    cache = SharedCache([store], clock)
    cache.put("finpipe:1:a", entry(table(1000)))
    cache.put("finpipe:1:b", entry({"x": [1]}, expiry=Expiry(clock.now + 5, clock.now + 60)))
    found = cache.get("finpipe:1:a")
    assert found is not None
    assert found.payload.equals(table(1000))
    client = redis.Redis.from_url(server.url)
    assert client.ttl("finpipe:1:a") == -1
    assert 0 < client.ttl("finpipe:1:b") <= 60
    client.set("others", "untouched")
    assert cache.state().entries == 3
    assert cache.clear("finpipe:1:") == 2
    assert client.keys() == [b"others"]
    client.set("finpipe:[*]", "1")
    assert store.clear("finpipe:[*") == 1
    client.close()


def test_redis_dies_in_mid_traffic_and_comes_back(server, tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    clock = VirtualClock()
    cache = open_shared_cache(tmp_path, clock, redis_url=server.patient_url)

    def traffic(first: int) -> int:
        hits = 0
        for number in range(first, first + 20):
            clock.pass_by(0.1)
            cache.put(f"k{number}", entry([number]))
            found = cache.get(f"k{number}")
            hits += found is not None and found.value == [number]
        return hits

    assert traffic(0) == 20
    assert cache.level == "redis"
    server.kill()
    assert traffic(100) >= 18  # a put may meet the failing Redis and its get the disk
    assert cache.level == "disk"
    server.start()
    clock.pass_by(60)
    assert traffic(200) == 20
    assert cache.level == "redis"
    server.kill()
    assert traffic(300) >= 18
    server.start()
    clock.pass_by(60)
    assert traffic(400) == 20
    assert [(step.before, step.after) for step in cache.steps] == [("redis", "disk"), ("disk", "redis")] * 2
    told = [record.getMessage() for record in caplog.records if "from " in record.getMessage()]
    assert len(told) == 4
    assert cache.state().errors >= 2
    assert "on redis since" in cache.state().detail
    assert "answers again" in cache.state().detail


def test_no_request_fails_while_redis_is_killed_and_started_under_threads(server, tmp_path):
    def breaker(clock):
        return Breaker(clock, probe_every=0.02, probe_at_most=0.05)

    stores = [RedisStore(server.patient_url, time.time), DiskStore(tmp_path, time.time)]
    cache = SharedCache(stores, time.time, breaker=breaker)
    over = Event()

    def traffic(seed: int) -> int:
        rng, done = np.random.default_rng(seed), 0
        while not over.is_set() or done < 50:
            name = str(rng.integers(50))
            # Without L1 every request reaches L2.
            lookup = Lookup(time.time, local=[], shared=[cache], sources=[ComputedSource()])
            assert lookup.get(Request(name, lambda name=name: {"name": name})).value == {"name": name}
            done += 1
        return done

    with ThreadPoolExecutor(6) as pool:
        running = [pool.submit(traffic, seed) for seed in range(6)]
        for _ in range(2):
            time.sleep(0.1)
            server.kill()
            while cache.level != "disk":
                time.sleep(0.01)
            server.start()
            while cache.level != "redis":
                time.sleep(0.01)
        over.set()
        assert all(future.result() >= 50 for future in running)
    assert [step.after for step in cache.steps if step.after != "memory only"] == ["disk", "redis"] * 2
    cache.close()


def test_a_redis_that_hangs_is_left_after_its_time_out(server, tmp_path):
    clock = VirtualClock()
    cache = SharedCache([RedisStore(server.url, clock, timeout=0.1), DiskStore(tmp_path, clock)], clock)
    cache.put("a", entry([1]))
    server.freeze()
    assert [cache.get("a") for _ in range(4)] == [None] * 4
    assert cache.level == "disk"
    cache.put("a", entry([2]))
    assert cache.get("a") is not None


def test_a_redis_that_never_was_costs_nothing_but_a_line_in_the_log(tmp_path, caplog):
    clock = VirtualClock()
    cache = open_shared_cache(tmp_path, clock, redis_url="redis://user:hidden@127.0.0.1:1/0")
    for number in range(5):
        cache.put(str(number), entry([number]))
    assert [cache.get(str(number)) is not None for number in range(5)].count(True) == 5
    assert cache.level == "disk"
    assert len([record for record in caplog.records if "from redis to disk" in record.getMessage()]) == 1
    assert "hidden" not in caplog.text + cache.state().detail


def test_a_full_redis_still_answers(caplog):
    server = RedisServer("--maxmemory", "3mb", "--maxmemory-policy", "noeviction")
    server.start()
    clock = VirtualClock()
    cache = SharedCache([RedisStore(server.url, clock, timeout=5.0)], clock)
    cache.put("first", entry([1]))
    for number in range(60):
        cache.put(str(number), entry(table(10_000, number)))
    assert cache.get("first") is not None
    state = cache.state()
    assert state.refused > 10
    assert "redis is full" in state.detail
    assert cache.level == "redis"
    assert len([record for record in caplog.records if "is full" in record.getMessage()]) == 1
    cache.clear("")
    cache.put("new", entry([1]))
    assert "full" not in cache.state().detail
    server.close()


def test_an_address_that_is_none_is_refused():
    with pytest.raises(ValueError, match="address of Redis"):
        RedisStore("no address", VirtualClock())


def test_when_nothing_works_everything_is_a_miss(caplog):
    clock, first, second = VirtualClock(), Shelf("redis"), Shelf("disk")
    cache = SharedCache([first, second], clock)
    first.trouble = second.trouble = StoreError("gone")
    for _ in range(5):
        cache.put("a", entry([1]))
        assert cache.get("a") is None
    assert cache.level == "memory only"
    assert "memory only" in cache.state().detail
    asked = first.asked, second.asked
    cache.get("a")
    assert (first.asked, second.asked) == asked  # left alone until the next probe
    second.trouble = None
    clock.pass_by(2.0)
    cache.put("a", entry([1]))
    assert cache.level == "disk"
    assert cache.get("a") is not None
    first.trouble = None
    clock.pass_by(30.0)
    assert cache.get("a") is None  # Redis knows nothing of it
    assert cache.level == "redis"
    assert [step.after for step in cache.steps] == ["disk", "memory only", "disk", "redis"]
    assert len([record for record in caplog.records if "from " in record.getMessage()]) == 4


def test_a_full_store_is_read_on(caplog):
    clock, shelf = VirtualClock(), Shelf("disk")
    cache = SharedCache([shelf], clock)
    cache.put("a", entry([1]))
    shelf.writing_trouble = StoreFullError("no space left")
    for _ in range(5):
        cache.put("b", entry([2]))
    assert cache.get("a") is not None
    assert cache.get("b") is None
    assert (cache.level, cache.state().refused) == ("disk", 5)
    shelf.writing_trouble = None
    cache.put("b", entry([2]))
    assert cache.get("b") is not None
    assert [record.getMessage().split(": ")[1] for record in caplog.records] == [
        "disk is full, new values are not kept",
        "disk has room again",
    ]


@pytest.mark.parametrize("damaged", [b"", b"\x80\x04K\x01.", b"FPC1" + b"\0" * 100])
def test_what_does_not_decode_is_a_miss_and_deleted(damaged):
    shelf = Shelf("disk")
    cache = SharedCache([shelf], VirtualClock())
    shelf.kept["a"] = damaged
    assert cache.get("a") is None
    assert "a" not in shelf.kept
    assert cache.state().undecodable == 1


def test_a_value_damaged_on_disk_is_a_miss_and_deleted(tmp_path):
    clock = VirtualClock()
    store = DiskStore(tmp_path, clock)
    cache = SharedCache([store], clock)
    cache.put("a", entry(table(100)))
    data = bytearray(store.get("a") or b"")
    data[-10] ^= 1
    store.put("a", bytes(data), FOREVER)
    assert cache.get("a") is None
    assert store.get("a") is None
    cache.put("a", entry(table(100)))
    assert cache.get("a") is not None


def test_expired_values_are_neither_kept_nor_found():
    clock, shelf = VirtualClock(), Shelf("disk")
    cache = SharedCache([shelf], clock)
    cache.put("a", entry([1], expiry=Expiry(clock.now, clock.now)))
    assert not shelf.kept
    cache.put("a", entry([1], expiry=Expiry(clock.now + 1, clock.now + 2)))
    clock.pass_by(1)
    assert cache.get("a") is not None
    clock.pass_by(1)
    assert cache.get("a") is None


def test_a_breaker_opens_after_failures_in_a_row_and_lets_one_probe():
    clock = VirtualClock()
    breaker = Breaker(clock, trips_after=3, probe_every=1.0, probe_at_most=4.0)
    assert not breaker.failed()
    assert not breaker.failed()
    assert not breaker.succeeded()
    assert [breaker.failed() for _ in range(3)] == [False, False, True]
    assert not breaker.may_probe()
    pauses = []
    for _ in range(4):
        waited = 0.0
        while not breaker.may_probe():
            clock.pass_by(0.5)
            waited += 0.5
        assert not breaker.may_probe()
        assert not breaker.failed()
        pauses.append(waited)
    assert pauses == [1.0, 2.0, 4.0, 4.0]
    assert breaker.succeeded()
    assert breaker.is_closed
    assert [breaker.failed() for _ in range(3)] == [False, False, True]
    clock.pass_by(1.0)
    assert breaker.may_probe()


def test_a_failure_of_before_it_worked_again_says_nothing():
    clock = VirtualClock()
    breaker = Breaker(clock, trips_after=1, probe_every=1.0)
    asked = breaker.changes
    assert breaker.failed(asked)
    clock.now += 1.0
    assert breaker.may_probe()
    assert breaker.succeeded()
    assert not breaker.failed(asked)
    assert breaker.is_closed
    assert breaker.failed(breaker.changes)


def test_an_answer_from_before_it_opened_closes_nothing():
    clock = VirtualClock()
    breaker = Breaker(clock, trips_after=1, probe_every=1.0)
    asked = breaker.changes
    assert breaker.failed(asked)
    assert not breaker.succeeded(asked)  # the answer was read late, from a store that is gone
    assert not breaker.is_closed
    assert not breaker.failed(asked)  # nor does another late failure put the probe off
    clock.pass_by(1)
    assert breaker.may_probe()
    assert breaker.succeeded(breaker.changes)
    assert breaker.is_closed
