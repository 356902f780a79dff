"""The hot set is read without a copy, by all processes, while it is being replaced."""

from __future__ import annotations

import subprocess
import sys
from threading import Event, Thread

import polars as pl
import pyarrow as pa
import pytest

from finpipe.cache.entry import Expiry, UncacheableError
from finpipe.cache.hot_set import Cut, HotSet, publish
from finpipe_tests.cache.clock import VirtualClock
from finpipe_tests.cache.values import entry, table


def prices(rows: int, seed: int = 0) -> pa.Table:
    return pl.DataFrame({"t": [f"T{seed}"] * rows, "x": [float(seed)] * rows}).to_arrow()


def test_what_was_published_is_found_with_its_instants(tmp_path):
    clock = VirtualClock(100.0)
    entries = {
        "a": entry(prices(3, 1), at=5.0, expiry=Expiry(110.0, 120.0)),
        "none": entry(prices(1).slice(1), at=6.0),
        "b": entry(prices(2, 2), at=7.0),
    }
    publish(tmp_path, "sp500", entries)
    hot = HotSet(tmp_path, clock)
    for key, expected in entries.items():
        found = hot.get(key)
        assert found is not None
        assert found.payload.equals(expected.payload)
        assert (found.stored_at, found.expiry) == (expected.stored_at, expected.expiry)
    assert hot.get("other") is None
    assert hot.state().entries == 3
    clock.now = 119.0
    assert hot.get("a") is not None
    clock.now = 120.0
    assert hot.get("a") is None
    assert pl.read_ipc(tmp_path / "sp500.arrow").height == 5


def test_nothing_is_copied(tmp_path):
    publish(tmp_path, "big", {str(number): entry(table(20_000, number)) for number in range(50)})
    hot = HotSet(tmp_path, VirtualClock())
    before = pa.total_allocated_bytes()
    held = [hot.get(str(number)) for number in range(50)]
    assert all(held)
    assert pa.total_allocated_bytes() - before < 20_000


def test_a_replaced_file_is_seen_and_the_old_one_can_be_read_on(tmp_path):
    clock = VirtualClock()
    publish(tmp_path, "x", {"a": entry(prices(3, 1)), "gone": entry(prices(1))})
    publish(tmp_path, "y", {"c": entry(table(4))})
    hot = HotSet(tmp_path, clock, look_every=1.0)
    old = hot.get("a")
    publish(tmp_path, "x", {"a": entry(prices(4, 2))})
    clock.pass_by(1.0)
    new = hot.get("a")
    assert old is not None
    assert new is not None
    assert old.payload.equals(prices(3, 1))
    assert new.payload.equals(prices(4, 2))
    assert hot.get("gone") is None
    assert hot.get("c") is not None
    assert not list(tmp_path.glob(".*"))


def test_readers_never_see_half_a_file(tmp_path):
    publish(tmp_path, "x", {"a": entry(prices(1, 1)), "b": entry(prices(1, 1))})
    over, wrong, seen = Event(), [], set()

    def read() -> None:
        hot = HotSet(tmp_path, VirtualClock(), look_every=0.0)
        while not over.is_set():
            found = hot.get("a")
            if found is None or len(set(found.payload["x"].to_pylist())) != 1:
                wrong.append(found)
            else:
                seen.add(found.payload.num_rows)
        if hot.state().undecodable:
            wrong.append("undecodable")

    threads = [Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(1, 20):
        publish(tmp_path, "x", {"b": entry(prices(number)), "a": entry(prices(number, number))})
    over.set()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(seen) > 1


def test_another_process_reads_the_same_file(tmp_path):
    publish(tmp_path, "x", {"a": entry(prices(3, 7))})
    code = (
        "import sys, pathlib; from finpipe.cache.hot_set import HotSet;"
        "print(HotSet(pathlib.Path(sys.argv[1]), lambda: 0.0).get('a').payload['x'].to_pylist())"
    )
    said = subprocess.run(
        [sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True
    ).stdout
    assert said.strip() == "[7.0, 7.0, 7.0]"


@pytest.mark.parametrize("damage", [b"", b"ARROW1 no", None])
def test_a_damaged_file_is_a_miss_and_counted(tmp_path, damage):
    path = publish(tmp_path, "x", {"a": entry(table(100))})
    path.write_bytes(path.read_bytes()[:-200] if damage is None else damage)
    pl.DataFrame({"x": [1]}).write_ipc(tmp_path / "foreign.arrow")
    publish(tmp_path, "y", {"b": entry()})
    hot = HotSet(tmp_path, VirtualClock())
    assert hot.get("a") is None
    assert hot.get("b") is not None
    assert hot.state().undecodable == 2


def test_no_folder_is_no_hot_set(tmp_path):
    hot = HotSet(tmp_path / "missing", VirtualClock())
    assert hot.get("a") is None
    assert hot.state().entries == 0


def test_what_cannot_be_published_is_named(tmp_path):
    with pytest.raises(UncacheableError, match="b has the schema"):
        publish(tmp_path, "x", {"a": entry(table()), "b": entry(prices(1))})
    with pytest.raises(UncacheableError, match="a is JSON"):
        publish(tmp_path, "x", {"a": entry([1])})
    with pytest.raises(ValueError, match="cannot name"):
        publish(tmp_path, "../x", {})
    assert not list(tmp_path.iterdir())


def test_clear_removes_files_that_hold_nothing_else(tmp_path):
    publish(tmp_path, "x", {"p:1": entry(), "p:2": entry()})
    publish(tmp_path, "y", {"p:3": entry(), "q:1": entry()})
    hot = HotSet(tmp_path, VirtualClock())
    assert hot.clear("p:") == 2
    assert hot.get("p:1") is None
    assert hot.get("p:3") is not None
    publish(tmp_path, "y", {})
    assert hot.clear() == 0


def test_cuts_are_rows_of_an_entry_and_take_no_room(tmp_path):
    clock = VirtualClock(100.0)
    whole = entry(prices(40, 1), at=5.0, expiry=Expiry(110.0, 120.0))
    alone = publish(tmp_path / "alone", "x", {"a": entry(prices(3)), "b": whole}).stat().st_size
    both = publish(
        tmp_path / "both",
        "x",
        {"a": entry(prices(3)), "b": whole},
        {"last": Cut("b", 30, 10), "no": Cut("b", 40, 0)},
    )
    assert both.stat().st_size < alone + 256
    hot = HotSet(tmp_path / "both", clock)
    found, empty = hot.get("last"), hot.get("no")
    assert found is not None
    assert empty is not None
    assert found.payload.equals(whole.payload.slice(30))
    assert (found.stored_at, found.expiry) == (5.0, whole.expiry)
    assert empty.payload.num_rows == 0
    assert hot.state().entries == 4


@pytest.mark.parametrize("cut", [Cut("a", 0, 4), Cut("a", -1, 2), Cut("other", 0, 1), Cut("a", 2, -1)])
def test_a_cut_outside_of_its_entry_is_named(tmp_path, cut):
    with pytest.raises(ValueError, match="last is cut from rows"):
        publish(tmp_path, "x", {"a": entry(prices(3))}, {"last": cut})
    assert not list(tmp_path.iterdir())
