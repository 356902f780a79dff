"""A portfolio bought and held is worth what hand calculation says, and no money vanishes."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finpipe.portfolio.comparison import benchmark_portfolio
from finpipe.portfolio.problem import ProblemError

NONE = np.nan
DATES = np.array(["2024-01-02", "2024-01-03", "2024-01-04", "2024-01-05"], dtype="datetime64[D]")
INDEX = np.array([100.0, 101.0, 99.0, 110.0])


def held(weights, prices, **request):
    prices = {ticker: np.array(series) for ticker, series in prices.items()}
    return benchmark_portfolio(weights, DATES, prices, INDEX, **{"budget": 1_000.0, **request})


def values(result, line="portfolio"):
    return result.timeline[line].to_list()


def test_shares_are_bought_at_the_first_price_and_held():
    result = held({"A": 0.6, "B": 0.4}, {"A": [10, 11, 12, 9], "B": [50, 50, 40, 60]})
    assert values(result) == pytest.approx([1000, 60 * 11 + 400, 60 * 12 + 320, 60 * 9 + 480])
    assert values(result, "benchmark") == pytest.approx([1000, 1010, 990, 1100])
    assert result.timeline["date"].to_list()[0] == dt.date(2024, 1, 2)
    assert result.notices == ()
    own = result.summary["portfolio"]
    assert (own.initial_value, own.final_value, own.profit_loss) == pytest.approx((1000, 1020, 20))
    assert own.total_return == pytest.approx(0.02)
    assert own.annual_return == pytest.approx(1.02 ** (365 / 3) - 1)
    assert own.max_drawdown == pytest.approx(1020 / 1060 - 1)


def test_the_risk_free_asset_compounds_over_calendar_days():
    result = held({"A": 1.0}, {"A": [10, 11, 12, 9]}, risk_free=0.05)
    assert values(result, "risk_free") == pytest.approx([1000 * 1.05 ** (day / 365) for day in range(4)])
    assert result.summary["risk_free"].annual_return == pytest.approx(0.05)
    assert result.summary["risk_free"].sharpe == pytest.approx(0, abs=1e-6) or np.isnan(
        result.summary["risk_free"].sharpe
    )


def test_a_missing_bar_keeps_the_last_price_and_is_told():
    result = held({"A": 1.0}, {"A": [10, NONE, 12, NONE]})
    assert values(result) == pytest.approx([1000, 1000, 1200, 1200])
    assert any("A has no price on 1 days in between" in notice for notice in result.notices)
    assert any("A has no price after 2024-01-04" in notice for notice in result.notices)


def test_a_ticker_without_any_price_stays_cash_by_name():
    result = held({"A": 0.7, "GONE": 0.2, "EMPTY": 0.1}, {"A": [10, 11, 12, 9], "EMPTY": [NONE] * 4})
    assert values(result) == pytest.approx([1000, 1070, 1140, 930])
    assert result.cash == pytest.approx({"GONE": 200, "EMPTY": 100})
    assert "kept as cash (30.00% of the budget): EMPTY, GONE" in result.notices[0]


def test_a_late_listing_is_cash_until_it_lists():
    result = held({"A": 0.5, "NEW": 0.5}, {"A": [10, 10, 10, 10], "NEW": [NONE, NONE, 20, 30]})
    assert values(result) == pytest.approx([1000, 1000, 1000, 1250])
    assert "NEW has no price before 2024-01-04: its 50.00% are cash until then" in result.notices


def test_what_the_weights_leave_is_cash():
    assert values(held({"A": 0.5}, {"A": [10, 20, 20, 40]})) == pytest.approx([1000, 1500, 1500, 2500])


def test_a_portfolio_of_the_index_is_the_index():
    result = held({"INDEX": 1.0}, {"INDEX": INDEX})
    assert result.beta == pytest.approx(1)
    assert result.correlation == pytest.approx(1)
    assert result.summary["portfolio"] == result.summary["benchmark"]


def test_volatility_and_sharpe_follow_their_formulas():
    result = held({"A": 1.0}, {"A": [10, 11, 12, 9]}, risk_free=0.04)
    returns = np.array([0.1, 12 / 11 - 1, -0.25])
    free = 1.04 ** (1 / 365) - 1
    own = result.summary["portfolio"]
    assert own.volatility == pytest.approx(returns.std(ddof=1) * np.sqrt(252))
    assert own.sharpe == pytest.approx((returns - free).mean() / returns.std(ddof=1) * np.sqrt(252))
    theirs = INDEX[1:] / INDEX[:-1] - 1
    assert result.beta == pytest.approx(np.cov(returns, theirs)[0, 1] / np.var(theirs, ddof=1))


@given(seed=st.integers(0, 10_000), count=st.integers(1, 8), holes=st.floats(0, 0.7))
@settings(deadline=None, max_examples=50)
def test_no_money_vanishes_whatever_is_missing(seed, count, holes):
    random = np.random.default_rng(seed)
    days = 30
    dates = np.datetime64("2024-01-01") + np.arange(days)
    weights = {f"T{at}": float(w) for at, w in enumerate(random.dirichlet(np.ones(count)))}
    flat = {t: np.where(random.random(days) < holes, np.nan, 10.0 + at) for at, t in enumerate(weights)}
    flat["T0"] = np.full(days, 5.0)
    result = benchmark_portfolio(weights, dates, flat, np.full(days, 7.0), budget=500.0)
    assert values(result) == pytest.approx([500.0] * days)  # flat prices: every fall would be a hole
    assert np.isnan(result.beta)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"budget": 0.0}, "budget is 0.0"),
        ({"budget": float("nan")}, "budget is nan"),
        ({"risk_free": -1.5}, "risk_free is -1.5"),
        ({"weights": {}}, "has no weights"),
        ({"weights": {"A": 1.4}}, "weights sum to 1.4"),
        ({"weights": {"A": 1.2, "B": -0.2}}, "B weighs -0.2"),
        ({"weights": {"NO": 0.5, "NONE": 0.5}}, "none of NO, NONE has a price from 2024-01-02 to 2024-01-05"),
        ({"benchmark": np.full(4, np.nan), "benchmark_name": "^GSPC"}, r"\^GSPC has no price"),
        ({"prices": {"A": np.ones(3)}}, r"prices of A have shape \(3,\), the dates \(4,\)"),
        ({"dates": DATES[::-1]}, "ascending"),
    ],
)
def test_bad_input_says_what_is_wrong(change, sentence):
    request = {
        "weights": {"A": 1.0},
        "dates": DATES,
        "prices": {"A": np.ones(4)},
        "benchmark": INDEX,
        "budget": 100.0,
        **change,
    }
    with pytest.raises(ProblemError, match=sentence):
        benchmark_portfolio(**request)
