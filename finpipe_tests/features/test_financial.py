import datetime as dt
import math
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finpipe.features.financial import FEATURES, financial_features
from finpipe.market.filings import read_filings
from finpipe_tests.features.plain_financial import (
    assert_equal_tables,
    percent_ranks,
    plain_market,
    sector_scores,
)
from finpipe_tests.market.filing_book import Book, random_book

DAYS = np.array(
    [day for day in np.arange("2014-06-02", "2021-01-01", dtype="datetime64[D]") if np.is_busday(day)]
)
CAP = 1e12


@pytest.fixture
def book():
    return Book()


@pytest.fixture
def features_on(book, tmp_path):
    """Features of one stock of the book on the given days, as dicts."""

    def of(stock_code, *days, **options):
        filings = read_filings(book.write(tmp_path / "krx.db"), DAYS).frame
        rows = traded([stock_code], [dt.date.fromisoformat(day) for day in days])
        return financial_features(rows, filings, **options).rows(named=True)

    return of


def traded(codes, dates, sectors=("반도체",), caps=(CAP,)):
    """Rows of every code on every date, in order."""
    return pl.DataFrame(
        [
            (code, date, int(caps[i % len(caps)] * (1 + j % 7)), sectors[i % len(sectors)])
            for i, code in enumerate(sorted(codes))
            for j, date in enumerate(sorted(dates))
        ],
        schema={
            "stock_code": pl.Categorical,
            "date": pl.Date,
            "market_cap": pl.Int64,
            "sector": pl.Categorical,
        },
        orient="row",
    )


YEAR = {
    "revenue": (130.0, 100.0, 80.0),
    "gross_profit": (52.0, 40.0),
    "operating_income": (26.0, 10.0),
    "net_income": (18.0, 8.0),
    "income_tax": (6.0,),
    "assets": (200.0, 180.0),
    "liabilities": (80.0, 90.0),
    "equity": (120.0, 100.0),
    "cash": (30.0,),
    "operating_cash_flow": (27.0,),
    "investing_cash_flow": (-9.0,),
}
BILLION = {item: tuple(amount * 1e9 for amount in amounts) for item, amounts in YEAR.items()}


def test_the_ratios_of_one_annual_filing(book, features_on):
    book.file("005930", "2019-12-31", "2020-03-31", BILLION)
    (row,) = features_on("005930", "2020-04-01")
    expected = {
        "roe": 18 / 120,
        "operating_margin": 26 / 130,
        "revenue_yoy": 0.3,
        "gp_over_assets": 52 / 200,
        "roe_delta_yoy": 18 / 120 - 8 / 100,
        "pb": 1000 / 120,
        "roic": (26 - 6) / (120 + 80 - 30),
        "accruals": (18 - 27) / 200,
        "net_debt_to_equity": 50 / 120,
        "ocf_to_net_income": 27 / 18,
        "fcf_to_net_income": 18 / 18,
        "fcf_yield": 18 / 1000,
        "ev_to_ebit": (1000 + 50) / 26,
    }
    assert {name: row[name] for name in expected} == pytest.approx(expected, rel=1e-6)
    assert row["roe_delta_qoq"] is None
    assert row["revenue_cagr_3y"] is None


def test_comparisons_with_the_quarter_before_and_three_years_before(book, features_on):
    for year, revenue in ((2016, 100.0), (2017, 110.0), (2018, 120.0)):
        book.file("005930", f"{year}-12-31", f"{year + 1}-04-01", {"revenue": revenue})
    flows = {"revenue": (96.0, 120.0, None, 80.0), "operating_income": (9.6, 12.0, None, 4.0)}
    book.file(
        "005930", "2019-09-30", "2019-11-15", {**flows, "net_income": (5.0, 6.0, None, 3.0), "equity": 80.0}
    )
    last = {
        "revenue": (172.8, 120.0),
        "operating_income": (34.56, 12.0),
        "net_income": (10.0, 6.0),
        "equity": 100.0,
    }
    book.file("005930", "2019-12-31", "2020-04-01", last)
    (row,) = features_on("005930", "2020-04-01")
    assert row["revenue_cagr_3y"] == pytest.approx(1.728 ** (1 / 3) - 1, rel=1e-6)
    assert row["roe_delta_qoq"] == pytest.approx(10 / 100 - 8 / 80, abs=1e-7)
    assert row["margin_improvement"] == pytest.approx(34.56 / 172.8 - 17.6 / 136, rel=1e-6)
    assert row["revenue_yoy"] == pytest.approx(0.44, rel=1e-6)
    assert row["revenue_growth_accel"] is None


def test_growth_accelerates_against_the_quarter_before_and_its_own_year_before(book, features_on):
    book.file("005930", "2018-09-30", "2018-11-15", {"revenue": (75.0, 100.0, None, 75.0)})
    book.file("005930", "2018-12-31", "2019-04-01", {"revenue": (100.0, 100.0)})
    book.file("005930", "2019-09-30", "2019-11-15", {"revenue": (85.0, 100.0, None, 75.0)})
    book.file("005930", "2019-12-31", "2020-04-01", {"revenue": (130.0, 100.0)})
    (row,) = features_on("005930", "2020-04-01")
    assert row["revenue_growth_accel"] == pytest.approx(0.30 - 0.10, abs=1e-7)


def test_a_restatement_moves_the_comparison_but_not_what_was_said_before(book, features_on):
    book.file("005930", "2018-12-31", "2019-04-01", {"revenue": (100.0, 80.0)})
    book.file("005930", "2019-12-31", "2020-04-01", {"revenue": (120.0, 60.0)})
    before, after = features_on("005930", "2020-03-31", "2020-04-01")
    assert before["revenue_yoy"] == pytest.approx(0.25)
    assert after["revenue_yoy"] == pytest.approx(1.0)


def test_denominators_that_are_not_positive_give_null(book, features_on):
    broke = {**BILLION, "equity": (-5e9, 1e9), "net_income": (-3e9,), "operating_income": (0.0,)}
    book.file("005930", "2019-12-31", "2020-03-31", broke)
    (row,) = features_on("005930", "2020-04-01")
    for name in (
        "roe",
        "roe_delta_yoy",
        "pb",
        "pb_sector_zscore",
        "net_debt_to_equity",
        "ev_to_ebit",
        "ocf_to_net_income",
        "fcf_to_net_income",
    ):
        assert row[name] is None, name
    assert row["operating_margin"] == 0
    assert row["accruals"] == pytest.approx((-3 - 27) / 200)


def test_a_listing_without_filings_has_no_financial_features(book, features_on):
    book.file("000660", "2019-12-31", "2020-03-31", BILLION)
    (row,) = features_on("005930", "2020-04-01")
    assert all(row[feature.name] is None for feature in FEATURES)


def test_a_filing_speaks_for_400_days_from_the_day_it_became_available(book, features_on):
    book.file("005930", "2018-12-31", "2019-04-01", BILLION)
    eve, last, first_stale = features_on("005930", "2019-03-29", "2020-05-05", "2020-05-06")
    assert eve["roe"] is None
    assert last["roe"] == pytest.approx(0.15)
    assert first_stale["roe"] is None
    assert first_stale["financial_quality_index"] is None
    assert features_on("005930", "2020-05-06", staleness_days=401)[0]["roe"] == pytest.approx(0.15)


def test_a_restatement_of_an_old_period_does_not_make_it_fresh(book, features_on):
    book.file("005930", "2018-12-31", "2019-04-01", BILLION)
    book.file(
        "005930", "2018-09-30", "2020-03-02", {"equity": 90e9, "revenue": 70e9, "operating_income": 7e9}
    )
    (row,) = features_on("005930", "2020-05-06")
    assert row["roe"] is None


def test_amounts_in_another_currency_are_not_set_against_the_market_cap(book, features_on):
    book.file("900110", "2019-12-31", "2020-03-31", BILLION, currency="USD")
    (row,) = features_on("900110", "2020-04-01")
    assert row["roe"] == pytest.approx(0.15)
    assert [row[name] for name in ("pb", "pb_sector_zscore", "fcf_yield", "ev_to_ebit")] == [None] * 4


def test_quality_is_the_mean_of_the_ranks_that_are_known(book, tmp_path):
    for number, growth in enumerate((1.0, 1.2, 1.1)):
        code = f"{number:06d}"
        ytd = {"revenue": (75.0, 100.0, None, 75.0), "operating_income": (7.5, 10.0, None, 7.5)}
        book.file(code, "2019-09-30", "2019-11-15", ytd)
        full = {"revenue": (100.0 * growth, 100.0), "operating_income": (10.0 * growth**2, 10.0)}
        book.file(code, "2019-12-31", "2020-03-31", full)
    book.file("000003", "2019-12-31", "2020-03-31", {"equity": 5.0})
    rows = traded([f"{number:06d}" for number in range(4)], [dt.date(2020, 4, 1)])
    table = financial_features(rows, read_filings(book.write(tmp_path / "krx.db"), DAYS).frame)
    assert table["margin_improvement"].rank().to_list() == [1, 3, 2, None]
    assert table["roe_sector_zscore"].null_count() == 4
    assert table["financial_quality_index"].to_list() == pytest.approx([1 / 3, 1, 2 / 3, None])


def test_rows_without_a_sector_or_alone_in_it_have_no_sector_score(book, tmp_path):
    codes = [f"{number:06d}" for number in range(4)]
    for number, code in enumerate(codes):
        book.file(code, "2019-12-31", "2020-03-31", {"net_income": 1.0 + number, "equity": 10.0})
    rows = traded(codes, [dt.date(2020, 4, 1)], sectors=("은행", "은행", None, "조선"))
    table = financial_features(rows, read_filings(book.write(tmp_path / "krx.db"), DAYS).frame)
    first, second, *others = table["roe_sector_zscore"].to_list()
    assert (first, others) == (pytest.approx(-second), [None, None])


def test_every_declared_feature_is_there_within_its_bounds(tmp_path):
    table = market_features(random_book(11), tmp_path / "krx.db")
    assert table.columns == ["stock_code", "date", *(feature.name for feature in FEATURES)]
    for feature in FEATURES:
        values = table[feature.name]
        assert values.dtype == feature.dtype
        assert values.count() > 0, feature.name
        assert values.is_finite().all(), feature.name
        assert feature.low is None or values.min() >= feature.low
        assert feature.high is None or values.max() <= feature.high


CODES = [f"{number:06d}" for number in range(7)]
SECTORS = ("은행", "조선", None, "은행", "조선", "조선", "은행")
DATES = DAYS[::40].tolist()


def market_features(book, path, dates=DATES):
    rows = traded(CODES, dates, SECTORS, (30.0, 500.0, 80.0))
    return financial_features(rows, read_filings(book.write(path), DAYS).frame)


@pytest.mark.parametrize("seed", range(6))
def test_a_random_market_equals_the_plain_account(tmp_path, seed):
    book = random_book(seed)
    rows = traded(CODES, DATES, SECTORS, (30.0, 500.0, 80.0))
    filings = read_filings(book.write(tmp_path / "krx.db"), DAYS).frame
    assert_equal_tables(financial_features(rows, filings), plain_market(book, rows, DAYS))


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 10_000), cut=st.dates(dt.date(2015, 6, 1), dt.date(2019, 12, 31)))
def test_no_feature_depends_on_filings_of_later_days(tmp_path_factory, seed, cut):
    path = tmp_path_factory.mktemp("krx") / "krx.db"
    book = random_book(seed, stocks=7)
    whole = market_features(book, path)
    before = whole.filter(pl.col("date") <= cut)

    def poisoned(filing):
        if filing.available_date is None or filing.available_date <= cut:
            return filing
        amounts = {
            item: tuple(amount if amount is None else amount * 1e6 for amount in stated)
            for item, stated in filing.amounts.items()
        }
        return replace(filing, amounts=amounts)

    wild = market_features(Book([poisoned(filing) for filing in book.filings]), path)
    assert wild.filter(pl.col("date") <= cut).equals(before)
    kept = [
        filing for filing in book.filings if filing.available_date is None or filing.available_date <= cut
    ]
    short = market_features(Book(kept), path, [date for date in DATES if date <= cut])
    assert short.equals(before)


def test_the_plain_account_knows_ties_and_limits():
    assert percent_ranks([1.0, 1.0, None, 3.0]) == [0.5, 0.5, None, 1.0]
    assert all(math.isclose(abs(score), 2**-0.5) for score in sector_scores([0.0, 1.0], ["a", "a"]))


def test_a_later_start_of_the_price_history_changes_nothing_after_it(tmp_path):
    path = random_book(3).write(tmp_path / "krx.db")
    start = DAYS[900]
    dates = [date for date in DAYS[::15].tolist() if date >= start.item()]
    rows = traded(CODES, dates, SECTORS)
    whole = financial_features(rows, read_filings(path, DAYS).frame)
    assert financial_features(rows, read_filings(path, DAYS[900:]).frame).equals(whole)
