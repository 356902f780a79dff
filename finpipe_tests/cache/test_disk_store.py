"""The disk cache keeps to its budget, survives damage and full disks, and serves two processes at once."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finpipe.cache.disk_store import DiskStore
from finpipe.cache.entry import FOREVER
from finpipe.cache.store import StoreError, StoreFullError
from finpipe_tests.cache.clock import VirtualClock


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["get", "put", "delete", "wait"]), st.integers(0, 7), st.integers(1, 60)),
        max_size=40,
    )
)
def test_it_is_an_lru_with_expiry_within_its_budget(operations):
    """Against a plain reference: a dictionary in order of use."""
    with TemporaryDirectory() as folder:
        clock = VirtualClock(0.0)
        store = DiskStore(Path(folder), clock, 100)
        plain: OrderedDict[str, tuple[bytes, float]] = OrderedDict()
        for what, name, number in operations:
            clock.pass_by(0.01)
            key = str(name)
            for old in [key for key, (_, expires) in plain.items() if expires <= clock.now]:
                del plain[old]
            if what == "wait":
                clock.pass_by(number)
            elif what == "get":
                assert store.get(key) == plain.get(key, (None,))[0]
                if key in plain:
                    plain.move_to_end(key)
            elif what == "delete":
                store.delete(key)
                plain.pop(key, None)
            elif number * 2 > 100:
                store.put(key, b"x" * number * 2, FOREVER)
            else:
                data, expires = bytes([number]) * number * 2, clock.now + 3 * number
                store.put(key, data, expires)
                plain.pop(key, None)
                plain[key] = (data, expires)
                while sum(len(kept) for kept, _ in plain.values()) > 100:
                    plain.popitem(last=False)
            assert (store.state().bytes or 0) <= 100
        assert {key: store.get(key) for key in map(str, range(8)) if store.get(key) is not None} == {
            key: data for key, (data, expires) in plain.items() if expires > clock.now
        }
        store.close()


def test_it_survives_the_process(tmp_path):
    clock = VirtualClock()
    store = DiskStore(tmp_path, clock)
    store.put("a", b"1", FOREVER)
    store.put("b", b"2", clock.now + 10)
    store.close()
    again = DiskStore(tmp_path, clock)
    assert (again.get("a"), again.get("b")) == (b"1", b"2")
    clock.pass_by(10)
    assert again.get("b") is None
    assert again.clear("a") == 1
    assert again.get("a") is None
    again.close()


def test_two_processes_share_one_folder_and_its_budget(tmp_path):
    code = """
import sys, time, random, pathlib
from finpipe.cache.disk_store import DiskStore
store = DiskStore(pathlib.Path(sys.argv[1]), time.time, 50_000, wait=200.0)
rng = random.Random(int(sys.argv[2]))
for _ in range(300):
    number = rng.randrange(40)
    data = store.get(str(number))
    if data is not None and data != bytes([number]) * 3000:
        sys.exit(f"{number} is damaged")
    if data is None:
        store.put(str(number), bytes([number]) * 3000, float("inf"))
    if store.state().bytes > 50_000:
        sys.exit("over budget")
store.close()
"""
    workers = [
        subprocess.Popen([sys.executable, "-c", code, tmp_path, str(seed)], stderr=subprocess.PIPE, text=True)
        for seed in (1, 2)
    ]
    said = [worker.communicate(timeout=280)[1] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], said
    state = DiskStore(tmp_path, VirtualClock(), 50_000).state()
    assert 0 < (state.bytes or 0) <= 50_000
    assert (state.entries or 0) * 3000 == state.bytes


def test_a_process_killed_while_it_writes_leaves_whole_entries(tmp_path):
    code = """
import sys, time, pathlib
from finpipe.cache.disk_store import DiskStore
store = DiskStore(pathlib.Path(sys.argv[1]), time.time, 10_000_000)
number = 0
while True:
    number += 1
    store.put(str(number % 50), bytes([number % 50]) * 100_000, float("inf"))
    if number == 20:
        print("going", flush=True)
"""
    worker = subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    assert worker.stdout.readline() == "going\n"
    time.sleep(0.05)
    worker.send_signal(signal.SIGKILL)
    worker.communicate()
    store = DiskStore(tmp_path, VirtualClock(), 10_000_000)
    found = [store.get(str(number)) for number in range(50)]
    assert sum(data is not None for data in found) >= 20
    assert all(data in {None, bytes([number]) * 100_000} for number, data in enumerate(found))
    store.put("a", b"1", FOREVER)
    assert store.get("a") == b"1"
    store.close()


@pytest.mark.parametrize("damage", ["garbage", "middle"])
def test_a_damaged_file_is_begun_anew(tmp_path, damage, caplog):
    store = DiskStore(tmp_path, VirtualClock())
    for number in range(50):
        store.put(str(number), b"x" * 5000, FOREVER)
    store.close()
    if damage == "garbage":
        store.path.write_bytes(b"no database" * 100)
    else:
        whole = bytearray(store.path.read_bytes())
        whole[100:60_000] = b"\xff" * 59_900
        store.path.write_bytes(bytes(whole))
    again = DiskStore(tmp_path, VirtualClock())
    with pytest.raises(StoreError, match="damaged"):
        [again.get(str(number)) for number in range(50)]
    again.put("a", b"1", FOREVER)
    assert again.get("a") == b"1"
    assert "begun anew 1 times" in again.state().detail
    assert "begun anew" in caplog.text
    again.close()


def test_a_file_that_was_removed_is_made_again(tmp_path):
    store = DiskStore(tmp_path / "cache", VirtualClock())
    store.put("a", b"1", FOREVER)
    for path in store.path.parent.iterdir():
        path.unlink()
    assert store.get("a") is None
    store.put("a", b"2", FOREVER)
    assert store.get("a") == b"2"
    store.close()


def test_a_full_disk_makes_room_among_what_is_kept(tmp_path):
    store = DiskStore(tmp_path, VirtualClock(), largest_file=200_000)
    for number in range(100):
        store.put(str(number), b"x" * 5000, FOREVER)
    state = store.state()
    assert 1 <= (state.entries or 0) < 40
    assert state.evictions > 50
    assert store.get("99") is not None
    with pytest.raises(StoreFullError, match="full"):
        store.put("large", b"x" * 250_000, FOREVER)
    assert store.get("a") is None
    store.close()


def test_a_disk_too_full_to_delete_is_begun_anew(tmp_path, monkeypatch, caplog):
    store = DiskStore(tmp_path, VirtualClock())
    for number in range(10):
        store.put(str(number), b"x" * 5000, FOREVER)
    insert, full_for = store._insert, [2]

    def full(*arguments):
        if full_for[0]:
            full_for[0] -= 1
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error
        insert(*arguments)

    monkeypatch.setattr(store, "_insert", full)
    store.put("new", b"1", FOREVER)
    assert store.get("new") == b"1"
    assert store.state().entries == 1
    assert "the disk is full" in caplog.text
    store.close()


def test_something_larger_than_the_budget_is_refused(tmp_path):
    store = DiskStore(tmp_path, VirtualClock(), 100)
    store.put("a", b"x" * 60, FOREVER)
    store.put("b", b"x" * 101, FOREVER)
    assert store.get("a") is not None
    assert store.get("b") is None
    assert store.state().refused == 1
    store.close()


def test_a_folder_that_cannot_be_used_is_an_error_of_the_store(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError):
        DiskStore(tmp_path / "file" / "x", VirtualClock()).put("a", b"1", FOREVER)


def test_a_file_held_by_another_is_an_error_and_not_a_wait_for_ever(tmp_path):
    store = DiskStore(tmp_path, VirtualClock(), wait=0.05)
    store.put("a", b"1", FOREVER)
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("begin exclusive")
    assert store.get("a") == b"1"
    with pytest.raises(StoreError, match="locked"):
        store.put("b", b"2", FOREVER)
    other.execute("rollback")
    other.close()
    store.put("b", b"2", FOREVER)
    store.close()


def test_threads_share_a_store(tmp_path):
    store = DiskStore(tmp_path, VirtualClock(), 20_000)

    def work(seed: int) -> None:
        for number in range(40):
            key = str((number * seed) % 17)
            assert store.get(key) in {None, key.encode() * 1000}
            store.put(key, key.encode() * 1000, FOREVER)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(1, 7)))
    assert 0 < (store.state().bytes or 0) <= 20_000
    store.close()
