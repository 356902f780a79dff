"""The demo database: the reference's schema, the same rows every time, and never at the cost of another file."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import sqlite3
from datetime import date
from pathlib import Path

import pytest

from finpipe.market.demo import REFERENCE_INDEXES, REFERENCE_TABLES, is_demo_market, write_demo_market

COLUMNS = {
    "stocks": "stock_code current_name current_market_type current_sector_type shares_outstanding is_active updated_at",
    "stock_history": "id stock_code effective_date name market_type sector_type shares_outstanding created_at",
    "daily_prices": (
        "stock_code date closing_price change change_rate opening_price high_price low_price volume value "
        "market_cap market_type created_at"
    ),
    "benchmark_kospi200": (
        "date year_quarter index_value daily_return num_stocks return_1d return_5d return_21d return_63d return_126d"
    ),
    "financial_periods": (
        "id stock_code company_name market_type industry_code industry_name fiscal_month fiscal_date "
        "available_date report_type consolidation_type currency created_at"
    ),
    "financial_items_bs_cf": (
        "id period_id statement_type item_code item_code_normalized item_name amount_current amount_prev amount_prev2"
    ),
    "financial_items_pl": (
        "id period_id item_code item_code_normalized item_name amount_current_qtr amount_current_ytd "
        "amount_prev_qtr amount_prev_ytd amount_prev_year amount_prev2_year"
    ),
    "indices": "index_code current_name index_class is_active updated_at",
    "index_history": "id index_code effective_date name index_class",
    "index_daily_prices": (
        "index_code date closing_index change change_rate opening_index high_index low_index trading_volume "
        "trading_value market_cap"
    ),
    "bond_indices": "index_code current_name is_active updated_at",
    "bond_index_daily": (
        "index_code date total_return_index total_return_change net_price_index net_price_change "
        "zero_reinvest_index zero_reinvest_change call_reinvest_index call_reinvest_change "
        "market_price_index market_price_change avg_duration avg_convexity avg_yield"
    ),
    "deriv_indices": "index_code current_name index_class is_active updated_at",
    "deriv_index_daily": (
        "index_code date closing_index change change_rate opening_index high_index low_index"
    ),
    "delisted_stocks": "stock_code company_name delisting_date reason",
}
UNIQUE_KEYS = {
    "stocks": ["stock_code"],
    "stock_history": ["stock_code", "effective_date"],
    "daily_prices": ["stock_code", "date"],
    "financial_periods": ["stock_code", "fiscal_date", "consolidation_type"],
    "financial_items_bs_cf": ["period_id", "statement_type", "item_code"],
    "financial_items_pl": ["period_id", "item_code"],
    "indices": ["index_code"],
    "index_history": ["index_code", "effective_date"],
    "index_daily_prices": ["index_code", "date"],
    "bond_indices": ["index_code"],
    "bond_index_daily": ["index_code", "date"],
    "deriv_indices": ["index_code"],
    "deriv_index_daily": ["index_code", "date"],
}


def _fingerprint(path: Path) -> dict[str, str]:
    with sqlite3.connect(path) as opened:
        rows = {table: opened.execute(f"SELECT * FROM {table}").fetchall() for table in REFERENCE_TABLES}
    opened.close()
    return {table: hashlib.sha256(repr(found).encode()).hexdigest() for table, found in rows.items()}


def test_every_table_has_the_columns_of_the_reference_in_order(connection):
    for table, columns in COLUMNS.items():
        found = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        assert found == columns.split(), table
    names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert names - {"sqlite_sequence"} == set(COLUMNS)


def test_keys_and_indexes_are_those_of_the_reference(connection):
    for table, key in UNIQUE_KEYS.items():
        unique = [
            [column[2] for column in connection.execute(f"PRAGMA index_info({name!r})")]
            for _, name, is_unique, *_ in connection.execute(f"PRAGMA index_list({table})")
            if is_unique
        ]
        assert key in unique, table
    plain = dict(
        connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")
    )
    for name, target in REFERENCE_INDEXES.items():
        assert plain[name].endswith(f"ON {target}")
    indexed = set(REFERENCE_INDEXES.values())
    assert {
        "daily_prices (date)",
        "daily_prices (stock_code, date)",
        "daily_prices (market_type)",
        "daily_prices (date, market_type)",
        "financial_periods (stock_code, fiscal_date)",
        "financial_periods (available_date)",
    } <= indexed


def test_columns_of_the_golden_database_are_all_there(golden, connection, tmp_path):
    path = tmp_path / "golden.db"
    with gzip.open(golden / "features_krx_stock_data.db.gz") as packed, path.open("wb") as unpacked:
        shutil.copyfileobj(packed, unpacked)
    reference = sqlite3.connect(path)
    for (table,) in reference.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        theirs = {row[1]: row[2] for row in reference.execute(f"PRAGMA table_info({table})")}
        ours = {row[1]: row[2] for row in connection.execute(f"PRAGMA table_info({table})")}
        assert theirs.items() <= ours.items(), table
    reference.close()


def test_values_have_the_type_of_their_column(connection):
    types = {"INTEGER": {"integer", "null"}, "REAL": {"real", "null"}, "TEXT": {"text", "null"}}
    for table in COLUMNS:
        for _, column, declared, *_ in connection.execute(f"PRAGMA table_info({table})").fetchall():
            found = {row[0] for row in connection.execute(f"SELECT DISTINCT typeof({column}) FROM {table}")}
            assert found <= types.get(declared, {"integer", "text"}), (table, column)


def test_the_summary_counts_what_is_there(connection, market):
    for table, rows in market.rows.items():
        assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (rows,)
    assert market.sessions == 800
    assert market.last_session == date(2024, 12, 30)
    assert market.stocks == market.rows["stocks"]
    assert abs(market.rows["daily_prices"] / 800 - 150) < 10


def test_the_same_seed_gives_the_same_rows_and_another_seed_others(tmp_path):
    options = {"stocks": 30, "days": 100}
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_demo_market(tmp_path / name, seed=seed, **options)
    first, second, other = (_fingerprint(tmp_path / name) for name in "abc")
    assert first == second
    assert first["daily_prices"] != other["daily_prices"]
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_only_a_demo_market_is_overwritten_and_only_on_request(tmp_path):
    path = tmp_path / "market.db"
    write_demo_market(path, stocks=20, days=40)
    assert is_demo_market(path)
    with pytest.raises(FileExistsError, match="exists already"):
        write_demo_market(path, stocks=20, days=40)
    assert write_demo_market(path, stocks=25, days=40, overwrite=True).stocks >= 25

    precious = tmp_path / "krx_stock_data.db"
    with sqlite3.connect(precious) as database:
        database.execute("CREATE TABLE daily_prices (stock_code TEXT)")
    database.close()
    before = precious.read_bytes()
    assert not is_demo_market(precious)
    with pytest.raises(FileExistsError, match="not a demo market"):
        write_demo_market(precious, stocks=20, days=40, overwrite=True)
    assert precious.read_bytes() == before


def test_a_failure_leaves_nothing_behind(tmp_path):
    def fail(stage: str, _fraction: float) -> None:
        if stage == "indexes":
            raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError, match="interrupted"):
        write_demo_market(tmp_path / "market.db", stocks=20, days=40, progress=fail)
    assert list(tmp_path.iterdir()) == []


def test_progress_goes_from_nothing_to_everything(tmp_path):
    told: list[float] = []
    write_demo_market(
        tmp_path / "market.db", stocks=20, days=80, progress=lambda _, fraction: told.append(fraction)
    )
    assert told == sorted(told)
    assert (told[0], told[-1]) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("options", "message"), [({"stocks": 5}, "20 stocks"), ({"days": 10}, "40 sessions")]
)
def test_a_market_too_small_to_be_one_is_refused(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        write_demo_market(tmp_path / "market.db", **options)
