"""Volume and liquidity features: surprise, breakout, money flow and price impact."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from finpipe.features.feature import Feature
from finpipe.panel.formula import Floats, clip, floor

if TYPE_CHECKING:
    from finpipe.panel.block import Block

_TEN_ROWS = "fewer than 10 traded rows"

FEATURES: tuple[Feature, ...] = (
    Feature(
        "vol_60d_max",
        "volume",
        "largest adjusted volume of 60 rows",
        window=60,
        low=0,
        unit="shares",
        source="krx reference §2",
        null="fewer than 30 traded rows",
    ),
    Feature(
        "volume_surprise",
        "volume",
        "volume / max(mean of 20 volumes, 1)",
        window=20,
        low=0,
        high=20,
        unit="ratio",
        models=("v3", "v4", "v5"),
        source="after Gervais, Kaniel and Mingelgrin (2001); krx reference §2",
        null=_TEN_ROWS,
    ),
    Feature(
        "volume_trend",
        "volume",
        "mean of 5 volumes (3 suffice) / max(mean of 20 volumes, 1)",
        window=20,
        low=0,
        unit="ratio",
        models=("v3", "v4"),
        source="krx reference §2",
        null=_TEN_ROWS,
    ),
    Feature(
        "volume_breakout",
        "volume",
        "volume / max(vol_60d_max, 1)",
        window=60,
        low=0,
        high=1,
        unit="ratio",
        models=("v3", "v4"),
        source="krx reference §2",
        null="fewer than 30 traded rows",
    ),
    Feature(
        "value_surprise",
        "volume",
        "amount traded / max(mean of 20 amounts, 1)",
        window=20,
        low=0,
        high=20,
        unit="ratio",
        models=("v3", "v4"),
        source="krx reference §2",
        null=_TEN_ROWS,
    ),
    Feature(
        "smart_money_flow",
        "volume",
        "sum of (2 · close location - 1) · volume over 20 rows / max(sum of 20 volumes, 1), where close location "
        "is (close - low) / max(high - low, 1), and 0.5 where high equals low",
        window=20,
        low=-1,
        high=1,
        models=("v3", "v4"),
        source="Chaikin money flow with daily bars; krx reference §2, flat days as decided",
        null="fewer than 10 rows with a high and a low",
    ),
    Feature(
        "accumulation_index",
        "volume",
        "mean of smart_money_flow over 10 rows",
        window=29,
        low=-1,
        high=1,
        models=("v3", "v4"),
        source="krx reference §2",
        null="fewer than 5 rows with smart_money_flow",
    ),
    Feature(
        "price_volume_synergy",
        "volume",
        "mom_5d clipped to ±0.3, times volume_surprise - 1 clipped to [0, 5], clipped to ±1",
        window=20,
        low=-1,
        high=1,
        unit="score",
        models=("v3", "v4"),
        source="krx reference §2",
        null=_TEN_ROWS,
    ),
    Feature(
        "amihud_illiquidity",
        "volume",
        "mean over 20 rows of |return| / (max(amount traded, 1e6 KRW) in billions of KRW)",
        window=21,
        low=0,
        unit="fraction per bn KRW",
        source="Amihud (2002), 'Illiquidity and stock returns'; krx reference §2",
        null="fewer than 10 returns",
    ),
)


def volume(block: Block) -> dict[str, Floats]:
    """The volume features; needs ``return`` and ``mom_5d`` of the momentum family."""
    close, high, low = block["close"], block["high"], block["low"]
    shares, amount = block["volume"], block["value"]
    mean_20 = floor(block.mean(shares, 20, 10), 1)
    peak_60 = block.maximum(shares, 60, 30)
    surprise = shares / mean_20
    location = np.where(high == low, 0.5, (close - low) / floor(high - low, 1))
    money_flow = block.total((2 * location - 1) * shares, 20, 10) / floor(block.total(shares, 20, 10), 1)
    impact = abs(block["return"]) / (floor(amount, 1e6) / 1e9)
    return {
        "vol_60d_max": peak_60,
        "volume_surprise": surprise,
        "volume_trend": block.mean(shares, 5, 3) / mean_20,
        "volume_breakout": shares / floor(peak_60, 1),
        "value_surprise": amount / floor(block.mean(amount, 20, 10), 1),
        "smart_money_flow": money_flow,
        "accumulation_index": block.mean(money_flow, 10, 5),
        "price_volume_synergy": clip(clip(block["mom_5d"], -0.3, 0.3) * clip(surprise - 1, 0, 5), -1, 1),
        "amihud_illiquidity": block.mean(impact, 20, 10),
    }
