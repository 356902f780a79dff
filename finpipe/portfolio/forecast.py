"""Expected annual returns by any method, and which method took over where one failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from finpipe.market.daily_bars import Progress, listed
from finpipe.portfolio.black_litterman import RISK_AVERSION, TAU, implied_returns, posterior_returns
from finpipe.portfolio.covariance import Covariance
from finpipe.portfolio.covariance import covariance as estimated_covariance
from finpipe.portfolio.ensemble import HIGHEST, LOWEST, NEUTRAL, ensemble
from finpipe.portfolio.forecast_models import Outcome, yearly_growth
from finpipe.portfolio.returns import Floats, Prices, annual_mean
from finpipe.portfolio.shrunk_mean import bayes_stein
from finpipe.portfolio.views import View, view_matrix
from finpipe.settings import PortfolioForecast

CHAIN = ("prophet", "arima", "ets", "theta", "ensemble")
"""Models of single tickers; where one fails the next takes its place, and the ensemble always has an answer."""

METHODS: tuple[str, ...] = get_args(PortfolioForecast)
DEFAULT_METHOD = "ensemble"


@dataclass(frozen=True, slots=True)
class ExpectedReturns:
    """What is expected of each ticker.

    Parameters
    ----------
    tickers
        In the order of the prices.
    values
        float64 (N,): simple return over the next year, finite.
    method
        The one asked for.
    method_used
        By ticker the one that gave the value; ``neutral`` is the ensemble's 5% for too few prices.
    fallbacks
        Sentence by ticker that the method asked for could not serve.
    notices
        Sentences about assumptions and clipped values.
    """

    tickers: tuple[str, ...]
    values: Floats
    method: str
    method_used: tuple[str, ...]
    fallbacks: dict[str, str] = field(default_factory=dict)
    notices: tuple[str, ...] = ()


def expected_returns(
    prices: Prices,
    method: str = DEFAULT_METHOD,
    *,
    covariance: Covariance | None = None,
    market_weights: Floats | None = None,
    views: Sequence[View] = (),
    risk_aversion: float = RISK_AVERSION,
    risk_free: float = 0.0,
    tau: float = TAU,
    progress: Progress | None = None,
) -> ExpectedReturns:
    """Estimate the simple return of each ticker over the next year.

    Parameters
    ----------
    prices
        Adjusted prices, (days, tickers).
    method
        ``ensemble`` (module ``ensemble``); ``ets``, ``theta``, ``arima`` (``forecast_models``); ``prophet``
        (``prophet_forecast``), all clipped to [-0.5, 1]; ``shrunk_mean``: annual arithmetic means by Bayes-Stein;
        ``equilibrium``: what the market portfolio implies; ``black_litterman``: that, moved by ``views``.
    covariance
        Of the same tickers, for the last three methods; by default Ledoit-Wolf of the prices' returns.
    market_weights
        (N,), e.g. market values; by default equal, with a notice.
    views
        For ``black_litterman``; on tickers of the prices.
    risk_aversion, risk_free, tau
        See ``black_litterman``.
    progress
        Called with tickers done and tickers in all, by the models that take their time: ets, theta, arima, prophet.

    Raises
    ------
    ValueError
        If the method is unknown, there are no tickers, the covariance is of other tickers, views are missing or given
        to a method that takes none, or Prophet is not installed.
    """
    if method not in METHODS:
        raise ValueError(f"no forecast method {method!r}; there are {', '.join(METHODS)}")
    if not prices.tickers:
        raise ValueError("there are no tickers to forecast")
    if bool(views) != (method == "black_litterman"):
        raise ValueError(
            "black_litterman needs at least one view; without any, take equilibrium"
            if not views
            else f"the method {method} takes no views; black_litterman does"
        )
    if covariance is not None and covariance.tickers != prices.tickers:
        raise ValueError("the covariance is of other tickers, or in another order, than the prices")
    if method in CHAIN:
        return _by_models(prices, method, progress)
    if method == "shrunk_mean":
        return _by_shrinkage(prices, covariance)
    matrix = (covariance or estimated_covariance(prices.returns())).matrix
    notices: tuple[str, ...] = ()
    if market_weights is None:
        market_weights = np.ones(len(prices.tickers))
        notices = ("no market weights were given, so the market is taken to hold all tickers equally",)
    values = implied_returns(matrix, market_weights, risk_aversion=risk_aversion, risk_free=risk_free)
    if views:
        values = posterior_returns(values, matrix, view_matrix(views, prices.tickers), tau=tau)
    return ExpectedReturns(prices.tickers, values, method, (method,) * len(prices.tickers), notices=notices)


def _by_models(prices: Prices, method: str, progress: Progress | None) -> ExpectedReturns:
    """Ask the models from ``method`` on, each only for the tickers that the ones before it failed."""
    size = len(prices.tickers)
    values = np.full(size, np.nan)
    used = [""] * size
    failed: dict[str, list[str]] = {}
    open_: NDArray[np.int64] = np.arange(size)
    for model in CHAIN[CHAIN.index(method) :]:
        asked = prices if len(open_) == size else prices.pick([prices.tickers[i] for i in open_])
        answers = _ask(model, asked, progress if model == method else None)
        for i, answer in zip(open_, answers, strict=True):
            if isinstance(answer, str):
                failed.setdefault(prices.tickers[i], []).append(f"{model} failed ({answer})")
            else:
                values[i], used[i] = answer, model
        open_ = np.flatnonzero(np.isnan(values))
        if not len(open_):
            break
    for i in open_:
        values[i], used[i] = NEUTRAL, "neutral"
    taken = dict(zip(prices.tickers, used, strict=True))
    fallbacks = {
        ticker: f"{', '.join(reasons)}; {_replacement(taken[ticker])}." for ticker, reasons in failed.items()
    }
    beyond = [t for t, value in zip(prices.tickers, values, strict=True) if not LOWEST <= value <= HIGHEST]
    notices = (
        (f"the forecasts of {listed(beyond)} were clipped to between {LOWEST:.0%} and {HIGHEST:.0%}",)
        if beyond
        else ()
    )
    return ExpectedReturns(
        prices.tickers, np.clip(values, LOWEST, HIGHEST), method, tuple(used), fallbacks, notices
    )


def _ask(model: str, prices: Prices, progress: Progress | None) -> Sequence[Outcome]:
    if model == "ensemble":
        made = ensemble(prices)
        days = len(prices.dates)
        return [
            f"{points} prices on {days} days; 10 and half of the days are needed"
            if is_neutral
            else float(value)
            for value, points, is_neutral in zip(made.unclipped, made.points, made.is_neutral, strict=True)
        ]
    if model == "prophet":
        from finpipe.portfolio.prophet_forecast import prophet_growth

        return prophet_growth(prices, progress=progress)
    return yearly_growth(model, prices, progress=progress)


def _replacement(model: str) -> str:
    return f"the neutral {NEUTRAL:.0%} stands" if model == "neutral" else f"{model} was used"


def _by_shrinkage(prices: Prices, covariance: Covariance | None) -> ExpectedReturns:
    """Shrink the means of those that have returns; the ensemble answers for the others."""
    returns = prices.returns()
    days = (~np.isnan(returns.values)).sum(axis=0)
    enough = np.flatnonzero(days > 1)
    values = np.full(len(prices.tickers), np.nan)
    notices: tuple[str, ...] = ()
    if len(enough):
        some = returns.pick([prices.tickers[i] for i in enough])
        matrix = (
            estimated_covariance(some).matrix
            if covariance is None
            else covariance.matrix[np.ix_(enough, enough)]
        )
        shrunk, weight = bayes_stein(annual_mean(some.values), matrix, float(days[enough].mean()))
        values[enough] = shrunk
        notices = (f"means were drawn {weight:.0%} of the way to that of the minimum-variance portfolio",)
    used, fallbacks = ["shrunk_mean"] * len(values), {}
    short = np.flatnonzero(days < 2)
    if len(short):
        rest = _by_models(prices.pick([prices.tickers[i] for i in short]), "ensemble", None)
        for i, value, model in zip(short, rest.values, rest.method_used, strict=True):
            values[i], used[i] = value, model
            fallbacks[prices.tickers[i]] = (
                f"shrunk_mean failed ({days[i]} daily returns); {_replacement(model)}."
            )
    return ExpectedReturns(prices.tickers, values, "shrunk_mean", tuple(used), fallbacks, notices)
