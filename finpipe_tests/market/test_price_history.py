from __future__ import annotations

import datetime as dt
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finpipe.market.daily_bars import KEY, BarRequest, ProviderError
from finpipe.market.demo_bars import DemoBars, demo_group
from finpipe.market.price_history import COVERAGE_SCHEMA, PriceHistory
from finpipe_tests.market.test_daily_bars import DAY, make_bars

NOW = dt.datetime(2024, 6, 1, 12, tzinfo=dt.UTC)


@pytest.fixture
def history(tmp_path: Path) -> PriceHistory:
    return PriceHistory(tmp_path / "home" / "prices.duckdb")


@pytest.fixture(scope="module")
def market() -> pl.DataFrame:
    return (
        DemoBars()
        .fetch(BarRequest(demo_group().tickers[:12], dt.date(2022, 1, 1), dt.date(2024, 5, 31)))
        .bars
    )


def test_an_empty_history_has_nothing(history):
    assert history.read().is_empty()
    assert history.read(["AAPL"]).is_empty()
    assert history.coverage().schema == COVERAGE_SCHEMA
    assert history.coverage().is_empty()
    assert history.summaries(every="month").is_empty()
    assert not history.path.exists(), "reading makes nothing"


def test_what_was_written_is_read_in_order(history, market):
    history.upsert(market.filter(pl.col("ticker") > "DIS01"), NOW)
    history.upsert(market.filter(pl.col("ticker") <= "DIS01"), NOW)
    assert history.read().equals(market)
    some = ["DIS03", "COM01", "COM02", "XYZ"]
    start, end = dt.date(2023, 1, 3), dt.date(2023, 3, 31)
    wanted = market.filter(pl.col("ticker").is_in(some), pl.col("date").is_between(start, end))
    assert history.read(some, start, end).equals(wanted)
    assert history.read(["brk.b"]).is_empty()
    with duckdb.connect(str(history.path), read_only=True) as connection:
        assert connection.sql("SELECT count(*) FROM bars").fetchall() == [(market.height,)]


def test_corrected_bars_replace_old_ones(history):
    history.upsert(make_bars(5), NOW)
    fixed = make_bars(4, close=[10.5] * 4)[1:]
    later = NOW + dt.timedelta(days=1)
    history.upsert(fixed, later)
    read = history.read()
    assert read["close"].to_list() == [10.0, 10.5, 10.5, 10.5, 10.0]
    assert history.coverage()["fetched_at"].to_list() == [later]


def test_replaced_tickers_lose_their_old_bars_first(history):
    history.upsert(pl.concat([make_bars(5, "AAA"), make_bars(5, "BBB")]), NOW)
    history.upsert(make_bars(2, "AAA"), NOW, replaced=["AAA"])
    assert dict(history.read().group_by("ticker").len().iter_rows()) == {"AAA": 2, "BBB": 5}


def test_coverage_tells_what_is_held_asked_and_settled(history):
    last = DAY + dt.timedelta(days=4)
    history.upsert(
        make_bars(5),
        dt.datetime.combine(last, dt.time(22), dt.UTC),
        asked={"AAA": (dt.date(2020, 1, 1), last)},
    )
    row = history.coverage().row(0, named=True)
    assert (row["first"], row["last"], row["bars"]) == (DAY, last, 5)
    assert row["settled"] == last - dt.timedelta(days=1), "the last bar was fetched on its own day"
    assert (row["asked_from"], row["asked_to"]) == (dt.date(2020, 1, 1), last)
    seoul = dt.timezone(dt.timedelta(hours=9))
    history.upsert(make_bars(5)[4:], dt.datetime(2024, 3, 9, 8, tzinfo=seoul))
    row = history.coverage().row(0, named=True)
    assert row["fetched_at"] == dt.datetime(2024, 3, 8, 23, tzinfo=dt.UTC)
    assert row["asked_from"] == dt.date(2020, 1, 1), "ranges grow"


def test_bars_that_are_wrong_are_refused_and_change_nothing(history):
    history.upsert(make_bars(), NOW)
    with pytest.raises(ProviderError, match="close is -1"):
        history.upsert(make_bars(1, close=[-1.0]), NOW)
    with pytest.raises(ProviderError, match="not sorted"):
        history.upsert(make_bars()[::-1], NOW)
    with pytest.raises(ProviderError, match="has no time zone"):
        history.upsert(make_bars(), NOW.replace(tzinfo=None))
    assert history.read().equals(make_bars())


def test_a_file_that_is_no_history_is_told(history):
    history.path.parent.mkdir()
    history.path.write_text("not a database at all, but long enough to look at" * 100)
    with pytest.raises(ProviderError, match=r"prices\.duckdb cannot be opened"):
        history.upsert(make_bars(), NOW)
    history.path.unlink()
    history.upsert(make_bars(), NOW)
    history.arrow_path.write_bytes(b"damaged")
    with pytest.raises(ProviderError, match=r"prices\.arrow is damaged .* delete it"):
        history.read()
    history.arrow_path.unlink()
    assert history.read().equals(make_bars()), "it is made again"


def test_readers_neither_wait_for_a_writer_nor_hold_one_up(history, market):
    history.upsert(make_bars(), NOW)
    before = history.read()
    with history._writer() as connection:
        connection.execute("BEGIN")
        connection.execute("DELETE FROM bars")
        assert history.read().equals(before)
        assert history.coverage().height == 1
        connection.execute("ROLLBACK")
    history.upsert(market, NOW)
    assert before.equals(make_bars()), "what was read stays what it was"
    assert history.read().height == market.height + 5


def test_writers_wait_for_each_other(history):
    threads = [threading.Thread(target=history.upsert, args=(make_bars(5, f"T{i}"), NOW)) for i in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert history.read()["ticker"].n_unique() == 5
    left = sorted(file.name for file in history.path.parent.iterdir())
    assert left == ["prices.arrow", "prices.duckdb", "prices.duckdb.lock"]


def test_a_commit_whose_arrow_file_was_not_written_is_made_good(history, monkeypatch):
    history.upsert(make_bars(2), NOW)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(PriceHistory, "_publish", killed)
        with pytest.raises(KeyboardInterrupt):
            history.upsert(make_bars(5), NOW)
    assert history.read().height == 2, "readers still see the old bars"
    history.upsert(make_bars(1, "BBB"), NOW)
    assert dict(history.read().group_by("ticker").len().iter_rows()) == {"AAA": 5, "BBB": 1}


WRITER = """
import datetime as dt, sys
from pathlib import Path
import polars as pl
from finpipe.market.price_history import PriceHistory
history = PriceHistory(Path(sys.argv[1]))
bars = pl.read_parquet(sys.argv[2])
number = 1
print("ready", flush=True)
while True:
    number += 1
    history.upsert(bars.with_columns(volume=pl.lit(number, pl.Int64)), dt.datetime(2024, 6, 1, tzinfo=dt.UTC))
"""


def test_a_killed_writer_leaves_the_old_or_the_new_bars(history, market, tmp_path):
    history.upsert(market.with_columns(volume=pl.lit(1, pl.Int64)), NOW)
    market.write_parquet(tmp_path / "bars.parquet")
    random = np.random.default_rng(5)
    for _ in range(3):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(history.path), str(tmp_path / "bars.parquet")],
            stdout=subprocess.PIPE,
        )
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        until = time.monotonic() + random.uniform(0.3, 0.8)
        while time.monotonic() < until:
            assert history.read()["volume"].n_unique() == 1, "a reader never sees a mixture"
        os.kill(writer.pid, signal.SIGKILL)
        writer.communicate()
        read = history.read()
        assert read.height == market.height
        assert read["volume"].n_unique() == 1
    history.upsert(make_bars(1, "ZZZ"), NOW)
    read = history.read()
    assert read.height == market.height + 1
    assert read.filter(pl.col("ticker") != "ZZZ")["volume"].n_unique() == 1
    assert read["volume"][0] > 1, "the writers got somewhere"


@settings(max_examples=12, deadline=None)
@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from("ABC"), st.integers(0, 9), st.floats(1, 99)), max_size=6),
        max_size=4,
    )
)
def test_any_upserts_end_like_a_dictionary(tmp_path_factory, batches):
    history = PriceHistory(tmp_path_factory.mktemp("h") / "p.duckdb")
    plain: dict[tuple[str, dt.date], float] = {}
    for batch in batches:
        rows = {(ticker, DAY + dt.timedelta(days=day)): close for ticker, day, close in batch}
        plain |= rows
        keys = sorted(rows)
        bars = make_bars(
            len(keys),
            ticker=[key[0] for key in keys],
            date=[key[1] for key in keys],
            close=[rows[key] for key in keys],
        )
        history.upsert(bars, NOW)
    read = history.read()
    assert {row[:2]: row[2] for row in read.select(*KEY, "close").iter_rows()} == plain
    assert read.select(KEY).rows() == sorted(plain)


def test_another_process_reads_what_this_one_wrote(history):
    history.upsert(make_bars(), NOW)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(history.read).equals(make_bars())
