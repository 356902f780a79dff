"""Index levels of the demo market: computed from its own stocks, with the codes of the source."""

from __future__ import annotations

import polars as pl

from finpipe_tests.market.demo.reading import read_table

MACRO_INDEX_CODES = {
    "index_daily_prices": {
        "KOSPI_코스피",
        "KOSPI_코스피_200",
        "KOSPI_코스피_대형주",
        "KOSPI_코스피_소형주",
        "KOSDAQ_코스닥",
        "KOSDAQ_코스닥_150",
        "KOSPI_코스피_200_건설",
        "KOSPI_코스피_200_경기소비재",
        "KOSPI_코스피_200_금융",
        "KOSPI_코스피_200_산업재",
        "KOSPI_코스피_200_생활소비재",
        "KOSPI_코스피_200_에너지_화학",
        "KOSPI_코스피_200_정보기술",
        "KOSPI_코스피_200_중공업",
        "KOSPI_코스피_200_철강_소재",
        "KOSPI_코스피_200_커뮤니케이션서비스",
        "KOSPI_코스피_200_헬스케어",
    },
    "deriv_index_daily": {
        "DERIV_옵션지수_코스피_200_변동성지수",
        "DERIV_선물지수_미국달러선물지수",
        "DERIV_선물지수_코스피_200_선물지수",
    },
    "bond_index_daily": {"BOND_국고채프라임지수", "BOND_KTB_지수"},
}


def test_indices_carry_the_codes_of_the_macro_features(market):
    for table, codes in MACRO_INDEX_CODES.items():
        found = set(read_table(market, f"SELECT DISTINCT index_code FROM {table}")["index_code"])
        assert codes <= found


def test_the_market_index_is_weighted_by_cap_at_base_prices(prices, market):
    expected = (
        prices.filter(pl.col("market_type") == "kospi")
        .with_columns(shares=pl.col("market_cap") // pl.col("closing_price"))
        .group_by("date")
        .agg(
            move=(pl.col("change") * pl.col("shares")).sum()
            / ((pl.col("closing_price") - pl.col("change")) * pl.col("shares")).sum()
        )
    )
    index = read_table(market, "SELECT * FROM index_daily_prices WHERE index_code = 'KOSPI_코스피'").sort(
        "date"
    )
    joined = index.with_columns(found=pl.col("closing_index").pct_change()).join(expected, on="date")
    gap = (joined["found"] - joined["move"]).drop_nulls().abs()
    # Listings between two quarterly reviews join the index at the next review.
    assert gap.median() < 2e-4
    assert joined.select(pl.corr("found", "move")).item() > 0.99


def test_implied_volatility_rises_with_realised_volatility(market):
    index = read_table(
        market,
        "SELECT date, closing_index FROM index_daily_prices WHERE index_code = 'KOSPI_코스피_200'",
    ).sort("date")
    implied = read_table(
        market,
        "SELECT date, closing_index AS implied FROM deriv_index_daily "
        "WHERE index_code = 'DERIV_옵션지수_코스피_200_변동성지수'",
    )
    joined = index.with_columns(realised=pl.col("closing_index").log().diff().rolling_std(20)).join(
        implied, on="date"
    )
    assert joined.drop_nulls().select(pl.corr("realised", "implied")).item() > 0.4
