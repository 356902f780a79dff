"""Choosing: ranks first, then the rules; weights add up; the same answer for a simulation and for today."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finpipe.backtest.rules import Rules, RulesError
from finpipe.backtest.selection import SelectionError, portfolio_weights
from finpipe.backtest.simulate import simulate
from finpipe_tests.backtest.small_market import random_market


def day(n: int = 10, **columns: list) -> pl.DataFrame:
    codes = [f"{10 * place:06d}" for place in range(1, n + 1)]
    return pl.DataFrame({"stock_code": codes, "rank": list(range(1, n + 1)), **columns})


def test_top_n_takes_the_best_in_equal_parts():
    chosen = portfolio_weights(day().sample(fraction=1, shuffle=True, seed=1), Rules(n=4))
    assert chosen["rank"].to_list() == [1, 2, 3, 4]
    assert chosen["weight"].to_list() == [0.25] * 4


@pytest.mark.parametrize(("n", "expected"), [(10, 2), (11, 3), (4, 1)])
def test_quintile_takes_the_best_fifth(n, expected):
    assert portfolio_weights(day(n), Rules(selection="quintile")).height == expected


def test_the_sector_cap_passes_over_the_rest_of_a_full_sector():
    candidates = day(6, sector=["a", "a", "a", "b", None, None])
    chosen = portfolio_weights(candidates, Rules(n=4, sector_cap=1))
    assert chosen["rank"].to_list() == [1, 4, 5]


def test_no_stock_beyond_the_buy_rank_fills_a_gap():
    candidates = day(6, sector=["a", "a", "a", "a", "b", "c"])
    chosen = portfolio_weights(candidates, Rules(n=3, sector_cap=1, buy_rank=5))
    assert chosen["rank"].to_list() == [1, 5]
    assert chosen["weight"].to_list() == [0.5, 0.5]


def test_what_is_held_stays_while_it_ranks_well_enough():
    rules = Rules(n=3, hold_rank=6)
    chosen = portfolio_weights(day(), rules, held=["000060", "000070"])
    assert chosen["rank"].to_list() == [1, 2, 6]


def test_inverse_volatility_has_a_floor_and_a_stand_in_for_the_unknown():
    candidates = day(4, volatility_20d=[0.05, 0.2, None, 0.4])
    rules = Rules(n=4, weighting="inverse_volatility")
    raw = np.array([1 / 0.1, 1 / 0.2, 1 / 0.2, 1 / 0.4])
    assert portfolio_weights(candidates, rules)["weight"].to_list() == pytest.approx(list(raw / raw.sum()))


def test_the_liquidity_filter_leaves_out_the_illiquid_and_the_unknown():
    candidates = day(4, amihud_rank=[0.95, None, 0.9, 0.1])
    chosen = portfolio_weights(candidates, Rules(n=2, max_amihud_rank=0.9))
    assert chosen["rank"].to_list() == [3, 4]


def test_excluded_stocks_are_passed_over():
    assert portfolio_weights(day(), Rules(n=2), excluded=["000010"])["rank"].to_list() == [2, 3]


@pytest.mark.parametrize(("regime", "total"), [(-0.01, 0.4), (0.0, 1.0), (None, 1.0)])
def test_the_cash_rule_cuts_all_weights(regime, total):
    rules = Rules(n=2, regime_threshold=0.0, regime_cash=0.6)
    assert portfolio_weights(day(), rules, regime=regime)["weight"].sum() == pytest.approx(total)


def test_full_cash_holds_nothing():
    rules = Rules(n=2, regime_threshold=0.0)
    assert portfolio_weights(day(), rules, regime=-0.5).is_empty()


@given(
    seed=st.integers(0, 10_000),
    n=st.integers(1, 8),
    cap=st.sampled_from([None, 1, 2]),
    hold=st.sampled_from([None, 8, 12]),
)
@settings(deadline=None, max_examples=40)
def test_rules_hold_for_any_candidates(seed, n, cap, hold):
    random = np.random.default_rng(seed)
    size = int(random.integers(1, 20))
    candidates = day(
        size,
        sector=random.choice(["a", "b", "c"], size).tolist(),
        volatility_20d=random.uniform(0, 1, size).tolist(),
        amihud_rank=random.uniform(0, 1, size).tolist(),
    )
    held = candidates["stock_code"].sample(fraction=0.4, seed=seed).to_list()
    rules = Rules(n=n, sector_cap=cap, hold_rank=hold, max_amihud_rank=0.8, weighting="inverse_volatility")
    chosen = portfolio_weights(candidates, rules, held=held)
    assert chosen.height <= n
    assert chosen["rank"].is_sorted()
    assert (chosen["amihud_rank"] <= 0.8).all()
    assert (chosen["weight"] > 0).all()
    if chosen.height:
        assert chosen["weight"].sum() == pytest.approx(1)
    if cap is not None:
        assert chosen.group_by("sector").len()["len"].max() in {None, *range(1, cap + 1)}
    if cap is None and hold is not None:
        keepers = candidates.filter(
            pl.col("stock_code").is_in(held) & (pl.col("rank") <= hold) & (pl.col("amihud_rank") <= 0.8)
        )
        assert keepers.head(n)["stock_code"].is_in(chosen["stock_code"].implode()).all()


def test_the_simulation_starts_with_the_portfolio_that_today_would_choose():
    prices, stocks, predictions = random_market(11, trouble=False)
    first = predictions["date"].min()
    rules = Rules(n=3, weighting="inverse_volatility", commission=0, sale_tax=0, slippage=0)
    traits = predictions.select("stock_code", "date").with_columns(
        volatility_20d=pl.Series(np.random.default_rng(1).uniform(0.1, 0.9, predictions.height))
    )
    today = predictions.filter(pl.col("date") == first).join(traits, on=["stock_code", "date"])
    simulation = simulate(predictions, prices, rules, stocks=stocks, characteristics=traits)
    bought = simulation.trades.filter(pl.col("date") == simulation.daily["date"][0])
    wanted = portfolio_weights(today, rules).sort("stock_code")
    assert (bought["value"] / rules.initial_capital).to_list() == pytest.approx(wanted["weight"].to_list())
    assert bought["stock_code"].to_list() == wanted["stock_code"].to_list()


def test_missing_columns_and_several_dates_are_refused():
    with pytest.raises(SelectionError, match="candidates lack sector"):
        portfolio_weights(day(), Rules(n=2, sector_cap=1))
    dates = [dt.date(2024, 1, 2)] * 9 + [dt.date(2024, 1, 3)]
    with pytest.raises(SelectionError, match="more than one date"):
        portfolio_weights(day(10, date=dates), Rules(n=2))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"n": 0}, "rules.n is 0"),
        ({"selection": "decile"}, "top_n or quintile"),
        ({"cohorts": 30}, "at most horizon"),
        ({"hold_rank": 5}, "at least n"),
        ({"stop_loss": -0.07}, "above 0"),
        ({"slippage": -0.1}, "from 0 up"),
        ({"initial_capital": 0}, "positive"),
    ],
)
def test_rules_that_cannot_be_followed_are_refused(changes, said):
    with pytest.raises(RulesError, match=said):
        Rules(**changes)


def test_cohorts_decide_on_evenly_spread_days():
    rules = Rules(horizon=21, cohorts=3)
    assert {offset: rules.cohort_of(offset) for offset in range(43) if rules.cohort_of(offset) is not None} == {
        0: 0, 7: 1, 14: 2, 21: 0, 28: 1, 35: 2, 42: 0,
    }  # fmt: skip
