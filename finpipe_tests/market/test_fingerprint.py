from __future__ import annotations

import json
import shutil

import pytest

from finpipe.market import snapshot
from finpipe.market.database_indexes import optimize
from finpipe.market.fingerprint import ABSENT, Fingerprints, combined, table_fingerprints
from finpipe.market.snapshot import DatabaseUnavailable
from finpipe_tests.market.sample_database import add_table, aged, execute, price, sound_prices, write_prices

TABLES = ("daily_prices", "stocks", "delisted_stocks")
STOCKS = "stock_code TEXT PRIMARY KEY, current_name TEXT, is_active BOOLEAN, updated_at TIMESTAMP"


@pytest.fixture
def path(tmp_path):
    path = write_prices(tmp_path / "krx_stock_data.db", sound_prices())
    add_table(path, "stocks", STOCKS, [("005930", "삼성전자", 1, "2020"), ("000660", None, None, None)])
    return path


def changed(path, *statements: str) -> set[str]:
    """Tables whose fingerprint the statements change."""
    before = table_fingerprints(path, TABLES).tables
    execute(path, *statements)
    after = table_fingerprints(path, TABLES).tables
    return {table for table in TABLES if before[table] != after[table]}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE daily_prices SET closing_price = closing_price + 1 WHERE rowid = 3",
        "UPDATE daily_prices SET change_rate = 0.01 WHERE rowid = 3",
        "UPDATE daily_prices SET change = NULL WHERE rowid = 3",
        "UPDATE daily_prices SET change = '-' WHERE rowid = 3",
        "UPDATE daily_prices SET market_type = 'kosdaq' WHERE rowid = 3",
        "UPDATE daily_prices SET date = '20200108' WHERE rowid = 7",
        "UPDATE daily_prices SET stock_code = '005931' WHERE rowid = 3",
        "UPDATE daily_prices SET opening_price = high_price, high_price = opening_price WHERE rowid = 3",
        "DELETE FROM daily_prices WHERE rowid = 3",
        "INSERT INTO daily_prices SELECT * FROM daily_prices WHERE rowid = 3",
        "ALTER TABLE daily_prices ADD COLUMN adjusted INTEGER",
    ],
)
def test_any_change_to_a_table_changes_its_fingerprint_and_no_other(path, statement):
    assert changed(path, statement) == {"daily_prices"}


def test_values_that_two_rows_exchange_are_a_change(path):
    execute(path, "UPDATE daily_prices SET volume = 7 WHERE rowid = 1")
    swap = "UPDATE daily_prices SET volume = CASE rowid WHEN 1 THEN 50 ELSE 7 END WHERE rowid IN (1, 2)"
    assert changed(path, swap) == {"daily_prices"}


def test_text_in_number_columns_is_content_too(path):
    execute(path, "UPDATE daily_prices SET change = 'ab', value = 1.5 WHERE rowid = 3")
    assert changed(path, "UPDATE daily_prices SET change = 'ac' WHERE rowid = 3") == {"daily_prices"}
    assert changed(path, "UPDATE daily_prices SET value = 1.25 WHERE rowid = 3") == {"daily_prices"}


def test_columns_of_any_declared_type_count(path):
    assert changed(path, "UPDATE stocks SET is_active = 0 WHERE stock_code = '005930'") == {"stocks"}
    assert changed(path, "UPDATE stocks SET current_name = '' WHERE stock_code = '000660'") == {"stocks"}


@pytest.mark.parametrize(
    "statements",
    [
        ["UPDATE stocks SET updated_at = '2021'", "UPDATE daily_prices SET created_at = NULL"],
        ["CREATE TABLE notes(text TEXT)", "INSERT INTO notes VALUES ('hello')"],
        ["CREATE TABLE kept AS SELECT * FROM daily_prices ORDER BY volume, stock_code", "DELETE FROM daily_prices",
         "INSERT INTO daily_prices SELECT * FROM kept"],
        ["VACUUM"],
    ],
    ids=["bookkeeping", "another table", "loaded again in another order", "vacuum"],
)  # fmt: skip
def test_what_leaves_the_content_alone_leaves_the_fingerprints(path, statements):
    assert changed(path, *statements) == set()


def test_indexes_leave_the_fingerprints(path):
    before = table_fingerprints(path, TABLES)
    optimize(path)
    assert table_fingerprints(path, TABLES).tables == before.tables


def test_a_table_that_comes_and_goes(path):
    assert table_fingerprints(path, TABLES).tables["delisted_stocks"] == ABSENT
    assert changed(path, "CREATE TABLE delisted_stocks(stock_code TEXT)") == {"delisted_stocks"}
    assert changed(path, "DROP TABLE delisted_stocks") == {"delisted_stocks"}


def test_nothing_is_read_while_the_file_stays(path):
    first = table_fingerprints(aged(path), TABLES)
    assert first.scanned == TABLES
    kept = Fingerprints.from_json(json.loads(json.dumps(first.to_json())))
    again = table_fingerprints(path, TABLES, kept)
    assert again.scanned == ()
    assert again.tables == first.tables


def test_only_what_is_not_known_is_read(path):
    first = table_fingerprints(aged(path), ["stocks"])
    assert table_fingerprints(path, TABLES, first).scanned == ("daily_prices", "delisted_stocks")


def test_a_file_written_a_moment_ago_is_read_again(path):
    first = table_fingerprints(path, TABLES)
    assert table_fingerprints(path, TABLES, first).scanned == TABLES


def test_a_written_file_is_read_again_and_returns_to_what_it_was(path):
    first = table_fingerprints(aged(path), TABLES)
    execute(path, "UPDATE daily_prices SET volume = volume + 1")
    second = table_fingerprints(path, TABLES, first)
    execute(path, "UPDATE daily_prices SET volume = volume - 1")
    third = table_fingerprints(path, TABLES, second)
    assert second.scanned == third.scanned == TABLES
    assert second.tables["daily_prices"] != first.tables["daily_prices"]
    assert third.tables == first.tables


def test_a_copy_has_the_same_fingerprints(path, tmp_path):
    copy = shutil.copy(path, tmp_path / "copy.db")
    assert table_fingerprints(copy, TABLES).tables == table_fingerprints(path, TABLES).tables


def test_the_way_of_reading_does_not_matter(path, monkeypatch):
    execute(path, "UPDATE daily_prices SET change = '-' WHERE rowid = 3")
    whole = table_fingerprints(path, TABLES).tables
    monkeypatch.setattr(snapshot, "_ROWS_PER_PART", 3)
    assert table_fingerprints(path, TABLES).tables == whole
    monkeypatch.setattr(snapshot, "_PARALLEL_ATTEMPTS", 0)
    monkeypatch.setattr(snapshot, "_ROWS_PER_FETCH", 2)
    assert table_fingerprints(path, TABLES).tables == whole


def test_a_table_without_rows_is_not_an_absent_one(path):
    execute(path, "DELETE FROM stocks")
    assert table_fingerprints(path, TABLES).tables["stocks"] != ABSENT


def test_several_tables_together(path):
    tables = table_fingerprints(path, TABLES).tables
    both = combined(tables, ["stocks", "daily_prices"])
    assert both == combined(tables, ["daily_prices", "stocks"])
    assert combined(tables, ["stocks"]) == tables["stocks"]
    assert both != combined({**tables, "stocks": "other"}, ["stocks", "daily_prices"])


@pytest.mark.parametrize("kept", [{}, {"tables": {"stocks": "0"}}, {"tables": 3, "commit_state": "x"}])
def test_kept_fingerprints_that_make_no_sense_are_none(path, kept):
    assert table_fingerprints(aged(path), ["stocks"], Fingerprints.from_json(kept)).scanned == ("stocks",)


def test_an_absent_database_is_unavailable(tmp_path):
    with pytest.raises(DatabaseUnavailable, match="no such database file"):
        table_fingerprints(tmp_path / "absent.db", TABLES)


def test_a_database_that_would_be_refused_still_has_fingerprints(path):
    execute(path, "DROP TABLE daily_prices")
    write_prices(
        path, [price(closing_price="junk", date="soon", junk=b"1")], "closing_price TEXT, date INTEGER, junk"
    )
    assert table_fingerprints(path, TABLES).tables["daily_prices"] != ABSENT
