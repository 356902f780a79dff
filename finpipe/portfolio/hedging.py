"""Whether one ticker hedges another: how they move together, and how much of the one offsets the other."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
import polars as pl

from finpipe.portfolio.returns import TRADING_DAYS, Floats, Returns

HEDGES_BELOW = -0.5
STRONG, MODERATE = 0.7, 0.5
ROLLING_WINDOW = 63
MIN_DAYS = 30


@dataclass(frozen=True, slots=True)
class Hedge:
    """How two tickers move together on the days both have returns.

    Parameters
    ----------
    ticker, other
        The position, and what may hedge it.
    start, end, days
        First and last common day with a return, and their number.
    correlation, p_value
        Pearson's r of daily simple returns, and the two-sided probability of one as far from 0 if the returns were
        independent and normal.
    is_hedge
        Whether r is below -0.5: the other rises when the ticker falls.
    strength
        ``Strong`` if abs(r) is above 0.7, ``Moderate`` above 0.5, else ``Weak``.
    hedge_ratio
        Beta, cov(ticker, other) / var(other): value of the other to sell short per unit of the ticker (to buy, if
        negative), so that the rest is uncorrelated with the other.
    weights
        Fully invested minimum-variance pair, by ticker; a negative weight is a short position.
    volatilities
        Annual, by ticker.
    hedged_volatility
        Annual, of the pair at ``weights``.
    rolling
        ``date``, ``correlation`` over the ``window`` common days up to it; null where one of the two stood still.
    window
        See ``rolling``.
    """

    ticker: str
    other: str
    start: dt.date
    end: dt.date
    days: int
    correlation: float
    p_value: float
    is_hedge: bool
    strength: str
    hedge_ratio: float
    weights: dict[str, float]
    volatilities: dict[str, float]
    hedged_volatility: float
    rolling: pl.DataFrame
    window: int


def hedge(returns: Returns, ticker: str, other: str, *, window: int = ROLLING_WINDOW) -> Hedge:
    """Analyse a pair on its common days.

    Parameters
    ----------
    returns
        Daily simple returns of at least the two.
    window
        Days of the rolling correlation.

    Raises
    ------
    ValueError
        If the two are the same or absent, have fewer than 30 common days, one of them never moved, or the window is
        shorter than 3 days.
    """
    if ticker == other:
        raise ValueError(f"{ticker} cannot hedge itself; give two different tickers")
    if window < 3:
        raise ValueError(f"a rolling correlation needs a window of at least 3 days, not {window}")
    pair = returns.pick((ticker, other))
    both = ~np.isnan(pair.values).any(axis=1)
    days = int(both.sum())
    if days < MIN_DAYS:
        raise ValueError(
            f"{ticker} and {other} have returns on {days} common days; {MIN_DAYS} are needed: take a longer period"
        )
    x, y = pair.values[both, 0].copy(), pair.values[both, 1].copy()
    for name, series in ((ticker, x), (other, y)):
        if np.ptp(series) < 1e-12:
            raise ValueError(f"the price of {name} never moved in the period, so it correlates with nothing")
    (var_x, cov), (_, var_y) = np.cov(x, y)
    correlation = float(np.clip(cov / np.sqrt(var_x * var_y), -1, 1))
    weight = _minimum_variance_weight(float(var_x), float(var_y), float(cov))
    variance = weight**2 * var_x + (1 - weight) ** 2 * var_y + 2 * weight * (1 - weight) * cov
    dates = pl.Series("date", pair.dates[both])
    return Hedge(
        ticker=ticker,
        other=other,
        start=dates[0],
        end=dates[-1],
        days=days,
        correlation=correlation,
        p_value=_p_value(correlation, days),
        is_hedge=correlation < HEDGES_BELOW,
        strength=strength(correlation),
        hedge_ratio=float(cov / var_y),
        weights={ticker: weight, other: 1 - weight},
        volatilities={
            ticker: float(np.sqrt(var_x * TRADING_DAYS)),
            other: float(np.sqrt(var_y * TRADING_DAYS)),
        },
        hedged_volatility=float(np.sqrt(max(variance, 0.0) * TRADING_DAYS)),
        rolling=_rolling(dates, x, y, window),
        window=window,
    )


def strength(correlation: float) -> str:
    """Return the word for a correlation, whatever its sign."""
    size = abs(correlation)
    return "Strong" if size > STRONG else "Moderate" if size > MODERATE else "Weak"


def _p_value(correlation: float, days: int) -> float:
    """Compare r sqrt((n - 2) / (1 - r^2)) with Student's t of n - 2 degrees of freedom."""
    from scipy.special import stdtr

    if abs(correlation) >= 1:
        return 0.0
    t = correlation * np.sqrt((days - 2) / (1 - correlation**2))
    return float(2 * stdtr(days - 2, -abs(t)))


def _minimum_variance_weight(var_x: float, var_y: float, cov: float) -> float:
    """(var_y - cov) / (var_x + var_y - 2 cov); one half where the two are the same asset."""
    spread = var_x + var_y - 2 * cov
    return (var_y - cov) / spread if spread > 1e-12 * (var_x + var_y) else 0.5


def _rolling(dates: pl.Series, x: Floats, y: Floats, window: int) -> pl.DataFrame:
    frame = pl.DataFrame({"date": dates, "x": x, "y": y})
    if frame.height < window:
        return pl.DataFrame(schema={"date": pl.Date, "correlation": pl.Float64})
    rolled = frame.select("date", correlation=pl.rolling_corr("x", "y", window_size=window))
    kept = rolled.slice(window - 1)
    value = pl.col("correlation")
    return kept.with_columns(pl.when(value.is_finite()).then(value.clip(-1, 1)).alias("correlation"))
