"""Pattern features: fallen angels, volatility contraction, quiet accumulation and fear."""

from __future__ import annotations

from typing import TYPE_CHECKING

from finpipe.features.feature import Feature
from finpipe.panel.formula import Floats, above, below, clip, flag

if TYPE_CHECKING:
    from finpipe.panel.block import Block

_NO_YEAR = "no past_glory_1y (fewer than 126 rows with a high and a low)"

FEATURES: tuple[Feature, ...] = (
    Feature(
        "fallen_angel_score",
        "intuition",
        "past_glory_1y · -drawdown_from_high where past_glory_1y > 1 and the drawdown lies between -50% and -30%, "
        "else 0",
        window=252,
        low=0,
        unit="score",
        models=("v3", "v4", "v5"),
        source="krx reference §2",
        null=_NO_YEAR,
    ),
    Feature(
        "bounce_potential",
        "intuition",
        "fallen_angel_score, times 1.3 if volume_trend < 0.8, times 1.3 if volatility_ratio < 0.7",
        window=252,
        low=0,
        unit="score",
        source="krx reference §2",
        null=_NO_YEAR,
    ),
    Feature(
        "vcp_score",
        "intuition",
        "past_glory_1y clipped to [0, 2] where volatility_ratio < 0.7, volume_trend < 0.8 and |dist_ma_20| < 0.05, "
        "else 0",
        window=252,
        low=0,
        high=2,
        unit="score",
        models=("v3", "v4"),
        source="volatility contraction pattern, Minervini (2013); krx reference §2",
        null=_NO_YEAR,
    ),
    Feature(
        "glory_correction_volume",
        "intuition",
        "past_glory_1y clipped to [0, 5] · -drawdown_from_high clipped to [0, 1] · volume_surprise - 1 clipped to "
        "[0, 10]",
        window=252,
        low=0,
        high=50,
        unit="score",
        models=("v3", "v4"),
        source="krx reference §2",
        null=_NO_YEAR,
    ),
    Feature(
        "fear_greed_signal",
        "intuition",
        "past_glory_1y clipped to [0, 3] where volatility_20d > volatility_60d, volume_surprise > 2 and "
        "drawdown_from_high < -20%, else 0",
        window=252,
        low=0,
        high=3,
        unit="score",
        models=("v3", "v4"),
        source="krx reference §2",
        null=_NO_YEAR,
    ),
    Feature(
        "smart_accumulation",
        "intuition",
        "where smart_money_flow > 0.3: accumulation_index + 1 clipped to [0, 2] · -drawdown_from_high clipped to "
        "[0, 0.5] · volume_trend clipped to [0.5, 2], else 0",
        window=252,
        low=0,
        high=2,
        unit="score",
        models=("v3", "v4"),
        source="krx reference §2",
        null="no accumulation_index or no drawdown_from_high",
    ),
    Feature(
        "vcp_breakout_potential",
        "intuition",
        "vcp_score of the previous row clipped to [0, 2] · volume_trend - 0.8 clipped to [0, 2]",
        window=253,
        low=0,
        high=4,
        unit="score",
        models=("v3", "v4"),
        source="krx reference §2, with the previous row's vcp_score as decided",
        null="no vcp_score on the previous row",
    ),
)


def intuition(block: Block) -> dict[str, Floats]:
    """The pattern features; needs the momentum, volume and volatility families."""
    glory, drawdown = block["past_glory_1y"], block["drawdown_from_high"]
    surprise, volume_trend = block["volume_surprise"], block["volume_trend"]
    month, quarter = block["volatility_20d"], block["volatility_60d"]
    quiet_volume, quiet_price = flag(below(volume_trend, 0.8)), flag(below(block["volatility_ratio"], 0.7))

    fallen_angel = flag(above(glory, 1) & above(drawdown, -0.5) & below(drawdown, -0.3)) * glory * -drawdown
    near_average = flag(below(abs(block["dist_ma_20"]), 0.05))
    vcp_score = quiet_price * quiet_volume * near_average * clip(glory, 0, 2)
    fear = flag(above(month, quarter) & above(surprise, 2) & below(drawdown, -0.2))
    accumulation = clip(block["accumulation_index"] + 1, 0, 2)
    return {
        "fallen_angel_score": fallen_angel,
        "bounce_potential": fallen_angel * (1 + 0.3 * quiet_volume) * (1 + 0.3 * quiet_price),
        "vcp_score": vcp_score,
        "glory_correction_volume": clip(glory, 0, 5) * clip(-drawdown, 0, 1) * clip(surprise - 1, 0, 10),
        "fear_greed_signal": fear * clip(glory, 0, 3),
        "smart_accumulation": (
            flag(above(block["smart_money_flow"], 0.3))
            * accumulation
            * clip(-drawdown, 0, 0.5)
            * clip(volume_trend, 0.5, 2)
        ),
        "vcp_breakout_potential": clip(block.lag(vcp_score), 0, 2) * clip(volume_trend - 0.8, 0, 2),
    }
