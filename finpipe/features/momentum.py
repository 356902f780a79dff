"""Momentum features: returns over several spans, distance from moving averages, and how steady a rise is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from finpipe.features.feature import Feature
from finpipe.panel.formula import Floats, above, clip, flag, floor

if TYPE_CHECKING:
    from finpipe.panel.block import Block

SPANS = (5, 20, 60, 120, 126)
AVERAGES = (5, 20, 60, 120)

_SPAN_MODELS = {5: ("v3", "v4", "v5"), 60: ("v3", "v4"), 126: ("v3", "v4")}
_JEGADEESH = "Jegadeesh and Titman (1993); krx reference §2"

FEATURES: tuple[Feature, ...] = (
    Feature(
        "return",
        "momentum",
        "close / previous close - 1, adjusted, from one traded row to the next",
        window=2,
        low=-1,
        source="krx reference §2",
        null="first traded row of the stock",
    ),
    *(
        Feature(
            f"mom_{span}d",
            "momentum",
            f"close / close {span} rows ago - 1",
            window=span + 1,
            low=-1,
            models=_SPAN_MODELS.get(span, ()),
            source=_JEGADEESH,
            null=f"fewer than {span + 1} traded rows",
        )
        for span in SPANS
    ),
    Feature(
        "intermediate_momentum",
        "momentum",
        "close 21 rows ago / close 126 rows ago - 1: the trend without the last month's reversal",
        window=127,
        low=-1,
        models=("v5",),
        source="Novy-Marx (2012), 'Is momentum really momentum?'; krx reference §2",
        null="fewer than 127 traded rows",
    ),
    *(
        Feature(
            f"dist_ma_{span}",
            "momentum",
            f"close / max(mean of {span} closes, 1) - 1",
            window=span,
            low=-1,
            source="krx reference §2",
            null=f"fewer than {span // 2} traded rows",
        )
        for span in AVERAGES
    ),
    Feature(
        "ma_trend",
        "momentum",
        "half a point each for ma_5 > ma_20 and ma_20 > ma_60 (means of closes)",
        window=60,
        low=0,
        high=1,
        unit="score",
        source="krx reference §2",
        null="",
    ),
    Feature(
        "mom_consistency",
        "momentum",
        "share of days with a positive return among the last 20",
        window=21,
        low=0,
        high=1,
        source="krx reference §2; after Da, Gurun and Warachka (2014), 'Frog in the pan'",
        null="fewer than 10 traded rows",
    ),
    Feature(
        "mom_acceleration",
        "momentum",
        "mom_20d / |max(mom_60d, 0.01)|, clipped to ±5",
        window=61,
        low=-5,
        high=5,
        unit="ratio",
        source="krx reference §2",
        null="fewer than 61 traded rows",
    ),
)


def momentum(block: Block) -> dict[str, Floats]:
    """The momentum features, and the averages ``ma_5`` to ``ma_120`` that other families read."""
    close = block["close"]
    daily_return = close / block.lag(close) - 1
    momentums = {span: close / block.lag(close, span) - 1 for span in SPANS}
    averages = {span: block.mean(close, span, span // 2) for span in AVERAGES}
    return {
        "return": daily_return,
        **{f"mom_{span}d": values for span, values in momentums.items()},
        "intermediate_momentum": block.lag(close, 21) / block.lag(close, 126) - 1,
        **{f"ma_{span}": values for span, values in averages.items()},
        **{f"dist_ma_{span}": close / floor(values, 1) - 1 for span, values in averages.items()},
        "ma_trend": 0.5 * flag(above(averages[5], averages[20]))
        + 0.5 * flag(above(averages[20], averages[60])),
        "mom_consistency": block.mean(flag(above(daily_return, 0)), 20, 10),
        "mom_acceleration": clip(momentums[20] / abs(floor(momentums[60], 0.01)), -5, 5),
    }
