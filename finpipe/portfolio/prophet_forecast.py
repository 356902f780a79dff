"""Forecasts of single tickers by Prophet, which comes with the extra ``prophet`` and is loaded when asked for.

A fit takes thirty times as long as loading the fitted model, so a caller that has a place for models names it with
``models_kept_in``; a model is then looked up by what it was fitted to, and fitted where it is not known.
"""

from __future__ import annotations

import hashlib
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np

from finpipe.market.daily_bars import Progress
from finpipe.portfolio.forecast_models import Outcome
from finpipe.portfolio.returns import Dates, Floats, Prices

MIN_POINTS = 252
MOST_TICKERS = 50
AHEAD = np.timedelta64(365, "D")
OPTIONS: Final[dict[str, Any]] = {
    "yearly_seasonality": True,
    "weekly_seasonality": False,
    "daily_seasonality": False,
    "uncertainty_samples": 0,
}
"""Of the model; Prophet's own for the rest."""

log = logging.getLogger(__name__)


class ProphetMissingError(ValueError):
    """Prophet is not installed."""


class ModelStore(Protocol):
    """A place for fitted models; it may forget any of them at any time, and never raises."""

    def find(self, key: str) -> str | None:
        """Return the JSON text kept under ``key``, None if there is none."""
        ...

    def keep(self, key: str, model: str) -> None:
        """Keep the JSON text of a model."""
        ...

    def forget(self, key: str) -> None:
        """Forget what is kept under ``key``."""
        ...


_models: ContextVar[ModelStore | None] = ContextVar("models of Prophet", default=None)


@contextmanager
def models_kept_in(store: ModelStore) -> Iterator[None]:
    """Let the forecasts within the block find their models in ``store``, and put those there that they fit."""
    before = _models.set(store)
    try:
        yield
    finally:
        _models.reset(before)


def model_key(days: Dates, values: Floats) -> str:
    """Return what a model of these prices is kept under: a digest of them, of Prophet's version and of the options.

    Raises
    ------
    ImportError
        If Prophet is not installed.
    """
    import prophet

    found = hashlib.blake2b(digest_size=16)
    found.update(json.dumps([prophet.__version__, len(days), OPTIONS], sort_keys=True).encode())
    found.update(days.astype("datetime64[D]").astype("<i8").tobytes())
    found.update(values.astype("<f8").tobytes())
    return found.hexdigest()


def prophet_growth(prices: Prices, *, progress: Progress | None = None) -> list[Outcome]:
    """Forecast the simple return over 365 days: the model's value then over the last price, minus 1.

    Prophet with a yearly season (Taylor and Letham 2018, "Forecasting at scale", The American Statistician 72), fitted
    to the prices themselves; no intervals, hence nothing random: a model that was kept forecasts to the last bit what
    a new one does.

    Parameters
    ----------
    prices
        (days, tickers), NaN where missing; at most 50 tickers, as each that is fitted takes about half a second.
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
    """Return the models that ``prophet_growth`` forecasts with, kept ones where there are such.

    Parameters, and what is raised, are those of ``prophet_growth``.
    """
    _require(prices)
    models: dict[str, str] = {}
    failures: dict[str, str] = {}
    for ticker, column in zip(prices.tickers, prices.values.T, strict=True):
        known = ~np.isnan(column)
        if int(known.sum()) < MIN_POINTS:
            failures[ticker] = f"{int(known.sum())} prices, {MIN_POINTS} are needed"
        else:
            try:
                models[ticker] = _model_text(prices.dates[known], column[known])
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
        return float(_model(days, values).predict(future)["yhat"].iloc[0])


def _model(days: Dates, values: Floats) -> Any:  # noqa: ANN401 (prophet is loaded where it is used)
    """The model that is kept of these prices, else a new one, which is then kept."""
    store = _models.get()
    return _fitted(days, values) if store is None else _kept(store, days, values)[0]


def _model_text(days: Dates, values: Floats) -> str:
    from prophet.serialize import model_to_json

    store = _models.get()
    text: str = model_to_json(_fitted(days, values)) if store is None else _kept(store, days, values)[1]
    return text


def _kept(store: ModelStore, days: Dates, values: Floats) -> tuple[Any, str]:
    """The model of these prices in the store, and its text; one that does not load is forgotten and fitted anew."""
    from prophet.serialize import model_from_json, model_to_json

    key = model_key(days, values)
    text = store.find(key)
    if text is not None:
        try:
            return model_from_json(text), text
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, it is a miss
            log.warning("a model that was kept does not load and is fitted anew: %s", error)
            store.forget(key)
    model = _fitted(days, values)
    text = model_to_json(model)
    store.keep(key, text)
    return model, text


def _fitted(days: Dates, values: Floats) -> Any:  # noqa: ANN401 (prophet is loaded where it is used)
    import pandas as pd
    from prophet import Prophet

    for name in ("cmdstanpy", "prophet", "prophet.forecaster"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Prophet(**OPTIONS).fit(pd.DataFrame({"ds": days.astype("datetime64[ns]"), "y": values}))
