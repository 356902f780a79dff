"""What moves many demo stocks at once: the market, KOSDAQ and industry factors, volatility, currency and rates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_DAILY_VARIANCE = (0.15**2) / 252
_DRIFT = 0.06 / 252
_ARCH, _LEVERAGE, _GARCH = 0.05, 0.08, 0.89
_CRASH_DAYS, _REBOUND_DAYS = 24, 40


@dataclass(frozen=True, slots=True)
class Factors:
    """Daily factor paths.

    Parameters
    ----------
    market
        Log return of the market factor, shape (sessions,).
    variance
        Its conditional variance per day, known before the day, shape (sessions,).
    kosdaq
        Log return of the factor that KOSDAQ stocks share, shape (sessions,).
    industry
        Log returns of the industry factors, shape (sessions, industries).
    agitation
        Multiplier of idiosyncratic volatility; 1 in quiet times, shape (sessions,).
    """

    market: Floats
    variance: Floats
    kosdaq: Floats
    industry: Floats
    agitation: Floats


@dataclass(frozen=True, slots=True)
class MacroLevels:
    """Daily levels of what is not a stock: shape (sessions,) each."""

    vkospi: Floats
    dollar_futures: Floats
    bond_yield: Floats
    prime_bond: Floats
    treasury_bond: Floats


def fat_tailed(rng: np.random.Generator, degrees: float, shape: tuple[int, ...]) -> Floats:
    """Student t variates scaled to unit variance and cut at 12 standard deviations."""
    draws: Floats = rng.standard_t(degrees, shape)
    draws *= np.sqrt((degrees - 2) / degrees)
    return np.clip(draws, -12.0, 12.0, out=draws)


def draw_factors(rng: np.random.Generator, sessions: int, industries: int) -> Factors:
    """Draw factor paths with volatility clustering, a leverage effect and a crash about every five years."""
    shocks = fat_tailed(rng, 6.0, (sessions,))
    drift = np.full(sessions, _DRIFT)
    stress = np.ones(sessions)
    for start in _crash_starts(rng, sessions):
        crash, rebound = slice(start, start + _CRASH_DAYS), slice(start + _CRASH_DAYS, start + 64)
        drift[crash] -= 0.009
        drift[rebound] += 0.9 * 0.009 * _CRASH_DAYS / _REBOUND_DAYS * 0.8
        stress[start : start + 50] = 2.2

    market, variance = np.empty(sessions), np.empty(sessions)
    conditional = _DAILY_VARIANCE
    for day in range(sessions):
        variance[day] = conditional * stress[day]
        surprise = np.sqrt(conditional) * shocks[day]
        market[day] = drift[day] + np.sqrt(stress[day]) * surprise
        news = _ARCH + (_LEVERAGE if surprise < 0 else 0.0)
        conditional = (
            (1 - _ARCH - _LEVERAGE / 2 - _GARCH) * _DAILY_VARIANCE
            + _GARCH * conditional
            + news * min(surprise * surprise, 25 * _DAILY_VARIANCE)
        )
    agitation = (variance / _DAILY_VARIANCE) ** 0.2
    return Factors(
        market=market,
        variance=variance,
        kosdaq=0.006 * agitation * fat_tailed(rng, 6.0, (sessions,)),
        industry=0.007 * agitation[:, None] * fat_tailed(rng, 5.0, (sessions, industries)),
        agitation=agitation,
    )


def draw_macro_levels(rng: np.random.Generator, factors: Factors) -> MacroLevels:
    """Draw option-implied volatility, currency and bond levels that answer to the market factor."""
    sessions = factors.market.size
    calm = rng.standard_normal((4, sessions))
    premium = np.empty(sessions)
    level = 0.0
    for day in range(sessions):
        level = 0.94 * level + 0.035 * calm[0, day]
        premium[day] = level
    vkospi = 112 * np.sqrt(252 * factors.variance) * np.exp(premium - 1.5 * factors.market)
    yields = np.empty(sessions)
    rate = 2.6
    for day in range(sessions):
        rate += 0.0015 * (2.6 - rate) + 0.028 * calm[1, day] + 0.6 * factors.market[day]
        yields[day] = max(rate, 0.4)
    shift = np.diff(yields, prepend=yields[0]) / 100
    carry = yields / 100 / 252
    return MacroLevels(
        vkospi=vkospi.clip(8, 90),
        dollar_futures=300 * np.exp(np.cumsum(0.0038 * calm[2] - 0.16 * factors.market)),
        bond_yield=yields,
        prime_bond=100 * np.exp(np.cumsum(carry - 4.1 * shift + 0.0002 * calm[3])),
        treasury_bond=100 * np.exp(np.cumsum(carry - 5.6 * shift)),
    )


def _crash_starts(rng: np.random.Generator, sessions: int) -> list[int]:
    every = 5 * 248
    return [
        int(first + rng.integers(0, min(every, sessions - first)) * 0.7)
        for first in range(sessions // 10, sessions, every)
    ]
