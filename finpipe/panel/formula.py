"""The few words that formulas are written with, beyond arithmetic; null is NaN."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

_ROUNDING = 1e-12


def floor(values: Floats, least: float) -> Floats:
    """``values``, but at least ``least``: guards denominators. Null stays null."""
    return np.maximum(values, least)


def clip(values: Floats, low: float, high: float) -> Floats:
    """``values`` limited to ``[low, high]``. Null stays null."""
    return np.clip(values, low, high)


def above(values: Floats, bound: Floats | float) -> Flags:
    """Whether ``values`` exceed ``bound``, where what differs by rounding only is equal; not where one is null.

    Prices meet round bounds and their own averages exactly more often than one thinks. Which side the last
    bit then falls on hangs on the factor that prices are adjusted by, so on how far back the data go.
    """
    return values - bound > _rounding(bound)


def below(values: Floats, bound: Floats | float) -> Flags:
    """Whether ``values`` fall short of ``bound``; as :func:`above`."""
    return bound - values > _rounding(bound)


def at_most(values: Floats, bound: Floats | float) -> Flags:
    """Whether ``values`` equal ``bound`` or fall short of it; as :func:`above`."""
    return values - bound <= _rounding(bound)


def flag(condition: Flags) -> Floats:
    """1 where ``condition`` holds, else 0; comparisons with a null do not hold."""
    return condition.astype(np.float64)


def filled(values: Floats, substitute: float) -> Floats:
    """``values`` with ``substitute`` in place of nulls."""
    return np.where(np.isnan(values), substitute, values)


def _rounding(bound: Floats | float) -> Floats | float:
    """Differences that are rounding: relative to prices, absolute beside ratios."""
    return _ROUNDING * np.maximum(np.abs(bound), 1.0)
