"""Return and risk figures of a daily return series, alone and against a benchmark.

Conventions: returns are fractions per day, a year has 252 trading days, standard deviations are sample
ones (ddof 1), and a figure that the days at hand cannot give is NaN. Whether a figure could be luck is
in ``significance``; figures that need scores are in ``information``.
"""

from __future__ import annotations

from math import sqrt

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from finpipe.backtest.tables import DRAWDOWNS, MONTHLY

DAYS_PER_YEAR = 252
MONTHS_PER_YEAR = 12

Floats = NDArray[np.float64]


def total_return(returns: ArrayLike) -> float:
    """Return the compounded return: prod(1 + r) - 1; 0 for no days."""
    return float(np.prod(1 + _array(returns)) - 1)


def annual_return(returns: ArrayLike, periods: float = DAYS_PER_YEAR) -> float:
    """Return the compound annual growth rate: prod(1 + r)^(periods / n) - 1."""
    values = _array(returns)
    if len(values) == 0:
        return np.nan
    return float(np.prod(1 + values) ** (periods / len(values)) - 1)


def volatility(returns: ArrayLike) -> float:
    """Return the annualised standard deviation: std(r) x sqrt(252)."""
    values = _array(returns)
    if len(values) < 2:
        return np.nan
    return float(values.std(ddof=1) * np.sqrt(DAYS_PER_YEAR))


def sharpe(returns: ArrayLike, risk_free: float = 0.0) -> float:
    """Return the annualised Sharpe ratio: mean(r - f) / std(r) x sqrt(252) (Sharpe 1994).

    Parameters
    ----------
    risk_free
        Fraction per year, spread evenly over 252 days.
    """
    values = _array(returns) - risk_free / DAYS_PER_YEAR
    if len(values) < 2:
        return np.nan
    return _ratio(float(values.mean()), float(values.std(ddof=1))) * sqrt(DAYS_PER_YEAR)


def sortino(returns: ArrayLike, risk_free: float = 0.0) -> float:
    """Return the annualised Sortino ratio: mean(r - f) / sqrt(mean(min(r - f, 0)^2)) x sqrt(252).

    The mean of squares runs over all days, not only the losing ones (Sortino and Price 1994).
    """
    values = _array(returns) - risk_free / DAYS_PER_YEAR
    if len(values) < 2:
        return np.nan
    downside = float(np.sqrt(np.mean(np.minimum(values, 0) ** 2)))
    return _ratio(float(values.mean()), downside) * sqrt(DAYS_PER_YEAR)


def drawdown(returns: ArrayLike) -> Floats:
    """Return the loss from the highest equity so far, at the close of each day; at most 0.

    Equity starts at 1 before the first day, so that a loss on the first day counts.
    """
    equity = np.cumprod(1 + _array(returns))
    high = np.maximum(np.maximum.accumulate(equity), 1.0) if len(equity) else equity
    fall: Floats = equity / high - 1
    return fall


def max_drawdown(returns: ArrayLike) -> float:
    """Return the deepest drawdown; 0 or negative, NaN for no days."""
    falls = drawdown(returns)
    return float(falls.min()) if len(falls) else np.nan


def calmar(returns: ArrayLike) -> float:
    """Return the annual return over the absolute maximum drawdown; NaN if there was no drawdown."""
    return _ratio(annual_return(returns), abs(max_drawdown(returns)))


def value_at_risk(returns: ArrayLike, level: float = 0.05) -> float:
    """Return the ``level`` quantile of the daily returns (historical value at risk): negative is a loss."""
    values = _array(returns)
    return float(np.quantile(values, level)) if len(values) else np.nan


def expected_shortfall(returns: ArrayLike, level: float = 0.05) -> float:
    """Return the mean of the daily returns that are not better than the value at risk."""
    values = _array(returns)
    return float(values[values <= value_at_risk(values, level)].mean()) if len(values) else np.nan


def hit_rate(returns: ArrayLike) -> float:
    """Return the share of periods with a positive return."""
    values = _array(returns)
    return float((values > 0).mean()) if len(values) else np.nan


def beta(returns: ArrayLike, benchmark: ArrayLike) -> float:
    """Return cov(r, b) / var(b) over the days on which both are known."""
    ours, theirs = _paired(returns, benchmark)
    if len(ours) < 2:
        return np.nan
    covariance = np.cov(ours, theirs, ddof=1)
    return _ratio(float(covariance[0, 1]), float(covariance[1, 1]))


def alpha(returns: ArrayLike, benchmark: ArrayLike, risk_free: float = 0.0) -> float:
    """Return Jensen's alpha per year: (1 + mean(r - f - beta x (b - f)))^252 - 1 (Jensen 1968)."""
    ours, theirs = _paired(returns, benchmark)
    daily = risk_free / DAYS_PER_YEAR
    excess = (ours - daily) - beta(ours, theirs) * (theirs - daily)
    return float((1 + excess.mean()) ** DAYS_PER_YEAR - 1) if len(ours) > 1 else np.nan


def tracking_error(returns: ArrayLike, benchmark: ArrayLike) -> float:
    """Return the annualised standard deviation of r - b."""
    ours, theirs = _paired(returns, benchmark)
    return volatility(ours - theirs)


def information_ratio(returns: ArrayLike, benchmark: ArrayLike) -> float:
    """Return mean(r - b) / std(r - b) x sqrt(252)."""
    ours, theirs = _paired(returns, benchmark)
    return sharpe(ours - theirs)


def up_capture(monthly: ArrayLike, benchmark: ArrayLike) -> float:
    """Return the portfolio's annualised growth over the months in which the benchmark rose, over its own.

    Parameters
    ----------
    monthly, benchmark
        Returns of the same calendar months; see ``monthly_returns``.
    """
    ours, theirs = _paired(monthly, benchmark)
    return _capture(ours[theirs > 0], theirs[theirs > 0])


def down_capture(monthly: ArrayLike, benchmark: ArrayLike) -> float:
    """Return the same as ``up_capture`` over the months in which the benchmark fell."""
    ours, theirs = _paired(monthly, benchmark)
    return _capture(ours[theirs < 0], theirs[theirs < 0])


def rolling_sharpe(returns: ArrayLike, window: int = DAYS_PER_YEAR) -> Floats:
    """Return the Sharpe ratio of the last ``window`` days; NaN for the days before."""
    values = _array(returns)
    result = np.full(len(values), np.nan)
    if len(values) < window:
        return result
    parts = np.lib.stride_tricks.sliding_window_view(values, window)
    spread = parts.std(axis=1, ddof=1)
    mean = parts.mean(axis=1)
    result[window - 1 :] = np.divide(mean, spread, out=np.full_like(mean, np.nan), where=spread > 0)
    result *= sqrt(DAYS_PER_YEAR)
    return result


def rolling_beta(returns: ArrayLike, benchmark: ArrayLike, window: int = DAYS_PER_YEAR) -> Floats:
    """Return the beta over the last ``window`` days; NaN where one of them is unknown."""
    ours, theirs = _array(returns), _array(benchmark)
    result = np.full(len(ours), np.nan)
    if len(ours) < window:
        return result
    windows = np.lib.stride_tricks.sliding_window_view
    x, y = windows(theirs, window), windows(ours, window)
    x = x - x.mean(axis=1, keepdims=True)
    y = y - y.mean(axis=1, keepdims=True)
    spread = (x * x).sum(axis=1)
    together = (x * y).sum(axis=1)
    result[window - 1 :] = np.divide(together, spread, out=np.full_like(spread, np.nan), where=spread > 0)
    return result


def monthly_returns(daily: pl.DataFrame, column: str = "portfolio_return") -> pl.DataFrame:
    """Compound daily returns by calendar month.

    Parameters
    ----------
    daily
        ``date`` and ``column``; null returns count as 0, a month of nulls only is null.

    Returns
    -------
    pl.DataFrame
        ``year``, ``month``, ``column``.
    """
    value = pl.col(column)
    growth = (1 + value.fill_null(0)).product() - 1
    monthly = (
        daily.group_by(
            year=pl.col("date").dt.year().cast(pl.Int32), month=pl.col("date").dt.month().cast(pl.Int32)
        )
        .agg(pl.when(value.is_not_null().any()).then(growth).alias(column))
        .sort("year", "month")
    )
    return MONTHLY.validate(monthly) if column == "portfolio_return" else monthly


def drawdown_table(daily: pl.DataFrame, most: int = 10) -> pl.DataFrame:
    """List the deepest drawdowns of ``date, portfolio_return`` under ``tables.DRAWDOWNS``.

    Parameters
    ----------
    most
        Number of drawdowns to list at most.
    """
    dates = daily["date"]
    falls = drawdown(daily["portfolio_return"].to_numpy())
    under = np.concatenate([[False], falls < 0, [False]])
    starts = np.flatnonzero(under[1:] & ~under[:-1])
    ends = np.flatnonzero(under[:-1] & ~under[1:])
    rows = []
    for begin, end in zip(starts.tolist(), ends.tolist(), strict=True):
        start, trough = max(begin - 1, 0), begin + int(np.argmin(falls[begin:end]))
        is_open = end == len(falls)
        last = end - 1 if is_open else end
        rows.append(
            (dates[start], dates[trough], None if is_open else dates[end], falls[trough], last - start)
        )
    rows.sort(key=lambda row: row[3])
    table = pl.DataFrame(
        rows[:most],
        schema={column.name: column.dtype for column in DRAWDOWNS.columns},
        orient="row",
    )
    return DRAWDOWNS.validate(table)


def _capture(ours: Floats, theirs: Floats) -> float:
    return _ratio(annual_return(ours, MONTHS_PER_YEAR), annual_return(theirs, MONTHS_PER_YEAR))


def _array(values: ArrayLike) -> Floats:
    return np.asarray(values, dtype=np.float64)


def _paired(first: ArrayLike, second: ArrayLike) -> tuple[Floats, Floats]:
    ours, theirs = _array(first), _array(second)
    is_known = ~(np.isnan(ours) | np.isnan(theirs))
    return ours[is_known], theirs[is_known]


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if abs(denominator) > 1e-15 else np.nan
