"""Adjusting prices and volumes for splits, bonus issues and capital reductions, from KRX's own base price.

Reading the raw prices stands in ``krx_database``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

ADJUSTED = {
    "open": "adjusted_open",
    "high": "adjusted_high",
    "low": "adjusted_low",
    "close": "adjusted_close",
}
"""Raw price column to its adjusted column."""

RATE_TOLERANCE = 0.01
"""Percentage points that ``change_rate`` may be off, as it is published with two decimals."""


@dataclass(frozen=True, slots=True)
class Adjustment:
    """Factors of a frame's rows.

    Parameters
    ----------
    factor
        Float64, one per row, positive.
    events
        Rows on which the factor of a stock changes.
    unknown
        Rows whose base price is not known (``change`` null, or not below ``close``), taken as no event.
    """

    factor: pl.Series
    events: int
    unknown: int


def adjustment(prices: pl.DataFrame) -> Adjustment:
    """Factors that make prices of different days of a stock comparable.

    The exchange publishes ``change`` against a base price that it has adjusted for the day's corporate action:
    base = close - change. Where nothing happens, the base is the previous close. The factor of a day is the
    product, over the stock's days up to and including it, of previous close / base; 1 on the first day. So the
    first day is the anchor, no later split alters an earlier day, and adjusted returns equal change / base.

    Parameters
    ----------
    prices
        ``stock_code``, ``close``, ``change``; sorted by stock and date.

    Returns
    -------
    Adjustment
        Its factor is exactly 1.0 up to a stock's first event.
    """
    stock = prices["stock_code"].to_physical().to_numpy()
    close = prices["close"].to_numpy()
    base = close - prices["change"].fill_null(0).to_numpy()
    first = np.ones(len(stock), dtype=bool)
    first[1:] = stock[1:] != stock[:-1]
    known = prices["change"].is_not_null().to_numpy() & (base > 0)
    event = known & ~first
    event[1:] &= base[1:] != close[:-1]

    at = np.flatnonzero(event | first)
    step = np.ones(len(at))
    happened = event[at]
    step[happened] = close[at[happened] - 1] / base[at[happened]]
    steps = pl.DataFrame({"stock": stock[at], "step": step})
    cumulated = steps.select(pl.col("step").cum_prod().over("stock")).to_series().to_numpy()
    factor = np.repeat(cumulated, np.diff(np.append(at, len(stock))))
    return Adjustment(pl.Series("adjustment_factor", factor), int(event.sum()), int((~known & ~first).sum()))


def adjusted(prices: pl.DataFrame, factor: pl.Series) -> pl.DataFrame:
    """Append ``adjustment_factor``, the adjusted prices (raw x factor) and the adjusted volume (raw / factor).

    Parameters
    ----------
    prices
        ``open``, ``high``, ``low``, ``close`` in KRW, null where the raw price is, and ``volume`` in shares.
    factor
        As :func:`adjustment` gives it.
    """
    return prices.with_columns(factor.alias("adjustment_factor")).with_columns(
        *((pl.col(raw) * pl.col("adjustment_factor")).alias(name) for raw, name in ADJUSTED.items()),
        (pl.col("volume") / pl.col("adjustment_factor")).alias("adjusted_volume"),
    )


def base_disagreements(prices: pl.DataFrame, tolerance: float = RATE_TOLERANCE) -> pl.DataFrame:
    """Rows whose ``change`` and ``change_rate`` do not tell of the same base price.

    Parameters
    ----------
    prices
        ``stock_code``, ``date``, ``close``, ``change``, ``change_rate``.
    tolerance
        Percentage points by which the two may differ.

    Returns
    -------
    pl.DataFrame
        Those columns, ``base`` in KRW and ``implied_rate`` (change / base, percent); rows where ``change`` or
        ``change_rate`` is null cannot disagree, a base that is not positive always does.
    """
    base = (pl.col("close") - pl.col("change")).alias("base")
    implied = (pl.col("change") / pl.col("base") * 100).alias("implied_rate")
    off = (pl.col("implied_rate") - pl.col("change_rate")).abs() > tolerance * (1 + 1e-9)
    return (
        prices.lazy()
        .select("stock_code", "date", "close", "change", "change_rate", base)
        .with_columns(implied)
        .filter(off | ((pl.col("base") <= 0) & pl.col("change_rate").is_not_null()))
        .collect()
    )
