"""What goes wrong on the user's side ends in a sentence that says where and what to do, and exit status 1."""

from __future__ import annotations

import re
import shutil
import sqlite3
from contextlib import closing

import pytest

from finpipe.orchestration.partitions import TEST_YEAR
from finpipe.orchestration.workspace import Workspace
from finpipe_tests.demo_home import TEST_YEARS, VARIANT, finpipe


@pytest.fixture
def broken(demo_market, tmp_path):
    """Return a copy of the demo database with statements executed on it."""

    def run(*statements: str):
        database = tmp_path / "krx_stock_data.db"
        shutil.copyfile(demo_market, database)
        with closing(sqlite3.connect(database, isolation_level=None)) as connection:
            for statement in statements:
                connection.execute(statement)
        return database

    return run


def assert_sentence(said, pattern):
    assert said.status == 1, said.err
    assert re.search(pattern, said.err), said.err
    assert "Traceback" not in said.err
    assert "error: " in said.err


def test_a_database_that_is_not_there_is_named(say, tmp_path):
    said = say("run", "--database", tmp_path / "nowhere.db", "--home", tmp_path / "home")
    assert_sentence(said, r"nowhere\.db: there is no such database file")
    assert not (tmp_path / "nowhere.db").exists()


def test_a_run_without_any_database_says_how_to_give_one(say, tmp_path):
    assert_sentence(say("run", "--home", tmp_path / "home"), r"--database PATH .*`finpipe demo`")


def test_a_remembered_database_that_was_moved_is_named(demo_home, say, tmp_path):
    own = demo_home.copy_with_database(tmp_path)
    own.database.unlink()
    assert_sentence(say("run", "--home", own.home), rf"{own.database}: there is no such database file")


@pytest.mark.parametrize(
    ("content", "pattern"),
    [(b"this is no database" * 100, "not an SQLite database"), (b"", "the database has no such table")],
)
def test_a_file_that_is_no_market_database_is_named(say, tmp_path, content, pattern):
    database = tmp_path / "krx.db"
    database.write_bytes(content)
    assert_sentence(say("run", "--database", database, "--home", tmp_path / "home"), pattern)
    assert database.read_bytes() == content


def test_the_command_itself_exits_with_one_and_a_sentence(tmp_path):
    done = finpipe("run", "--database", tmp_path / "nowhere.db", "--home", tmp_path / "home", status=1)
    assert done.stdout == ""
    assert done.stderr == f"error: {tmp_path / 'nowhere.db'}: there is no such database file\n"


@pytest.mark.parametrize(
    ("statement", "only", "pattern"),
    [
        ("DROP TABLE stocks", "krx/stocks", r"krx/stocks: stocks: the database has no such table"),
        (
            "ALTER TABLE daily_prices RENAME COLUMN volume TO volumen",
            "krx/daily_prices",
            r"daily_prices\.volume: .*missing",
        ),
        (
            "UPDATE daily_prices SET closing_price = 'n/a' WHERE rowid = 1000",
            "krx/daily_prices",
            r"daily_prices\.closing_price: .*'n/a'",
        ),
        (
            "UPDATE daily_prices SET date = '2020-01-06' WHERE rowid = 1000",
            "krx/daily_prices",
            r"daily_prices\.date: .*2020-01-06",
        ),
    ],
    ids=["table missing", "column missing", "text in a number column", "date in another format"],
)
def test_data_that_cannot_be_read_are_named_by_table_column_and_row(
    broken, say, tmp_path, statement, only, pattern
):
    said = say("run", "--database", broken(statement), "--home", tmp_path / "home", "--only", only)
    assert_sentence(said, pattern)


def test_an_asset_that_fails_leaves_the_rest_and_is_named_in_json(demo_home, tmp_path, say):
    own = demo_home.copy_with_database(tmp_path)
    with closing(sqlite3.connect(own.database)) as connection:
        connection.execute("DROP TABLE delisted_stocks")
        connection.execute("DROP TABLE stocks")
        connection.commit()
    before = (own.home / "store" / "krx" / "stocks.parquet").read_bytes()
    said = say("run", "--home", own.home, "--json")
    assert said.status == 1
    record = said.record
    assert set(record["failed"]) == {"krx/stocks"}
    assert "stocks: the database has no such table" in record["failed"]["krx/stocks"]
    assert "krx/daily_prices" in record["skipped"]
    assert "krx/universe" in record["blocked"]
    assert (own.home / "store" / "krx" / "stocks.parquet").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "pattern"),
    [
        (("run", "--preset", "v99"), r"there is no preset 'v99'; there are .*top_n"),
        (("run", "--horizon", "10"), r"horizon 10 .*FINPIPE_HORIZONS=1,5,10,21,63,126"),
        (("run", "--only", "krx/none"), r"there is no asset 'krx/none'; there are krx/daily_prices"),
        (("run", "--years", "2010"), r"test year\(s\) 2010 cannot be tested: .*possible: 2022, 2023, 2024"),
        (("run", "--years", "soon"), r"--years 'soon' is not of the form 2018-2024"),
        (("picks", "--preset", "v99"), r"there is no preset 'v99'"),
        (("report", "--preset", "v99"), r"there is no preset 'v99'"),
        (("presets", "v99"), r"there is no preset 'v99'"),
    ],
)
def test_what_is_asked_for_must_exist(demo_home, say, arguments, pattern):
    assert_sentence(say(*arguments, "--home", demo_home.home), pattern)


def test_a_setting_that_cannot_work_is_named(demo_home, say, monkeypatch):
    monkeypatch.setenv("FINPIPE_MIN_PRICE", "cheap")
    assert_sentence(
        say("run", "--home", demo_home.home), r"min_price \(flag, FINPIPE_MIN_PRICE or finpipe\.toml\)"
    )


def test_a_preset_that_cannot_work_is_named(demo_home, say, tmp_path):
    own = demo_home.copy_with_database(tmp_path)
    own.database.with_name("finpipe.toml").write_text("[preset.top_n.rules]\nnn = 5\n", encoding="utf-8")
    assert_sentence(
        say("run", "--home", own.home), r"preset\.top_n\.rules: unknown parameter\(s\) nn; there are"
    )


def test_no_test_year_at_all_is_said_with_what_to_change(own_home, say, monkeypatch):
    with Workspace(own_home.settings()) as workspace:
        for year in TEST_YEARS:
            workspace.instance.delete_dynamic_partition(TEST_YEAR, str(year))
    monkeypatch.setenv("FINPIPE_TRAIN_YEARS", "9")
    said = say("run", "--home", own_home.home, "--only", "krx/predictions")
    assert_sentence(said, r"krx/predictions\[top_n-h21\]: no year has been predicted: .*FINPIPE_TRAIN_YEARS")


def test_a_universe_that_is_empty_is_said_with_what_to_change(own_home, say, monkeypatch):
    monkeypatch.setenv("FINPIPE_MIN_MARKET_CAP", "1e18")
    said = say("run", "--home", own_home.home, "--only", "krx/predictions", "--json")
    assert said.status == 1
    failed = said.record["failed"]
    assert f"krx/predictions[{VARIANT}]" in said.record["blocked"]
    assert failed
    assert all("Error" not in message and "\n" not in message for message in failed.values())


def test_a_damaged_result_table_file_is_named_with_what_to_do(own_home, say):
    tables = own_home.home / "finpipe.duckdb"
    tables.write_bytes(b"garbage" * 1000)
    assert_sentence(
        say("picks", "--home", own_home.home), r"finpipe\.duckdb cannot be opened: .*move it away"
    )
    tables.unlink()
    said = say("picks", "--home", own_home.home)
    assert said.status == 0
    assert "buy" in said.out


@pytest.mark.parametrize("verb", ["run", "status", "picks"])
def test_a_home_that_cannot_be_one_is_named(demo_home, say, tmp_path, verb):
    (tmp_path / "file").touch()
    said = say(verb, "--home", tmp_path / "file", "--database", demo_home.database)
    assert_sentence(said, r"file cannot be used as home: .*--home DIR")


def test_an_unknown_option_is_a_usage_error(say):
    said = say("run", "--wrong")
    assert said.status == 2
    assert "No such option" in said.err
    assert "Traceback" not in said.err


def test_a_demo_market_never_takes_the_place_of_other_data(say, tmp_path):
    mine = tmp_path / "home" / "demo" / "krx_stock_data.db"
    mine.parent.mkdir(parents=True)
    mine.write_text("my own data", encoding="utf-8")
    said = say("demo", "--home", tmp_path / "home", "--stocks", "20", "--years", "1")
    assert_sentence(said, r"is not a demo market and will not be overwritten")
    assert mine.read_text("utf-8") == "my own data"


def test_a_demo_market_that_is_too_small_is_refused(say, tmp_path):
    said = say("demo", "--home", tmp_path / "home", "--stocks", "5")
    assert said.status == 2
    assert re.search(r"--stocks.*20", said.err)
