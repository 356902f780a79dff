"""How much a score knows about the returns that follow: information coefficients by day and horizon.

Returns are the unclipped ones of the horizon, entered at the open after the signal. What the quantiles
of the score earn is in ``quantiles``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import ArrayLike

from finpipe.backtest.significance import newey_west_lags, newey_west_t
from finpipe.backtest.tables import IC, IC_DECAY

FEWEST_STOCKS = 3


@dataclass(frozen=True, slots=True)
class InformationSummary:
    """Mean, spread and significance of daily information coefficients.

    Parameters
    ----------
    mean, deviation
        Mean and standard deviation (ddof 1) over days.
    icir
        Mean over deviation, of daily values and not annualised.
    t
        Newey-West t of the mean with max(horizon - 1, floor(4 (n / 100)^(2/9))) lags, because returns
        of neighbouring days overlap.
    positive
        Share of days above 0.
    days
        Days with a coefficient. Figures that cannot be computed are NaN.
    """

    mean: float
    deviation: float
    icir: float
    t: float
    positive: float
    days: int


def information_coefficients(predictions: pl.DataFrame, realized: pl.DataFrame, horizon: int) -> pl.DataFrame:
    """Correlate score and realised return across the stocks of each date.

    Parameters
    ----------
    predictions
        ``stock_code``, ``date``, ``score``.
    realized
        ``stock_code``, ``date``, ``realized_return_{horizon}d``; null where there is no return.
    horizon
        Trading days.

    Returns
    -------
    pl.DataFrame
        ``tables.IC``. Stocks without a score or return are left out; dates with fewer than three stocks,
        or without variation, have null coefficients; dates without any stock have no row. Ranks of ties
        are averaged.
    """
    pairs = paired(predictions, realized, horizon)
    ranks = pairs.with_columns(
        pl.col("score").rank("average").over("date").alias("score_rank"),
        pl.col("realized").rank("average").over("date").alias("realized_rank"),
    )
    return IC.validate(
        ranks.group_by("date")
        .agg(
            ic=pl.corr("score", "realized"),
            rank_ic=pl.corr("score_rank", "realized_rank"),
            n=pl.len().cast(pl.Int32),
        )
        .with_columns(
            pl.when(pl.col("n") >= FEWEST_STOCKS).then(pl.col(name).fill_nan(None)).alias(name)
            for name in ("ic", "rank_ic")
        )
        .select("date", "ic", "rank_ic", "n")
        .sort("date")
    )


def paired(predictions: pl.DataFrame, realized: pl.DataFrame, horizon: int) -> pl.DataFrame:
    """Return the predictions that have a realised return, with it as the float64 column ``realized``.

    Raises
    ------
    KeyError
        There is no column for the horizon.
    """
    name = f"realized_return_{horizon}d"
    if name not in realized.columns:
        raise KeyError(f"{name} is not among the realised returns: {realized.columns}")
    return (
        predictions.join(
            realized.select("stock_code", "date", realized=pl.col(name).cast(pl.Float64)),
            on=["stock_code", "date"],
            maintain_order="left",
        )
        .with_columns(pl.col("realized", "score").fill_nan(None))
        .drop_nulls(["realized", "score"])
    )


def summarise(coefficients: ArrayLike, horizon: int) -> InformationSummary:
    """Summarise daily coefficients in the order of their dates; NaNs are dropped."""
    values = np.asarray(coefficients, dtype=np.float64)
    values = values[~np.isnan(values)]
    n = len(values)
    if n == 0:
        return InformationSummary(np.nan, np.nan, np.nan, np.nan, np.nan, 0)
    mean = float(values.mean())
    deviation = float(values.std(ddof=1)) if n > 1 else np.nan
    return InformationSummary(
        mean=mean,
        deviation=deviation,
        icir=mean / deviation if deviation > 1e-15 else np.nan,
        t=newey_west_t(values, max(horizon - 1, newey_west_lags(n))),
        positive=float((values > 0).mean()),
        days=n,
    )


def decay(predictions: pl.DataFrame, realized: pl.DataFrame, horizons: Sequence[int]) -> pl.DataFrame:
    """Summarise the rank IC over several horizons under ``tables.IC_DECAY``.

    A score that predicts loses strength with the horizon in the long run; one that only gains is a
    sign of a common trend or of a leak.
    """
    summaries = {
        horizon: summarise(
            information_coefficients(predictions, realized, horizon)["rank_ic"].to_numpy(), horizon
        )
        for horizon in sorted(horizons)
    }
    return IC_DECAY.validate(
        pl.DataFrame(
            {
                "horizon": list(summaries),
                "mean_rank_ic": [summary.mean for summary in summaries.values()],
                "icir": [summary.icir for summary in summaries.values()],
                "t": [summary.t for summary in summaries.values()],
            },
            schema={column.name: column.dtype for column in IC_DECAY.columns},
        ).with_columns(pl.col("mean_rank_ic", "icir", "t").fill_nan(None))
    )


def horizons_of(realized: pl.DataFrame) -> list[int]:
    """Return the horizons for which there are realised returns, ascending."""
    names = [name.removeprefix("realized_return_").removesuffix("d") for name in realized.columns]
    return sorted(int(name) for name in names if name.isdigit())
