"""The log holds what was asked for and nothing else, whoever writes and whatever fails."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pyarrow.parquet as pq

from finpipe.cache.usage.request_log import Asked, RequestLog, merge_batches, read_requests
from finpipe_tests.cache.clock import VirtualClock

MINUTE = 60.0


def test_rows_are_minutes_kinds_and_items_and_nothing_else(tmp_path):
    clock = VirtualClock(125.5)
    log = RequestLog(tmp_path, clock)
    log.record(["B", "A", "B"], kind="optimize")
    log.flush()
    assert list(log.read()) == [Asked(120.0, "optimize", ("B", "A"))]
    (path,) = tmp_path.iterdir()
    assert pq.read_schema(path).names == ["minute", "kind", "items"]


def test_requests_of_one_sitting_are_one_row_and_their_mark_is_not_written(tmp_path):
    clock = VirtualClock(0.0)
    log = RequestLog(tmp_path, clock, together_for=900, every=1e9)
    for ticker, mark in [("A", "secret-1"), ("X", "secret-2"), ("B", "secret-1"), ("A", "secret-1")]:
        log.record([ticker], together=mark)
        clock.pass_by(MINUTE)
    log.flush(all_sittings=False)
    assert list(log.read()) == []
    clock.pass_by(900)
    log.flush(all_sittings=False)
    assert sorted(row.items for row in log.read()) == [("A", "B"), ("X",)]
    assert all(b"secret" not in path.read_bytes() for path in tmp_path.iterdir())


def test_batches_are_written_by_number_and_by_time(tmp_path):
    clock = VirtualClock(0.0)
    log = RequestLog(tmp_path, clock, batch=3, every=100)
    for _ in range(7):
        log.record(["A"])
    assert len(list(log.read())) == 6
    clock.pass_by(100)
    log.record(["B"])
    assert len(list(log.read())) == 8
    assert len(list(tmp_path.iterdir())) == 3


def test_reading_takes_a_span_of_time_and_sorts(tmp_path):
    clock = VirtualClock(0.0)
    log = RequestLog(tmp_path, clock, batch=2)
    for number in range(6):
        log.record([str(number)])
        clock.pass_by(MINUTE)
    assert [row.items[0] for row in read_requests(tmp_path, since=MINUTE, until=4 * MINUTE)] == [
        "1",
        "2",
        "3",
    ]


def test_what_cannot_be_written_waits_and_the_oldest_is_dropped_and_counted(tmp_path, caplog):
    blocked = tmp_path / "log"
    blocked.write_text("")
    log = RequestLog(blocked, VirtualClock(), batch=1, most_waiting=5)
    for number in range(8):
        log.record([str(number)])
    assert (log.dropped, log.errors) == (3, 8)
    assert len(caplog.records) == 1
    blocked.unlink()
    log.flush()
    assert [row.items[0] for row in log.read()] == ["3", "4", "5", "6", "7"]


def test_a_damaged_batch_is_left_out(tmp_path, caplog):
    log = RequestLog(tmp_path, VirtualClock(), batch=1)
    log.record(["A"])
    (tmp_path / "0.parquet").write_bytes(b"no parquet")
    assert [row.items for row in log.read()] == [("A",)]
    assert "0.parquet" in caplog.text


def test_merging_keeps_every_row_since_and_can_be_repeated(tmp_path):
    clock = VirtualClock(0.0)
    log = RequestLog(tmp_path, clock, batch=1)
    for number in range(5):
        log.record([str(number)])
        clock.pass_by(MINUTE)
    assert merge_batches(tmp_path, keep_since=2 * MINUTE) == 3
    assert merge_batches(tmp_path) == 3
    log.record(["new"])
    assert [row.items[0] for row in log.read()] == ["2", "3", "4", "new"]
    assert len(list(tmp_path.iterdir())) == 2
    assert merge_batches(tmp_path, keep_since=1e12) == 0
    assert not list(tmp_path.iterdir())


def test_threads_lose_no_row(tmp_path):
    log = RequestLog(tmp_path, VirtualClock(), batch=7)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: log.record([str(number)]), range(200)))
    log.flush()
    assert sorted(int(row.items[0]) for row in log.read()) == list(range(200))
