"""Features relative to the whole market of a date: strength against the median stock, rank of illiquidity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from finpipe.features.feature import Feature
from finpipe.panel.formula import Floats, clip

if TYPE_CHECKING:
    from finpipe.panel.panel import Panel

FEATURES: tuple[Feature, ...] = (
    Feature(
        "rs_vs_market_20d",
        "momentum",
        "mom_20d minus the date's median mom_20d over all traded stocks",
        window=21,
        models=("v3", "v4"),
        source="krx reference §2",
        null="no mom_20d",
    ),
    Feature(
        "rs_vs_market_60d",
        "momentum",
        "mom_60d minus the date's median mom_60d over all traded stocks",
        window=61,
        source="krx reference §2",
        null="no mom_60d",
    ),
    Feature(
        "rs_acceleration",
        "momentum",
        "rs_vs_market_20d - rs_vs_market_60d, clipped to ±0.5",
        window=61,
        low=-0.5,
        high=0.5,
        models=("v3", "v4"),
        source="krx reference §2",
        null="no mom_60d",
    ),
    Feature(
        "amihud_rank",
        "volume",
        "percent rank of amihud_illiquidity on the date; 1 is the least liquid stock",
        window=21,
        low=0,
        high=1,
        unit="rank",
        source="Amihud (2002); krx reference §2",
        null="no amihud_illiquidity",
    ),
)

INPUTS = ("mom_20d", "mom_60d", "amihud_illiquidity")


def relative(panel: Panel, columns: Mapping[str, Floats], threads: int | None = None) -> dict[str, Floats]:
    """The market-relative features from the columns named in ``INPUTS``, shape (rows,) each."""
    from finpipe.panel import cross_section

    strength = {
        span: columns[f"mom_{span}d"]
        - cross_section.median(panel, columns[f"mom_{span}d"], threads)[panel.days]
        for span in (20, 60)
    }
    return {
        "rs_vs_market_20d": strength[20],
        "rs_vs_market_60d": strength[60],
        "rs_acceleration": clip(strength[20] - strength[60], -0.5, 0.5),
        "amihud_rank": cross_section.rank(panel, columns["amihud_illiquidity"], threads=threads),
    }
