"""L1 keeps what was used last, within a budget of the bytes that it really holds."""

from __future__ import annotations

from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finpipe.cache.buffers import BufferLedger, held_buffers
from finpipe.cache.entry import Expiry
from finpipe.cache.memory import MemoryCache
from finpipe.cache.pressure import MemoryPressure, used_memory
from finpipe_tests.cache.clock import VirtualClock
from finpipe_tests.cache.values import entry, table

ROW = 8


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["get", "put", "delete", "wait"]), st.integers(0, 7), st.integers(1, 60)),
        max_size=60,
    )
)
def test_it_is_an_lru_with_expiry_within_its_budget(operations):
    """Against a plain reference: a dictionary in order of use."""
    clock = VirtualClock(0.0)
    memory = MemoryCache(clock, 100 * ROW)
    plain: OrderedDict[str, tuple[int, float]] = OrderedDict()
    evictions = refused = 0
    for what, name, number in operations:
        key = str(name)
        for old in [key for key, (_, expires) in plain.items() if expires <= clock.now]:
            del plain[old]
        if what == "wait":
            clock.pass_by(number)
        elif what == "get":
            found = memory.get(key)
            assert (found is None) == (key not in plain)
            if found is not None:
                assert found.payload.num_rows == plain[key][0]
                plain.move_to_end(key)
        elif what == "delete":
            memory.delete(key)
            plain.pop(key, None)
        else:
            rows, expires = number * 2, clock.now + 3 * number
            memory.put(key, entry(table(rows), expiry=Expiry(expires, expires)))
            plain.pop(key, None)
            if rows > 100:
                refused += 1
                continue
            plain[key] = (rows, expires)
            while sum(size for size, _ in plain.values()) > 100:
                plain.popitem(last=False)
                evictions += 1
        assert memory.state().bytes <= 100 * ROW
    for old in [key for key, (_, expires) in plain.items() if expires <= clock.now]:
        del plain[old]
    memory.relieve()
    state = memory.state()
    assert (state.entries, state.bytes) == (len(plain), ROW * sum(size for size, _ in plain.values()))
    assert (state.evictions, state.refused) == (evictions, refused)


def test_shared_buffers_count_once_for_as_long_as_anyone_holds_them():
    memory = MemoryCache(VirtualClock(), 10_000)
    five_years = table(1000)
    memory.put("5y", entry(five_years))
    memory.put("1y", entry(five_years.slice(800)))
    memory.put("again", entry(five_years))
    assert memory.state().bytes == 8000
    memory.delete("5y")
    assert memory.state().bytes == 8000
    memory.delete("1y")
    memory.delete("again")
    assert memory.state().bytes == 0


def test_a_small_slice_of_something_large_costs_what_it_shows():
    memory = MemoryCache(VirtualClock(), 1 << 20)
    large = pl.DataFrame({"t": ["AAPL"] * 50_000, "x": np.arange(50_000.0)}).to_arrow()
    memory.put("a", entry(large.slice(100, 10)))
    assert memory.state().bytes < 4096
    kept = memory.get("a")
    assert kept is not None
    assert kept.payload.equals(large.slice(100, 10))


def test_replacing_does_not_count_twice():
    memory = MemoryCache(VirtualClock(), 10_000)
    for seed in range(5):
        memory.put("a", entry(table(100, seed)))
    memory.put("b", entry({"x": "y" * 50}))
    assert memory.state().bytes == 800 + len('{"x":""}') + 50
    assert memory.state().evictions == 0


def test_every_kind_of_buffer_is_seen():
    words = pa.array([f"word {number}" for number in range(100)]).dictionary_encode()
    nested = pa.table({"d": words, "s": pa.StructArray.from_arrays([words], ["d"])})
    seen = sum(held_buffers(nested).values())
    assert seen >= words.dictionary.nbytes + words.indices.nbytes
    ledger = BufferLedger()
    ledger.add(held_buffers(nested))
    assert ledger.bytes == seen
    assert ledger.added_bytes(held_buffers(pa.table({"d": words}))) == 0
    ledger.release(held_buffers(nested))
    assert ledger.bytes == 0


def test_it_gives_way_under_memory_pressure_and_recovers():
    clock, used = VirtualClock(), [0.5]
    pressure = MemoryPressure(clock, lambda: used[0], soft=0.8, hard=0.9)
    memory = MemoryCache(clock, 100 * ROW, pressure=pressure)
    for number in range(10):
        memory.put(str(number), entry(table(10, number)))
    memory.get("0")
    used[0] = 0.85
    memory.relieve()
    assert memory.state().entries == 10  # the last reading still counts
    clock.pass_by(1.0)
    memory.relieve()
    assert memory.state().bytes == pytest.approx(50 * ROW, abs=10 * ROW)
    assert memory.get("0") is not None
    assert memory.get("1") is None
    used[0] = 0.99
    clock.pass_by(1.0)
    memory.put("new", entry(table(1)))
    assert memory.state().entries == 0
    assert memory.state().refused == 1
    used[0] = 0.5
    clock.pass_by(1.0)
    memory.put("new", entry(table(50)))
    assert memory.get("new") is not None


def test_the_machine_says_how_full_it_is():
    assert 0 < used_memory() <= 1
    with pytest.raises(ValueError, match="soft"):
        MemoryPressure(VirtualClock(), soft=0.9, hard=0.8)


def test_entries_are_limited_in_number_too():
    memory = MemoryCache(VirtualClock(), 1000, max_entries=3)
    for number in range(5):
        memory.put(str(number), entry([]))
    assert [memory.get(str(number)) is not None for number in range(5)] == [False, False, True, True, True]
    assert memory.state().evictions == 2
    assert memory.state().bytes == 3 * len("[]")


def test_clear_takes_a_prefix():
    memory = MemoryCache(VirtualClock())
    for key in ("a:1", "a:2", "b:1"):
        memory.put(key, entry())
    assert memory.clear("a:") == 2
    assert memory.get("b:1") is not None
    assert memory.clear() == 1
    assert memory.state().bytes == 0


def test_threads_do_not_break_the_account():
    memory = MemoryCache(VirtualClock(), 50 * ROW)
    shared = table(20)

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for number in rng.integers(0, 12, 300):
            key = str(number)
            if memory.get(key) is None:
                memory.put(key, entry(shared if number % 3 == 0 else table(int(number) + 1)))
            if number == 5:
                memory.delete(key)
            assert memory.state().bytes <= 50 * ROW

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    memory.clear()
    assert memory.state().bytes == 0
