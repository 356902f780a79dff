from __future__ import annotations

import subprocess
import sys
import time

import duckdb
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from finpipe.orchestration.result_tables import ResultTables, ResultTablesError

ONE = pl.DataFrame({"date": ["2024-01-02", "2024-01-03"], "equity": [1.0, 1.1]})
OTHER = pl.DataFrame({"date": ["2024-01-02"], "equity": [2.0]})

HOLD = """
import sys, time, duckdb
connection = duckdb.connect(sys.argv[1])
print("held", flush=True)
time.sleep(float(sys.argv[2]))
connection.execute('UPDATE krx.backtest SET equity = 9.0')
connection.close()
"""


@pytest.fixture
def tables(tmp_path):
    return ResultTables(tmp_path / "new folder" / "finpipe.duckdb", patience=20.0)


def sql(tables: ResultTables, query: str) -> list[tuple]:
    with duckdb.connect(str(tables.path), read_only=True) as connection:
        return connection.execute(query).fetchall()


def test_partitions_are_replaced_one_by_one(tables):
    tables.replace("krx/backtest", "top_n-h21", ONE)
    tables.replace("krx/backtest", "v43-h63", OTHER)
    tables.replace("krx/backtest", "top_n-h21", ONE[:1])
    assert_frame_equal(tables.read("krx/backtest", "top_n-h21"), ONE[:1])
    assert_frame_equal(tables.read("krx/backtest", "v43-h63"), OTHER)
    assert (tables.rows("krx/backtest", "top_n-h21"), tables.rows("krx/backtest", None)) == (1, 2)
    assert sorted(tables.read("krx/backtest", None)["variant"]) == ["top_n-h21", "v43-h63"]


def test_people_query_a_table_of_the_same_name(tables):
    tables.replace("krx/backtest", "top_n-h21", ONE)
    assert sql(tables, "SELECT variant, sum(equity) FROM krx.backtest GROUP BY ALL") == [("top_n-h21", 2.1)]


def test_rows_are_counted_again_when_anybody_has_written(tables):
    tables.replace("krx/backtest", "top_n-h21", ONE)
    assert tables.rows("krx/backtest", "top_n-h21") == 2
    with duckdb.connect(str(tables.path)) as somebody:
        somebody.execute("DELETE FROM krx.backtest WHERE equity > 1")
        somebody.execute("CREATE VIEW krx.lost AS SELECT * FROM krx.backtest")
        somebody.execute("CREATE TABLE krx.of_theirs AS SELECT 1 AS partition, 2 AS variant")
    assert tables.rows("krx/backtest", "top_n-h21") == 1
    tables.replace("krx/backtest", "top_n-h21", ONE)
    assert tables.rows("krx/backtest", "top_n-h21") == 2
    tables.remove("krx/backtest", "top_n-h21")
    assert tables.rows("krx/backtest", "top_n-h21") == 0
    assert tables.rows("krx/of_theirs", None) == 1


def test_the_file_is_opened_once_for_all_counts(tables, monkeypatch):
    for study in ("top_n-h21", "v43-h63"):
        tables.replace("krx/backtest", study, ONE)
        tables.replace("krx/picks", study, OTHER)
    opened = []
    connect = duckdb.connect
    monkeypatch.setattr(duckdb, "connect", lambda *a, **k: (opened.append(a), connect(*a, **k))[1])
    counts = [tables.rows(f"krx/{name}", "v43-h63") for name in ("backtest", "picks", "trades")]
    assert (counts, len(opened)) == ([2, 1, None], 1)


def test_a_table_without_partitions_is_replaced_whole(tables):
    tables.replace("krx/stocks", None, ONE)
    tables.replace("krx/stocks", None, OTHER)
    assert_frame_equal(tables.read("krx/stocks", None), OTHER)
    assert tables.rows("krx/stocks", None) == 1


def test_an_empty_frame_is_a_partition_too(tables):
    tables.replace("krx/backtest", "top_n-h21", ONE.clear())
    assert tables.rows("krx/backtest", "top_n-h21") == 0
    assert_frame_equal(tables.read("krx/backtest", "top_n-h21"), ONE.clear())


def test_categories_become_text(tables):
    tables.replace(
        "krx/picks", "top_n-h21", pl.DataFrame({"stock_code": pl.Series(["005930"], dtype=pl.Categorical)})
    )
    assert tables.read("krx/picks", "top_n-h21").to_dict(as_series=False) == {"stock_code": ["005930"]}


@pytest.mark.parametrize(
    "changed",
    [
        ONE.with_columns(cash=pl.lit(0.5)),
        ONE.select("equity", "date"),
        pl.DataFrame({"date": ["2024-01-02"], "equity": ["much"]}),
        ONE.with_columns(pl.col("equity").cast(pl.Float32)),
    ],
    ids=["column added", "order changed", "type changed", "precision changed"],
)
def test_a_changed_schema_makes_the_table_anew(tables, changed):
    tables.replace("krx/backtest", "top_n-h21", ONE)
    tables.replace("krx/backtest", "v43-h63", OTHER)
    tables.replace("krx/backtest", "top_n-h21", changed)
    assert_frame_equal(tables.read("krx/backtest", "top_n-h21"), changed)
    assert tables.rows("krx/backtest", "v43-h63") == 0


def test_whole_numbers_of_before_do_not_round_what_comes(tables):
    tables.replace("krx/performance", "a", pl.DataFrame({"value": [1, 2]}))
    tables.replace("krx/performance", "b", pl.DataFrame({"value": [0.25]}))
    assert tables.read("krx/performance", "b")["value"].to_list() == [0.25]


def test_a_partition_can_be_removed(tables):
    tables.remove("krx/backtest", "top_n-h21")
    tables.replace("krx/backtest", "top_n-h21", ONE)
    tables.replace("krx/backtest", "v43-h63", OTHER)
    tables.remove("krx/backtest", "top_n-h21")
    tables.remove("krx/other", "top_n-h21")
    assert (tables.rows("krx/backtest", "top_n-h21"), tables.rows("krx/backtest", "v43-h63")) == (0, 1)


def test_a_failed_replacement_leaves_the_old_rows(tables, monkeypatch):
    tables.replace("krx/backtest", "top_n-h21", ONE)

    def fail(*_: object) -> bool:
        raise RuntimeError("power cut")

    monkeypatch.setattr(ResultTables, "_has_columns_of", fail)
    with pytest.raises(RuntimeError, match="power cut"):
        tables.replace("krx/backtest", "top_n-h21", OTHER)
    monkeypatch.undo()
    assert_frame_equal(tables.read("krx/backtest", "top_n-h21"), ONE)


def test_what_was_never_made_is_said_with_how_to_make_it(tables):
    assert tables.rows("krx/picks", "top_n-h21") is None
    with pytest.raises(ResultTablesError, match=r"krx/picks has never been made .* `finpipe run`"):
        tables.read("krx/picks", "top_n-h21")
    tables.replace("krx/backtest", "top_n-h21", ONE)
    assert tables.rows("krx/picks", "top_n-h21") is None
    with pytest.raises(ResultTablesError, match=r"krx/picks is not in .* `finpipe run --only krx/picks`"):
        tables.read("krx/picks", "top_n-h21")


def hold(tables: ResultTables, seconds: float) -> subprocess.Popen[str]:
    """Start a process that holds the file, and wait until it does."""
    arguments = [sys.executable, "-c", HOLD, str(tables.path), str(seconds)]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_reader_waits_for_a_writer_in_another_process(tables):
    tables.replace("krx/backtest", "top_n-h21", ONE)
    with hold(tables, 0.5):
        assert tables.read("krx/backtest", "top_n-h21")["equity"].to_list() == [9.0, 9.0]


def test_a_writer_waits_for_a_writer_in_another_process(tables):
    tables.replace("krx/backtest", "top_n-h21", ONE)
    with hold(tables, 0.5):
        tables.replace("krx/backtest", "v43-h63", OTHER)
    assert tables.read("krx/backtest", "top_n-h21")["equity"].to_list() == [9.0, 9.0]
    assert_frame_equal(tables.read("krx/backtest", "v43-h63"), OTHER)


def test_a_file_that_stays_held_is_an_error_that_says_what_to_do(tables):
    tables.replace("krx/backtest", "top_n-h21", ONE)
    impatient = ResultTables(tables.path, patience=0.1)
    with hold(tables, 30) as process:
        started = time.monotonic()
        with pytest.raises(ResultTablesError, match=r"finpipe\.duckdb cannot be opened.*close it there"):
            impatient.read("krx/backtest", "top_n-h21")
        assert time.monotonic() - started < 25
        process.kill()


@pytest.mark.parametrize("damage", ["garbage", "truncated", "no file"])
def test_a_damaged_file_is_named_with_what_to_do(tables, damage):
    tables.replace("krx/backtest", "top_n-h21", pl.DataFrame({"x": range(50_000)}))
    content = tables.path.read_bytes()
    if damage == "garbage":
        tables.path.write_bytes(b"no database at all" * 1000)
    elif damage == "truncated":
        tables.path.write_bytes(content[: len(content) // 3])
    else:
        tables.path.unlink()
        tables.path.mkdir()
    for use in (
        lambda: tables.replace("krx/backtest", "top_n-h21", ONE),
        lambda: tables.read("krx/backtest", "top_n-h21"),
    ):
        with pytest.raises(ResultTablesError, match=r"finpipe\.duckdb"):
            use()
