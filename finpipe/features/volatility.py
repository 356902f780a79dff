"""Volatility and range features: dispersion of returns, true range, and the place within the year's range."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from finpipe.features.feature import Feature
from finpipe.panel.formula import Floats, floor

if TYPE_CHECKING:
    from finpipe.panel.block import Block

TRADING_DAYS = 252

_HALF_YEAR = "fewer than 126 rows with a high and a low"

FEATURES: tuple[Feature, ...] = (
    Feature(
        "volatility_20d",
        "volatility",
        "standard deviation (ddof 1) of 20 returns · √252",
        window=21,
        low=0,
        unit="fraction per year",
        models=("v3", "v4"),
        source="krx reference §2",
        null="fewer than 10 returns",
    ),
    Feature(
        "volatility_60d",
        "volatility",
        "standard deviation (ddof 1) of 60 returns · √252",
        window=61,
        low=0,
        unit="fraction per year",
        source="krx reference §2",
        null="fewer than 30 returns",
    ),
    Feature(
        "volatility_ratio",
        "volatility",
        "volatility_20d / max(volatility_60d, 0.01)",
        window=61,
        low=0,
        unit="ratio",
        models=("v3", "v4"),
        source="krx reference §2",
        null="fewer than 30 returns",
    ),
    Feature(
        "atr_ratio",
        "volatility",
        "true range / max(mean of 20 true ranges, 1), where the true range is the largest of high - low, "
        "|high - previous close| and |low - previous close|",
        window=21,
        low=0,
        high=20,
        unit="ratio",
        source="Wilder (1978), true range; krx reference §2",
        null="first traded row, no high or low, or fewer than 10 true ranges",
    ),
    Feature(
        "drawdown_from_high",
        "volatility",
        "close / max(highest high of 252 rows, 1) - 1",
        window=252,
        low=-1,
        models=("v3", "v4", "v5"),
        source="George and Hwang (2004), 'The 52-week high and momentum investing'; krx reference §2",
        null=_HALF_YEAR,
    ),
    Feature(
        "recovery_from_low",
        "volatility",
        "close / max(lowest low of 252 rows, 1) - 1",
        window=252,
        low=-1,
        models=("v3", "v4"),
        source="krx reference §2",
        null=_HALF_YEAR,
    ),
    Feature(
        "past_glory_1y",
        "intuition",
        "highest high / max(lowest low, 1) - 1, both of 252 rows",
        window=252,
        low=-1,
        models=("v3", "v4"),
        source="krx reference §2",
        null=_HALF_YEAR,
    ),
    Feature(
        "max_drawdown_from_glory",
        "intuition",
        "equal to drawdown_from_high",
        window=252,
        low=-1,
        source="krx reference §2",
        null=_HALF_YEAR,
    ),
)


def volatility(block: Block) -> dict[str, Floats]:
    """The volatility features and ``low_52w``; needs ``return`` of the momentum family."""
    close, high, low, daily_return = block["close"], block["high"], block["low"], block["return"]
    previous = block.lag(close)
    true_range = np.maximum(high - low, np.maximum(abs(high - previous), abs(low - previous)))
    month = block.std(daily_return, 20, 10) * np.sqrt(TRADING_DAYS)
    quarter = block.std(daily_return, 60, 30) * np.sqrt(TRADING_DAYS)
    high_52w, low_52w = block.maximum(high, 252, 126), block.minimum(low, 252, 126)
    drawdown = close / floor(high_52w, 1) - 1
    return {
        "volatility_20d": month,
        "volatility_60d": quarter,
        "volatility_ratio": month / floor(quarter, 0.01),
        "atr_ratio": true_range / floor(block.mean(true_range, 20, 10), 1),
        "low_52w": low_52w,
        "drawdown_from_high": drawdown,
        "recovery_from_low": close / floor(low_52w, 1) - 1,
        "past_glory_1y": high_52w / floor(low_52w, 1) - 1,
        "max_drawdown_from_glory": drawdown,
    }
