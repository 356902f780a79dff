from __future__ import annotations

import os
import sqlite3
from contextlib import closing

import pytest

from finpipe.market import table_counters as module
from finpipe.market.snapshot import DatabaseUnavailable
from finpipe.market.table_counters import Counters, table_counters
from finpipe_tests.market.sample_database import (
    add_table,
    aged,
    execute,
    price,
    sound_prices,
    write_prices,
)

TABLES = ("daily_prices", "stocks", "delisted_stocks")
STOCKS = "stock_code TEXT PRIMARY KEY, current_name TEXT, updated_at TIMESTAMP"
KEYED = " "
"""Gives the table its primary key."""
GROW = "INSERT INTO daily_prices (stock_code, date) VALUES ('005930', '20200108')"


@pytest.fixture(params=[False, True], ids=["journal", "wal"])
def path(request, tmp_path):
    path = write_prices(tmp_path / "krx_stock_data.db", sound_prices(), wal=request.param, key=KEYED)
    add_table(path, "stocks", STOCKS, [("005930", "삼성전자", "2020"), ("000660", None, None)])
    return path


def changed(path, *statements: str, exact_rows: int) -> tuple[str, ...]:
    before = table_counters(path, TABLES, exact_rows=exact_rows)
    execute(path, *statements)
    return table_counters(path, TABLES, before, exact_rows=exact_rows).changed_since(before)


@pytest.mark.parametrize("exact_rows", [0, 100])
@pytest.mark.parametrize(
    ("statement", "tables"),
    [
        (GROW, ("daily_prices",)),
        ("DELETE FROM daily_prices WHERE date = '20200107'", ("daily_prices",)),
        ("DELETE FROM daily_prices WHERE date = '20200102'", ("daily_prices",)),
        ("UPDATE daily_prices SET date = '20200109' WHERE date = '20200107'", ("daily_prices",)),
        ("INSERT INTO stocks VALUES ('000270', '기아', '2020')", ("stocks",)),
        ("CREATE TABLE delisted_stocks (stock_code TEXT, delisting_date TEXT)", ("delisted_stocks",)),
        ("CREATE TABLE news (text TEXT)", ()),
        ("DROP TABLE daily_prices", ("daily_prices",)),
    ],
)
def test_the_tables_that_were_written_to_are_named(path, statement, tables, exact_rows):
    assert changed(path, statement, exact_rows=exact_rows) == tables


def test_small_tables_are_compared_by_content_and_large_ones_by_counters(path):
    update = "UPDATE daily_prices SET volume = volume + 1 WHERE rowid = 1"
    assert changed(path, update, exact_rows=8) == ("daily_prices",)
    assert changed(path, update, exact_rows=7) == ()
    again = "INSERT OR REPLACE INTO daily_prices SELECT * FROM daily_prices WHERE date = '20200103'"
    assert changed(path, again, exact_rows=8) == ()
    assert changed(path, again, exact_rows=7) == ("daily_prices",)


def test_the_file_is_not_opened_while_nobody_writes(path, monkeypatch):
    aged(path)
    before = table_counters(path, TABLES)
    monkeypatch.setattr(module, "connect", None)
    assert table_counters(path, TABLES, before) is before


def test_a_commit_that_leaves_the_time_of_writing_as_it_was_is_seen(path):
    aged(path)
    before, status = table_counters(path, TABLES), path.stat()
    with closing(sqlite3.connect(path)) as writer:
        writer.execute(GROW)
        writer.commit()
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert table_counters(path, TABLES, before).changed_since(before) == ("daily_prices",)


def test_what_is_not_committed_does_not_count(path):
    before = table_counters(path, TABLES)
    with closing(sqlite3.connect(path)) as writer:
        writer.execute(GROW)
        assert table_counters(path, TABLES, before).changed_since(before) == ()


def test_a_large_table_without_an_index_on_its_day_is_not_read_for_it(tmp_path):
    path = write_prices(tmp_path / "krx_stock_data.db", [price()], key=KEYED)
    execute(path, "CREATE TABLE bare AS SELECT * FROM daily_prices")
    counted = table_counters(path, ("daily_prices", "bare"), exact_rows=0).tables
    assert "until 20200102" in counted["daily_prices"]
    assert "20200102" not in counted["bare"]


def test_views_and_tables_without_rowid_are_counted_too(tmp_path):
    path = write_prices(tmp_path / "krx_stock_data.db", sound_prices(), key="WITHOUT ROWID")
    execute(path, "CREATE VIEW stocks AS SELECT DISTINCT stock_code FROM daily_prices")
    before = table_counters(path, TABLES, exact_rows=0)
    execute(path, "DELETE FROM daily_prices WHERE stock_code = '005930'")
    assert table_counters(path, TABLES, before, exact_rows=0).changed_since(before) == (
        "daily_prices",
        "stocks",
    )


def test_a_table_that_was_not_counted_before_is_a_change(path):
    before = table_counters(path, TABLES[:1])
    assert table_counters(path, TABLES, before).changed_since(before) == TABLES[1:]


def test_a_locked_or_absent_database_is_named(path):
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("PRAGMA locking_mode = EXCLUSIVE")
        writer.execute("BEGIN EXCLUSIVE")
        writer.execute(GROW)
        with pytest.raises(DatabaseUnavailable, match="locked"):
            table_counters(path, TABLES, timeout_s=0.05)
    path.unlink()
    with pytest.raises(DatabaseUnavailable, match="no such database"):
        table_counters(path, TABLES, Counters({}, ""))
