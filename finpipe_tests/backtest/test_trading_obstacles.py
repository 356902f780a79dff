"""What cannot be traded waits, and what happens to a stock meanwhile: halts, price limits, delistings, splits."""

from __future__ import annotations

import polars as pl
import pytest

from finpipe.backtest.rules import Rules
from finpipe.backtest.simulate import simulate
from finpipe_tests.backtest.small_market import (
    FREE,
    A,
    B,
    bars,
    constant_ranking,
    days,
    listed,
    market,
    ranking,
    trades_of,
)


def test_a_suspended_stock_is_not_bought_and_its_money_waits():
    prices = market(bars(A, [100, None, 100, 100], [100] * 4), bars(B, [100] * 4, [100] * 4))
    simulation = simulate(
        constant_ranking([A, B], 4),
        prices,
        Rules(n=2, horizon=10, initial_capital=1000, **FREE),
        stocks=listed([A, B]),
    )
    assert [trade["stock_code"] for trade in simulation.trades.to_dicts()] == [B]
    assert simulation.daily["cash"].to_list() == pytest.approx([500] * 3)
    assert simulation.daily["blocked_orders"].to_list() == [1, 0, 0]


def test_a_blocked_sale_is_tried_again_every_day():
    d = days(7)
    prices = market(
        bars(A, [100, 100, None, None, 90, 90, 90], [100, 100, 100, 100, 95, 95, 95]),
        bars(B, [100] * 7, [100] * 7),
    )
    predictions = ranking({d[0]: [A, B]} | dict.fromkeys(d[1:], (B, A)))
    simulation = simulate(
        predictions, prices, Rules(n=1, horizon=1, initial_capital=1000, **FREE), stocks=listed([A, B])
    )
    sales = trades_of(simulation, side="sell")
    assert [(sale["date"], sale["price"]) for sale in sales] == [(d[4], 90)]
    longer = simulate(
        predictions, prices, Rules(n=1, horizon=2, initial_capital=1000, **FREE), stocks=listed([A, B])
    )
    assert [(sale["date"], sale["reason"]) for sale in trades_of(longer, side="sell")] == [(d[4], "retry")]


def test_a_sale_that_was_blocked_at_the_rebalance_is_filled_between_rebalances():
    d = days(8)
    prices = market(
        bars(A, [100, 100, 100, 100, None, 90, 90, 90], [100] * 4 + [100, 95, 95, 95]),
        bars(B, [100] * 8, [100] * 8),
    )
    predictions = ranking(dict.fromkeys(d[:3], (A, B)) | dict.fromkeys(d[3:], (B, A)))
    simulation = simulate(
        predictions, prices, Rules(n=1, horizon=3, initial_capital=1000, **FREE), stocks=listed([A, B])
    )
    sales = trades_of(simulation, side="sell")
    assert [(sale["date"], sale["reason"], sale["value"]) for sale in sales] == [
        (d[5], "retry", pytest.approx(900))
    ]
    assert simulation.daily.filter(pl.col("date") == d[5])["cash"].item() == pytest.approx(900)


def test_a_stock_locked_at_its_limit_cannot_be_bought_but_can_be_sold():
    d = days(5)
    locked = bars(A, [100, 130, 130, 130, 130], [100, 130, 130, 130, 130], flat=[False, True] + [False] * 3)
    prices = market(locked, bars(B, [100] * 5, [100] * 5))
    simulation = simulate(
        constant_ranking([A, B], 5), prices, Rules(n=1, horizon=2, **FREE), stocks=listed([A, B])
    )
    assert [trade["date"] for trade in trades_of(simulation, stock_code=A)] == [d[3]]
    up_later = bars(
        A, [100, 100, 130, 130, 130], [100, 100, 130, 130, 130], flat=[False, False, True, False, False]
    )
    predictions = ranking({d[0]: [A, B]} | dict.fromkeys(d[1:], (B, A)))
    sold = simulate(
        predictions,
        market(up_later, bars(B, [100] * 5, [100] * 5)),
        Rules(n=1, horizon=1, **FREE),
        stocks=listed([A, B]),
    )
    assert [trade["date"] for trade in trades_of(sold, stock_code=A, side="sell")] == [d[2]]


def test_a_stock_locked_at_its_lower_limit_cannot_be_sold():
    d = days(5)
    down = bars(A, [100, 100, 70, 69, 69], [100, 100, 70, 69, 69], flat=[False, False, True, False, False])
    predictions = ranking({d[0]: [A, B]} | dict.fromkeys(d[1:], (B, A)))
    simulation = simulate(
        predictions,
        market(down, bars(B, [100] * 5, [100] * 5)),
        Rules(n=1, horizon=1, **FREE),
        stocks=listed([A, B]),
    )
    assert [trade["date"] for trade in trades_of(simulation, stock_code=A, side="sell")] == [d[3]]


def test_before_june_2015_the_limit_was_fifteen_percent():
    d = days(3, days(1)[0].replace(year=2014))
    up = bars(A, [1000, 1150, 1150], [1000, 1150, 1150], dates=d, flat=[False, True, False])
    flat = bars(B, [100] * 3, [100] * 3, dates=d)
    simulation = simulate(
        ranking(dict.fromkeys(d, (A, B))), market(up, flat), Rules(n=1, **FREE), stocks=listed([A, B])
    )
    assert simulation.trades.is_empty()
    assert simulation.daily["blocked_orders"].to_list() == [1, 0]


def test_a_delisted_stock_pays_its_last_price_less_the_loss_on_the_next_day():
    d = days(6)
    gone = bars(A, [100, 100, 100], [100, 100, 80], dates=d[:3])
    simulation = simulate(
        ranking({d[0]: [A, B]} | dict.fromkeys(d[1:], (B,))),
        market(gone, bars(B, [100] * 6, [100] * 6)),
        Rules(n=1, horizon=10, initial_capital=1000, **FREE),
        stocks=listed([A, B], {A: d[3]}),
    )
    sale = trades_of(simulation, reason="delisting")
    assert [(each["date"], each["price"]) for each in sale] == [(d[3], pytest.approx(56))]
    assert sale[0]["commission"] == sale[0]["tax"] == sale[0]["slippage"] == 0
    assert simulation.daily["equity"].to_list() == pytest.approx([1000, 800, 560, 560, 560])
    known = listed([A, B], {A: d[3]}).with_columns(delisting_return=pl.lit(0.0))
    kinder = simulate(
        ranking({d[0]: [A, B]} | dict.fromkeys(d[1:], (B,))),
        market(gone, bars(B, [100] * 6, [100] * 6)),
        Rules(n=1, horizon=10, initial_capital=1000, **FREE),
        stocks=known,
    )
    assert kinder.daily["equity"][-1] == pytest.approx(800)


def test_a_stock_that_vanishes_without_a_delisting_is_noted():
    d = days(6)
    gone = bars(A, [100, 100, 100], [100, 100, 80], dates=d[:3])
    simulation = simulate(
        ranking({d[0]: [A, B]} | dict.fromkeys(d[1:], (B,))),
        market(gone, bars(B, [100] * 6, [100] * 6)),
        Rules(n=1, horizon=10, initial_capital=1000, **FREE),
        stocks=listed([A, B]),
    )
    assert simulation.daily["equity"][-1] == pytest.approx(800)
    assert any(A in note for note in simulation.notes)


def test_a_split_changes_neither_fractional_nor_whole_share_value():
    raw = bars(A, [1000, 1000, 1000, 200, 200], [1000, 1000, 1000, 200, 200], factors=[1, 1, 1, 5, 5])
    prices = market(raw, bars(B, [100] * 5, [100] * 5))
    for whole in (False, True):
        simulation = simulate(
            constant_ranking([A, B], 5),
            prices,
            Rules(n=1, horizon=10, initial_capital=10_500, whole_shares=whole, **FREE),
            stocks=listed([A, B]),
        )
        assert simulation.daily["equity"].to_list() == pytest.approx([10_500] * 4)
        assert trades_of(simulation)[0]["shares"] == pytest.approx(10 if whole else 10.5)


def test_whole_shares_leave_cash_and_pay_out_fractions_of_a_reverse_split():
    d = days(5)
    raw = bars(
        A, [1000, 1000, 1000, 3000, 3000], [1000, 1000, 1000, 3000, 3000], factors=[1, 1, 1, 1 / 3, 1 / 3]
    )
    simulation = simulate(
        constant_ranking([A, B], 5),
        market(raw, bars(B, [100] * 5, [100] * 5)),
        Rules(n=1, horizon=10, initial_capital=10_500, whole_shares=True, **FREE),
        stocks=listed([A, B]),
    )
    assert simulation.daily["cash"].to_list() == pytest.approx([500, 500, 1500, 1500])
    fraction = trades_of(simulation, reason="fraction")
    assert [(each["date"], each["value"]) for each in fraction] == [(d[3], pytest.approx(1000))]
    assert simulation.daily["equity"].to_list() == pytest.approx([10_500] * 4)
