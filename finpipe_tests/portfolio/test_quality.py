from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest

from finpipe.portfolio.quality import ELIGIBILITY_SCHEMA, QualityRules, eligible_tickers
from finpipe_tests.portfolio.sample_bars import bars_of, random_prices, real_bars

DAYS = 300
RULES = QualityRules()


@pytest.fixture
def prices() -> dict[str, np.ndarray]:
    return random_prices(["GOOD", "TEST"], DAYS)


def reason(prices: dict, change=None, rules: QualityRules = RULES) -> str | None:
    bars = bars_of(prices)
    if change is not None:
        bars = change(bars)
    verdict = eligible_tickers(bars, rules)
    assert "GOOD" in verdict.tickers
    return verdict.excluded.get("TEST")


def only(expression: pl.Expr, column: str):
    """Change a column of the bars of TEST alone."""
    return lambda bars: bars.with_columns(
        pl.when(pl.col("ticker") == "TEST").then(expression).otherwise(column).alias(column)
    )


def test_good_bars_are_eligible_and_the_frame_tells_all(prices):
    verdict = eligible_tickers(bars_of(prices), tickers=["TEST", "GHOST"])
    assert verdict.frame.schema == ELIGIBILITY_SCHEMA
    assert verdict.tickers == ("GOOD", "TEST")
    assert verdict.excluded == {"GHOST": "There are no bars of it in the period."}
    assert verdict.frame["reason"].null_count() == 2


def test_short_history(prices):
    prices["TEST"] = [None] * (DAYS - 125) + list(prices["TEST"][:125])
    assert reason(prices) == "It has 125 bars, since 2015-09-03; 126 are needed."


def test_a_late_listing_without_gaps_is_eligible(prices):
    prices["TEST"] = [None] * (DAYS - 126) + list(prices["TEST"][:126])
    assert reason(prices) is None


def test_prices_that_are_not_positive(prices):
    said = reason(prices, only(pl.lit(-1.5), "adjusted_close"))
    assert said == "300 of its prices are not positive numbers, the first on 2015-01-01 (-1.5)."


def test_a_ticker_that_no_longer_trades(prices):
    prices["TEST"] = [*prices["TEST"][: DAYS - 11], *[None] * 11]
    assert reason(prices) == (
        "Its last bar is of 2016-02-09, 11 sessions before the end of the period; at most 10 are allowed."
    )
    assert reason(prices, rules=QualityRules(max_silence=11)) is None


def test_gaps(prices):
    prices["TEST"] = [None if i % 8 == 3 else price for i, price in enumerate(prices["TEST"])]
    assert reason(prices) == "It has bars on 262 of 300 sessions since 2015-01-01 (87.3%); 90% are needed."


def test_a_market_that_never_closes_makes_no_gaps_in_the_others(prices):
    bars = bars_of(prices)
    every_day = pl.date_range(bars["date"].min(), bars["date"].max(), eager=True).alias("date")
    coin = bars.filter(pl.col("ticker") == "GOOD").join(every_day.to_frame(), on="date", how="right")
    coin = coin.select(bars.columns).with_columns(
        pl.exclude("date", "ticker").forward_fill(), ticker=pl.lit("BTC-USD")
    )
    verdict = eligible_tickers(pl.concat([bars, coin]).sort("ticker", "date"))
    assert verdict.tickers == ("BTC-USD", "GOOD", "TEST")


def test_a_price_that_stands_still(prices):
    prices["TEST"][100:116] = 50.0
    assert reason(prices) == "Its price stood still for 16 sessions in a row; at most 15 are allowed."
    prices["TEST"][115] = 51.0
    assert reason(prices) is None


def test_jumps_up_and_down_without_a_split(prices):
    prices["TEST"][:] = 10.0 + np.arange(DAYS) % 2
    prices["TEST"][200:] *= 10
    assert reason(prices) == (
        "Its adjusted price went from 11.0 to 100.0 (809.1%) on 2015-10-08 without a split to explain it."
    )
    prices["TEST"][200:] /= 100
    assert reason(prices).startswith("Its adjusted price went from 11.0 to 1.0 (-90.9%) on 2015-10-08")


def test_a_split_that_the_adjustment_missed_is_named(prices):
    prices["TEST"][:] = 10.0 + np.arange(DAYS) % 2
    prices["TEST"][200:] /= 10
    split = only(pl.when(pl.col("date") == dt.date(2015, 10, 8)).then(10.0).otherwise(1.0), "split_ratio")
    assert reason(prices, split).endswith("although a split of 10.0 is recorded that day.")


def test_an_adjusted_split_is_no_jump(prices):
    raw = pl.when(pl.col("date") < dt.date(2015, 10, 8)).then(pl.col("close") * 20).otherwise("close")
    assert reason(prices, only(raw, "close")) is None


def test_thin_trading(prices):
    prices["TEST"][:] = 10.0 + np.arange(DAYS) % 2
    thin = only(pl.lit(100, pl.Int64), "volume")
    assert reason(prices, thin) == (
        "A median of 1100 a day was traded over its last 63 bars; 100000 are needed."
    )
    assert reason(prices, thin, QualityRules(min_traded_value=0)) is None


def test_no_bars_at_all_excludes_all_by_name(prices):
    verdict = eligible_tickers(bars_of(prices).clear(), tickers=["B", "A"])
    assert list(verdict.excluded) == ["A", "B"]


@pytest.mark.parametrize(
    "wrong",
    [{"min_valid": 90}, {"max_fall": -0.5}, {"min_history": 1}, {"max_rise": 0}, {"min_traded_value": -1}],
)
def test_rules_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        QualityRules(**wrong)


def test_the_real_market(shared_data):
    bars = real_bars(shared_data, dt.date(2012, 1, 1), dt.date(2016, 12, 31))
    verdict = eligible_tickers(bars)
    counts = dict(bars.group_by("ticker").len().iter_rows())
    assert len(verdict.tickers) > 470
    assert all(said.endswith(".") for said in verdict.excluded.values())
    assert {ticker for ticker, count in counts.items() if count < 126} <= set(verdict.excluded)
