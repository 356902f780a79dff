"""Classical time series models of statsforecast, from a ticker's prices to its growth over the next year.

The models see the logarithms of every 21st price, counted back from the last one, and look 12 steps ahead: 252 sessions
exactly, no half month at the end, and a year of daily noise does not drown the drift. Prices have no season, so none is
fitted. A gap is bridged by the last price before it. The forecast is the median path: exp(forecast - last) - 1.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from finpipe.market.daily_bars import Progress
from finpipe.portfolio.returns import Floats, Prices

MODELS = ("arima", "ets", "theta")
STEP = 21
HORIZON = 12
MIN_POINTS = 24

Outcome = float | str
"""A growth, or the sentence that says why there is none."""


def model_forecast(model: str, series: Floats, horizon: int, season_length: int = 1) -> Floats:
    """Forecast a series with a model of statsforecast.

    Parameters
    ----------
    model
        ``arima``: AutoARIMA, p and q up to 3 and d up to 2 where there is no season. ``ets``: AutoETS; without a
        season only additive ones, as logarithms of prices have no natural zero. ``theta``: the standard theta model.
    series
        (n,), nothing missing.
    horizon
        Steps ahead.
    season_length
        Observations in a season; 1 is none.

    Returns
    -------
    Floats
        Point forecasts, (horizon,).
    """
    from statsforecast.models import AutoARIMA, AutoETS, Theta

    made: dict[str, Callable[[], Any]] = {
        "arima": lambda: (
            AutoARIMA(max_p=3, max_q=3, max_d=2)
            if season_length == 1
            else AutoARIMA(season_length=season_length)
        ),
        "ets": lambda: AutoETS(season_length=season_length, model="AZN" if season_length == 1 else "ZZZ"),
        "theta": lambda: Theta(season_length=season_length),
    }
    with warnings.catch_warnings():
        # The search for an order tries fits that do not converge; what it ends with is judged below.
        warnings.simplefilter("ignore")
        forecast = made[model]().forecast(np.ascontiguousarray(series, dtype=np.float64), horizon)
    path: Floats = np.asarray(forecast["mean"], dtype=np.float64)
    return path


def yearly_growth(model: str, prices: Prices, *, progress: Progress | None = None) -> list[Outcome]:
    """Forecast the simple return of each ticker over 252 sessions.

    It is done in one process: theta is the quickest, ets takes several times and arima some hundred times as long, but
    for a group of hundreds of tickers a second process hardly earns the time in which it loads the models.

    Parameters
    ----------
    model
        One of :data:`MODELS`.
    prices
        (days, tickers), NaN where missing.
    progress
        Called with tickers done and tickers in all.

    Returns
    -------
    list[Outcome]
        By ticker the growth, not clipped, or why there is none: fewer than 24 points, or what the model said.
    """
    outcomes: list[Outcome] = []
    for column in prices.values.T:
        outcomes.append(_growth(model, _monthly(column)))
        if progress is not None:
            progress(len(outcomes), len(prices.tickers))
    return outcomes


def _monthly(column: Floats) -> Floats:
    """Logarithms of every 21st price, the last one last, from the first known price on."""
    known = np.flatnonzero(~np.isnan(column))
    if not len(known):
        return np.empty(0)
    last = int(known[-1])
    days = np.arange(last, known[0] - 1, -STEP)[::-1]
    at = known[np.searchsorted(known, days, side="right") - 1]
    return np.log(column[at])


def _growth(model: str, series: Floats) -> Outcome:
    if len(series) < MIN_POINTS:
        return f"{len(series)} monthly prices, {MIN_POINTS} are needed"
    try:
        growth = float(np.expm1(model_forecast(model, series, HORIZON)[-1] - series[-1]))
    except Exception as error:  # noqa: BLE001 - whatever a model raises, the next one takes its place
        return f"{type(error).__name__}: {error}"
    return growth if np.isfinite(growth) else "its forecast is not a number"
