from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finpipe.market.tickers import (
    SHIPPED_GROUPS,
    TickerError,
    canonical_ticker,
    canonical_tickers,
    group_names,
    ticker_group,
)

GICS = {
    "Communication Services",
    "Consumer Discretionary",
    "Consumer Staples",
    "Energy",
    "Financials",
    "Health Care",
    "Industrials",
    "Information Technology",
    "Materials",
    "Real Estate",
    "Utilities",
}


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("brk.b", "BRK-B"),
        (" BF.B ", "BF-B"),
        ("aapl", "AAPL"),
        ("005930.KS", "005930.KS"),
        ("0700.hk", "0700.HK"),
        ("VOD.L", "VOD.L"),
        ("7203.T", "7203.T"),
        ("^GSPC", "^GSPC"),
        ("EURUSD=X", "EURUSD=X"),
        ("M&M.NS", "M&M.NS"),
    ],
)
def test_only_the_class_letter_of_us_shares_loses_its_dot(written, canonical):
    assert canonical_ticker(written) == canonical
    assert canonical_ticker(canonical) == canonical


@pytest.mark.parametrize(
    "written",
    [
        "",
        "  ",
        "../AAPL",
        "A/B",
        "A\\B",
        "..",
        "A..B",
        ".AAPL",
        "AA PL",
        "AAPL\n;",
        "삼성전자",
        "A" * 30,
        "-X",
        "A?b=1",
    ],
)
def test_what_is_no_ticker_is_refused(written):
    with pytest.raises(TickerError):
        canonical_ticker(written)


@given(st.text(max_size=12))
def test_a_canonical_ticker_can_be_part_of_a_path_and_a_url(text):
    try:
        ticker = canonical_ticker(text)
    except TickerError:
        return
    assert ticker == canonical_ticker(ticker)
    assert not set(ticker) & set("/\\ ?#%\0")
    assert ".." not in ticker


def test_duplicates_are_named_in_both_spellings():
    with pytest.raises(TickerError, match=r"'BRK\.B' and 'brk-b' are both BRK-B"):
        canonical_tickers(["BRK.B", "KO", "brk-b"])
    with pytest.raises(TickerError, match="twice"):
        canonical_tickers(["KO", "KO"])
    with pytest.raises(TickerError, match="no tickers"):
        canonical_tickers([])
    with pytest.raises(TickerError, match="list of tickers"):
        canonical_tickers("KO,PEP")


@pytest.mark.parametrize(
    ("name", "members", "some"),
    [
        ("sp500", 503, {"AAPL": "Information Technology", "BRK-B": "Financials", "XOM": "Energy"}),
        ("dow30", 30, {"KO": "Consumer Staples"}),
        ("nasdaq100", 101, {"NVDA": "Information Technology"}),
        ("kospi200", 180, {"005930.KS": "Information Technology", "005490.KS": "Materials"}),
        ("demo", 61, {"TEC01": "Information Technology"}),
    ],
)
def test_shipped_groups_have_their_members_and_a_sector_for_each(name, members, some):
    group = ticker_group(name)
    assert len(group.tickers) == members
    assert list(group.tickers) == sorted(group.tickers)
    assert set(group.sectors) == set(group.tickers)
    assert set(group.sectors.values()) <= GICS
    assert some.items() <= group.sectors.items()
    assert (group.as_of is None) == (name == "demo")


def test_the_dow_is_within_the_sp500():
    assert set(ticker_group("dow30").tickers) <= set(ticker_group("sp500").tickers)


def test_own_groups_come_from_the_settings_and_go_before_shipped_ones(tmp_path):
    (tmp_path / "my.txt").write_text("pep  # a comment\nKO, brk.b\n")
    own = {"drinks": ["KO", "PEP"], "dow30": ["ko"], "filed": str(tmp_path / "my.txt")}
    assert ticker_group("drinks", own).tickers == ("KO", "PEP")
    assert ticker_group("dow30", own).tickers == ("KO",)
    assert ticker_group("filed", own).tickers == ("BRK-B", "KO", "PEP")
    assert group_names(own) == (*SHIPPED_GROUPS, "demo", "drinks", "filed")


def test_a_csv_brings_sectors(tmp_path):
    file = tmp_path / "mine.csv"
    file.write_text("\ufeffName, Ticker ,Sector\nCoke,KO,Consumer Staples\nOther,xyz,\n")
    group = ticker_group(file)
    assert (group.name, group.tickers, group.sectors) == ("mine", ("KO", "XYZ"), {"KO": "Consumer Staples"})


def test_an_unknown_group_names_those_there_are_and_the_nearest():
    with pytest.raises(TickerError, match=r"Did you mean 'sp500'\? There are sp500, dow30.*, mine;"):
        ticker_group("SP-500", {"mine": ["KO"]})
    with pytest.raises(TickerError, match=r"unknown ticker group 'qqqqq'\. There are"):
        ticker_group("qqqqq")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", "symbol\nKO\n", "no column 'ticker'; its first line reads 'symbol'"),
        ("a.csv", "", "is empty"),
        ("a.txt", "KO ko", "a.txt: duplicate"),
        ("a.txt", "KO ../x", r"a.txt: '\.\./x' is no ticker"),
        ("a.txt", "# nothing\n", "no tickers given"),
    ],
)
def test_files_that_are_no_group_say_where_it_fails(tmp_path, name, content, words):
    (tmp_path / name).write_text(content)
    with pytest.raises(TickerError, match=words):
        ticker_group(tmp_path / name)


def test_a_missing_or_binary_file_is_told(tmp_path):
    with pytest.raises(TickerError, match="cannot be read: No such file"):
        ticker_group(tmp_path / "none.csv")
    (tmp_path / "b.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TickerError, match="not UTF-8"):
        ticker_group(tmp_path / "b.txt")
    with pytest.raises(TickerError, match=r"expected a \.csv or a \.txt"):
        ticker_group(str(Path("some") / "folder"))
