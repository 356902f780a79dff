"""One path: tiers, then sources; computed once, kept on the way back, stale while revalidated, errors not kept."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Barrier, Event, Lock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finpipe.cache.disk_store import DiskStore
from finpipe.cache.entry import Expiry
from finpipe.cache.hot_set import HotSet, publish
from finpipe.cache.lookup import Lookup
from finpipe.cache.memory import MemoryCache
from finpipe.cache.request import Absent, Failed, Loaded, Request, UnknownError
from finpipe.cache.results import ComputedSource, ResultsCache
from finpipe.cache.shared import SharedCache
from finpipe_tests.cache.clock import InlineExecutor, VirtualClock
from finpipe_tests.cache.values import entry, table
from finpipe_tests.waiting import until


@dataclass
class Shop:
    """A source that answers from ``stock`` and remembers what it was asked."""

    stock: dict[str, object] = field(default_factory=dict)
    name: str = "provider"
    asked: list[str] = field(default_factory=list)
    calls: int = 0
    trouble: Exception | None = None
    gate: Event | None = None
    lock: Lock = field(default_factory=Lock)

    def load(self, requests: Sequence[Request]):
        with self.lock:
            self.calls += 1
            self.asked += [request.key for request in requests]
        if self.gate is not None:
            assert self.gate.wait(200)
        if self.trouble is not None:
            raise self.trouble
        return {request.key: self.stock[request.key] for request in requests if request.key in self.stock}


def minutes(number: float):
    return lambda as_of: Expiry(as_of + 60 * number, as_of + 60 * (number + 30))


def make(clock: VirtualClock, *sources: Shop, shared=(), local=None, **options) -> Lookup:
    local = [MemoryCache(clock)] if local is None else local
    return Lookup(clock, local=local, shared=shared, sources=sources, executor=InlineExecutor(), **options)


def test_tiers_are_asked_in_order_and_what_is_found_is_promoted(tmp_path):
    clock = VirtualClock()
    history = Shop({"b": Loaded([2])}, "history")
    provider = Shop({"a": Loaded([1]), "b": Loaded(["not asked"]), "c": Loaded(table())})
    shared = SharedCache([DiskStore(tmp_path / "disk", clock)], clock)
    publish(tmp_path / "hot", "x", {"h": entry(table(3))})
    memory, hot = MemoryCache(clock), HotSet(tmp_path / "hot", clock)
    lookup = make(clock, history, provider, shared=[shared], local=[memory, hot])

    answers = lookup.get_many([Request(key) for key in "abch"])
    assert {key: answer.tier for key, answer in answers.items()} == {
        "a": "provider",
        "b": "history",
        "c": "provider",
        "h": "hot_set",
    }
    assert (history.calls, provider.calls, provider.asked) == (1, 1, ["a", "c"])
    assert {lookup.get(Request(key)).tier for key in "abc"} == {"memory"}
    memory.clear()
    assert {lookup.get(Request(key)).tier for key in "abc"} == {"shared"}
    assert {lookup.get(Request(key)).tier for key in "abc"} == {"memory"}
    assert (lookup.get(Request("a")).value, lookup.get(Request("b")).value) == ([1], [2])
    assert lookup.get(Request("c")).value.equals(table())
    counts = lookup.counters.by_tier()
    assert (counts["memory"].hits, counts["memory"].misses) == (9, 7)
    assert (counts["shared"].hits, counts["shared"].misses) == (3, 3)
    assert (counts["history"].hits, counts["history"].misses) == (1, 2)
    assert (counts["provider"].hits, counts["provider"].misses) == (2, 0)
    assert lookup.counters.hit_ratio(lookup.tiers) == 13 / 16
    assert lookup.clear("") == {"memory": 3, "hot_set": 1, "shared": 3}
    assert lookup.get(Request("a")).tier == "provider"


def test_concurrent_misses_compute_once_and_all_get_the_value():
    provider = Shop({"a": Loaded([1])}, gate=Event())
    lookup = make(VirtualClock(), provider)
    start = Barrier(9)

    def ask(_: int):
        start.wait()
        return lookup.get(Request("a")).value

    with ThreadPoolExecutor(8) as pool:
        found = [pool.submit(ask, number) for number in range(8)]
        start.wait()
        time.sleep(0.05)
        provider.gate.set()
        assert [future.result() for future in found] == [[1]] * 8
    assert provider.asked == ["a"]


def test_many_threads_over_many_keys_compute_each_once():
    keys = [str(number) for number in range(40)]
    provider = Shop({key: Loaded([key]) for key in keys})
    lookup = make(VirtualClock(), provider)

    def ask(seed: int) -> bool:
        mine = keys[seed % 7 :: 1 + seed % 3]
        return all(answer.value == [key] for key, answer in lookup.get_many(map(Request, mine)).items())

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(60)))
    assert sorted(provider.asked) == sorted(keys)


def test_an_error_goes_to_all_who_wait_and_is_not_kept(monkeypatch):
    provider = Shop(trouble=ConnectionError("no line"), gate=Event())
    lookup = make(VirtualClock(), provider)
    board, boarded = lookup._flights.board, []

    def counted(keys):
        found = board(keys)
        boarded.append(found)
        return found

    monkeypatch.setattr(lookup._flights, "board", counted)
    with ThreadPoolExecutor(4) as pool:
        found = [pool.submit(lookup.get, Request("a")) for _ in range(4)]
        until(lambda: len(boarded) == 4, "all who ask")
        provider.gate.set()
        answers = [future.result() for future in found]
    for answer in answers:
        with pytest.raises(ConnectionError, match="no line"):
            _ = answer.value
    assert provider.calls == 1
    provider.trouble, provider.stock = None, {"a": Loaded([1])}
    assert lookup.get(Request("a")).value == [1]


def test_one_failure_keeps_nothing_valid_from_coming():
    provider = Shop({"a": Loaded([1]), "b": Failed(TimeoutError("too slow"))})
    lookup = make(VirtualClock(), provider)
    answers = lookup.get_many(map(Request, "abc"))
    assert answers["a"].value == [1]
    assert isinstance(answers["b"].error, TimeoutError)
    with pytest.raises(LookupError, match="provider did not say"):
        _ = answers["c"].value
    assert lookup.counters.by_tier()["provider"].errors == 1


def test_a_failing_source_is_passed_over_for_the_next():
    history = Shop(name="history", trouble=OSError("locked"))
    provider = Shop({"a": Loaded([1])})
    lookup = make(VirtualClock(), history, provider)
    assert lookup.get(Request("a")).value == [1]
    assert lookup.counters.by_tier()["history"].errors == 1


def test_the_last_bar_is_served_stale_while_it_is_fetched_anew():
    clock = VirtualClock()
    provider = Shop({"a": Loaded([1])})
    lookup = make(clock, provider)
    request = Request("a", expiry=minutes(5))
    assert lookup.get(request).value == [1]
    provider.stock = {"a": Loaded([2])}
    clock.pass_by(5 * 60)
    stale = lookup.get(request)
    assert (stale.value, stale.stale, stale.tier) == ([1], True, "memory")
    fresh = lookup.get(request)
    assert (fresh.value, fresh.stale) == ([2], False)
    clock.pass_by(36 * 60)
    provider.stock = {"a": Loaded([3])}
    assert lookup.get(request).value == [3]  # gone: waited for
    assert lookup.counters.by_tier()["memory"].stale == 1
    assert lookup.counters.background_by_tier() == {"provider": 1}


def test_a_refresh_that_fails_leaves_the_stale_value_and_is_not_repeated_at_once():
    clock = VirtualClock()
    provider = Shop({"a": Loaded([1])})
    lookup = make(clock, provider, retry_seconds=30)
    request = Request("a", expiry=minutes(5))
    lookup.get(request)
    provider.trouble = ConnectionError("no line")
    clock.pass_by(6 * 60)
    assert [lookup.get(request).value for _ in range(5)] == [[1]] * 5
    assert provider.calls == 2
    clock.pass_by(30)
    provider.trouble, provider.stock = None, {"a": Loaded([2])}
    assert lookup.get(request).stale
    assert lookup.get(request).value == [2]


def test_many_stale_requests_start_one_refresh():
    clock = VirtualClock()
    provider = Shop({"a": Loaded([1])})
    lookup = Lookup(clock, local=[MemoryCache(clock)], sources=[provider])
    request = Request("a", expiry=minutes(5))
    lookup.get(request)
    provider.gate = Event()
    clock.pass_by(6 * 60)
    with ThreadPoolExecutor(8) as pool:
        assert all(answer.stale for answer in pool.map(lambda _: lookup.get(request), range(50)))
    provider.gate.set()
    lookup.close()
    assert provider.calls == 2
    assert lookup.get(request).stale is False
    clock.pass_by(6 * 60)
    assert lookup.get(request).stale  # closed: no more refreshes, and no error


def test_what_l3_has_of_old_is_replaced_by_the_provider_or_shown_when_that_fails():
    clock = VirtualClock()
    history = Shop({"a": Loaded(["old"], as_of=clock.now - 86_400)}, "history")
    provider = Shop({"a": Loaded(["new"])})
    request = Request("a", expiry=minutes(5))
    assert make(clock, history, provider).get(request).value == ["new"]
    provider.trouble = ConnectionError("no line")
    answer = make(clock, history, provider).get(request)
    assert (answer.value, answer.stale, answer.tier) == (["old"], True, "history")
    history.stock = {"a": Loaded(["recent"], as_of=clock.now - 600)}
    provider.trouble, provider.calls = None, 0
    lookup = make(clock, history, provider)
    assert lookup.get(request).value == ["recent"]  # at once; the provider only in the background
    assert lookup.get(request).value == ["new"]


def test_an_unknown_ticker_is_remembered_for_a_short_while():
    clock = VirtualClock()
    provider = Shop({"x": Absent("no ticker XYZ")})
    lookup = make(clock, provider, negative_seconds=300)
    for _ in range(3):
        with pytest.raises(UnknownError, match="XYZ"):
            _ = lookup.get(Request("x")).value
    assert provider.calls == 1
    assert lookup.counters.by_tier()["negative"].hits == 2
    clock.pass_by(300)
    provider.stock = {"x": Loaded([1])}
    assert lookup.get(Request("x")).value == [1]
    provider.stock = {"y": Absent("no ticker")}
    lookup.get(Request("y"))
    lookup.forget("y")
    lookup.get(Request("y"))
    assert provider.asked.count("y") == 2


def test_a_value_that_cannot_be_kept_is_handed_through(caplog):
    provider = Shop({"a": Loaded({"x": float("nan")})})
    lookup = make(VirtualClock(), provider)
    assert str(lookup.get(Request("a")).value) == "{'x': nan}"
    assert str(lookup.get(Request("a")).value) == "{'x': nan}"
    assert provider.calls == 2
    assert "not kept" in caplog.text


def test_a_value_that_asks_for_itself_is_an_error_and_not_a_wait_for_ever():
    lookup = make(VirtualClock(), ComputedSource())
    request = Request("a", lambda: lookup.get(request).value)
    with pytest.raises(RecursionError, match="a asks for itself"):
        _ = lookup.get(request).value
    assert lookup.get(Request("b", lambda: [lookup.get(Request("c", lambda: 1)).value])).value == [1]


def test_an_interrupt_frees_those_who_wait():
    class Interrupted:
        name = "provider"

        def load(self, _requests):
            raise KeyboardInterrupt

    lookup = make(VirtualClock(), Interrupted())
    with pytest.raises(KeyboardInterrupt):
        lookup.get(Request("a"))
    assert "a" not in lookup._flights


def test_the_background_is_counted_apart():
    lookup = make(VirtualClock(), Shop({"a": Loaded([1])}))
    lookup.get(Request("a"), background=True)
    lookup.get(Request("a"), background=True)
    assert lookup.counters.by_tier() == {}
    assert lookup.counters.background_by_tier() == {"provider": 1, "memory": 1}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["ask", "wait", "drop", "change"]), st.integers(0, 4)), max_size=40)
)
def test_answers_are_never_older_than_the_policy_allows(operations):
    """Whatever the order of requests, waits and lost memory: a value was true no longer ago than it may be shown."""
    clock = VirtualClock()
    provider = Shop()
    shared = MemoryCache(clock)
    shared.name = "shared"
    memory = MemoryCache(clock)
    lookup = make(clock, provider, local=[memory], shared=[shared])
    for what, number in operations:
        if what == "wait":
            clock.pass_by(number * 300)
        elif what == "drop":
            memory.clear()
        elif what == "change":
            shared.delete(str(number))
        else:
            provider.stock = {str(number): Loaded(clock.now)}
            answer = lookup.get(Request(str(number), expiry=minutes(5)))
            age = clock.now - answer.value
            assert age < (35 if answer.stale else 5) * 60


def test_results_are_invalidated_by_new_data_and_by_nothing_else():
    results = ResultsCache(make(VirtualClock(), ComputedSource()))
    computed = []

    def solve(parameters, data_version, code_version="1"):
        def compute():
            computed.append(data_version)
            return {"n": len(computed)}

        return results.get(
            "optimize", parameters, compute, code_version=code_version, data_version=data_version
        ).value

    one = {"tickers": {"A", "B"}, "risk_free": 0.0}
    assert solve(one, "d1") == {"n": 1}
    assert solve({"risk_free": 0, "tickers": frozenset("BA")}, "d1") == {"n": 1}
    assert solve({**one, "risk_free": 0.01}, "d1") == {"n": 2}
    assert solve(one, "d2") == {"n": 3}
    assert solve(one, "d1") == {"n": 1}
    assert solve(one, "d2", "2") == {"n": 4}
    assert solve(one, "d2") == {"n": 3}


def test_a_computation_that_fails_is_tried_again():
    results = ResultsCache(make(VirtualClock(), ComputedSource()))
    outcomes = [ValueError("infeasible"), None]

    def compute():
        trouble = outcomes.pop(0)
        if trouble is not None:
            raise trouble
        return "solved"

    first = results.get("optimize", {}, compute, code_version="1", data_version="1")
    with pytest.raises(ValueError, match="infeasible"):
        _ = first.value
    assert results.get("optimize", {}, compute, code_version="1", data_version="1").value == "solved"
    with pytest.raises(TypeError, match="function"):
        _ = results.lookup.get(Request("x", "no function")).value
