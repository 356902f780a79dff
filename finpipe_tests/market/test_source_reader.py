from __future__ import annotations

import datetime as dt

import polars as pl
import pytest

from finpipe.market.source_reader import read_tables
from finpipe.market.source_tables import SOURCE_TABLES, Kind, SourceColumn, SourceError, SourceTable
from finpipe_tests.market.sample_database import add_table, execute

SAMPLE = SourceTable(
    "sample",
    "One column of each kind.",
    ("code",),
    (
        SourceColumn("code", Kind.LABEL, "key"),
        SourceColumn("name", Kind.TEXT, "any text", aliases=("title",)),
        SourceColumn("shares", Kind.INTEGER, "whole numbers"),
        SourceColumn("rate", Kind.REAL, "numbers"),
        SourceColumn("day", Kind.DAY, "a date"),
    ),
)
OTHER = SourceTable("other", "May be absent.", ("code",), SAMPLE.columns[:1], optional=True)
COLUMNS = "code TEXT, name TEXT, shares INTEGER, rate REAL, day TEXT"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "sample.db"


def read(path, **options):
    return read_tables(path, [SAMPLE], **options)["sample"]


def test_each_kind_has_its_type(path):
    add_table(path, "sample", COLUMNS, [("a", "삼성", 2**62, 1, "20240229"), ("b", " x ", -3, -0.5, None)])
    rows = read(path)
    assert rows.frame.columns == ["code", "name", "shares", "rate", "day"]
    assert rows.frame.dtypes == [pl.Categorical, pl.String, pl.Int64, pl.Float64, pl.Date]
    assert rows.frame.rows() == [
        ("a", "삼성", 2**62, 1.0, dt.date(2024, 2, 29)),
        ("b", " x ", -3, -0.5, None),
    ]
    assert rows.blanks == {}
    assert not rows.absent


@pytest.mark.parametrize("blank", ["", "-", " - "])
def test_blanks_become_null_and_are_counted_where_text_is_not_expected(path, blank):
    add_table(
        path, "sample", COLUMNS, [("a", blank.strip(), blank, blank, blank), ("b", "x", 1, 1, "20240102")]
    )
    rows = read(path)
    assert rows.frame.row(0) == ("a", None, None, None, None)
    assert rows.blanks == {"shares": 1, "rate": 1, "day": 1}


def test_a_table_of_nulls_and_an_empty_one_keep_their_types(path):
    add_table(path, "sample", COLUMNS, [(None,) * 5])
    whole = read(path)
    assert whole.frame.row(0) == (None,) * 5
    execute(path, "DELETE FROM sample")
    empty = read(path)
    assert empty.frame.schema == whole.frame.schema
    assert (empty.frame.height, empty.absent) == (0, False)


def test_names_may_differ_in_case_and_by_their_aliases(path):
    add_table(
        path,
        "Sample",
        "CODE TEXT, Title TEXT, shares, RATE, day TEXT, more TEXT",
        [("a", "b", 1, 2.0, "20240102", "")],
    )
    assert read(path).frame.row(0) == ("a", "b", 1, 2.0, dt.date(2024, 1, 2))


def test_an_optional_table_may_be_absent_but_not_incomplete(path):
    add_table(path, "sample", COLUMNS)
    rows = read_tables(path, [SAMPLE, OTHER])
    assert rows["other"].absent
    assert rows["other"].frame.dtypes == [pl.Categorical]
    add_table(path, "other", "something TEXT")
    with pytest.raises(SourceError, match=r"other\.code: column code missing; the table has something"):
        read_tables(path, [OTHER])


def test_a_condition_chooses_rows_and_the_faults_that_count(path):
    rows = [
        ("a", "x", "junk", 1, "20240102"),
        ("b", "x", 5, 1, "20240102"),
        ("c", "x", "junk", 1, "20240102"),
    ]
    add_table(path, "sample", COLUMNS, rows)
    assert read(path, where={"sample": "code = 'b' OR code = 'none'"}).frame["shares"].to_list() == [5]
    with pytest.raises(SourceError, match="1 row holds") as caught:
        read(path, where={"sample": "code > 'b'"})
    assert caught.value.example == "code 'c', shares 'junk'"


@pytest.mark.parametrize(
    ("column", "value"),
    [("code", 7), ("name", b"x"), ("shares", 0.5), ("shares", "1 000"), ("rate", "1,5"), ("day", 20240102)],
)
def test_wrong_cells_are_counted_and_shown(path, column, value):
    add_table(path, "sample", "code, name, shares, rate, day")
    good = {"code": "a", "name": "b", "shares": 1, "rate": 1.0, "day": "20240102"}
    for row in (good, {**good, column: value}, {**good, column: value}):
        literals = ", ".join(
            f"x'{cell.hex()}'" if isinstance(cell, bytes) else repr(cell) for cell in row.values()
        )
        execute(path, f"INSERT INTO sample VALUES ({literals})")
    with pytest.raises(SourceError) as caught:
        read(path)
    assert (caught.value.table, caught.value.column) == ("sample", column)
    assert caught.value.example.endswith(f"{column} {value!r}")
    assert "2 rows hold something else than" in str(caught.value)
    assert "declared without a type" in str(caught.value)


def test_the_catalogue_is_sound():
    assert len({table.name for table in SOURCE_TABLES}) == len(SOURCE_TABLES)
    for table in SOURCE_TABLES:
        names = [column.name for column in table.columns]
        assert len(set(names)) == len(names)
        assert set(table.key) <= set(names)
        assert table.description.endswith(".")
        assert all(column.description for column in table.columns)
        assert table.column(names[-1]) is table.columns[-1]
