"""Daily prices of the demo market: they hang together as prices of the exchange do."""

from __future__ import annotations

import exchange_calendars
import numpy as np
import polars as pl

from finpipe_tests.market.demo.reading import read_table


def test_trading_days_are_sessions_of_the_exchange(prices, market):
    calendar = exchange_calendars.get_calendar("XKRX", start=market.first_session, end=market.last_session)
    assert sorted(prices["date"].unique()) == [day.strftime("%Y%m%d") for day in calendar.sessions]


def test_a_stock_has_a_row_on_every_session_of_its_life(prices):
    sessions = {day: number for number, day in enumerate(sorted(prices["date"].unique()))}
    numbered = prices.with_columns(session=pl.col("date").replace_strict(sessions))
    gaps = numbered.with_columns(gap=pl.col("session").diff().over("stock_code"))["gap"].drop_nulls()
    assert set(gaps.unique()) == {1}
    first = numbered.group_by("stock_code").agg(pl.col("session").min())["session"]
    assert 0.1 < (first > 0).mean() < 0.6


def test_the_base_price_is_the_previous_close_but_for_corporate_actions(prices):
    based = prices.with_columns(
        base=pl.col("closing_price") - pl.col("change"),
        before=pl.col("closing_price").shift(1).over("stock_code"),
        shares=pl.col("market_cap") // pl.col("closing_price"),
    ).with_columns(shares_before=pl.col("shares").shift(1).over("stock_code"))
    following = based.filter(pl.col("before").is_not_null())
    actions = following.filter(pl.col("base") != pl.col("before"))
    assert 5 <= actions.height < 0.01 * following.height
    price_ratio = actions["before"] / actions["base"]
    share_ratio = actions["shares"] / actions["shares_before"]
    assert (price_ratio > 1.1).any()
    assert (price_ratio < 0.5).any()
    assert (price_ratio / share_ratio - 1).abs().max() < 0.12
    assert (price_ratio / share_ratio - 1).abs().median() < 0.005


def test_change_rate_is_change_over_base_price_in_percent(prices):
    expected = 100 * prices["change"] / (prices["closing_price"] - prices["change"])
    assert (prices["change_rate"] - expected).abs().max() <= 0.005 + 1e-9


def test_market_cap_is_close_times_a_whole_number_of_shares(prices, market):
    assert (prices["market_cap"] % prices["closing_price"]).sum() == 0
    assert prices["market_cap"].min() > 0
    latest = prices.group_by("stock_code").agg(pl.col("market_cap", "closing_price").last())
    listed = read_table(market, "SELECT stock_code, shares_outstanding FROM stocks")
    joined = latest.join(listed, on="stock_code")
    assert joined.height == market.stocks
    assert (joined["market_cap"] == joined["closing_price"] * joined["shares_outstanding"]).all()


def test_prices_stay_within_the_limit_and_some_days_are_locked_at_it(prices):
    rate = prices["change"] / (prices["closing_price"] - prices["change"])
    assert rate.abs().max() <= 0.30
    locked = prices.filter(
        (pl.col("high_price") == pl.col("low_price")) & (pl.col("volume") > 0) & (rate.abs() > 0.25)
    )
    assert locked.height > 0
    bars = prices.filter(pl.col("opening_price") > 0).with_columns(
        base=pl.col("closing_price") - pl.col("change")
    )
    assert (bars["high_price"] / bars["base"]).max() <= 1.30
    assert (bars["low_price"] / bars["base"]).min() >= 0.70


def test_bars_are_ordered_and_quoted_in_ticks(prices):
    bars = prices.filter(pl.col("opening_price") > 0)
    assert bars.filter(pl.col("low_price") > pl.min_horizontal("opening_price", "closing_price")).height == 0
    assert bars.filter(pl.col("high_price") < pl.max_horizontal("opening_price", "closing_price")).height == 0
    average = bars["value"] / bars["volume"]
    assert (average >= bars["low_price"] - 1).all()
    assert (average <= bars["high_price"] + 1).all()
    for column in ("opening_price", "high_price", "low_price", "closing_price"):
        dear = bars.filter(pl.col(column) >= 20_000)[column]
        assert (dear % 50).sum() == 0


def test_halted_rows_carry_the_close_and_nothing_else(prices):
    carried = prices.with_columns(before=pl.col("closing_price").shift(1).over("stock_code"))
    halted = carried.filter(pl.col("volume") == 0)
    assert 0.003 < halted.height / prices.height < 0.05
    for column in ("value", "opening_price", "high_price", "low_price", "change"):
        assert (halted[column] == 0).all(), column
    assert (halted["closing_price"] == halted["before"]).all()
    run = carried.with_columns(halt=pl.col("volume") == 0).with_columns(
        spell=pl.col("halt").rle_id().over("stock_code")
    )
    lengths = (
        run.filter(pl.col("halt") & (pl.col("market_type") != "kodex")).group_by("stock_code", "spell").len()
    )["len"]
    assert lengths.min() == 1
    assert lengths.max() > 20


def test_some_rows_have_volume_but_no_opening_price(prices):
    odd = prices.filter((pl.col("opening_price") == 0) & (pl.col("volume") > 0))
    assert 1 <= odd.height < 0.001 * prices.height
    assert (odd["change"] == 0).all()


def test_returns_have_fat_tails_and_clustered_volatility(prices, market):
    traded = prices.filter((pl.col("volume") > 0) & (pl.col("market_type") != "kodex"))
    returns = traded["change"] / (traded["closing_price"] - traded["change"])
    assert returns.kurtosis() > 3
    index = read_table(
        market, "SELECT closing_index FROM index_daily_prices WHERE index_code = 'KOSPI_코스피' ORDER BY date"
    )
    squared = index["closing_index"].log().diff().drop_nulls().pow(2).to_numpy()
    assert np.corrcoef(squared[1:], squared[:-1])[0, 1] > 0.05


def test_one_market_factor_moves_most_stocks(prices):
    wide = (
        prices.filter(pl.col("market_type") == "kospi")
        .with_columns(rate=pl.col("change") / (pl.col("closing_price") - pl.col("change")))
        .group_by("date")
        .agg(pl.col("rate").median().alias("market"))
    )
    joined = prices.join(wide, on="date").with_columns(
        rate=pl.col("change") / (pl.col("closing_price") - pl.col("change"))
    )
    correlation = joined.group_by("stock_code").agg(pl.corr("rate", "market"), pl.len())
    assert correlation.filter(pl.col("len") > 250)["rate"].fill_nan(0).median() > 0.25


def test_market_names_are_spelled_as_in_the_source(prices, market):
    assert set(prices["market_type"].unique()) == {"kospi", "kosdaq", "kodex"}
    stocks = read_table(market, "SELECT * FROM stocks")
    assert set(stocks["current_market_type"].unique()) == {"KOSPI", "KOSDAQ", "KONEX"}
    assert stocks["is_active"].all()
    assert (stocks["stock_code"].str.len_chars() == 6).all()
    assert stocks["current_name"].n_unique() == stocks.height


def test_preferred_shares_follow_their_common_share(prices, market):
    stocks = read_table(market, "SELECT stock_code, current_name FROM stocks")
    preferred = stocks.filter(~pl.col("stock_code").str.ends_with("0"))
    assert preferred.height >= 3
    assert preferred["current_name"].str.ends_with("우").all()
    codes = set(stocks["stock_code"])
    assert all(code[:5] + "0" in codes for code in preferred["stock_code"])
    returns = prices.with_columns(rate=pl.col("change") / (pl.col("closing_price") - pl.col("change")))
    pair = preferred["stock_code"][0]
    both = returns.filter(pl.col("stock_code") == pair).join(
        returns.filter(pl.col("stock_code") == pair[:5] + "0"), on="date"
    )
    assert both.select(pl.corr("rate", "rate_right")).item() > 0.5


def test_spacs_hardly_move(prices, market):
    spacs = read_table(market, "SELECT stock_code FROM stocks WHERE current_name LIKE '%스팩%'")
    assert spacs.height >= 2
    rates = prices.filter(pl.col("stock_code").is_in(spacs["stock_code"].implode()))["change_rate"]
    assert rates.std() < 1.0


def test_delisted_stocks_end_on_the_session_before_they_leave(prices, market):
    sessions = sorted(prices["date"].unique())
    gone = read_table(market, "SELECT * FROM delisted_stocks")
    last = prices.group_by("stock_code").agg(pl.col("date").last(), pl.col("closing_price").last())
    joined = gone.join(last, on="stock_code")
    assert joined.height >= 5
    assert joined.height < gone.height, "some left before the data begin"
    for day, left in joined.select("date", "delisting_date").iter_rows():
        assert sessions.index(left) == sessions.index(day) + 1
    early = last.filter(pl.col("date") < sessions[-1])
    assert set(early["stock_code"]) == set(joined["stock_code"])


def test_distressed_stocks_fall_are_suspended_and_trade_once_more(prices, market):
    gone = read_table(market, "SELECT stock_code FROM delisted_stocks WHERE reason LIKE '감사의견%'")
    endings = prices.filter(pl.col("stock_code").is_in(gone["stock_code"].implode()))
    assert endings["stock_code"].n_unique() >= 2
    for _, life in endings.group_by("stock_code"):
        last = life.sort("date").tail(20)
        assert (last["volume"][-7:] > 0).all()
        assert last["volume"][-8] == 0
        assert last["closing_price"][-1] < 0.7 * last["closing_price"][-8]
