"""Forecasts of single tickers by Prophet, which comes with the extra ``prophet`` and is loaded when asked for."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from finpipe.market.daily_bars import Progress
from finpipe.portfolio.forecast_models import Outcome
from finpipe.portfolio.returns import Dates, Floats, Prices

MIN_POINTS = 252
MOST_TICKERS = 50
AHEAD = np.timedelta64(365, "D")


class ProphetMissingError(ValueError):
    """Prophet is not installed."""


def prophet_growth(prices: Prices, *, progress: Progress | None = None) -> list[Outcome]:
    """Forecast the simple return over 365 days: the model's value then over the last price, minus 1.

    Prophet with a yearly season (Taylor and Letham 2018, "Forecasting at scale", The American Statistician 72), fitted
    to the prices themselves; no intervals, hence nothing random.

    Parameters
    ----------
    prices
        (days, tickers), NaN where missing; at most 50 tickers, as each takes about half a second.
    progress
        Called with tickers done and tickers in all.

    Returns
    -------
    list[Outcome]
        By ticker the growth, not clipped, or why there is none.

    Raises
    ------
    ProphetMissingError
        If the package is missing; says how to get it.
    ValueError
        If there are too many tickers.
    """
    _require(prices)
    outcomes: list[Outcome] = []
    for column in prices.values.T:
        outcomes.append(_growth(prices.dates, column))
        if progress is not None:
            progress(len(outcomes), len(prices.tickers))
    return outcomes


@dataclass(frozen=True, slots=True)
class ProphetModels:
    """Fitted models as JSON text by ticker, as ``prophet.serialize.model_from_json`` takes it; why others have none."""

    models: dict[str, str]
    failures: dict[str, str]


def prophet_models(prices: Prices, *, progress: Progress | None = None) -> ProphetModels:
    """Return the models that ``prophet_growth`` forecasts with.

    Parameters, and what is raised, are those of ``prophet_growth``.
    """
    _require(prices)
    from prophet.serialize import model_to_json

    models: dict[str, str] = {}
    failures: dict[str, str] = {}
    for ticker, column in zip(prices.tickers, prices.values.T, strict=True):
        known = ~np.isnan(column)
        if int(known.sum()) < MIN_POINTS:
            failures[ticker] = f"{int(known.sum())} prices, {MIN_POINTS} are needed"
        else:
            try:
                models[ticker] = model_to_json(_fitted(prices.dates[known], column[known]))
            except Exception as error:  # noqa: BLE001 - whatever the model raises, the others are made
                failures[ticker] = f"{type(error).__name__}: {error}"
        if progress is not None:
            progress(len(models) + len(failures), len(prices.tickers))
    return ProphetModels(models, failures)


def _require(prices: Prices) -> None:
    if len(prices.tickers) > MOST_TICKERS:
        raise ValueError(
            f"Prophet is for short lists of at most {MOST_TICKERS} tickers, not {len(prices.tickers)}: "
            "take the method ets or ensemble"
        )
    try:
        import prophet  # noqa: F401
    except ImportError as error:
        raise ProphetMissingError(
            "the method prophet needs a package that is not installed: pip install 'finpipe[prophet]', "
            "or take the method ets"
        ) from error


def _growth(dates: Dates, column: Floats) -> Outcome:
    known = ~np.isnan(column)
    if int(known.sum()) < MIN_POINTS:
        return f"{int(known.sum())} prices, {MIN_POINTS} are needed"
    days, values = dates[known], column[known]
    try:
        growth = _value_in_a_year(days, values) / float(values[-1]) - 1
    except Exception as error:  # noqa: BLE001 - whatever the model raises, the next one takes its place
        return f"{type(error).__name__}: {error}"
    return growth if np.isfinite(growth) else "its forecast is not a number"


def _value_in_a_year(days: Dates, values: Floats) -> float:
    import pandas as pd

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        future = pd.DataFrame({"ds": [(days[-1] + AHEAD).astype("datetime64[ns]")]})
        return float(_fitted(days, values).predict(future)["yhat"].iloc[0])


def _fitted(days: Dates, values: Floats) -> Any:  # noqa: ANN401 (prophet is loaded where it is used)
    import pandas as pd
    from prophet import Prophet

    for name in ("cmdstanpy", "prophet", "prophet.forecaster"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = Prophet(
            yearly_seasonality=True, weekly_seasonality=False, daily_seasonality=False, uncertainty_samples=0
        )
        return model.fit(pd.DataFrame({"ds": days.astype("datetime64[ns]"), "y": values}))
