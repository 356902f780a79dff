from __future__ import annotations

import numpy as np
import pytest

from finpipe.portfolio import forecast_models
from finpipe.portfolio.covariance import covariance
from finpipe.portfolio.ensemble import ensemble
from finpipe.portfolio.forecast import METHODS, expected_returns
from finpipe.portfolio.forecast_models import yearly_growth
from finpipe.portfolio.returns import Prices, annual_mean
from finpipe.portfolio.views import View
from finpipe_tests.portfolio.sample_bars import random_prices, weekdays

TICKERS = ("A", "B", "C", "D")


@pytest.fixture
def prices() -> Prices:
    made = random_prices(TICKERS, 800)
    return Prices(TICKERS, weekdays(800), np.column_stack(list(made.values())))


def cut(prices: Prices, ticker: str, days: int) -> Prices:
    values = prices.values.copy()
    values[:-days, prices.tickers.index(ticker)] = np.nan
    return Prices(prices.tickers, prices.dates, values)


def test_ensemble_is_the_default(prices):
    made = expected_returns(prices)
    np.testing.assert_array_equal(made.values, ensemble(prices).values)
    assert made.method_used == ("ensemble",) * 4
    assert made.fallbacks == {}


@pytest.mark.parametrize("method", [m for m in METHODS if m != "prophet"])
def test_every_method_gives_finite_values_in_the_order_of_the_tickers(prices, method):
    views = [View({"A": 1}, 0.1)] if method == "black_litterman" else ()
    made = expected_returns(prices, method, views=views)
    assert made.tickers == TICKERS
    assert made.method == method
    assert made.method_used == (method,) * 4
    assert np.isfinite(made.values).all()
    turned = expected_returns(prices.pick(TICKERS[::-1]), method, views=views)
    np.testing.assert_allclose(turned.values[::-1], made.values, rtol=1e-9)


def test_models_are_used_as_they_are(prices):
    np.testing.assert_allclose(expected_returns(prices, "theta").values, yearly_growth("theta", prices))


def test_where_a_model_fails_the_next_takes_its_place_and_says_so(prices):
    short = cut(prices, "C", 450)
    made = expected_returns(short, "ets")
    assert made.method_used == ("ets", "ets", "ensemble", "ets")
    assert made.fallbacks == {
        "C": "ets failed (22 monthly prices, 24 are needed), theta failed (22 monthly prices, 24 are needed); "
        "ensemble was used."
    }
    assert made.values[2] == ensemble(short).values[2]


def test_a_breaking_model_hands_over_to_the_next_in_line(prices, monkeypatch):
    real = forecast_models.model_forecast

    def moody(model: str, series: np.ndarray, *rest: int) -> np.ndarray:
        if model == "ets" and series[-1] == np.log(prices.values[-1, 1]):
            raise RuntimeError("no luck")
        return real(model, series, *rest)

    monkeypatch.setattr(forecast_models, "model_forecast", moody)
    made = expected_returns(prices, "ets")
    assert made.method_used == ("ets", "theta", "ets", "ets")
    assert made.fallbacks == {"B": "ets failed (RuntimeError: no luck); theta was used."}
    assert made.values[1] == yearly_growth("theta", prices)[1]


def test_prophet_hands_over_down_to_the_ensemble(prices):
    pytest.importorskip("prophet", reason="the extra prophet is not installed")
    made = expected_returns(cut(prices.pick(["A"]), "A", 251), "prophet")
    said = made.fallbacks["A"]
    assert said.startswith("prophet failed (251 prices, 252 are needed), arima failed (12 monthly prices")
    assert said.endswith("; the neutral 5% stands.")


def test_with_hardly_any_prices_the_neutral_return_stands(prices):
    made = expected_returns(cut(prices, "B", 100))
    assert made.values[1] == 0.05
    assert made.method_used[1] == "neutral"
    assert made.fallbacks["B"] == (
        "ensemble failed (100 prices on 800 days; 10 and half of the days are needed); the neutral 5% stands."
    )


def test_clipped_forecasts_are_named(prices):
    values = prices.values.copy()
    values[:, 3] = np.linspace(1, 50, 800) ** 2
    made = expected_returns(Prices(TICKERS, prices.dates, values), "ensemble")
    assert made.values[3] == 1.0
    assert "D" in made.notices[0]
    assert made.notices[0].endswith("were clipped to between -50% and 100%")


def test_shrunk_means_lie_between_the_means_and_their_target(prices):
    returns = prices.returns()
    means = annual_mean(returns.values)
    made = expected_returns(prices, "shrunk_mean")
    assert np.ptp(made.values) < np.ptp(means)
    np.testing.assert_array_equal(np.argsort(made.values), np.argsort(means))
    assert made.notices[0].startswith("means were drawn ")


def test_shrunk_mean_without_returns_falls_back(prices):
    short = cut(prices, "D", 2)
    made = expected_returns(short, "shrunk_mean")
    assert made.method_used == ("shrunk_mean",) * 3 + ("neutral",)
    assert made.fallbacks == {"D": "shrunk_mean failed (1 daily returns); the neutral 5% stands."}
    three = expected_returns(prices.pick(TICKERS[:3]), "shrunk_mean")
    np.testing.assert_allclose(made.values[:3], three.values, rtol=1e-9)


def test_equilibrium_is_reverse_optimisation(prices):
    matrix = covariance(prices.returns(), "sample")
    weights = np.array([4.0, 3.0, 2.0, 1.0])
    made = expected_returns(
        prices, "equilibrium", covariance=matrix, market_weights=weights, risk_aversion=3, risk_free=0.02
    )
    np.testing.assert_allclose(made.values, 0.02 + 3 * matrix.matrix @ weights / 10)
    assert made.notices == ()
    assert "equally" in expected_returns(prices, "equilibrium").notices[0]


def test_views_move_the_equilibrium(prices):
    prior = expected_returns(prices, "equilibrium").values
    moved = expected_returns(prices, "black_litterman", views=[View({"A": 1, "B": -1}, 0.3)]).values
    assert moved[0] - moved[1] == pytest.approx((prior[0] - prior[1] + 0.3) / 2, rel=1e-9)


def test_nonsense_is_refused(prices):
    with pytest.raises(ValueError, match="no forecast method 'lstm'; there are ensemble, ets"):
        expected_returns(prices, "lstm")
    with pytest.raises(ValueError, match="no tickers"):
        expected_returns(Prices((), prices.dates, prices.values[:, :0]))
    with pytest.raises(ValueError, match="black_litterman needs at least one view"):
        expected_returns(prices, "black_litterman")
    with pytest.raises(ValueError, match="the method ets takes no views"):
        expected_returns(prices, "ets", views=[View({"A": 1}, 0.1)])
    other = covariance(prices.pick(TICKERS[::-1]).returns())
    with pytest.raises(ValueError, match="covariance is of other tickers, or in another order"):
        expected_returns(prices, "equilibrium", covariance=other)
