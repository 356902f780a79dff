"""Rolling betas of every stock against the median stock of the market."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from finpipe.features.feature import Feature
from finpipe.panel.formula import Floats, clip, filled, floor
from finpipe.panel.traded import is_traded

if TYPE_CHECKING:
    from finpipe.panel.block import Block

WINDOWS = {"rolling_beta": (252, 60), "rolling_beta_60d": (60, 30)}
"""Rows of each beta's window, and how many of them must have both returns."""

_MODELS = {"rolling_beta": ("v3", "v4"), "rolling_beta_60d": ("v5",)}

FEATURES: tuple[Feature, ...] = tuple(
    Feature(
        name,
        "volatility",
        f"covariance(return, market) / max(variance(market), 1e-8) over the rows among the last {window} on which "
        f"both are known (at least {pairs}), clipped to ±3, where market is the date's median return over all "
        f"traded stocks; 1 where fewer are known",
        window=window + 1,
        low=-3,
        high=3,
        unit="ratio",
        models=_MODELS[name],
        source="krx reference §4.1, with pairwise-complete rows in both moments",
        null="",
    )
    for name, (window, pairs) in WINDOWS.items()
)


def rolling_beta(daily_prices: pl.DataFrame | pl.LazyFrame, threads: int | None = None) -> pl.DataFrame:
    """Both betas of every traded row.

    Parameters
    ----------
    daily_prices
        Bars as in ``krx/daily_prices``, sorted by (stock_code, date). Read are the keys, ``market``,
        ``volume`` and ``adjusted_close``.
    threads
        How many threads to use; None for one per processor. The result does not depend on it.

    Returns
    -------
    polars.DataFrame
        The traded rows (market kospi or kosdaq, volume above 0) in the same order: ``stock_code``,
        ``date`` and the columns of ``FEATURES`` in 32-bit floats, never null.

    Raises
    ------
    SchemaError
        If the rows are not sorted by and unique in (stock_code, date).
    """
    from finpipe.panel import cross_section
    from finpipe.panel.block import compute
    from finpipe.panel.panel import Panel

    rows = daily_prices.lazy().filter(is_traded()).select("stock_code", "date", "adjusted_close").collect()
    panel = Panel.from_frame(rows)
    source = {"close": rows["adjusted_close"].to_numpy()}
    returns = compute(panel, source, [_returns], outputs=[], exact=["return"], threads=threads)[1]["return"]
    market = cross_section.median(panel, returns, threads)[panel.days]
    betas, _ = compute(
        panel, {"return": returns, "market": market}, [_betas], outputs=list(WINDOWS), threads=threads
    )
    return rows.select("stock_code", "date", *(pl.Series(name, betas[name]) for name in WINDOWS))


def _returns(block: Block) -> dict[str, Floats]:
    return {"return": block["close"] / block.lag(block["close"]) - 1}


def _betas(block: Block) -> dict[str, Floats]:
    betas = {}
    for name, (window, pairs) in WINDOWS.items():
        covariance, variance = block.moments(block["market"], block["return"], window, pairs)
        betas[name] = filled(clip(covariance / floor(variance, 1e-8), -3, 3), 1.0)
    return betas
