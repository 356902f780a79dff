from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finpipe.learning.rows import AlignmentError
from finpipe.learning.universe import FUNNEL, REQUIRED_FEATURES, universe
from finpipe.market import schema
from finpipe_tests.learning.small_market import HALT, Bar, daily_prices, day, stock_list, traded

LIMITS = {"min_price": 1_000, "min_market_cap": 500, "min_value": 10}


def technical(prices: pl.DataFrame) -> pl.DataFrame:
    return traded(prices).with_columns(
        pl.lit(0.5, dtype=pl.Float32).alias(name) for name in REQUIRED_FEATURES
    )


def good(**changes) -> Bar:
    return Bar(**({"close": 1_000, "market_cap": 500, "value": 10} | changes))


def members(stocks, listed, **options) -> list[tuple[str, int]]:
    prices = daily_prices(stocks)
    frame = universe(prices, technical(prices), listed, **(LIMITS | options)).frame
    return [
        (code, (date - day(0)).days)
        for code, date in frame.cast({"stock_code": pl.String}).select("stock_code", "date").rows()
    ]


@pytest.mark.parametrize(
    "bar",
    [good(close=999), good(market_cap=499), good(value=9), good(market="konex"), HALT],
    ids=["price", "size", "liquidity", "market", "halt"],
)
def test_each_floor_is_inclusive_and_leaves_lesser_rows_out(bar):
    assert members({"A": {0: good(), 1: bar, 2: good()}}, stock_list({"A": None})) == [("A", 0), ("A", 2)]


@pytest.mark.parametrize("delisting", [None, day(-400), day(1), day(3)])
def test_a_member_for_as_long_as_it_trades_whatever_the_list_of_delistings_says(delisting):
    stocks = {"A": {0: good(), 1: good(), 2: good(), 3: HALT}}
    assert members(stocks, stock_list({"A": delisting})) == [("A", 0), ("A", 1), ("A", 2)]


def test_preferred_shares_and_spacs_are_left_out_unless_let_in():
    stocks = {code: {0: good()} for code in ("000010", "000015", "000020")}
    listed = stock_list(dict.fromkeys(stocks), is_preferred={"000015": True}, is_spac={"000020": True})
    assert members(stocks, listed) == [("000010", 0)]
    assert members(stocks, listed, exclude_preferred=False) == [("000010", 0), ("000015", 0)]
    assert members(stocks, listed, exclude_spacs=False) == [("000010", 0), ("000020", 0)]


def test_a_stock_that_the_list_lacks_is_judged_by_its_code():
    stocks = {code: {0: good()} for code in ("000010", "000015", "000020")}
    assert members(stocks, stock_list({"000020": None})) == [("000010", 0), ("000020", 0)]


@pytest.mark.parametrize("missing", REQUIRED_FEATURES)
def test_a_member_has_the_required_features(missing):
    prices = daily_prices({"A": {0: good(), 1: good()}})
    known = technical(prices).with_columns(pl.Series(missing, [None, 0.5], dtype=pl.Float32))
    assert universe(prices, known, stock_list({"A": None}), **LIMITS).frame["date"].to_list() == [day(1)]


def test_floors_look_at_raw_prices():
    prices = daily_prices({"A": {0: good()}}, factor=0.01)
    assert universe(prices, technical(prices), stock_list({"A": None}), **LIMITS).frame.height == 1


def test_technical_features_of_other_rows_are_refused():
    prices = daily_prices({"A": {0: good(), 1: good()}})
    with pytest.raises(AlignmentError, match="krx/technical_features has 1 rows"):
        universe(prices, technical(prices)[1:], stock_list({"A": None}))


bars = st.builds(
    Bar,
    close=st.sampled_from([900, 1_000, 2_000]),
    market_cap=st.sampled_from([400, 500, 900]),
    value=st.sampled_from([5, 10, 20]),
    volume=st.sampled_from([0, 1, 1, 1]),
    market=st.sampled_from(["kospi", "kosdaq", "konex"]),
)
markets = st.dictionaries(
    st.sampled_from(["00001K", "000010", "000015", "000020"]),
    st.dictionaries(st.sampled_from([0, 1, 2, 400, 401]), bars, min_size=1),
    min_size=1,
)


@settings(deadline=None, max_examples=60)
@given(markets, st.booleans(), st.data())
def test_equals_a_plain_reference_and_the_funnel_adds_up(stocks, exclude, data):
    prices = daily_prices(stocks)
    gone = {code: data.draw(st.none() | st.sampled_from([day(1), day(400)])) for code in stocks}
    spac = {code: data.draw(st.booleans()) for code in stocks}
    preferred = {code: code[-1] != "0" for code in stocks}
    present = pl.Series(
        data.draw(
            st.lists(st.booleans(), min_size=technical(prices).height, max_size=technical(prices).height)
        ),
        dtype=pl.Boolean,
    )
    features = technical(prices).with_columns(pl.when(present).then("mom_20d").alias("mom_20d"))
    found = universe(
        prices,
        features,
        stock_list(gone, is_preferred=preferred, is_spac=spac),
        exclude_preferred=exclude,
        exclude_spacs=exclude,
        **LIMITS,
    )
    has = dict(
        zip(
            features.select("stock_code", "date").cast({"stock_code": pl.String}).rows(), present, strict=True
        )
    )
    expected = [
        (code, day(number))
        for code, days in sorted(stocks.items())
        for number, bar in sorted(days.items())
        if bar.volume
        and bar.market != "konex"
        and not (exclude and (spac[code] or preferred[code]))
        and has[code, day(number)]
        and bar.close >= 1_000
        and bar.market_cap >= 500
        and bar.value >= 10
    ]
    assert schema.UNIVERSE.validate(found.frame).select("stock_code", "date").rows() == expected

    funnel = FUNNEL.validate(found.funnel)
    last = funnel.group_by("year", maintain_order=True).last()
    years = found.frame.group_by(year=pl.col("date").dt.year()).agg(
        pl.len(), stocks=pl.col("stock_code").n_unique()
    )
    counted = last.join(years, on="year", how="left").fill_null(0)
    assert counted["kept"].to_list() == counted["len"].to_list()
    assert counted["stocks"].to_list() == counted["stocks_right"].to_list()
    start = funnel.filter(pl.col("step") == 0)
    assert start["kept"].sum() == traded(prices).height
    assert start["kept"].sum() - funnel["dropped"].sum() == found.frame.height
