from __future__ import annotations

import datetime as dt
import gzip
import shutil

import polars as pl
import pytest

from finpipe.market import schema, snapshot
from finpipe.market.adjust import base_disagreements
from finpipe.market.krx_database import covered_days, read_daily_prices, read_index_levels, read_stocks
from finpipe.market.snapshot import DatabaseUnavailable
from finpipe.market.source_tables import SourceError
from finpipe_tests.market.sample_database import (
    PRICES,
    add_table,
    execute,
    price,
    sound_prices,
    write_prices,
)

STOCKS = (
    "stock_code TEXT, current_name TEXT, current_market_type TEXT, current_sector_type TEXT, "
    "shares_outstanding INTEGER"
)
DELISTED = "stock_code TEXT, company_name TEXT, delisting_date TEXT, reason TEXT"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "krx_stock_data.db"


def refusal(path, *rows, columns=PRICES, **span) -> SourceError:
    path.unlink(missing_ok=True)
    write_prices(path, rows, columns)
    with pytest.raises(SourceError) as caught:
        read_daily_prices(path, **span)
    return caught.value


def test_sound_prices_are_renamed_typed_sorted_and_complete(path):
    read = read_daily_prices(write_prices(path, sound_prices()))
    assert read.counts == {"rows": 8}
    assert read.frame.columns == schema.DAILY_PRICES.names
    assert read.frame.select(pl.col("stock_code").cast(pl.String), "date").rows()[:5] == [
        *(("000660", dt.date(2020, 1, day)) for day in (2, 3, 6, 7)),
        ("005930", dt.date(2020, 1, 2)),
    ]
    row = read.frame.row(0, named=True)
    assert (row["open"], row["high"], row["low"], row["close"]) == (990, 1010, 980, 1000)
    assert (row["volume"], row["value"], row["market_cap"], row["market"]) == (50, 50_000, 7_000_000, "kospi")


def test_numbers_beyond_32_bits_keep_every_digit(path):
    read = read_daily_prices(write_prices(path, [price(market_cap=1_234_567_890_123_457, value=2**53 + 1)]))
    assert read.frame["market_cap"].item() == 1_234_567_890_123_457
    assert read.frame["value"].item() == 2**53 + 1


def test_what_declared_types_say_is_of_no_matter_if_the_cells_are_right(path):
    loose = PRICES.replace("closing_price INTEGER", "closing_price INT").replace(
        "volume INTEGER", "volume REAL"
    )
    read = read_daily_prices(write_prices(path, [price(), price(date="20200103", volume=3e9)], loose))
    assert read.frame["volume"].to_list() == [50, 3_000_000_000]
    assert read.frame["close"].dtype == pl.Int64


def test_blanks_of_krx_become_null_and_are_counted(path):
    rows = [
        price(change="-"),
        price(date="20200103", change="", change_rate="-"),
        price(date="20200106", change=None),
    ]
    read = read_daily_prices(write_prices(path, rows))
    assert read.frame["change"].to_list() == [None] * 3
    assert read.frame["change_rate"].to_list() == [0.0, None, 0.0]
    assert read.counts["change: '' or '-', made null"] == 2
    assert read.counts["change_rate: '' or '-', made null"] == 1
    assert read.counts["change unknown, taken as no adjustment"] == 2


def test_bars_that_are_not_positive_become_null_and_the_halted_day_stays(path):
    halted = price(opening_price=0, high_price=0, low_price=0, volume=0, value=0)
    read = read_daily_prices(write_prices(path, [halted, price(date="20200103", low_price=-5, market_cap=0)]))
    assert read.frame["open"].to_list() == [None, 990]
    assert read.frame["low"].to_list() == [None, None]
    assert read.frame["market_cap"].to_list() == [7_000_000, None]
    assert read.frame["close"].to_list() == [1000, 1000]
    assert read.counts["low: not positive, made null"] == 2


def test_a_missing_volume_is_no_known_trade(path):
    read = read_daily_prices(write_prices(path, [price(volume="-", value=None)]))
    assert read.frame.select("volume", "value").row(0) == (0, 0)
    assert read.counts["volume: missing, made 0"] == 1


def test_kodex_is_konex_and_case_does_not_matter(path):
    rows = [price(market_type="kodex"), price("000660", market_type="KOSDAQ")]
    read = read_daily_prices(write_prices(path, rows))
    assert read.frame["market"].cast(pl.String).to_list() == ["kosdaq", "konex"]
    assert read.counts["market kodex, renamed konex"] == 1


def test_a_split_is_adjusted(path):
    rows = [
        price(closing_price=50_000),
        price(date="20200103", closing_price=1_010, change=10, change_rate=1.0),
    ]
    read = read_daily_prices(write_prices(path, rows))
    assert read.frame["adjusted_close"].to_list() == [50_000, 50_500]
    assert read.counts["adjustment events"] == 1


def test_the_chosen_span_is_read_and_no_more(path):
    write_prices(path, sound_prices())
    read = read_daily_prices(path, start=dt.date(2020, 1, 3), end=dt.date(2020, 1, 6))
    assert read.frame["date"].unique().sort().to_list() == [dt.date(2020, 1, 3), dt.date(2020, 1, 6)]
    assert read_daily_prices(path, start=dt.date(2020, 1, 7)).frame.height == 2
    assert covered_days(path) == (dt.date(2020, 1, 2), dt.date(2020, 1, 7))


def test_a_table_in_many_parts_is_the_same_table(path, monkeypatch):
    days = [f"2020{month:02}{day:02}" for month in range(1, 13) for day in range(1, 29)]
    write_prices(path, sound_prices([f"{i:05}0" for i in range(10)], days))
    whole = read_daily_prices(path)
    monkeypatch.setattr(snapshot, "_ROWS_PER_PART", 100)
    assert read_daily_prices(path).frame.equals(whole.frame)


def test_tables_without_rowid_and_views_can_be_read(path, monkeypatch):
    monkeypatch.setattr(snapshot, "_ROWS_PER_PART", 2)
    write_prices(path, sound_prices(), key="WITHOUT ROWID")
    assert read_daily_prices(path).frame.height == 8
    execute(
        path, "ALTER TABLE daily_prices RENAME TO prices", "CREATE VIEW daily_prices AS SELECT * FROM prices"
    )
    assert read_daily_prices(path).frame.height == 8


def test_no_rows_for_the_chosen_years(path):
    error = refusal(path, *sound_prices(), start=dt.date(2030, 1, 1))
    assert "no rows from 2030-01-01 to the end; the table covers 2020-01-02 to 2020-01-07" in str(error)
    assert (error.table, error.column) == ("daily_prices", "date")


def test_no_rows_at_all(path):
    assert "daily_prices: the table has no rows" in str(refusal(path))


def test_a_missing_table_is_named_with_those_that_are_there(path):
    add_table(path, "stocks", STOCKS)
    with pytest.raises(SourceError, match="daily_prices: the database has no such table; it has stocks"):
        read_daily_prices(path)


def test_a_missing_column_is_named_with_those_that_are_there(path):
    error = refusal(path, price(), columns=PRICES.replace(", market_type TEXT", ""))
    assert error.column == "market_type"
    assert "column market_type missing; the table has stock_code, date" in str(error)


@pytest.mark.parametrize(
    ("column", "value", "declared"),
    [
        ("closing_price", "abc", "INTEGER"),
        ("volume", "1,234", "INTEGER"),
        ("value", 12.5, "INTEGER"),
        ("market_cap", b"12", "INTEGER"),
        ("change_rate", "n/a", "REAL"),
    ],
)
def test_something_else_in_a_number_column_is_shown(path, column, value, declared):
    error = refusal(path, price(), price("000660", **{column: value}), price("000660", "20200103"))
    assert (error.table, error.column) == ("daily_prices", column)
    assert error.example == f"stock_code '000660', date '20200102', {column} {value!r}"
    assert "1 row holds something else than" in str(error)
    assert f"declared {declared}" in str(error)


def test_a_price_column_of_text_is_an_error_even_if_it_looks_like_numbers(path):
    error = refusal(path, price(), columns=PRICES.replace("closing_price INTEGER", "closing_price TEXT"))
    assert "closing_price '1000'" in error.example
    assert "declared TEXT" in str(error)


def test_codes_and_days_stored_as_numbers_are_an_error(path):
    error = refusal(path, price(), columns=PRICES.replace("stock_code TEXT", "stock_code INTEGER"))
    assert (error.column, error.example) == ("stock_code", "date '20200102', stock_code 5930")
    error = refusal(path, price(), columns=PRICES.replace("date TEXT", "date INTEGER"))
    assert (error.column, error.example) == ("date", "stock_code '005930', date 20200102")


@pytest.mark.parametrize("day", ["2020-01-03", "20200230", "2020/1/3", "202013 1", "20200103 ", "soon"])
@pytest.mark.parametrize("span", [{}, {"start": dt.date(2020, 1, 1), "end": dt.date(2020, 12, 31)}])
def test_days_in_another_form_or_impossible_are_an_error_in_any_span(path, day, span):
    error = refusal(path, price(), price(date=day), **span)
    assert (error.table, error.column) == ("daily_prices", "date")
    assert error.example == f"stock_code '005930', date '{day}'"
    assert "dates as YYYYMMDD text" in str(error)


@pytest.mark.parametrize("day", [None, 20200103])
def test_days_that_are_no_text_are_an_error_in_any_span(path, day):
    loose = PRICES.replace("date TEXT", "date")
    error = refusal(path, price(), price(date=day), columns=loose, start=dt.date(2020, 1, 2))
    assert (error.table, error.column) == ("daily_prices", "date")
    assert str(day) in error.example


@pytest.mark.parametrize(
    ("change", "column", "what"),
    [
        ({"closing_price": 0}, "closing_price", "not positive"),
        ({"closing_price": "-"}, "closing_price", "not positive"),
        ({"volume": -1}, "volume", "negative"),
        ({"market_type": "nasdaq"}, "market_type", "none of kospi, kosdaq, konex"),
        ({"market_type": None}, "market_type", "null or blank"),
        ({"stock_code": "660"}, "stock_code", "six characters"),
        ({"stock_code": None}, "stock_code", "null or blank"),
        ({"date": None}, "date", "null or blank"),
        ({"date": "-"}, "date", "null or blank"),
    ],
)
def test_values_that_cannot_be(path, change, column, what):
    error = refusal(path, price(date="20200103"), {**price("000660"), **change})
    assert (error.table, error.column) == ("daily_prices", column)
    assert what in str(error)
    assert "1 row" in str(error)
    assert str(change.get("stock_code", "000660")) in error.example


def test_a_stock_twice_on_a_day(path):
    error = refusal(path, *sound_prices(), price("000660", "20200106"))
    assert (error.table, error.column) == ("daily_prices", "date")
    assert error.example == "stock_code 000660, date 20200106"


def test_files_that_are_no_database(tmp_path):
    for name, content, message in (
        ("text.db", b"not a database at all" * 100, "not an SQLite database"),
        ("empty.db", b"", "no tables at all"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises((DatabaseUnavailable, SourceError), match=message):
            read_daily_prices(tmp_path / name)
    with pytest.raises(DatabaseUnavailable, match="is a folder"):
        read_daily_prices(tmp_path)
    with pytest.raises(DatabaseUnavailable, match="no such database file"):
        read_daily_prices(tmp_path / "absent.db")
    assert not (tmp_path / "absent.db").exists()


def test_stocks_and_delistings_make_one_list(path):
    add_table(
        path,
        "stocks",
        STOCKS,
        [
            ("005930", "삼성전자", "KOSPI", "", 5_969_782_550),
            ("005935", "삼성전자우", "KOSPI", "-", None),
            ("400560", "하나금융22호스팩", "KOSDAQ", "SPAC(소속부없음)", 0),
            ("123450", None, None, "벤처기업부", 10),
        ],
    )
    gone = [
        ("000040", "옛회사", "20190101", ""),
        ("123450", "작은회사", "20200501", ""),
        ("000040", "옛회사", "20180101", ""),
    ]
    add_table(path, "delisted_stocks", DELISTED, gone)
    read = read_stocks(path)
    text = pl.col(pl.Categorical).cast(pl.String)
    assert read.frame.with_columns(text).rows() == [
        ("000040", "옛회사", None, None, None, dt.date(2019, 1, 1), False, False),
        ("005930", "삼성전자", "kospi", None, 5_969_782_550, None, False, False),
        ("005935", "삼성전자우", "kospi", None, None, None, True, False),
        ("123450", "작은회사", None, "벤처기업부", 10, dt.date(2020, 5, 1), False, False),
        ("400560", "하나금융22호스팩", "kosdaq", "SPAC(소속부없음)", None, None, False, True),
    ]
    assert read.counts["only in delisted_stocks"] == 1
    assert read.counts["older delistings of the same code, left out"] == 1
    assert read.warnings == ()


def test_without_a_list_of_delistings_a_warning_says_so(path):
    add_table(path, "stocks", STOCKS, [("005930", "삼성전자", "KOSPI", None, 1)])
    read = read_stocks(path)
    assert read.frame["delisting_date"].to_list() == [None]
    assert read.warnings == ("delisted_stocks is not in the database: no delisting date is known",)


def test_a_stock_that_is_listed_twice(path):
    add_table(path, "stocks", STOCKS, [("005930", "삼성전자", "KOSPI", None, 1)] * 2)
    with pytest.raises(
        SourceError, match=r"stocks.stock_code: \(stock_code\) must be unique.*2 rows.*005930"
    ):
        read_stocks(path)


LEVELS = "index_code TEXT, date TEXT, closing_index REAL"


def test_index_levels_of_three_families(path):
    add_table(path, "indices", "index_code TEXT, index_class TEXT", [("KOSPI_코스피_200", "KOSPI")])
    add_table(
        path,
        "index_daily_prices",
        LEVELS,
        [
            ("KOSPI_코스피_200", "20200102", 290.35),
            ("KOSDAQ_코스닥_150", "20200102", 0),
            ("KOSDAQ_코스닥_150", "20200103", "-"),
        ],
    )
    add_table(
        path,
        "deriv_index_daily",
        LEVELS.replace("closing_index", "closing"),
        [("DERIV_옵션지수_변동성", "20200102", 15)],
    )
    add_table(
        path,
        "bond_index_daily",
        "index_code TEXT, date TEXT, total_return_index REAL",
        [("BOND_KTB", "20200102", 101.5)],
    )
    read = read_index_levels(path)
    assert read.frame.with_columns(pl.col(pl.Categorical).cast(pl.String)).rows() == [
        ("BOND_KTB", dt.date(2020, 1, 2), "bond", None, 101.5),
        ("DERIV_옵션지수_변동성", dt.date(2020, 1, 2), "derivative", "옵션지수", 15.0),
        ("KOSDAQ_코스닥_150", dt.date(2020, 1, 2), "market", "KOSDAQ", None),
        ("KOSDAQ_코스닥_150", dt.date(2020, 1, 3), "market", "KOSDAQ", None),
        ("KOSPI_코스피_200", dt.date(2020, 1, 2), "market", "KOSPI", 290.35),
    ]
    assert read.warnings == ()
    assert read.counts["index_daily_prices: level not positive, made null"] == 1


def test_index_tables_that_are_absent_are_named_and_add_nothing(path):
    add_table(path, "index_daily_prices", LEVELS, [("KOSPI_코스피_200", "20200102", 290.35)])
    read = read_index_levels(path)
    assert read.frame.height == 1
    assert [warning.split()[0] for warning in read.warnings] == ["deriv_index_daily", "bond_index_daily"]


def test_an_index_table_without_its_level_is_an_error(path):
    add_table(path, "index_daily_prices", "index_code TEXT, date TEXT")
    with pytest.raises(SourceError, match=r"index_daily_prices.closing_index: column closing_index missing"):
        read_index_levels(path)


@pytest.mark.parametrize("name", ["features", "targets"])
def test_the_golden_databases_can_be_read_whole(golden, tmp_path, name):
    path = tmp_path / f"{name}.db"
    with gzip.open(golden / f"{name}_krx_stock_data.db.gz") as packed, path.open("wb") as unpacked:
        shutil.copyfileobj(packed, unpacked)
    prices = read_daily_prices(path)
    assert prices.frame["stock_code"].n_unique() == 60
    assert (prices.frame["adjustment_factor"] == 1.0).all()
    assert base_disagreements(prices.frame).is_empty()
    assert read_stocks(path).frame.height == 60
    assert read_index_levels(path).frame["close"].null_count() == 0
