"""What a portfolio bought and held would have become, beside an index and the risk-free asset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum, isfinite

import numpy as np
import polars as pl
from numpy.typing import NDArray

from finpipe.portfolio.problem import Floats, ProblemError

Dates = NDArray[np.datetime64]

DAYS_PER_YEAR = 365
"""Calendar days, over which the risk-free asset compounds."""

SESSIONS_PER_YEAR = 252

PORTFOLIO, BENCHMARK, RISK_FREE = "portfolio", "benchmark", "risk_free"


@dataclass(frozen=True, slots=True)
class Performance:
    """What became of one line of a comparison.

    Parameters
    ----------
    initial_value, final_value, profit_loss
        Money.
    total_return
        final / initial - 1, a fraction.
    annual_return
        (final / initial)^(365 / calendar days) - 1; NaN for a single day.
    volatility
        Sample standard deviation of daily returns x sqrt(252); NaN for fewer than two returns.
    sharpe
        Mean daily return above the risk-free one x 252 / volatility; NaN without volatility.
    max_drawdown
        Deepest fall from the highest value so far, 0 or negative.
    """

    initial_value: float
    final_value: float
    profit_loss: float
    total_return: float
    annual_return: float
    volatility: float
    sharpe: float
    max_drawdown: float


@dataclass(frozen=True, slots=True)
class BenchmarkResult:
    """A portfolio beside its benchmark and the risk-free asset.

    Parameters
    ----------
    timeline
        ``date`` and the values ``portfolio``, ``benchmark``, ``risk_free`` in money at the close of each day.
    summary
        Performance of each of the three.
    beta, correlation
        Of the portfolio's daily returns to the benchmark's; NaN where the latter do not vary.
    cash
        Ticker to money that never found a price and stayed cash.
    notices
        What was kept as cash, bought late or carried forward, in words.
    """

    timeline: pl.DataFrame
    summary: dict[str, Performance]
    beta: float
    correlation: float
    cash: dict[str, float]
    notices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Held:
    values: Floats
    cash: dict[str, float]
    notices: tuple[str, ...]


def benchmark_portfolio(
    weights: Mapping[str, float],
    dates: Dates,
    prices: Mapping[str, Floats],
    benchmark: Floats,
    *,
    budget: float,
    risk_free: float = 0.0,
    benchmark_name: str = "the benchmark",
) -> BenchmarkResult:
    """Value a portfolio bought at its first prices and held, against an index and the risk-free asset.

    Each ticker gets budget x weight / first price shares, fractions allowed. A day without a bar keeps the last
    price. Before its first bar a ticker's money is cash, and so is the money of a ticker without any bar and what
    the weights leave of 1: nothing vanishes, and all of it is named. The risk-free asset is worth
    budget x (1 + risk_free)^(calendar days / 365).

    Parameters
    ----------
    weights
        Ticker to weight, 0 or more, of at most 1 in sum.
    dates
        Trading days, ascending; shape (days,).
    prices
        Ticker to prices on ``dates``, NaN where there is no bar; adjusted prices count dividends in.
    benchmark
        Level of the index on ``dates``, likewise.
    budget
        Money at the start.
    risk_free
        Fraction per year.

    Raises
    ------
    ProblemError
        Weights, budget or dates make no sense, shapes do not fit, or neither any ticker nor the benchmark
        has a price.
    """
    _check_request(weights, budget, risk_free)
    _check_series(list(weights), dates, prices, (benchmark_name, benchmark))
    days = (dates - dates[0]).astype("timedelta64[D]").astype(np.float64)
    own = _bought_and_held(weights, dates, prices, budget)
    index = _bought_and_held({benchmark_name: 1.0}, dates, {benchmark_name: benchmark}, budget)
    free = budget * (1 + risk_free) ** (days / DAYS_PER_YEAR)
    lines = {PORTFOLIO: own.values, BENCHMARK: index.values, RISK_FREE: free}
    beta, correlation = _to_benchmark(own.values, index.values)
    return BenchmarkResult(
        timeline=pl.DataFrame({"date": dates.astype("datetime64[D]"), **lines}).with_columns(
            pl.col("date").cast(pl.Date)
        ),
        summary={name: performance(values, days, free) for name, values in lines.items()},
        beta=beta,
        correlation=correlation,
        cash=own.cash,
        notices=own.notices + index.notices,
    )


def performance(values: Floats, days: Floats, free: Floats) -> Performance:
    """Describe a line of values.

    Parameters
    ----------
    values
        Money at the close of each day; shape (T,).
    days
        Calendar days since the first; shape (T,).
    free
        Value of the risk-free asset on the same days; shape (T,).
    """
    growth = float(values[-1] / values[0])
    returns = values[1:] / values[:-1] - 1
    excess = returns - (free[1:] / free[:-1] - 1)
    deviation = float(returns.std(ddof=1)) if len(returns) > 1 else np.nan
    volatility = deviation * float(np.sqrt(SESSIONS_PER_YEAR))
    return Performance(
        initial_value=float(values[0]),
        final_value=float(values[-1]),
        profit_loss=float(values[-1] - values[0]),
        total_return=growth - 1,
        annual_return=growth ** (DAYS_PER_YEAR / float(days[-1])) - 1 if days[-1] > 0 else np.nan,
        volatility=volatility,
        sharpe=float(excess.mean()) * SESSIONS_PER_YEAR / volatility if _varies(returns) else np.nan,
        max_drawdown=float((values / np.maximum.accumulate(values) - 1).min()),
    )


def _bought_and_held(
    weights: Mapping[str, float], dates: Dates, prices: Mapping[str, Floats], budget: float
) -> _Held:
    total = np.full(len(dates), budget * (1 - fsum(weights.values())))
    cash: dict[str, float] = {}
    notices = []
    for ticker, weight in weights.items():
        money = budget * weight
        price = np.asarray(prices.get(ticker, np.full(len(dates), np.nan)), dtype=np.float64)
        has_price = np.isfinite(price) & (price > 0)
        at = np.flatnonzero(has_price)
        if len(at) == 0:
            cash[ticker] = money
            total += money
            continue
        latest = np.maximum.accumulate(np.where(has_price, np.arange(len(price)), -1))
        value = np.where(latest >= 0, money / price[at[0]] * price[np.maximum(latest, 0)], money)
        total += value
        if at[0] > 0:
            notices.append(
                f"{ticker} has no price before {dates[at[0]]}: its {weight:.2%} are cash until then"
            )
        if at[-1] < len(price) - 1:
            notices.append(f"{ticker} has no price after {dates[at[-1]]}: it is kept at its last one")
        if gaps := int((~has_price[at[0] : at[-1]]).sum()):
            notices.append(
                f"{ticker} has no price on {gaps} days in between: the last one is carried forward"
            )
    if cash:
        share = fsum(weights[ticker] for ticker in cash)
        notices.insert(
            0, f"no price in the period, kept as cash ({share:.2%} of the budget): {', '.join(sorted(cash))}"
        )
    return _Held(total, cash, tuple(notices))


def _to_benchmark(values: Floats, index: Floats) -> tuple[float, float]:
    ours, theirs = values[1:] / values[:-1] - 1, index[1:] / index[:-1] - 1
    if len(ours) < 2 or not _varies(theirs):
        return np.nan, np.nan
    covariance = np.cov(ours, theirs, ddof=1)
    beta = float(covariance[0, 1] / covariance[1, 1])
    if not _varies(ours):
        return beta, np.nan
    return beta, float(covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1]))


def _varies(returns: Floats) -> bool:
    return len(returns) > 1 and float(returns.std(ddof=1)) > 1e-12


def _check_request(weights: Mapping[str, float], budget: float, risk_free: float) -> None:
    if not (isfinite(budget) and budget > 0):
        raise ProblemError(f"budget is {budget}: it must be a positive sum of money")
    if not (isfinite(risk_free) and risk_free > -1):
        raise ProblemError(f"risk_free is {risk_free}: it must be a fraction per year, such as 0.03")
    if not weights:
        raise ProblemError("the portfolio has no weights: save one first, or give ticker to weight")
    for ticker, weight in weights.items():
        if not (isfinite(weight) and weight >= 0):
            raise ProblemError(
                f"{ticker} weighs {weight}: only portfolios with weights of 0 or more can be held"
            )
    total = fsum(weights.values())
    if total > 1 + 1e-6:
        raise ProblemError(
            f"the weights sum to {total:.6g}: divide them by that, so that the budget is enough"
        )


def _check_series(
    tickers: Sequence[str], dates: Dates, prices: Mapping[str, Floats], benchmark: tuple[str, Floats]
) -> None:
    if len(dates) == 0 or (np.diff(dates) <= np.timedelta64(0, "D")).any():
        raise ProblemError("dates must be ascending trading days, at least one")
    for name, series in [*prices.items(), benchmark]:
        if np.shape(series) != dates.shape:
            raise ProblemError(
                f"prices of {name} have shape {np.shape(series)}, the dates {dates.shape}: align them"
            )
    period = f"from {dates[0]} to {dates[-1]}"
    if not _has_price([benchmark[1]]):
        raise ProblemError(f"{benchmark[0]} has no price {period}: choose another index or other dates")
    if not _has_price([prices[ticker] for ticker in tickers if ticker in prices]):
        raise ProblemError(
            f"none of {', '.join(sorted(tickers)[:10])} has a price {period}: choose other dates"
        )


def _has_price(series: Sequence[Floats]) -> bool:
    return any(bool((np.isfinite(prices) & (np.asarray(prices) > 0)).any()) for prices in series)
