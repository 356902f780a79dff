from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from finpipe.market.database_indexes import INDEXES, optimize, plan
from finpipe.market.krx_database import read_daily_prices
from finpipe.market.snapshot import DatabaseUnavailable
from finpipe_tests.market.sample_database import add_table, execute, read_only, sound_prices, write_prices

NAMES = [index.name for index in INDEXES]


@pytest.fixture
def path(tmp_path):
    path = write_prices(tmp_path / "krx_stock_data.db", sound_prices([f"{i:05}0" for i in range(200)]))
    add_table(
        path, "financial_periods", "id INTEGER PRIMARY KEY, stock_code, consolidation_type, available_date"
    )
    execute(
        path,
        "INSERT INTO financial_periods SELECT rowid, stock_code, '연결', "
        "CASE WHEN rowid < 790 THEN date ELSE '20240301' END FROM daily_prices",
    )
    for table, amount in (
        ("financial_items_bs_cf", "amount_current"),
        ("financial_items_pl", "amount_current_ytd"),
    ):
        add_table(path, table, f"id INTEGER PRIMARY KEY, period_id, item_code_normalized, {amount}")
        execute(
            path,
            f"INSERT INTO {table} SELECT NULL, financial_periods.id, item.stock_code, 1 FROM financial_periods "
            "JOIN (SELECT DISTINCT stock_code FROM daily_prices LIMIT 30) item",
        )
    return path


def index_names(path) -> set[str]:
    with closing(sqlite3.connect(path)) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'index'")}


def test_the_plan_shows_what_would_be_done_and_does_nothing(path):
    content = path.read_bytes()
    plans = plan(path)
    assert [item.name for item in plans] == NAMES
    assert all(item.query_plan and not item.exists and not item.obstacle for item in plans)
    assert all(
        item.sql.startswith(f"CREATE INDEX IF NOT EXISTS {item.name} ON {item.table}(") for item in plans
    )
    assert all("SCAN" in item.query_plan[0] for item in plans)
    assert plans[0].rows == 800
    assert path.read_bytes() == content


def test_the_indexes_are_created_and_used(path):
    told = []
    prices = read_daily_prices(path).frame
    result = optimize(path, tell=told.append)
    assert told == [*NAMES, "ANALYZE"]
    assert set(result.seconds) == {*NAMES, "ANALYZE"}
    assert set(NAMES) <= index_names(path)
    for item in result.after:
        assert item.exists
        assert any(f"INDEX {item.name}" in step for step in item.query_plan), item
    assert "COVERING" in result.after[0].query_plan[0]
    assert result.bytes_after > result.bytes_before
    assert read_daily_prices(path).frame.equals(prices)


def test_the_result_can_be_printed(path):
    text = str(optimize(path))
    assert f"{NAMES[0]}: created in" in text
    assert "- before: SCAN" in text
    assert f"+ after: SEARCH daily_prices USING COVERING INDEX {NAMES[0]}" in text
    assert "MB before" in text


def test_a_second_time_only_the_statistics_are_renewed(path):
    optimize(path)
    again = optimize(path)
    assert set(again.seconds) == {"ANALYZE"}
    assert f"{NAMES[0]}: was there already" in str(again)


def test_tables_that_are_absent_are_passed_over_and_named(tmp_path):
    path = write_prices(tmp_path / "prices.db", sound_prices())
    result = optimize(path)
    assert [item.obstacle for item in result.after][:2] == [
        "",
        "table financial_periods is not in the database",
    ]
    assert "table financial_periods is not in the database" in str(result)
    assert NAMES[0] in index_names(path)


def test_a_column_that_is_missing_is_named(tmp_path):
    path = tmp_path / "prices.db"
    add_table(path, "daily_prices", "stock_code TEXT, date TEXT")
    assert plan(path)[0].obstacle == "column market_type is missing"


def test_a_locked_database_is_left_alone(path):
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseUnavailable, match="locked by another"):
            optimize(path, timeout_s=0.1)
    assert not index_names(path) & set(NAMES)


def test_a_read_only_database_is_refused(path):
    with read_only(path) as copy, pytest.raises(DatabaseUnavailable, match="read-only"):
        optimize(copy)


def test_a_disk_without_room_is_refused(path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    with pytest.raises(DatabaseUnavailable, match="GB left"):
        optimize(path)
    assert not index_names(path) & set(NAMES)


def test_a_file_that_is_no_database_is_refused(tmp_path):
    (tmp_path / "text.db").write_bytes(b"no database" * 100)
    with pytest.raises(DatabaseUnavailable, match="not an SQLite database"):
        optimize(tmp_path / "text.db")
