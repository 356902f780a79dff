"""Simulations follow their rules to the won: accounts balance, nothing impossible is traded, no look-ahead."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finpipe.backtest.rules import Rules
from finpipe.backtest.signals import SignalError
from finpipe.backtest.simulate import SimulationError, simulate
from finpipe_tests.backtest.small_market import (
    FREE,
    A,
    B,
    C,
    bars,
    constant_ranking,
    days,
    listed,
    market,
    random_market,
    ranking,
    trades_of,
)


def test_five_days_by_hand_to_the_won():
    """1,000,000 KRW; each side 0.1% commission and 0.4% slippage, sales 0.2% tax.

    Day 1: x + 0.005 x = 1,000,000, x = 995,024.88, bought at 10,000: 99.502488 shares of A.
    Day 2: A closes at 11,000: equity 1,094,527.36.
    Day 3: A opens at 12,000, worth 1,194,029.85; sold at 0.7% cost: 1,185,671.64 left, of which
    1,179,772.78 (/1.005) buy B at 5,000: 235.954557 shares, which close at 5,500.
    Day 4: B closes at 6,000: 1,415,727.34.
    """
    prices = market(
        bars(A, [10_000, 10_000, 10_500, 12_000, 12_000], [10_000, 10_500, 11_000, 12_500, 13_000]),
        bars(B, [5_000, 5_000, 5_000, 5_000, 5_500], [5_000, 5_000, 5_000, 5_500, 6_000]),
    )
    d = days(5)
    predictions = ranking({d[0]: [A, B], d[1]: [A, B], d[2]: [B, A], d[3]: [B, A], d[4]: [B, A]})
    rules = Rules(n=1, horizon=2, commission=0.001, slippage=0.004, sale_tax=0.002, initial_capital=1_000_000)
    simulation = simulate(predictions, prices, rules, stocks=listed([A, B]))

    bought = 1_000_000 / 1.005
    sold = bought / 10_000 * 12_000
    second = sold * (1 - 0.007) / 1.005
    daily = simulation.daily
    assert daily["date"].to_list() == d[1:]
    assert daily["equity"].to_list() == pytest.approx(
        [bought * 1.05, bought * 1.1, second * 1.1, second * 1.2], abs=0.01
    )
    assert daily["equity"].to_list() == pytest.approx(
        [1_044_776.12, 1_094_527.36, 1_297_750.06, 1_415_727.34], abs=0.01
    )
    assert daily["cost"].to_list() == pytest.approx(
        [bought * 0.005, 0, sold * 0.007 + second * 0.005, 0], abs=0.01
    )
    assert daily["cash"].to_list() == pytest.approx([0, 0, 0, 0], abs=0.01)
    assert daily["turnover"].to_list() == pytest.approx(
        [bought / 2 / 1_000_000, 0, (sold + second) / 2 / (bought * 1.1), 0]
    )
    sale = trades_of(simulation, side="sell")
    assert len(sale) == 1
    assert sale[0]["tax"] == pytest.approx(sold * 0.002)
    assert sale[0]["commission"] == pytest.approx(sold * 0.001)
    assert sale[0]["slippage"] == pytest.approx(sold * 0.004)
    assert sale[0]["price"] == 12_000


@given(
    seed=st.integers(0, 10_000),
    changes=st.fixed_dictionaries(
        {
            "cohorts": st.integers(1, 3),
            "horizon": st.integers(3, 7),
            "whole_shares": st.booleans(),
            "stop_loss": st.sampled_from([None, 0.05]),
            "hold_rank": st.sampled_from([None, 5]),
        }
    ),
)
@settings(deadline=None, max_examples=40)
def test_accounts_balance_on_every_day_of_any_market(seed, changes):
    """Cash and shares replayed from the trades alone give the equity of every day, to the won."""
    prices, stocks, predictions = random_market(seed)
    rules = Rules(n=3, initial_capital=1_000_000, **changes)
    whole = rules.whole_shares
    simulation = simulate(predictions, prices, rules, stocks=stocks)
    daily, trades = simulation.daily, simulation.trades
    assert daily["cash"].min() >= 0
    assert np.allclose(daily["equity"], daily["cash"] + daily["positions_value"], atol=1e-6)

    close = {
        (row[0], row[1]): row[2]
        for row in prices.select("date", "stock_code", "close" if whole else "adjusted_close").iter_rows()
    }
    factor = {
        (row[0], row[1]): row[2]
        for row in prices.select("date", "stock_code", "adjustment_factor").iter_rows()
    }
    by_day = trades.partition_by("date", as_dict=True)
    cash, shares, last, last_factor = rules.initial_capital, {}, {}, {}
    before = rules.initial_capital
    calendar = sorted({day for day, _ in close})
    for day in calendar:
        for code in {code for at, code in close if at == day}:
            if whole and code in last_factor and code in shares:
                shares[code] *= factor[day, code] / last_factor[code]
            last[code], last_factor[code] = close[day, code], factor[day, code]
        bought = sold = cost = 0.0
        for trade in by_day.get((day,), trades.clear()).iter_rows(named=True):
            sign = 1 if trade["side"] == "buy" else -1
            code = trade["stock_code"]
            shares[code] = shares.get(code, 0.0) + sign * trade["shares"]
            spent = trade["commission"] + trade["tax"] + trade["slippage"]
            cost += spent
            cash -= sign * trade["value"] + spent
            bought, sold = bought + trade["value"] * (sign > 0), sold + trade["value"] * (sign < 0)
            if whole and trade["reason"] != "fraction":
                assert trade["shares"] == pytest.approx(round(trade["shares"]), abs=1e-6)
        row = daily.filter(pl.col("date") == day)
        if row.is_empty():
            continue
        worth = sum(count * last[code] for code, count in shares.items() if count > 1e-9)
        assert min(shares.values(), default=0) > -1e-6
        assert row["cash"].item() == pytest.approx(cash, abs=0.01)
        assert row["positions_value"].item() == pytest.approx(worth, abs=0.5)
        assert row["cost"].item() == pytest.approx(cost, abs=0.01)
        assert row["portfolio_return"].item() == pytest.approx(row["equity"].item() / before - 1, abs=1e-9)
        assert row["gross_return"].item() == pytest.approx(
            (row["equity"].item() + cost) / before - 1, abs=1e-8
        )
        held = simulation.holdings.filter(pl.col("date") == day)
        assert held["value"].sum() == pytest.approx(row["positions_value"].item(), abs=0.01)
        assert held.height == row["n_positions"].item()
        before = row["equity"].item()


@given(seed=st.integers(0, 10_000))
@settings(deadline=None, max_examples=25)
def test_nothing_impossible_is_traded(seed):
    prices, stocks, predictions = random_market(seed)
    simulation = simulate(predictions, prices, Rules(n=3, horizon=3), stocks=stocks)
    move = pl.col("adjusted_close") / pl.col("adjusted_close").shift(1).over("stock_code") - 1
    known = prices.with_columns(move=move, is_flat=pl.col("high") == pl.col("low"))
    orders = simulation.trades.filter(pl.col("reason").cast(pl.String) != "delisting").join(
        known, on=["stock_code", "date"], how="left"
    )
    assert orders["volume"].min() > 0
    assert (orders["price"] - orders["adjusted_open"]).abs().max() < 1e-9
    is_buy = pl.col("side").cast(pl.String) == "buy"
    assert orders.filter(is_buy & pl.col("is_flat") & (pl.col("move") > 0.27)).is_empty()
    assert orders.filter(~is_buy & pl.col("is_flat") & (pl.col("move") < -0.27)).is_empty()


@given(seed=st.integers(0, 10_000), cut=st.integers(10, 35))
@settings(deadline=None, max_examples=25)
def test_days_before_a_cut_do_not_know_what_comes_after(seed, cut):
    prices, stocks, predictions = random_market(seed)
    rules = Rules(n=3, horizon=5, cohorts=2, stop_loss=0.05, hold_rank=4)
    whole = simulate(predictions, prices, rules, stocks=stocks)
    last = days(40)[cut]
    past = pl.col("date") <= last
    poisoned = prices.with_columns(
        pl.when(past).then(pl.col(name)).otherwise(pl.col(name) * 1_000_000).alias(name)
        for name in ("adjusted_open", "adjusted_close")
    )
    shorter = simulate(predictions, prices.filter(past), rules, stocks=stocks)
    wild = simulate(predictions, poisoned, rules, stocks=stocks)
    assert shorter.daily.equals(whole.daily.filter(past))
    assert shorter.trades.equals(whole.trades.filter(past))
    assert wild.daily.filter(past).equals(whole.daily.filter(past))


def test_foresight_wins_and_its_reverse_loses():
    prices, stocks, _ = random_market(3, n_stocks=20, n_days=120, trouble=False)
    rules = Rules(n=4, horizon=5)
    after = pl.col("adjusted_open").shift(-6) / pl.col("adjusted_open").shift(-1) - 1
    future = prices.with_columns(score=after.over("stock_code")).filter(pl.col("score").is_not_null())

    def equity(sign: int) -> float:
        scored = future.select("stock_code", "date", score=pl.col("score") * sign).with_columns(
            rank=pl.col("score").rank("ordinal", descending=True).over("date").cast(pl.Int32),
            test_year=pl.col("date").dt.year().cast(pl.Int32),
        )
        return simulate(scored, prices, rules, stocks=stocks).daily["equity"][-1]

    all_equal = Rules(n=20, horizon=5)
    scored = future.select("stock_code", "date", "score").with_columns(
        rank=pl.col("score").rank("ordinal").over("date").cast(pl.Int32), test_year=pl.lit(2020, pl.Int32)
    )
    market_equity = simulate(scored, prices, all_equal, stocks=stocks).daily["equity"][-1]
    assert equity(1) > 1.5 * market_equity
    assert equity(-1) < 0.7 * market_equity


def test_positions_drift_until_the_next_rebalance():
    prices = market(bars(A, [100] * 6, [100, 100, 200, 200, 200, 200]), bars(B, [100] * 6, [100] * 6))
    simulation = simulate(
        constant_ranking([A, B], 6), prices, Rules(n=2, horizon=10, **FREE), stocks=listed([A, B])
    )
    weights = simulation.holdings.filter(pl.col("date") == days(6)[3])["weight"].to_list()
    assert weights == pytest.approx([2 / 3, 1 / 3])
    assert simulation.trades.height == 2


def test_a_rebalance_trades_only_the_difference():
    opens = [100, 100, 100, 200, 200]
    prices = market(bars(A, opens, opens), bars(B, [100] * 5, [100] * 5))
    simulation = simulate(
        constant_ranking([A, B], 5),
        prices,
        Rules(n=2, horizon=2, initial_capital=1000, **FREE),
        stocks=listed([A, B]),
    )
    later = simulation.trades.filter(pl.col("date") == days(5)[3])
    assert dict(zip(later["side"].cast(pl.String), later["value"], strict=True)) == pytest.approx(
        {"sell": 250, "buy": 250}
    )


def test_years_follow_each_other_without_a_restart():
    d = days(60, days(1)[0].replace(month=12, day=2))
    closes = [100 + step for step in range(60)]
    prices = market(bars(A, closes, closes, dates=d), bars(B, closes, closes, dates=d))
    simulation = simulate(
        ranking(dict.fromkeys(d, (A, B))), prices, Rules(n=1, horizon=50, **FREE), stocks=listed([A, B])
    )
    assert simulation.daily["date"].dt.year().n_unique() == 2
    assert simulation.trades["date"].to_list() == [d[1]]


def test_a_stop_loss_sells_at_the_next_open_and_the_money_waits():
    d = days(7)
    prices = market(
        bars(A, [100, 100, 100, 90, 90, 90, 90], [100, 100, 92, 91, 91, 91, 91]),
        bars(B, [100] * 7, [100] * 7),
    )
    rules = Rules(n=1, horizon=10, stop_loss=0.07, initial_capital=1000, **FREE)
    simulation = simulate(constant_ranking([A, B], 7), prices, rules, stocks=listed([A, B]))
    sale = trades_of(simulation, side="sell")
    assert [(each["date"], each["price"], each["reason"]) for each in sale] == [(d[3], 90, "stop_loss")]
    assert simulation.daily["cash"].to_list()[2:] == pytest.approx([900] * 4)


def test_a_stop_loss_measures_from_the_adjusted_entry_price():
    prices = market(
        bars(A, [1000, 1000, 1000, 200, 200], [1000, 1000, 1000, 200, 190], factors=[1, 1, 1, 5, 5]),
        bars(B, [100] * 5, [100] * 5),
    )
    for whole in (False, True):
        rules = Rules(n=1, horizon=10, stop_loss=0.07, whole_shares=whole, **FREE)
        simulation = simulate(constant_ranking([A, B], 5), prices, rules, stocks=listed([A, B]))
        assert trades_of(simulation, side="sell") == []


def test_a_stop_at_a_rebalance_wins_over_the_rank():
    d = days(6)
    prices = market(
        bars(A, [100, 100, 100, 90, 90, 90], [100, 100, 80, 91, 91, 91]), bars(B, [100] * 6, [100] * 6)
    )
    rules = Rules(n=1, horizon=2, stop_loss=0.07, **FREE)
    simulation = simulate(constant_ranking([A, B], 6), prices, rules, stocks=listed([A, B]))
    moves = [
        (each["date"], each["stock_code"], each["side"], each["reason"]) for each in trades_of(simulation)
    ]
    assert moves[1:3] == [(d[3], A, "sell", "stop_loss"), (d[3], B, "buy", "rebalance")]


def test_a_blocked_stop_loss_is_retried():
    d = days(7)
    prices = market(
        bars(A, [100, 100, 100, None, 85, 85, 85], [100, 100, 90, 90, 85, 85, 85]),
        bars(B, [100] * 7, [100] * 7),
    )
    rules = Rules(n=1, horizon=10, stop_loss=0.07, **FREE)
    simulation = simulate(constant_ranking([A, B], 7), prices, rules, stocks=listed([A, B]))
    sale = trades_of(simulation, side="sell")
    assert [(each["date"], each["price"], each["reason"]) for each in sale] == [(d[4], 85, "retry")]
    assert simulation.daily["blocked_orders"].sum() == 1


@pytest.mark.parametrize(("share", "cash"), [(1.0, 1000), (0.5, 500)])
def test_the_cash_rule_is_decided_with_the_score_of_the_signal_day(share, cash):
    d = days(6)
    prices = market(bars(A, [100] * 6, [100] * 6), bars(B, [100] * 6, [100] * 6))
    regime = pl.DataFrame({"date": d, "market_regime_score": [0.1, -0.9, -0.1, 0.9, 0.1, 0.1]})
    rules = Rules(n=1, horizon=2, regime_threshold=0.0, regime_cash=share, initial_capital=1000, **FREE)
    simulation = simulate(constant_ranking([A, B], 6), prices, rules, stocks=listed([A, B]), regime=regime)
    assert simulation.daily["cash"].to_list() == pytest.approx([0, 0, cash, cash, 0], abs=1e-6)
    assert [each["reason"] for each in trades_of(simulation, side="sell")] == ["cash_rule"]


def test_an_unknown_regime_leaves_the_money_invested_and_is_noted():
    d = days(3)
    prices = market(bars(A, [100] * 3, [100] * 3), bars(B, [100] * 3, [100] * 3))
    regime = pl.DataFrame({"date": d[1:], "market_regime_score": [-0.5, -0.5]})
    rules = Rules(n=1, regime_threshold=0.0, **FREE)
    simulation = simulate(constant_ranking([A, B], 3), prices, rules, stocks=listed([A, B]), regime=regime)
    assert simulation.daily["n_positions"].to_list() == [1, 1]
    assert "regime score" in simulation.notes[0]


def test_a_hold_buffer_saves_turnover_and_costs():
    prices, stocks, predictions = random_market(5, n_stocks=12, n_days=60, trouble=False)

    def figures(hold: int | None) -> tuple[float, float]:
        daily = simulate(predictions, prices, Rules(n=3, horizon=3, hold_rank=hold), stocks=stocks).daily
        return daily["turnover"].sum(), daily["cost"].sum()

    (none, dear), (some, cheaper), (most, cheapest) = figures(None), figures(6), figures(9)
    assert none > some > most
    assert dear > cheaper > cheapest


def test_cohorts_take_turns_and_keep_their_own_money():
    d = days(9)
    prices = market(bars(A, [100] * 9, [100] * 9), bars(B, [100] * 9, [100] * 9))
    rules = Rules(n=1, horizon=6, cohorts=3, initial_capital=900, **FREE)
    simulation = simulate(constant_ranking([A, B], 9), prices, rules, stocks=listed([A, B]))
    bought = [(each["date"], each["value"]) for each in trades_of(simulation, side="buy")]
    assert bought == [(d[1], pytest.approx(300)), (d[3], pytest.approx(300)), (d[5], pytest.approx(300))]


def test_interest_on_cash():
    prices = market(bars(A, [100, None, None], [100] * 3), bars(B, [100] * 3, [100] * 3))
    rules = Rules(n=1, cash_rate=0.05, initial_capital=1000)
    simulation = simulate(constant_ranking([A, B], 3), prices, rules, stocks=listed([A, B]))
    assert simulation.daily["equity"].to_list() == pytest.approx([1000 * 1.05 ** (k / 252) for k in (1, 2)])


def test_days_without_predictions_keep_positions_and_are_noted():
    d = days(5)
    prices = market(bars(A, [100] * 5, [100] * 5), bars(B, [100] * 5, [100] * 5))
    predictions = ranking({d[0]: [A, B], d[1]: [A, B], d[3]: [B, A], d[4]: [B, A]})
    simulation = simulate(predictions, prices, Rules(n=1, horizon=2, **FREE), stocks=listed([A, B]))
    assert simulation.daily["n_positions"].to_list() == [1] * 4
    assert simulation.trades.height == 1
    assert "no predictions" in simulation.notes[0]


def test_capacity_is_the_equity_at_which_the_largest_order_is_the_participation():
    prices = market(bars(A, [100] * 3, [100] * 3, value=10**8), bars(B, [100] * 3, [100] * 3, value=10**10))
    rules = Rules(n=2, initial_capital=10**8, participation=0.1, **FREE)
    row = simulate(constant_ranking([A, B], 3), prices, rules, stocks=listed([A, B])).capacity.row(
        0, named=True
    )
    assert row["largest_share"] == pytest.approx(0.5)
    assert row["share"] == pytest.approx(10**8 / (10**8 + 10**10))
    assert row["capacity"] == pytest.approx(0.2 * 10**8)


def test_errors_say_what_does_not_fit():
    d = days(3)
    prices = market(bars(A, [100] * 3, [100] * 3), bars(B, [100] * 3, [100] * 3))
    with pytest.raises(SimulationError, match=r"1 predicted day\(s\)"):
        simulate(ranking({d[0]: [A]}), prices, Rules(n=1), stocks=listed([A]))
    sunday = d[1].replace(day=5)
    with pytest.raises(SimulationError, match=r"no market days, e\.g\. 2020-01-05"):
        simulate(
            ranking({d[0]: [A], sunday: [A]}),
            market(bars(A, [1] * 5, [1] * 5)),
            Rules(n=1),
            stocks=listed([A]),
        )
    with pytest.raises(SignalError, match=r"sector.*characteristics lack sector"):
        simulate(constant_ranking([A], 3), prices, Rules(n=1, sector_cap=1), stocks=listed([A]))
    with pytest.raises(SignalError, match="no regime is given"):
        simulate(constant_ranking([A], 3), prices, Rules(n=1, regime_threshold=0), stocks=listed([A]))
    with pytest.raises(ValueError, match=f"no price from .*{C}"):
        simulate(constant_ranking([C], 3), prices, Rules(n=1), stocks=listed([C]))
    with pytest.raises(ValueError, match="daily prices lack high"):
        simulate(constant_ranking([A], 3), prices.drop("high"), Rules(n=1), stocks=listed([A]))
