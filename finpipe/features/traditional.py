"""Textbook indicators: relative strength index and Bollinger bands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from finpipe.features.feature import Feature
from finpipe.panel.formula import Floats, above, at_most, below, filled, flag, floor

if TYPE_CHECKING:
    from finpipe.panel.block import Block

FEATURES: tuple[Feature, ...] = (
    Feature(
        "rsi_14",
        "traditional",
        "100 - 100 / (1 + mean gain / max(mean loss, 0.001)) over 14 changes of close; the change of a stock's "
        "first row counts as 0",
        window=15,
        low=0,
        high=100,
        unit="score",
        models=("v3", "v4"),
        source="Wilder (1978) with simple means (Cutler); krx reference §2",
        null="fewer than 14 traded rows",
    ),
    Feature(
        "rsi_divergence",
        "traditional",
        "1 where close is within 5% of the lowest low of 252 rows and rsi_14 > 30, else 0",
        window=252,
        low=0,
        high=1,
        unit="flag",
        source="krx reference §2",
        null="",
    ),
    Feature(
        "bb_position",
        "traditional",
        "(close - lower band) / max(upper - lower band, 1), bands at ma_20 ± 2 standard deviations of 20 closes",
        window=20,
        unit="ratio",
        source="Bollinger (2001); krx reference §2",
        null="fewer than 10 traded rows",
    ),
    Feature(
        "bb_squeeze",
        "traditional",
        "1 where the bands' width over max(ma_20, 1) is below 0.8 times its mean of 60 rows, else 0",
        window=79,
        low=0,
        high=1,
        unit="flag",
        models=("v3", "v4"),
        source="Bollinger (2001); krx reference §2",
        null="",
    ),
)


def traditional(block: Block) -> dict[str, Floats]:
    """The textbook indicators; needs ``ma_20`` (momentum) and ``low_52w`` (volatility)."""
    close, middle = block["close"], block["ma_20"]
    change = filled(close - block.lag(close), 0)
    gain, loss = block.mean(floor(change, 0), 14, 14), block.mean(floor(-change, 0), 14, 14)
    rsi = 100 - 100 / (1 + gain / floor(loss, 0.001))
    deviation = block.std(close, 20, 10)
    upper, lower = middle + 2 * deviation, middle - 2 * deviation
    width = (upper - lower) / floor(middle, 1)
    return {
        "rsi_14": rsi,
        "rsi_divergence": flag(at_most(close, 1.05 * block["low_52w"]) & above(rsi, 30)),
        "bb_position": (close - lower) / floor(upper - lower, 1),
        "bb_squeeze": flag(below(width, 0.8 * block.mean(width, 60, 30))),
    }
