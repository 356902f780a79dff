from __future__ import annotations

import numpy as np
import pytest

from finpipe.portfolio import forecast_models
from finpipe.portfolio.forecast_models import MODELS, model_forecast, yearly_growth
from finpipe.portfolio.returns import Prices
from finpipe_tests.portfolio.sample_bars import random_prices, weekdays

PUBLISHED = {
    "arima": [444.309570, 418.213745, 446.243408, 488.234222, 499.237061],
    "ets": [442.357178, 428.267365, 492.974792, 477.369995, 477.602814],
    "theta": [440.969208, 429.249237, 490.693176],
}
"""First forecasts for AirPassengers with a season of 12, as the documentation of statsforecast's users prints them."""


def prices_of(*series: np.ndarray) -> Prices:
    values = np.column_stack(series)
    return Prices(tuple(f"T{i}" for i in range(values.shape[1])), weekdays(len(values)), values)


@pytest.mark.parametrize("model", MODELS)
def test_known_values_of_the_air_passengers(model):
    from statsforecast.utils import AirPassengers

    path = model_forecast(model, AirPassengers, 12, season_length=12)
    known = PUBLISHED[model]
    assert path.shape == (12,)
    np.testing.assert_allclose(path[: len(known)], known, rtol=1e-6)


@pytest.mark.parametrize("model", MODELS)
def test_steady_growth_goes_on(model):
    steady = 100 * 1.0004 ** np.arange(252 * 4)
    growth = yearly_growth(model, prices_of(steady))[0]
    # Theta takes half the trend by construction, and starts from a smoothed level a little behind.
    expected = {"theta": 1.0004**126 - 1}.get(model, 1.0004**252 - 1)
    assert growth == pytest.approx(expected, rel=0.1)


def test_growth_is_the_models_forecast_of_every_21st_log_price():
    series = random_prices(["A"], 700)["A"]
    logs = np.log(series[::-1][::21][::-1])
    expected = np.expm1(model_forecast("ets", logs, 12)[-1] - logs[-1])
    assert yearly_growth("ets", prices_of(series)) == [pytest.approx(expected, rel=1e-12)]


def test_gaps_are_bridged_and_late_listings_start_late():
    series = random_prices(["A"], 900)["A"]
    gappy = series.copy()
    at = 899 - 21 * 5
    gappy[at] = np.nan
    bridged = series.copy()
    bridged[at] = series[at - 1]
    late = series.copy()
    late[:200] = np.nan
    ended = np.append(series[:-9], [np.nan] * 9)
    said = yearly_growth("theta", prices_of(gappy, bridged, late, ended))
    assert said[0] == said[1]
    assert said[2] == yearly_growth("theta", prices_of(series[200:]))[0]
    assert said[3] == yearly_growth("theta", prices_of(series[:-9]))[0]


def test_too_short_and_broken_series_say_why(monkeypatch):
    short = np.append([np.nan] * 597, random_prices(["A"], 483)["A"])
    assert yearly_growth("ets", prices_of(short, np.full(1080, np.nan))) == [
        "23 monthly prices, 24 are needed",
        "0 monthly prices, 24 are needed",
    ]
    long = prices_of(random_prices(["A"], 600)["A"])

    def broken(*_: object) -> np.ndarray:
        raise ZeroDivisionError("no luck")

    monkeypatch.setattr(forecast_models, "model_forecast", broken)
    assert yearly_growth("ets", long) == ["ZeroDivisionError: no luck"]
    monkeypatch.setattr(forecast_models, "model_forecast", lambda *_: np.full(12, np.nan))
    assert yearly_growth("ets", long) == ["its forecast is not a number"]


def test_progress_is_told():
    made = random_prices(["A", "B", "C"], 600)
    prices = prices_of(*made.values())
    told: list[tuple[int, int]] = []
    yearly_growth("theta", prices, progress=lambda done, of: told.append((done, of)))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_the_unit_of_a_price_does_not_matter():
    series = random_prices(["A"], 700)["A"]
    for model in MODELS:
        dollars, cents = yearly_growth(model, prices_of(series, series / 1000))
        assert dollars == pytest.approx(cents, rel=1e-3, abs=1e-3)
