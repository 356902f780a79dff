"""The background fetches what is likely, within its budget, and never ahead of a user."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Event, Thread

import pytest

from finpipe.cache.entry import Expiry
from finpipe.cache.lookup import Lookup
from finpipe.cache.memory import MemoryCache
from finpipe.cache.request import Failed, Loaded, Request
from finpipe.cache.usage.prefetch import Prefetcher, PrefetchState
from finpipe.cache.usage.upkeep import Upkeep
from finpipe.cache.usage.warming import warm
from finpipe_tests.cache.clock import InlineExecutor, VirtualClock


class Provider:
    name = "provider"

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.gates: dict[str, Event] = {}
        self.reached = Event()

    def load(self, requests: Sequence[Request]):
        keys = [request.key for request in requests]
        self.batches.append(keys)
        for key in keys:
            if key in self.gates:
                self.reached.set()
                assert self.gates[key].wait(200)
        return {key: Failed(OSError("no line")) if key == "bad" else Loaded([key]) for key in keys}

    @property
    def asked(self) -> list[str]:
        return [key for batch in self.batches for key in batch]


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def provider() -> Provider:
    return Provider()


@pytest.fixture
def lookup(clock, provider) -> Lookup:
    return Lookup(clock, local=[MemoryCache(clock)], sources=[provider], executor=InlineExecutor())


def requests(keys: str) -> list[Request]:
    return [Request(key) for key in keys]


def test_the_latest_proposals_come_first_and_what_is_there_costs_nothing(clock, provider, lookup):
    lookup.get(Request("c"))
    prefetcher = Prefetcher(lookup, clock, per_minute=8, step=2)
    prefetcher.propose(requests("xy"), urgent=False)
    prefetcher.propose(requests("ab"))
    prefetcher.propose(requests("cd"))
    prefetcher.propose(requests("zc"), urgent=False)
    assert prefetcher.run_step() == 2
    assert provider.batches[1:] == [["d"]]
    assert prefetcher.run_step() == 2
    assert provider.batches[2:] == [["a", "b"]]
    assert prefetcher.state() == PrefetchState(fetched=3, at_hand=1, waiting=3)


def test_beyond_the_budget_proposals_are_dropped_and_counted(clock, provider, lookup):
    prefetcher = Prefetcher(lookup, clock, per_minute=20, step=5)
    prefetcher.propose([Request(str(number)) for number in range(30)])
    prefetcher.drain()
    assert len(provider.asked) == 10
    assert prefetcher.state() == PrefetchState(fetched=10, dropped=20)
    clock.pass_by(15)
    prefetcher.propose([Request(f"x{number}") for number in range(30)])
    prefetcher.drain()
    assert len(provider.asked) == 15
    for _ in range(10):
        clock.pass_by(600)
        prefetcher.propose([Request(f"y{clock.now}-{number}") for number in range(30)])
        prefetcher.drain()
    assert len(provider.asked) == 115  # what is not spent is not saved up


def test_the_queue_has_an_end(clock, lookup):
    prefetcher = Prefetcher(lookup, clock, most_waiting=3)
    prefetcher.propose(requests("abcde"))
    assert prefetcher.state() == PrefetchState(dropped=2, waiting=3)
    prefetcher.propose(requests("f"), urgent=False)
    assert prefetcher.state().dropped == 3


def test_failures_are_counted_and_do_no_harm(clock, provider, lookup):
    prefetcher = Prefetcher(lookup, clock)
    prefetcher.propose([Request("bad"), Request("a")])
    prefetcher.drain()
    assert prefetcher.state() == PrefetchState(fetched=1, failed=1)
    assert lookup.get(Request("a")).tier == "memory"
    assert provider.asked == ["bad", "a"]


def test_it_never_begins_while_a_user_waits(clock, provider, lookup):
    prefetcher = Prefetcher(lookup, clock, step=1)
    provider.gates["user"] = Event()
    user = Thread(target=lookup.get, args=(Request("user"),))
    user.start()
    assert provider.reached.wait(200)
    prefetcher.propose(requests("ab"))
    assert prefetcher.run_step() == 0
    prefetcher.start()
    lookup.get(Request("other"))
    user_order = list(provider.asked)
    assert user_order == ["user", "other"]
    provider.gates["user"].set()
    user.join()
    for _ in range(2000):
        if prefetcher.state().fetched == 2:
            break
        Event().wait(0.01)
    prefetcher.stop()
    assert provider.asked == ["user", "other", "a", "b"]


def test_a_user_is_not_held_up_by_a_prefetch_under_way(clock, provider, lookup):
    prefetcher = Prefetcher(lookup, clock, step=1)
    provider.gates["slow"] = Event()
    prefetcher.propose([Request("slow"), Request("later")])
    prefetcher.start()
    assert provider.reached.wait(200)
    assert lookup.get(Request("user")).value == ["user"]
    joined = []
    user = Thread(target=lambda: joined.append(lookup.get(Request("slow")).value))
    user.start()
    provider.gates["slow"].set()
    user.join()
    prefetcher.stop()
    assert joined == [["slow"]]
    assert provider.asked.count("slow") == 1


def test_prefetch_renews_what_is_stale(clock, provider, lookup):
    prefetcher = Prefetcher(lookup, clock)
    request = Request("a", expiry=lambda as_of: Expiry(as_of + 300, as_of + 2100))
    lookup.get(request)
    clock.pass_by(400)
    prefetcher.propose([request])
    prefetcher.drain()
    assert not lookup.get(request).stale
    assert provider.asked == ["a", "a"]


def test_upkeep_proposes_the_whole_list_once_a_round(clock, provider, lookup):
    prefetcher = Prefetcher(lookup, clock, per_minute=600)
    upkeep = Upkeep(prefetcher, clock, round_seconds=100)
    assert upkeep.tick() == 0
    upkeep.set_list([Request(str(number)) for number in range(10)])
    proposed = 0
    for _ in range(99):
        clock.pass_by(1)
        proposed += upkeep.tick()
        prefetcher.drain()
    assert proposed in {9, 10}
    clock.pass_by(1)
    upkeep.tick()
    prefetcher.drain()
    assert sorted(provider.asked) == [str(number) for number in range(10)]
    clock.pass_by(10_000)
    assert upkeep.tick() == 10


def test_warming_reports_what_came_and_what_failed(provider, lookup):
    lookup.get(Request("a"))
    told = []
    report = warm(
        lookup,
        [Request(key) for key in ("a", "b", "bad", "c")],
        step=3,
        progress=lambda done, of: told.append((done, of)),
    )
    assert (report.fetched, report.at_hand, report.failures) == (2, 1, {"bad": "no line"})
    assert sorted(report.entries) == ["a", "b", "c"]
    assert told == [(3, 4), (4, 4)]
    assert provider.batches == [["a"], ["b", "bad"], ["c"]]
    assert lookup.counters.by_tier()["provider"].hits == 1


@pytest.mark.parametrize("options", [{"per_minute": 0}, {"step": 0}, {"most_waiting": 0}])
def test_a_prefetcher_without_means_is_refused(clock, lookup, options):
    with pytest.raises(ValueError, match="at least 1"):
        Prefetcher(lookup, clock, **options)
