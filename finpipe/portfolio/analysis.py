"""One ticker looked at closely: its figures, what a chart of it needs, and where a forecast would take it.

All prices are adjusted for splits and dividends, so that a split makes no cliff and a figure is what a holder earned:
open, high and low are scaled by adjusted close over close.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import polars as pl

from finpipe.portfolio.ensemble import ensemble
from finpipe.portfolio.forecast import CHAIN, DEFAULT_METHOD, expected_returns
from finpipe.portfolio.returns import TRADING_DAYS, Floats, Prices, adjusted_prices

RANGES = ("1M", "3M", "6M", "YTD", "1Y", "2Y", "5Y", "MAX")
AVERAGES = (20, 50, 200)
TAIL = 0.05
LEVEL = 0.8
MIN_BARS = 20


@dataclass(frozen=True, slots=True)
class Figures:
    """Return and risk of a ticker over the period; a figure that the bars cannot give is NaN.

    Parameters
    ----------
    growth
        Compound annual growth rate, (last / first)^(252 / days) - 1; NaN for less than a quarter of bars, 63, where
        compounding to a year would exaggerate.
    total_return
        Last / first - 1.
    volatility
        Sample standard deviation of daily simple returns x sqrt(252).
    sharpe
        (mean daily return x 252 - risk-free rate) / volatility.
    max_drawdown
        Deepest fall from a high, at most 0.
    value_at_risk, expected_shortfall
        5% quantile of the daily returns, and the mean of those not above it; a negative number is a loss.
    beta, correlation
        To the benchmark, on common days; NaN without one.
    low_52_weeks, high_52_weeks
        Extremes of the lows and highs of the last 364 days.
    averages
        Mean of the last 20, 50 and 200 prices, by number.
    """

    growth: float
    total_return: float
    volatility: float
    sharpe: float
    max_drawdown: float
    value_at_risk: float
    expected_shortfall: float
    beta: float
    correlation: float
    low_52_weeks: float
    high_52_weeks: float
    averages: dict[int, float]


@dataclass(frozen=True, slots=True)
class Forecast:
    """Where the price would be in a year.

    Parameters
    ----------
    method
        The one asked for; ``method_used`` is the one that served, and ``fallback`` says why it is another.
    annual_return
        Expected simple return over 252 sessions.
    parts
        For the ensemble its three parts by name (``smoothing``, ``trend``, ``history``), else empty.
    level
        Probability between ``low`` and ``high`` if the model's drift is right.
    path
        ``date`` (weekdays after the last bar: holidays are not known ahead), ``value``, ``low``, ``high``. The value
        grows at a constant rate, last x (1 + r)^(t / 252); the band is value x exp(-/+ z s sqrt(t)), with s the
        deviation of daily log returns over the period. It tells the price's own noise, not doubt about r.
    """

    method: str
    method_used: str
    fallback: str | None
    annual_return: float
    parts: dict[str, float]
    level: float
    path: pl.DataFrame


@dataclass(frozen=True, slots=True)
class Analysis:
    """A ticker's analysis.

    Parameters
    ----------
    ticker, benchmark
        What was analysed, and against what; None if nothing.
    start, end, bars
        First and last day, and the number of bars between.
    last_price
        Close of the last bar, as traded.
    figures
        See :class:`Figures`.
    chart
        ``date``, ``open``, ``high``, ``low``, ``close``, ``volume`` (adjusted; volume as traded), and ``average_20``,
        ``average_50``, ``average_200``, null until there are as many bars.
    ranges
        ``range``, ``start`` (its first bar) and ``total_return`` of each range that the bars reach back to; ``MAX``
        always.
    forecast
        See :class:`Forecast`.
    notices
        Sentences about what could not be had.
    """

    ticker: str
    benchmark: str | None
    start: dt.date
    end: dt.date
    bars: int
    last_price: float
    figures: Figures
    chart: pl.DataFrame
    ranges: pl.DataFrame
    forecast: Forecast
    notices: tuple[str, ...] = ()

    def chart_of(self, name: str) -> pl.DataFrame:
        """Return the part of the chart that a range shows.

        Raises
        ------
        ValueError
            If the range is unknown or begins before the bars do.
        """
        start = dict(self.ranges.select("range", "start").iter_rows()).get(name)
        if start is None:
            raise ValueError(
                f"no range {name!r} of {self.ticker}; there are {', '.join(self.ranges['range'])}"
            )
        return self.chart.filter(pl.col("date") >= start)


def analyze(
    bars: pl.DataFrame,
    ticker: str,
    *,
    benchmark: str | None = None,
    risk_free: float = 0.0,
    method: str = DEFAULT_METHOD,
    level: float = LEVEL,
) -> Analysis:
    """Analyse one ticker.

    Parameters
    ----------
    bars
        Daily bars of the ticker and, if there is one, the benchmark; others are ignored.
    benchmark
        Ticker for beta and correlation.
    risk_free
        Per year, for the Sharpe ratio.
    method
        Forecast of a single ticker: ensemble, ets, theta, arima or prophet.
    level
        Probability inside the forecast's band.

    Raises
    ------
    ValueError
        If there are fewer than 20 bars of the ticker, none of the benchmark, the method needs more than one ticker, or
        the level is not between 0 and 1.
    """
    if method not in CHAIN:
        raise ValueError(f"{method!r} is no forecast of a single ticker; there are {', '.join(CHAIN)}")
    if not 0 < level < 1:
        raise ValueError(f"the level of the band is {level}; it must lie between 0 and 1")
    own = bars.filter(pl.col("ticker") == ticker).sort("date")
    if own.height < MIN_BARS:
        raise ValueError(f"there are {own.height} bars of {ticker}; an analysis needs {MIN_BARS}")
    prices = adjusted_prices(own)
    series = prices.values[:, 0]
    if np.isnan(series).any():
        bad = prices.dates[np.isnan(series)][0]
        raise ValueError(f"the price of {ticker} on {bad} is not a positive number")
    chart = _chart(own)
    beta, correlation, notices = _against(bars, prices, benchmark)
    return Analysis(
        ticker=ticker,
        benchmark=benchmark,
        start=own["date"][0],
        end=own["date"][-1],
        bars=own.height,
        last_price=float(own["close"][-1]),
        figures=_figures(chart, series, risk_free, beta, correlation),
        chart=chart,
        ranges=_ranges(chart),
        forecast=_forecast(prices, method, level),
        notices=notices,
    )


def _chart(own: pl.DataFrame) -> pl.DataFrame:
    factor = pl.col("adjusted_close") / pl.col("close")
    return own.select(
        "date",
        *((pl.col(name) * factor).alias(name) for name in ("open", "high", "low")),
        pl.col("adjusted_close").alias("close"),
        "volume",
        *(pl.col("adjusted_close").rolling_mean(days).alias(f"average_{days}") for days in AVERAGES),
    )


def _figures(
    chart: pl.DataFrame, series: Floats, risk_free: float, beta: float, correlation: float
) -> Figures:
    daily = series[1:] / series[:-1] - 1
    volatility = float(daily.std(ddof=1) * np.sqrt(TRADING_DAYS))
    at_risk = float(np.quantile(daily, TAIL))
    ratio = series[-1] / series[0]
    year = chart.filter(pl.col("date") > chart["date"][-1] - dt.timedelta(weeks=52))
    return Figures(
        growth=float(ratio ** (TRADING_DAYS / len(daily)) - 1)
        if len(series) >= TRADING_DAYS // 4
        else np.nan,
        total_return=float(ratio - 1),
        volatility=volatility,
        sharpe=(float(daily.mean()) * TRADING_DAYS - risk_free) / volatility
        if volatility > 1e-12
        else np.nan,
        max_drawdown=float((series / np.maximum.accumulate(series) - 1).min()),
        value_at_risk=at_risk,
        expected_shortfall=float(daily[daily <= at_risk].mean()),
        beta=beta,
        correlation=correlation,
        low_52_weeks=year.select(pl.col("low").min()).item(),
        high_52_weeks=year.select(pl.col("high").max()).item(),
        averages={days: float(series[-days:].mean()) if len(series) >= days else np.nan for days in AVERAGES},
    )


def _against(
    bars: pl.DataFrame, prices: Prices, benchmark: str | None
) -> tuple[float, float, tuple[str, ...]]:
    """Beta and correlation of daily simple returns on the days both have one, and why there are none."""
    if benchmark is None:
        return np.nan, np.nan, ()
    pair = bars.filter(pl.col("ticker").is_in([*prices.tickers, benchmark]))
    if pair.filter(pl.col("ticker") == benchmark).is_empty():
        raise ValueError(f"there are no bars of the benchmark {benchmark}")
    returns = adjusted_prices(pair).returns().pick((prices.tickers[0], benchmark)).values
    common = returns[~np.isnan(returns).any(axis=1)]
    if len(common) < MIN_BARS or np.ptp(common[:, 0]) < 1e-12 or np.ptp(common[:, 1]) < 1e-12:
        return np.nan, np.nan, (f"too few common days with {benchmark} that move, so there is no beta",)
    covariance = np.cov(common.T)
    beta = float(covariance[0, 1] / covariance[1, 1])
    return beta, float(covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])), ()


def _ranges(chart: pl.DataFrame) -> pl.DataFrame:
    """Each range from the last bar on or before its beginning, so that its return covers the whole of it."""
    dates, close = chart["date"], chart["close"]
    rows = []
    for name, begin in _beginnings(dates[-1]):
        if name != "MAX" and begin < dates[0]:
            continue
        at = 0 if name == "MAX" else max(int(dates.search_sorted(begin, side="right")) - 1, 0)
        rows.append((name, dates[at], close[-1] / close[at] - 1))
    schema = {"range": pl.String, "start": pl.Date, "total_return": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _beginnings(last: dt.date) -> Iterator[tuple[str, dt.date]]:
    months = {"1M": 1, "3M": 3, "6M": 6, "1Y": 12, "2Y": 24, "5Y": 60}
    day = pl.Series([last])
    for name in RANGES:
        if name == "MAX":
            yield name, dt.date.min
        elif name == "YTD":
            yield name, dt.date(last.year - 1, 12, 31)
        else:
            yield name, day.dt.offset_by(f"-{months[name]}mo")[0]


def _forecast(prices: Prices, method: str, level: float) -> Forecast:
    expected = expected_returns(prices, method)
    ticker, annual = prices.tickers[0], float(expected.values[0])
    used = expected.method_used[0]
    parts: dict[str, float] = {}
    if used == "ensemble":
        made = ensemble(prices)
        parts = {name: float(getattr(made, name)[0]) for name in ("smoothing", "trend", "history")}
    series = prices.values[:, 0]
    ahead = np.arange(1, TRADING_DAYS + 1)
    value = series[-1] * (1 + annual) ** (ahead / TRADING_DAYS)
    noise = float(np.diff(np.log(series)).std(ddof=1)) * np.sqrt(ahead)
    width = np.exp(NormalDist().inv_cdf((1 + level) / 2) * noise)
    path = pl.DataFrame(
        {
            "date": np.busday_offset(prices.dates[-1], ahead, roll="backward"),
            "value": value,
            "low": value / width,
            "high": value * width,
        }
    )
    return Forecast(method, used, expected.fallbacks.get(ticker), annual, parts, level, path)
