"""Ratios over any window equal those of a plain list of what was answered when."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finpipe.cache.counters import Counters, TierCounts
from finpipe.cache.lookup import Lookup
from finpipe.cache.memory import MemoryCache
from finpipe.cache.request import Request
from finpipe.cache.results import ComputedSource
from finpipe.cache.status import cache_status
from finpipe.cache.traffic import Traffic
from finpipe_tests.cache.clock import VirtualClock


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 400), st.sampled_from(["memory", "shared", "provider"]))),
    st.floats(1, 3000),
)
def test_windows(events, window):
    clock = VirtualClock(0.0)
    counters = Counters(clock)
    plain = []
    for pause, tier in events:
        clock.pass_by(pause)
        counters.answered(tier)
        plain.append((clock.now, tier))
    start = math.floor((clock.now - window) / 60) * 60  # windows begin at a full minute
    inside = [tier for at, tier in plain if at >= start]
    assert counters.requests(window) == {tier: inside.count(tier) for tier in set(inside)}
    everything = [tier for _, tier in plain]
    assert counters.requests() == {tier: everything.count(tier) for tier in set(everything)}
    ratio = counters.hit_ratio(["memory", "shared"], window)
    if inside:
        assert ratio == pytest.approx(1 - inside.count("provider") / len(inside))
    else:
        assert math.isnan(ratio)


def test_counts_by_tier():
    counters = Counters(VirtualClock())
    counters.answered("memory")
    counters.answered("memory", stale=True)
    counters.answered("provider", ["memory", "shared"])
    counters.error("provider")
    counters.background("memory")
    assert counters.by_tier() == {
        "memory": TierCounts(hits=2, stale=1, misses=1),
        "shared": TierCounts(misses=1),
        "provider": TierCounts(hits=1, errors=1),
    }
    assert counters.by_tier()["memory"].hit_ratio == pytest.approx(2 / 3)
    assert math.isnan(TierCounts().hit_ratio)


def test_old_minutes_are_forgotten():
    clock = VirtualClock()
    counters = Counters(clock, keep_minutes=3)
    for _ in range(10):
        clock.pass_by(60)
        counters.answered("memory")
    assert sum(counters.requests(60 * 60).values()) == 3
    assert sum(counters.requests().values()) == 10


def test_traffic_is_quiet_when_no_user_waits():
    traffic = Traffic()
    assert traffic.is_quiet
    with traffic.user(), traffic.user():
        assert not traffic.is_quiet
        assert not traffic.wait_until_quiet(0.01)
    assert traffic.wait_until_quiet(0.01)


def test_the_status_tells_it_all_as_json():
    clock = VirtualClock()
    lookup = Lookup(clock, local=[MemoryCache(clock, 100)], sources=[ComputedSource()])
    assert cache_status(lookup).as_json()["hit_ratio"] is None
    for _ in range(4):
        assert lookup.get(Request("a", lambda: [1, 2])).value == [1, 2]
    clock.pass_by(7200)
    lookup.get(Request("a", lambda: None))
    found = cache_status(lookup, 3600)
    assert (found.hit_ratio, found.requests) == (1.0, 1)
    told = json.loads(json.dumps(cache_status(lookup).as_json(), allow_nan=False))
    assert (told["hit_ratio"], told["requests"]) == (0.8, 5)
    assert told["tiers"][0] | {"bytes": 5, "budget": 100, "entries": 1} == told["tiers"][0]
    assert told["counts"]["computed"]["hits"] == 1
