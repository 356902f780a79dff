from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from finpipe.market import snapshot
from finpipe.market.krx_database import read_daily_prices
from finpipe.market.snapshot import DatabaseUnavailable, commit_state, connect
from finpipe.market.source_reader import read_tables
from finpipe.market.source_tables import DAILY_PRICES
from finpipe_tests.market.sample_database import (
    aged,
    by_the_owner,
    execute,
    files_beside,
    price,
    read_only,
    sound_prices,
    write_prices,
)

STOCKS, ROUNDS = 1000, 2

WRITER = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)
pause = float(sys.argv[2])
print("writing", flush=True)
while True:
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("UPDATE daily_prices SET closing_price = closing_price + 1 WHERE rowid % 2")
    connection.execute("UPDATE daily_prices SET closing_price = closing_price + 1 WHERE rowid % 2 = 0")
    connection.execute("COMMIT")
    time.sleep(pause)
"""

LOCKER = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
time.sleep(float(sys.argv[2]))
connection.execute("COMMIT")
"""


@contextmanager
def running(program: str, *arguments: object):
    """A Python process that has said its first word."""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()


def many_prices(path: Path, *, wal: bool) -> Path:
    return write_prices(path, sound_prices([f"{i:05}0" for i in range(STOCKS)], ["20200102"]), wal=wal)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "krx_stock_data.db"


@pytest.fixture
def in_small_parts(monkeypatch):
    monkeypatch.setattr(snapshot, "_ROWS_PER_PART", STOCKS // 8)


@pytest.mark.usefixtures("in_small_parts")
@pytest.mark.parametrize(("wal", "pause"), [(True, 0.0), (True, 0.2), (False, 0.002)])
def test_every_read_sees_one_moment_while_another_process_commits(path, wal, pause):
    many_prices(path, wal=wal)
    seen = []
    with running(WRITER, path, pause):
        for _ in range(ROUNDS):
            frame = read_tables(path, [DAILY_PRICES])["daily_prices"].frame
            assert frame.height == STOCKS
            assert frame["closing_price"].n_unique() == 1
            seen.append(frame["closing_price"][0])
    assert seen == sorted(seen)
    assert seen[-1] > seen[0]


@pytest.mark.usefixtures("in_small_parts")
@pytest.mark.parametrize("wal", [True, False])
def test_every_read_sees_one_moment_while_another_thread_commits(path, wal):
    many_prices(path, wal=wal)
    stop = threading.Event()

    def write() -> None:
        with closing(sqlite3.connect(path, timeout=30)) as connection:
            while not stop.is_set():
                connection.execute(
                    "UPDATE daily_prices SET closing_price = closing_price + 1 WHERE rowid % 2"
                )
                connection.execute(
                    "UPDATE daily_prices SET closing_price = closing_price + 1 WHERE rowid % 2 = 0"
                )
                connection.commit()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(ROUNDS):
            assert read_tables(path, [DAILY_PRICES])["daily_prices"].frame["closing_price"].n_unique() == 1
    finally:
        stop.set()
        writer.join()


@pytest.mark.usefixtures("in_small_parts")
def test_the_parallel_read_alone_would_mix_moments(path, monkeypatch):
    many_prices(path, wal=True)
    monkeypatch.setattr(snapshot, "_version", lambda *_: 1)
    with running(WRITER, path, 0.0):
        mixed = any(
            read_tables(path, [DAILY_PRICES])["daily_prices"].frame["closing_price"].n_unique() > 1
            for _ in range(10 * ROUNDS)
        )
    assert mixed


@pytest.mark.usefixtures("in_small_parts")
def test_a_writer_between_two_parallel_reads_is_noticed(path, monkeypatch):
    many_prices(path, wal=False)
    in_parallel, calls = snapshot._in_parallel, []

    def disturbed(*arguments):
        result = in_parallel(*arguments)
        if not calls:
            execute(path, "UPDATE daily_prices SET volume = 77")
        calls.append(result is not None)
        return result

    monkeypatch.setattr(snapshot, "_in_parallel", disturbed)
    assert set(read_daily_prices(path).frame["volume"]) == {77}
    assert calls == [True, True]


def test_a_writer_during_an_immutable_read_is_noticed(path, monkeypatch):
    aged(write_prices(path, sound_prices(), wal=True))
    in_transaction, calls = snapshot._in_transaction, []

    def disturbed(*arguments):
        result = in_transaction(*arguments)
        if not calls:
            execute(path, "UPDATE daily_prices SET volume = 77")
        calls.append(result)
        return result

    monkeypatch.setattr(snapshot, "_in_transaction", disturbed)
    assert set(read_daily_prices(path).frame["volume"]) == {77}
    assert len(calls) == 2


@pytest.mark.usefixtures("in_small_parts")
@pytest.mark.parametrize("wal", [True, False])
def test_all_ways_of_reading_give_the_same(path, monkeypatch, wal):
    rows = [
        price(change="-"),
        price("000660", change_rate=None),
        price("000670", volume=None, change_rate=""),
    ]
    aged(write_prices(path, rows + sound_prices([f"{i:05}0" for i in range(100, 500)]), wal=wal))
    in_parallel, worked = snapshot._in_parallel, []
    monkeypatch.setattr(snapshot, "_in_parallel", lambda *a: worked.append(in_parallel(*a)) or worked[-1])
    fast = read_daily_prices(path)
    assert worked[-1] is not None
    monkeypatch.setattr(snapshot, "_PARALLEL_ATTEMPTS", 0)
    careful = read_daily_prices(path)
    assert len(worked) == 1
    assert careful.frame.equals(fast.frame)
    assert careful.counts == fast.counts


@pytest.mark.usefixtures("in_small_parts")
def test_without_the_parallel_reader_the_tables_are_read_all_the_same(path, monkeypatch, tmp_path):
    many_prices(path, wal=False)
    monkeypatch.setattr(snapshot, "_PARALLEL_READER", tmp_path / "absent.py")
    assert read_daily_prices(path).frame.height == STOCKS


@pytest.mark.parametrize("wal", [False, True])
def test_the_state_tells_every_commit(path, wal):
    write_prices(path, sound_prices(), wal=wal)
    states = [commit_state(path)]
    with closing(sqlite3.connect(path)) as writer:
        for change in ("volume = volume + 1", "volume = volume - 1", "value = value + 1"):
            writer.execute(f"UPDATE daily_prices SET {change}")
            writer.commit()
            states.append(commit_state(path))
    assert len(set(states)) == 4


def test_the_state_stays_while_nobody_writes(path):
    aged(write_prices(path, sound_prices()))
    state = commit_state(path)
    read_daily_prices(path)
    assert commit_state(path) == state


@pytest.mark.parametrize("wal", [False, True])
def test_the_state_tells_a_commit_that_leaves_the_time_of_writing_as_it_was(path, wal):
    write_prices(path, sound_prices(), wal=wal)
    aged(path)
    before, state = path.stat(), commit_state(path)
    with closing(sqlite3.connect(path)) as writer:
        writer.execute("UPDATE daily_prices SET volume = volume + 1")
        writer.commit()
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert path.stat().st_mtime_ns == before.st_mtime_ns
        assert commit_state(path) != state


NAMES = ["한글 폴더/100% per%20cent.db", "q?mode=rw&x=1#h;+~!'\".db"]


@pytest.mark.usefixtures("in_small_parts")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("wal", [False, True])
def test_any_name_of_file_and_folder_works(tmp_path, monkeypatch, name, wal):
    monkeypatch.setattr(snapshot, "_in_transaction", None)
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    aged(many_prices(path, wal=wal))
    there = files_beside(path)
    assert read_daily_prices(path).frame.height == STOCKS
    with connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM daily_prices").fetchone() == (STOCKS,)
    assert files_beside(path) == there


def test_relative_paths_and_links_work(path, tmp_path, monkeypatch):
    write_prices(path, sound_prices(), wal=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "link.db").symlink_to(path)
    monkeypatch.chdir(tmp_path)
    assert read_daily_prices(Path("other/link.db")).frame.height == 8


@pytest.mark.parametrize("wal", [False, True])
def test_reading_leaves_the_file_and_its_folder_as_they_were(path, wal):
    aged(write_prices(path, sound_prices(), wal=wal))
    before, there = path.read_bytes(), files_beside(path)
    read_daily_prices(path)
    assert path.read_bytes() == before
    assert files_beside(path) == there


def test_the_log_of_a_writer_that_is_still_there_is_read_and_left(path):
    write_prices(path, sound_prices(), wal=True)
    with closing(sqlite3.connect(path)) as writer:
        writer.execute("UPDATE daily_prices SET volume = 77")
        writer.commit()
        main = path.read_bytes()
        log = path.with_name(path.name + "-wal").read_bytes()
        assert set(read_daily_prices(path).frame["volume"]) == {77}
        assert path.read_bytes() == main
        assert path.with_name(path.name + "-wal").read_bytes() == log


@pytest.mark.parametrize("wal", [False, True])
def test_a_connection_sees_the_moment_at_which_it_was_opened(path, wal):
    write_prices(path, sound_prices(), wal=wal)
    with closing(sqlite3.connect(path, timeout=0)) as writer, connect(path) as connection:
        if wal:
            writer.execute("DELETE FROM daily_prices")
            writer.commit()
        else:
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                writer.executescript("BEGIN; DELETE FROM daily_prices; COMMIT")
        assert connection.execute("SELECT count(*) FROM daily_prices").fetchone() == (8,)


def test_a_connection_cannot_write(path):
    write_prices(path, sound_prices())
    with pytest.raises(DatabaseUnavailable, match="readonly"), connect(path) as connection:
        connection.execute("DELETE FROM daily_prices")


@pytest.mark.parametrize("wal", [False, True])
def test_a_read_only_folder_is_enough(path, wal):
    with read_only(write_prices(path, sound_prices(), wal=wal)) as copy:
        assert read_daily_prices(copy).frame.height == 8


def test_a_log_that_a_read_only_folder_hides_is_explained(path):
    with read_only(write_prices(path, sound_prices(), wal=True)) as copy:
        with by_the_owner(copy):
            copy.with_name(copy.name + "-wal").write_bytes(b"\x00" * 64)
        with pytest.raises(DatabaseUnavailable, match=r"-wal that cannot be read from a read-only folder"):
            read_daily_prices(copy)


def test_a_file_without_permission_to_read(path):
    with read_only(write_prices(path, sound_prices())) as copy:
        with by_the_owner(copy):
            copy.chmod(0o000)
        with pytest.raises(DatabaseUnavailable, match="Permission denied"):
            read_daily_prices(copy)


def test_a_lock_is_waited_for(path):
    write_prices(path, sound_prices())
    with running(LOCKER, path, 1.0):
        started = time.monotonic()
        assert read_daily_prices(path).frame.height == 8
        assert time.monotonic() - started > 0.5


def test_a_lock_that_lasts_names_who_holds_it(path):
    write_prices(path, sound_prices())
    with running(LOCKER, path, 60) as locker:
        with pytest.raises(
            DatabaseUnavailable, match=r"locked by another process for more than 0\.2 s"
        ) as caught:
            read_tables(path, [DAILY_PRICES], timeout_s=0.2)
        if Path("/proc/locks").exists() and str(path.stat().st_ino) in Path("/proc/locks").read_text():
            assert f"held by process {locker.pid} (" in str(caught.value)
        assert "Let the loader that writes to it finish" in str(caught.value)


def test_a_change_that_a_writer_left_half_done_is_explained(path):
    write_prices(path, sound_prices([f"{i:05}0" for i in range(3000)]))
    crash = """
import os, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA cache_size = 5")
connection.execute("BEGIN")
connection.execute("UPDATE daily_prices SET volume = volume + 1")
os._exit(0)
"""
    subprocess.run([sys.executable, "-c", crash, path], check=True)
    assert path.with_name(path.name + "-journal").exists()
    with pytest.raises(DatabaseUnavailable, match="a writer stopped in the middle of a change and left"):
        read_daily_prices(path)
    execute(path, "SELECT 1 FROM daily_prices")
    assert set(read_daily_prices(path).frame["volume"]) == {50}


def test_a_damaged_file_is_explained(path):
    write_prices(path, sound_prices([f"{i:05}0" for i in range(300)]))
    content = bytearray(path.read_bytes())
    content[8192:] = bytes(len(content) - 8192)
    path.write_bytes(content)
    with pytest.raises(DatabaseUnavailable, match="damaged"):
        read_daily_prices(path)
