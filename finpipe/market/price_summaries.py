"""Weekly and monthly bars made of daily ones, by the calendar of each ticker's exchange."""

from __future__ import annotations

from typing import Final, Literal

import polars as pl

from finpipe.market.daily_bars import ProviderError
from finpipe.market.exchanges import exchange_of, exchange_sessions

Every = Literal["week", "month"]

PERIODS: Final = {"week": "1w", "month": "1mo"}

SUMMARY_SCHEMA = pl.Schema(
    {
        "ticker": pl.String,
        "period": pl.Date,
        "date": pl.Date,
        "open": pl.Float64,
        "high": pl.Float64,
        "low": pl.Float64,
        "close": pl.Float64,
        "volume": pl.Int64,
        "adjusted_close": pl.Float64,
        "dividend": pl.Float64,
        "split_ratio": pl.Float64,
        "bars": pl.UInt32,
        "sessions": pl.UInt32,
        "partial": pl.Boolean,
    }
)
"""Columns of summaries, sorted by ticker and period.

``period``: its first calendar day, a Monday or the first of a month. ``date``: its last bar. Prices, volume and
dividends are in shares of that last bar: a split within the period is carried through. ``dividend``: sum;
``split_ratio``: product. ``bars``: days with a bar; ``sessions``: days on which the exchange opens in the whole period;
``partial``: fewer bars than sessions, as the period is not over, or the stock was listed, halted or delisted in it.
"""


def summaries(bars: pl.DataFrame, every: Every) -> pl.DataFrame:
    """Combine daily bars into bars of whole weeks (Monday to Sunday) or calendar months.

    Parameters
    ----------
    bars
        In the schema of bars, sorted.
    every
        ``week`` or ``month``.

    Returns
    -------
    pl.DataFrame
        :data:`SUMMARY_SCHEMA`.

    Raises
    ------
    ProviderError
        For another ``every``.
    """
    if every not in PERIODS:
        raise ProviderError(f"bars can be summed up by week or month, not by {every!r}")
    if bars.is_empty():
        return pl.DataFrame(schema=SUMMARY_SCHEMA)
    period = pl.col("date").dt.truncate(PERIODS[every]).alias("period")
    split = pl.col("split_ratio")
    later = split.shift(-1).fill_null(1.0).cum_prod(reverse=True).over("ticker", "period")
    comparable = bars.lazy().with_columns(period)
    if bars.select((split != 1).any()).item():
        comparable = comparable.with_columns(
            *(pl.col(name) / later for name in ("open", "high", "low", "close", "dividend")),
            (pl.col("volume") * later).round().cast(pl.Int64),
        )
    made = comparable.group_by("ticker", "period", maintain_order=True).agg(
        pl.col("date").last(),
        pl.col("open").first(),
        pl.col("high").max(),
        pl.col("low").min(),
        pl.col("close").last(),
        pl.col("volume").sum(),
        pl.col("adjusted_close").last(),
        pl.col("dividend").sum(),
        split.product(),
        pl.len().alias("bars"),
    )
    exchanges = {ticker: exchange_of(ticker) for ticker in bars["ticker"].unique()}
    exchange = pl.col("ticker").replace_strict(exchanges, return_dtype=pl.String).alias("exchange")
    return (
        made.with_columns(exchange)
        .join(_sessions(bars, every, set(exchanges.values())).lazy(), on=["exchange", "period"], how="left")
        .with_columns(pl.col("sessions").fill_null(0))
        .with_columns((pl.col("bars") < pl.col("sessions")).alias("partial"))
        .sort("ticker", "period")
        .select(SUMMARY_SCHEMA.names())
        .collect()
    )


def _sessions(bars: pl.DataFrame, every: Every, exchanges: set[str]) -> pl.DataFrame:
    """Number of sessions in each whole period, by exchange."""
    first, last = bars.select(
        pl.col("date").min().dt.truncate(PERIODS[every]),
        pl.col("date")
        .max()
        .dt.truncate(PERIODS[every])
        .dt.offset_by(PERIODS[every])
        .dt.offset_by("-1d")
        .alias("last"),
    ).row(0)
    return pl.concat(
        pl.DataFrame({"date": exchange_sessions(exchange, first, last)})
        .group_by(pl.col("date").dt.truncate(PERIODS[every]).alias("period"))
        .agg(pl.len().alias("sessions"))
        .with_columns(pl.lit(exchange).alias("exchange"))
        for exchange in sorted(exchanges)
    )
