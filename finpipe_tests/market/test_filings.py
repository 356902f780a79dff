import datetime as dt
import random
import sqlite3
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finpipe.market.filing_items import FLOWS, ITEMS, LEVELS
from finpipe.market.filings import in_force, read_filings
from finpipe.market.schema import COMPARISON_COLUMNS, FILINGS, FLOW_COLUMNS, LEVEL_COLUMNS
from finpipe.market.source_tables import SourceError
from finpipe_tests.market.filing_book import Book, known_on, random_book

WEEKDAYS = np.array(
    [
        day
        for day in np.arange("2014-01-01", "2024-01-01", dtype="datetime64[D]")
        if np.is_busday(day) and day.item().month * 100 + day.item().day not in {101, 1009, 1225}
    ]
)


@pytest.fixture
def book():
    return Book()


@pytest.fixture
def read(book, tmp_path):
    def read_book(trading_days=WEEKDAYS):
        return read_filings(book.write(tmp_path / "krx.db"), trading_days)

    return read_book


def day(text):
    return dt.date.fromisoformat(text)


def held(filings, stock_code, on):
    """The row in force for a stock on a day, as a dict; None before the first."""
    rows = in_force(filings.frame).filter(
        (pl.col("stock_code") == stock_code) & (pl.col("available_date") <= day(on))
    )
    return rows.row(-1, named=True) if rows.height else None


def quarters(book, code, year, ytd):
    """File the four reports of a calendar fiscal year with revenue year to date, on the usual days."""
    usual = (
        (f"{year}-03-31", f"{year}-05-16"),
        (f"{year}-06-30", f"{year}-08-16"),
        (f"{year}-09-30", f"{year}-11-15"),
        (f"{year}-12-31", f"{year + 1}-04-01"),
    )
    for (fiscal, available), amount in zip(usual, ytd, strict=True):
        book.file(code, fiscal, available, {"revenue": amount})


def test_catalogue_and_schema_name_the_same_items():
    assert tuple(name for name, _ in LEVEL_COLUMNS) == LEVELS
    assert tuple(name for name, _ in FLOW_COLUMNS) == FLOWS
    assert len({item.code for item in ITEMS}) == len(ITEMS)
    assert all(any(column.startswith(item) for item in (*LEVELS, *FLOWS)) for column, _ in COMPARISON_COLUMNS)


def test_trailing_twelve_months_come_from_the_row_itself(book, read):
    book.file("005930", "2020-06-30", "2020-08-14", {"revenue": (60.0, 110.0, 90.0, 50.0)})
    row = held(read(), "005930", "2020-08-14")
    assert row["revenue"] == 60 + 110 - 50
    assert row["fiscal_quarter"] == 2
    assert row["revenue_year_ago"] is None


def test_an_annual_filing_is_its_own_twelve_months_and_tells_the_year_before(book, read):
    book.file(
        "005930", "2020-12-31", "2021-04-01", {"revenue": (120.0, 110.0, 90.0), "equity": (70.0, 60.0, 50.0)}
    )
    row = held(read(), "005930", "2021-04-01")
    assert (row["revenue"], row["revenue_year_ago"]) == (120, 110)
    assert (row["equity"], row["equity_year_ago"]) == (70, 60)


def test_missing_comparatives_come_from_earlier_filings(book, read):
    quarters(book, "005930", 2019, (20.0, 45.0, 70.0, 100.0))
    quarters(book, "005930", 2020, (30.0, 60.0, 90.0, 130.0))
    filings = read()
    assert held(filings, "005930", "2019-08-16")["revenue"] is None
    assert held(filings, "005930", "2020-08-17")["revenue"] == 60 + 100 - 45
    last = held(filings, "005930", "2021-04-01")
    assert last["revenue"] == 130
    assert last["revenue_year_ago"] == 100
    assert last["revenue_quarter_ago"] == 90 + 100 - 70
    assert last["revenue_five_quarters_ago"] is None


def test_cash_flows_find_the_same_months_in_the_filing_one_year_earlier(book, read):
    book.file("005930", "2019-06-30", "2019-08-16", {"operating_cash_flow": 4.0})
    book.file("005930", "2020-06-30", "2020-08-17", {"operating_cash_flow": (7.0, 10.0, 9.0)})
    assert held(read(), "005930", "2020-08-17")["operating_cash_flow"] == 7 + 10 - 4


def test_a_filing_on_a_weekend_counts_from_monday(book, read):
    book.file("005930", "2020-12-31", "2021-04-03", {"equity": 50.0})
    filings = read()
    assert held(filings, "005930", "2021-04-02") is None
    assert held(filings, "005930", "2021-04-05")["available_date"] == day("2021-04-05")
    assert filings.counts["on a day without trading, moved to the next trading day"] == 1


def test_a_filing_before_the_first_trading_day_keeps_its_date_and_one_after_the_last_is_unknown(book, read):
    book.file("005930", "2013-09-30", "2013-11-17", {"equity": 50.0})
    book.file("005930", "2023-09-30", "2024-02-01", {"equity": 60.0})
    filings = read()
    assert filings.frame["available_date"].to_list() == [day("2013-11-17")]
    assert filings.counts["after the last trading day, left out"] == 1


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        (("2021-03-31", 3, "2021-06-01"), "2021-06-29"),
        (("2021-06-30", 3, "2021-08-16"), "2021-08-16"),
        (("2020-12-31", 12, "2021-03-15"), "2021-03-31"),
        (("2020-09-30", 12, "2020-10-20"), "2020-11-16"),
        (("2020-09-30", 12, None), "2020-11-16"),
    ],
)
def test_no_filing_counts_before_the_legal_deadline(book, read, case, expected):
    fiscal, month, stated = case
    book.file("005930", fiscal, stated, {"equity": 50.0}, fiscal_month=month)
    assert read().frame["available_date"].to_list() == [day(expected)]


def test_march_fiscal_year(book, read):
    book.file("001500", "2020-03-31", "2020-06-29", {"revenue": 100.0}, fiscal_month=3)
    book.file("001500", "2020-06-30", "2020-08-17", {"revenue": (30.0, 100.0, None, 20.0)}, fiscal_month=3)
    book.file("001500", "2021-03-31", "2021-07-01", {"revenue": (140.0, 100.0)}, fiscal_month=3)
    filings = read()
    first = held(filings, "001500", "2020-09-01")
    assert (first["fiscal_quarter"], first["fiscal_month"], first["revenue"]) == (1, 3, 110)
    last = held(filings, "001500", "2021-07-01")
    assert (last["fiscal_quarter"], last["revenue"], last["revenue_year_ago"]) == (4, 140, 100)


def test_the_kind_of_report_overrules_a_fiscal_month_that_holds_the_months_of_periods(book, read):
    for fiscal, available, ytd, report in (
        ("2019-03-31", "2019-05-15", 20.0, "분기보고서"),
        ("2019-12-31", "2020-04-01", 100.0, "사업보고서"),
        ("2020-03-31", "2020-05-15", 30.0, "분기보고서"),
    ):
        book.file(
            "005930", fiscal, available, {"revenue": ytd}, fiscal_month=int(fiscal[5:7]), report_type=report
        )
    filings = read()
    assert filings.frame["fiscal_month"].unique().to_list() == [12]
    assert held(filings, "005930", "2020-06-01")["revenue"] == 30 + 100 - 20
    assert filings.counts["fiscal_month unlike the kind of report"] == 2


def test_a_restatement_is_a_later_vintage_of_the_older_period(book, read):
    book.file("005930", "2019-12-31", "2020-04-01", {"revenue": 100.0, "equity": 50.0})
    book.file("005930", "2020-12-31", "2021-04-01", {"revenue": (130.0, 90.0), "equity": (60.0, 45.0)})
    frame = read().frame
    vintages = frame.filter(pl.col("fiscal_date") == day("2019-12-31"))
    assert vintages.select("available_date", "revenue", "equity").rows() == [
        (day("2020-04-01"), 100, 50),
        (day("2021-04-01"), 90, 45),
    ]
    assert vintages["filed_date"].to_list() == [day("2020-04-01")] * 2
    newer = frame.filter(pl.col("fiscal_date") == day("2020-12-31")).row(0, named=True)
    assert (newer["revenue_year_ago"], newer["equity_year_ago"]) == (90, 45)


def test_a_restated_year_changes_later_trailing_flows_only_from_its_own_date(book, read):
    quarters(book, "005930", 2019, (20.0, 45.0, 70.0, 100.0))
    book.file("005930", "2020-03-31", "2020-05-18", {"revenue": (30.0, None, None, 20.0)})
    book.file("005930", "2020-06-30", "2020-08-17", {"revenue": (60.0, 80.0, None, 40.0)})
    filings = read()
    assert held(filings, "005930", "2020-08-14")["revenue"] == 30 + 100 - 20
    assert held(filings, "005930", "2020-08-17")["revenue"] == 60 + 80 - 40
    older = filings.frame.filter(pl.col("fiscal_date") == day("2020-03-31"))
    assert older["revenue"].to_list() == [30 + 100 - 20, 30 + 80 - 20]


def test_a_late_filing_never_replaces_a_newer_period(book, read):
    book.file("005930", "2020-03-31", "2020-10-05", {"revenue": (30.0, 100.0, None, 20.0)})
    book.file("005930", "2020-06-30", "2020-08-17", {"revenue": (60.0, 100.0, None, 45.0)})
    filings = read()
    for on in ("2020-08-17", "2020-10-05", "2020-10-30"):
        assert held(filings, "005930", on)["fiscal_date"] == day("2020-06-30")
    assert held(filings, "005930", "2020-10-02")["revenue_quarter_ago"] is None
    assert held(filings, "005930", "2020-10-05")["revenue_quarter_ago"] == 110


def test_of_two_filings_on_one_day_the_later_period_counts(book, read):
    book.file("005930", "2020-12-31", "2021-05-17", {"equity": 50.0})
    book.file("005930", "2021-03-31", "2021-05-17", {"equity": (60.0, 51.0)})
    filings = read()
    row = held(filings, "005930", "2021-05-17")
    assert (row["fiscal_date"], row["equity"], row["equity_quarter_ago"]) == (day("2021-03-31"), 60, 51)
    assert filings.frame.height == 2


def test_separate_statements_count_only_where_there_are_no_consolidated_ones_yet(book, read):
    book.file("005930", "2020-03-31", "2020-05-15", {"equity": 10.0}, consolidation="별도")
    book.file("005930", "2020-06-30", "2020-08-14", {"equity": 11.0}, consolidation="별도")
    book.file("005930", "2020-06-30", "2020-09-01", {"equity": 22.0}, consolidation="연결")
    book.file("005930", "2020-09-30", "2020-11-16", {"equity": 23.0}, consolidation="연결")
    book.file("005930", "2020-09-30", "2020-11-30", {"equity": 12.0}, consolidation="별도")
    filings = read()
    assert filings.frame.select("available_date", "consolidation", "equity").rows() == [
        (day("2020-05-15"), "별도", 10),
        (day("2020-08-14"), "별도", 11),
        (day("2020-09-01"), "연결", 22),
        (day("2020-11-16"), "연결", 23),
    ]


def test_figures_of_different_bases_are_never_set_against_each_other(book, read):
    book.file("005930", "2019-12-31", "2020-04-01", {"revenue": 10.0}, consolidation="별도")
    book.file("005930", "2020-12-31", "2021-04-01", {"revenue": 100.0}, consolidation="연결")
    book.file(
        "005930", "2021-12-31", "2022-04-01", {"revenue": (9.0, 8.0)}, consolidation="별도", currency="USD"
    )
    filings = read()
    assert held(filings, "005930", "2021-04-01")["revenue_year_ago"] is None
    last = held(filings, "005930", "2022-04-01")
    assert (last["currency"], last["revenue_year_ago"]) == ("USD", 8)
    assert filings.counts["in another currency than KRW"] == 1


def test_an_empty_consolidated_shell_does_not_hide_separate_figures(book, read):
    book.file("005930", "2020-06-30", "2020-08-14", {}, consolidation="연결")
    book.file("005930", "2020-06-30", "2020-08-14", {"equity": 5.0}, consolidation="별도")
    book.file("000660", "2020-06-30", "2020-08-14", {}, consolidation="연결")
    filings = read()
    assert held(filings, "005930", "2020-08-14")["equity"] == 5
    assert held(filings, "000660", "2020-08-14")["industry"] == "반도체 제조업"
    assert filings.counts["without any of the figures that are read"] == 2


def test_the_first_quarters_three_months_stand_in_for_the_year_to_date(book, tmp_path):
    book.file("005930", "2020-03-31", "2020-05-15", {"revenue": (None, 100.0)})
    path = book.write(tmp_path / "krx.db")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE financial_items_pl SET amount_current_qtr = 30, amount_prev_qtr = 20")
    connection.close()
    assert read_filings(path, WEEKDAYS).frame["revenue"].to_list() == [30 + 100 - 20]


def test_codes_under_the_old_prefix_and_in_brackets_are_recognised(book, tmp_path):
    book.file("[0010V0]", "2019-03-31", "2019-05-15", {"equity": 5.0, "assets": 9.0}, industry=" 금융업 ")
    book.file("[null]", "2019-03-31", "2019-05-15", {"equity": 6.0})
    path = book.write(tmp_path / "krx.db")
    with sqlite3.connect(path) as connection:
        connection.execute(
            "UPDATE financial_items_bs_cf SET item_code = 'ifrs_Equity', item_code_normalized = NULL "
            "WHERE item_name = 'equity'"
        )
        connection.execute(
            "UPDATE financial_items_bs_cf SET item_code_normalized = 'ifrs_Assets' WHERE item_name = 'assets'"
        )
    connection.close()
    filings = read_filings(path, WEEKDAYS)
    assert filings.frame.select("stock_code", "equity", "assets", "industry").rows() == [
        ("0010V0", 5, 9, "금융업")
    ]
    assert filings.counts["without stock code, left out"] == 1


def test_an_empty_database_gives_an_empty_table(read):
    filings = read()
    assert filings.frame.height == 0
    assert filings.frame.schema == FILINGS.empty().schema


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("UPDATE financial_periods SET fiscal_date = '20200331'", r"fiscal_date.*YYYY-MM-DD.*005930"),
        ("UPDATE financial_periods SET available_date = '2020-05-15'", r"available_date.*YYYYMMDD.*005930"),
        ("UPDATE financial_periods SET fiscal_date = NULL", r"fiscal_date.*005930"),
        (
            (
                "CREATE TABLE twice AS SELECT * FROM financial_periods; UPDATE twice SET id = 2; "
                "INSERT INTO financial_periods SELECT * FROM twice"
            ),
            r"stock_code.*005930",
        ),
        (
            "UPDATE financial_items_bs_cf SET amount_current = '많다'",
            r"financial_items_bs_cf.amount_current.*많다",
        ),
        (
            "UPDATE financial_items_pl SET amount_prev_year = '1,000'",
            r"financial_items_pl.amount_prev_year.*1,000",
        ),
        ("ALTER TABLE financial_periods RENAME COLUMN currency TO money", r"financial_periods.*currency"),
        ("DROP TABLE financial_items_pl", r"financial_items_pl"),
    ],
)
def test_a_fault_in_the_database_is_named_with_an_example(book, tmp_path, change, complaint):
    book.file("005930", "2020-03-31", "2020-05-15", {"equity": 5.0, "revenue": 6.0})
    path = book.write(tmp_path / "krx.db")
    with sqlite3.connect(path) as connection:
        connection.executescript(change)
    connection.close()
    with pytest.raises(SourceError, match=complaint):
        read_filings(path, WEEKDAYS)


def test_a_dash_is_no_amount(book, tmp_path):
    book.file("005930", "2020-12-31", "2021-04-01", {"equity": (5.0, 4.0), "revenue": 6.0})
    path = book.write(tmp_path / "krx.db")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE financial_items_bs_cf SET amount_prev = '-'")
        connection.execute("UPDATE financial_items_pl SET amount_current_ytd = ''")
    connection.close()
    row = held(read_filings(path, WEEKDAYS), "005930", "2021-04-01")
    assert (row["equity"], row["equity_year_ago"], row["revenue"]) == (5, None, None)


def test_no_trading_days_are_refused(read):
    with pytest.raises(ValueError, match="no trading days"):
        read(np.array([], dtype="datetime64[D]"))


@pytest.mark.parametrize("seed", range(4))
def test_every_day_holds_what_a_plain_account_of_its_filings_says(tmp_path, seed):
    book = random_book(seed)
    rows = in_force(read_filings(book.write(tmp_path / "krx.db"), WEEKDAYS).frame).rows(named=True)
    days = random.Random(seed).sample(WEEKDAYS.tolist(), 40)
    for code in sorted({filing.stock_code for filing in book.filings}):
        own = [row for row in rows if row["stock_code"] == code]
        for on in days:
            known = [row for row in own if row["available_date"] <= on]
            expected = known_on(book.filings, code, on, WEEKDAYS)
            assert (expected is None) == (not known)
            if expected:
                assert {name: known[-1][name] for name in expected} == expected


def up_to(frame, on):
    return frame.filter(pl.col("available_date") <= on)


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 10_000), cut=st.dates(dt.date(2015, 6, 1), dt.date(2019, 12, 31)))
def test_nothing_known_on_a_day_depends_on_filings_of_later_days(tmp_path_factory, seed, cut):
    path = tmp_path_factory.mktemp("krx") / "krx.db"
    book = random_book(seed, stocks=3, years=3)
    whole = up_to(read_filings(book.write(path), WEEKDAYS).frame, cut)
    later = [filing for filing in book.filings if filing.available_date and filing.available_date > cut]

    poisoned = Book([*book.filings])
    for filing in later:
        amounts = {
            item: tuple(None if amount is None else amount * 1e6 for amount in amounts)
            for item, amounts in filing.amounts.items()
        }
        poisoned.filings[poisoned.filings.index(filing)] = replace(filing, amounts=amounts, industry="독")
    assert whole.equals(up_to(read_filings(poisoned.write(path), WEEKDAYS).frame, cut))

    truncated = Book([filing for filing in book.filings if filing not in later])
    assert whole.equals(up_to(read_filings(truncated.write(path), WEEKDAYS).frame, cut))
