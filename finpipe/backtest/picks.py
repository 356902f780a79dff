"""Picks: what the latest date's scores would buy at the next open, what to avoid, and which patterns stand out."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from finpipe.backtest.rules import Rules
from finpipe.backtest.selection import portfolio_weights
from finpipe.market.schema import DATE, STOCK_CODE, Column, Table

PATTERNS: Mapping[str, str] = {
    "fallen_angels": "fallen_angel_score",
    "volume_surprise": "volume_surprise",
    "vcp": "vcp_score",
}
"""Lists of the stocks in which a feature is strongest, by name of the list."""

SHOWN = ("mom_20d", "drawdown_from_high", "volume_surprise", "volatility_20d")
"""Features that stand beside each pick."""

PICKS = Table(
    "krx/picks",
    "The latest date's lists: buy (with weights), avoid, and one per pattern; best or most striking first.",
    (
        DATE,
        Column("list", pl.String, "buy, avoid, fallen_angels, volume_surprise or vcp"),
        Column("rank", pl.Int32, "rank of the score on the date, 1 is best"),
        STOCK_CODE,
        Column("name", pl.String, "latest name of the stock", null="not in the list of stocks"),
        Column("sector", pl.Categorical, "sector as known on the date", null="no sector known"),
        Column("close", pl.Int64, "closing price as traded", "KRW"),
        Column("market_cap", pl.Int64, "market capitalisation at the close", "KRW"),
        Column("weight", pl.Float64, "share of the capital to hold", "fraction", null="not on the buy list"),
        Column("score", pl.Float64, "raw model output; higher is better"),
        Column(
            "reasons", pl.String, "features that moved the score most, with their sign", null="not explained"
        ),
        *(
            Column(name, pl.Float32, "as in krx/technical_features", null="window not filled")
            for name in SHOWN
        ),
    ),
    key=(),
)


def picks(
    candidates: pl.DataFrame,
    rules: Rules,
    *,
    regime: float | None = None,
    reasons: pl.DataFrame | None = None,
    avoid: int = 10,
    striking: int = 5,
) -> pl.DataFrame:
    """Return the lists of one date.

    Parameters
    ----------
    candidates
        One date's universe members: ``date, stock_code, name, sector, close, market_cap, rank, score``, the
        features of ``PATTERNS`` and ``SHOWN``, and the columns of ``rules.characteristics``.
    rules
        How to choose and weigh the buy list.
    regime
        ``market_regime_score`` of the date, for the cash rule; None if unknown.
    reasons
        ``stock_code`` and ``reasons`` in words, for as many stocks as are explained.
    avoid
        Length of the list of worst ranks.
    striking
        Length of each pattern's list; stocks in which the pattern is absent (0 or null) are left out.

    Returns
    -------
    pl.DataFrame
        Under ``PICKS``. The buy list is empty when the cash rule keeps all money out of the market.
    """
    lists = {
        "buy": portfolio_weights(candidates, rules, regime=regime),
        "avoid": candidates.sort("rank", descending=True).head(avoid),
    }
    for name, feature in PATTERNS.items():
        lists[name] = candidates.filter(pl.col(feature) > 0).sort(feature, descending=True).head(striking)
    named = pl.concat(
        [frame.with_columns(pl.lit(name).alias("list")) for name, frame in lists.items()], how="diagonal"
    )
    if reasons is None:
        explained = named.with_columns(pl.lit(None, dtype=pl.String).alias("reasons"))
    else:
        explained = named.join(reasons, on="stock_code", how="left", maintain_order="left")
    return PICKS.validate(explained.select(PICKS.names))
