"""The portfolio line as functions: what ``finpipe optimize`` and its like do, with typed results.

An argument that is not given is the setting of that name (``finpipe settings`` shows them), or else the default that
the request of the function documents (``requests``). All days are included. Every error is a ``ValueError`` whose
message says what clashes and what would work.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from finpipe.portfolio import answers
from finpipe.portfolio.problem import Objective
from finpipe.portfolio.requests import (
    AnalyzeRequest,
    BenchmarkRequest,
    CovarianceMethod,
    Forecast,
    FrontierRequest,
    GroupRequest,
    HedgeRequest,
    OptimizeRequest,
)
from finpipe.settings import Settings, load_settings

if TYPE_CHECKING:
    from finpipe.market.price_update import UpdateReport
    from finpipe.portfolio.analysis import Analysis
    from finpipe.portfolio.comparison import BenchmarkResult
    from finpipe.portfolio.hedging import Hedge
    from finpipe.portfolio.results import FrontierResult, OptimizedPortfolio
    from finpipe.portfolio.saved_portfolios import SavedPortfolio


class Place(TypedDict, total=False):
    """Where prices come from and are kept, and the period; keyword arguments of every function here.

    Parameters
    ----------
    start, end
        First and last day, both included. Without an end the last finished session, without a start five years.
    home
        Folder of everything that finpipe writes; ``data`` by default.
    provider
        ``yahoo``, ``parquet`` or ``demo``.
    bars
        Parquet file or folder of daily bars; makes the provider ``parquet``.
    settings
        In place of home, provider and bars: all settings.
    now
        The time, with its zone; by default the computer's.
    progress
        Called with what is going on and the share of it that is done, from 0 to 1.
    """

    start: dt.date | str | None
    end: dt.date | str | None
    home: Path | str | None
    provider: str | None
    bars: Path | str | None
    settings: Settings | None
    now: dt.datetime | None
    progress: answers.Told | None


class Moments(TypedDict, total=False):
    """How expected returns and covariance are estimated, and the limits of weights.

    Parameters
    ----------
    forecast
        Method of expected returns: ensemble, ets, theta, arima, shrunk_mean, equilibrium, black_litterman, prophet.
    covariance
        sample, ledoit-wolf, oas, exponential, denoised or gerber.
    risk_free
        Fraction a year.
    views
        For black_litterman: expected simple return a year by ticker.
    min_weight, max_weight
        Bounds of every weight, fractions. Without ``max_weight`` it is 20%, relaxed with a notice where infeasible.
    sector_limits
        Most weight by sector, or (least, most).
    l2
        Annual variance added for concentration.
    """

    forecast: Forecast | None
    covariance: CovarianceMethod | None
    risk_free: float | None
    views: Mapping[str, float] | None
    min_weight: float | None
    max_weight: float | None
    sector_limits: Mapping[str, float | tuple[float, float]] | None
    l2: float | None


class Wanted(Moments, Place, total=False):
    """Keyword arguments of functions of many tickers: those of ``Place`` and of ``Moments``."""


def optimize(
    tickers: Iterable[str] | None = None,
    *,
    group: str | None = None,
    objective: Objective | None = None,
    target_return: float | None = None,
    target_volatility: float | None = None,
    current_weights: Mapping[str, float] | None = None,
    cost: float | None = None,
    max_turnover: float | None = None,
    confidence: float | None = None,
    budget: float | None = None,
    benchmark: str | None = None,
    frontier_points: int | None = None,
    **wanted: Unpack[Wanted],
) -> OptimizedPortfolio:
    """Return the optimal weights of tickers or of a group, with all that they rest on.

    Parameters
    ----------
    tickers, group
        Either tickers in Yahoo's spelling, or the name of a group (sp500, dow30, nasdaq100, kospi200, demo, an own
        one) or the path of a .csv or .txt file of tickers.
    objective
        max-sharpe, min-volatility, target-return, target-volatility, risk-parity, hrp, min-cvar,
        max-diversification or herc.
    target_return, target_volatility
        Fractions a year; each stands for the objective of its name.
    current_weights, cost, max_turnover
        Weights held now by ticker, the fraction of the traded value that is lost, and the most of sum |w - current|.
    confidence
        Level of the conditional value at risk, for min-cvar.
    budget
        Money to buy whole shares for.
    benchmark
        Ticker to compare with; by default the index of the group or of the exchange.
    frontier_points
        Points of the efficient frontier to add to the result; 0: none.
    wanted
        See :class:`Moments` and :class:`Place`.

    Raises
    ------
    ProblemError, InfeasibleError, TickerError, ProviderError, SettingsError
        The request makes no sense, no portfolio meets it, a ticker or group is none, or there are no prices.

    Examples
    --------
    >>> optimize(group="demo", max_weight=0.1, budget=100_000).weights  # doctest: +SKIP
    """
    settings, how, rest = _split(wanted)
    request = answers.requested(
        OptimizeRequest,
        settings,
        tickers=_listed(tickers),
        group=group,
        objective=objective,
        target_return=target_return,
        target_volatility=target_volatility,
        current_weights=current_weights,
        cost=cost,
        max_turnover=max_turnover,
        confidence=confidence,
        budget=budget,
        benchmark=benchmark,
        frontier_points=frontier_points,
        **rest,
    )
    return answers.answer_optimize(request, settings, **how)


def frontier(
    tickers: Iterable[str] | None = None,
    *,
    group: str | None = None,
    points: int | None = None,
    **wanted: Unpack[Wanted],
) -> FrontierResult:
    """Return the efficient frontier of tickers or of a group; arguments and errors as :func:`optimize`.

    Parameters
    ----------
    points
        Portfolios from the least volatility to the highest return, 50 by default.
    """
    settings, how, rest = _split(wanted)
    request = answers.requested(
        FrontierRequest, settings, tickers=_listed(tickers), group=group, points=points, **rest
    )
    return answers.answer_frontier(request, settings, **how)


def analyze(
    ticker: str,
    *,
    forecast: Forecast | None = None,
    benchmark: str | None = None,
    risk_free: float | None = None,
    **place: Unpack[Place],
) -> Analysis:
    """Return figures, chart and forecast of one ticker.

    Parameters
    ----------
    ticker
        In Yahoo's spelling.
    forecast
        ensemble (by default), ets, theta, arima or prophet.
    benchmark
        Ticker that beta and correlation refer to; by default the index of the exchange.
    risk_free
        Fraction a year, for the Sharpe ratio.
    place
        See :class:`Place`.

    Raises
    ------
    ProblemError, TickerError, ProviderError, SettingsError
        There are too few bars, the forecast is none of a single ticker, or as :func:`optimize`.
    """
    settings, how, rest = _split(place)
    request = answers.requested(
        AnalyzeRequest,
        settings,
        ticker=ticker,
        forecast=forecast,
        benchmark=benchmark,
        risk_free=risk_free,
        **rest,
    )
    return answers.answer_analyze(request, settings, **how)


def hedge(first: str, second: str, **place: Unpack[Place]) -> Hedge:
    """Return whether ``second`` hedges ``first``: correlation, hedge ratio, the pair of least variance.

    Raises
    ------
    ProblemError, TickerError, ProviderError, SettingsError
        The two are one, have too few common days, or as :func:`optimize`.
    """
    settings, how, rest = _split(place)
    request = answers.requested(HedgeRequest, settings, first=first, second=second, **rest)
    return answers.answer_hedge(request, settings, **how)


def benchmark(
    portfolio: Mapping[str, float] | SavedPortfolio | OptimizedPortfolio,
    *,
    budget: float | None = None,
    benchmark: str | None = None,
    risk_free: float | None = None,
    **place: Unpack[Place],
) -> BenchmarkResult:
    """Return how a portfolio, bought on the first day and held, would have done beside an index and the risk-free rate.

    Parameters
    ----------
    portfolio
        Weight by ticker, or anything with such ``weights``.
    budget
        Money at the start, 10,000 by default.
    benchmark
        Ticker of the index; by default that of the tickers' exchange.
    risk_free
        Fraction a year.
    place
        See :class:`Place`.

    Raises
    ------
    ProblemError, TickerError, ProviderError, SettingsError
        A weight is negative, the weights sum to more than 1, no ticker has a price, or as :func:`optimize`.
    """
    settings, how, rest = _split(place)
    weights = portfolio if isinstance(portfolio, Mapping) else portfolio.weights
    request = answers.requested(
        BenchmarkRequest,
        settings,
        weights=weights,
        budget=budget,
        benchmark=benchmark,
        risk_free=risk_free,
        **rest,
    )
    return answers.answer_benchmark(request, settings, **how)


def update_prices(
    tickers: Iterable[str] | None = None,
    *,
    group: str | None = None,
    refresh: bool = False,
    **place: Unpack[Place],
) -> UpdateReport:
    """Fetch what the home lacks of the prices of tickers or a group, and tell what was done with each.

    Parameters
    ----------
    refresh
        Fetch everything again, tickers in quarantine too.

    Raises
    ------
    ProblemError, TickerError, ProviderError, SettingsError
        As :func:`optimize`; a ticker that fails is reported, not raised.
    """
    settings, how, rest = _split(place)
    request = answers.requested(GroupRequest, settings, tickers=_listed(tickers), group=group, **rest)
    return answers.answer_update(request, settings, refresh=refresh, **how)


def _split(wanted: Mapping[str, Any]) -> tuple[Settings, dict[str, Any], dict[str, Any]]:
    """Settings, how to answer, and what is asked."""
    rest = dict(wanted)
    how: dict[str, Any] = {name: rest.pop(name) for name in ("now", "progress") if name in rest}
    given = {name: rest.pop(name, None) for name in ("home", "provider", "bars")}
    settings: Settings | None = rest.pop("settings", None)
    return settings or load_settings(**given), how, rest


def _listed(tickers: Iterable[str] | None) -> Iterable[str] | None:
    """Tickers as they are, but a text is split at its commas."""
    return tickers.split(",") if isinstance(tickers, str) else None if tickers is None else tuple(tickers)
