"""Return figures agree with an independent library, and with cases that can be worked out by hand."""

from __future__ import annotations

import datetime as dt
import warnings

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finpipe.backtest import metrics
from finpipe_tests.backtest.small_market import days

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it warns about pandas on import
    import empyrical


@given(seed=st.integers(0, 10_000), n=st.integers(30, 400))
@settings(deadline=None, max_examples=40)
def test_figures_agree_with_empyrical(seed, n):
    random = np.random.default_rng(seed)
    market = random.standard_t(4, n) * 0.01
    ours = 0.7 * market + random.normal(0.0003, 0.008, n)
    free = 0.03
    pairs = {
        "total": (metrics.total_return(ours), empyrical.cum_returns_final(ours)),
        "annual": (metrics.annual_return(ours), empyrical.annual_return(ours)),
        "volatility": (metrics.volatility(ours), empyrical.annual_volatility(ours)),
        "sharpe": (metrics.sharpe(ours, free), empyrical.sharpe_ratio(ours, risk_free=free / 252)),
        "sortino": (metrics.sortino(ours, free), empyrical.sortino_ratio(ours, required_return=free / 252)),
        "drawdown": (metrics.max_drawdown(ours), empyrical.max_drawdown(ours)),
        "calmar": (metrics.calmar(ours), empyrical.calmar_ratio(ours)),
        "var": (metrics.value_at_risk(ours), empyrical.value_at_risk(ours)),
        "beta": (metrics.beta(ours, market), empyrical.beta(ours, market)),
        "alpha": (metrics.alpha(ours, market, free), empyrical.alpha(ours, market, risk_free=free / 252)),
        "up": (
            metrics.up_capture(ours, market),
            empyrical.up_capture(ours, market, period="monthly"),
        ),
        "down": (
            metrics.down_capture(ours, market),
            empyrical.down_capture(ours, market, period="monthly"),
        ),
    }
    for name, (mine, theirs) in pairs.items():
        assert mine == pytest.approx(theirs, rel=1e-9), name


def test_rolling_figures_equal_the_plain_ones_of_each_window():
    random = np.random.default_rng(1)
    ours, market = random.normal(0, 0.01, 60), random.normal(0, 0.01, 60)
    sharpe, beta = metrics.rolling_sharpe(ours, 20), metrics.rolling_beta(ours, market, 20)
    assert np.isnan(sharpe[:19]).all()
    assert np.isnan(beta[:19]).all()
    for end in range(20, 61):
        window = slice(end - 20, end)
        assert sharpe[end - 1] == pytest.approx(metrics.sharpe(ours[window]))
        assert beta[end - 1] == pytest.approx(metrics.beta(ours[window], market[window]))


def test_a_loss_on_the_first_day_is_a_drawdown():
    assert metrics.drawdown([-0.1, 0.05]) == pytest.approx([-0.1, -0.055])
    assert metrics.max_drawdown([-0.1, 0.5]) == pytest.approx(-0.1)


def test_the_drawdown_table_names_start_trough_and_end():
    d = days(8)
    returns = [0.1, -0.1, -0.1, 0.3, -0.2, 0.1, 0.5, -0.05]
    table = metrics.drawdown_table(pl.DataFrame({"date": d, "portfolio_return": returns}))
    assert table.to_dicts() == [
        {"start": d[3], "trough": d[4], "end": d[6], "depth": pytest.approx(-0.2), "days": 3},
        {"start": d[0], "trough": d[2], "end": d[3], "depth": pytest.approx(-0.19), "days": 3},
        {"start": d[6], "trough": d[7], "end": None, "depth": pytest.approx(-0.05), "days": 1},
    ]


@given(seed=st.integers(0, 10_000))
@settings(deadline=None, max_examples=25)
def test_drawdowns_are_as_deep_as_the_maximum_drawdown_says(seed):
    returns = np.random.default_rng(seed).normal(0, 0.02, 80)
    table = metrics.drawdown_table(pl.DataFrame({"date": days(80), "portfolio_return": returns}), most=100)
    deepest = metrics.max_drawdown(returns)
    assert (table["depth"][0] if table.height else 0) == pytest.approx(deepest)
    assert (table["trough"] > table["start"]).all() or returns[0] < 0
    assert (table["end"].drop_nulls() > table.drop_nulls("end")["trough"]).all()
    assert table["end"].null_count() == int(metrics.drawdown(returns)[-1] < 0)


def test_months_compound_their_days():
    d = [dt.date(2024, 1, 30), dt.date(2024, 1, 31), dt.date(2024, 2, 1)]
    monthly = metrics.monthly_returns(pl.DataFrame({"date": d, "portfolio_return": [0.1, 0.1, -0.5]}))
    assert monthly.rows() == [(2024, 1, pytest.approx(0.21)), (2024, 2, pytest.approx(-0.5))]


def test_what_cannot_be_known_is_nan():
    with np.errstate(all="raise"):
        assert np.isnan(metrics.sharpe([0.01]))
        assert np.isnan(metrics.sharpe([0.01, 0.01, 0.01]))
        assert np.isnan(metrics.calmar([0.01, 0.02]))
        assert np.isnan(metrics.annual_return([]))
        assert np.isnan(metrics.beta([0.1, 0.2], [np.nan, 0.1]))
        assert metrics.total_return([]) == 0
