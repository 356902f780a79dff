"""What the quantiles of the score earn, how that grows, and what long against short leaves after costs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from finpipe.backtest.information import paired
from finpipe.backtest.metrics import DAYS_PER_YEAR
from finpipe.backtest.tables import QUANTILE_EQUITY, QUANTILES

COUNT = 5


@dataclass(frozen=True, slots=True)
class Spread:
    """Best minus worst quantile, per holding period of the horizon.

    Parameters
    ----------
    gross
        Mean return of the best quantile less that of the worst.
    net
        ``gross`` less what both legs pay to trade: each replaces ``turnover`` of its stocks per period.
    turnover
        Mean share of a leg's stocks that were not in it one period before, the mean of both legs.
    monotonicity
        Spearman correlation of quantile and mean return: 1 if every quantile beats the one below.
    """

    gross: float
    net: float
    turnover: float
    monotonicity: float


def quantile_rows(predictions: pl.DataFrame, realized: pl.DataFrame, horizon: int) -> pl.DataFrame:
    """Sort each date's stocks into five quantiles of the rank; 5 holds the best.

    Parameters
    ----------
    predictions
        ``stock_code``, ``date``, ``score``, ``rank`` (1 is best).
    realized
        ``stock_code``, ``date``, ``realized_return_{horizon}d``.

    Returns
    -------
    pl.DataFrame
        Rows with a realised return: ``stock_code``, ``date``, ``quantile`` (Int32), ``realized``. The
        quantile is taken among all predicted stocks of the date, so that what is not known at the
        signal, such as which stock will have a return, does not move it.
    """
    place = (pl.col("rank").cast(pl.Int64) - 1) * COUNT // pl.len().over("date").cast(pl.Int64)
    ranked = predictions.with_columns(quantile=(COUNT - place).cast(pl.Int32))
    return paired(ranked, realized, horizon).select("stock_code", "date", "quantile", "realized")


def quantile_dates(rows: pl.DataFrame) -> pl.DataFrame:
    """Return ``date``, ``quantile``, ``mean_return``: the equal-weight return of each quantile by date."""
    return (
        rows.group_by("date", "quantile").agg(mean_return=pl.col("realized").mean()).sort("date", "quantile")
    )


def quantile_equity(by_date: pl.DataFrame, calendar: pl.Series, horizon: int) -> pl.DataFrame:
    """Compound each quantile's return over periods that follow each other, under QUANTILE_EQUITY.

    Parameters
    ----------
    by_date
        See ``quantile_dates``.
    calendar
        Market days, sorted; every ``horizon``-th from the first date on enters anew.

    Returns
    -------
    pl.DataFrame
        A row at each entry, with the growth up to it, and one at the end of the last period.
    """
    names = [f"q{quantile}" for quantile in range(1, COUNT + 1)]
    wide = by_date.pivot("quantile", index="date", values="mean_return").sort("date")
    wide = wide.rename({str(quantile): f"q{quantile}" for quantile in range(1, COUNT + 1)}, strict=False)
    wide = wide.with_columns(pl.lit(None, dtype=pl.Float64).alias(name) for name in names if name not in wide)
    if wide.is_empty():
        return QUANTILE_EQUITY.empty()
    days = calendar.filter(calendar >= wide["date"][0])
    entries = pl.DataFrame({"date": days.gather_every(horizon)}).filter(pl.col("date") <= wide["date"][-1])
    returns = entries.join(wide, on="date", how="left").select(pl.col(names).fill_null(0))
    last = min((entries.height) * horizon, len(days) - 1)
    growth = np.cumprod(1 + returns.to_numpy(), axis=0)
    table = np.vstack([np.ones(COUNT), growth])
    dates = pl.concat([entries["date"], pl.Series("date", [days[last]])])
    return QUANTILE_EQUITY.validate(
        pl.DataFrame({"date": dates, **{name: table[:, place] for place, name in enumerate(names)}}).unique(
            "date", keep="last", maintain_order=True
        )
    )


def quantile_table(by_date: pl.DataFrame, equity: pl.DataFrame, horizon: int) -> pl.DataFrame:
    """Return mean and annual return of each quantile under ``tables.QUANTILES``."""
    periods = max(equity.height - 1, 1)
    mean = _means(by_date)
    annual = [
        float(equity[f"q{quantile}"][-1] ** (DAYS_PER_YEAR / (horizon * periods)) - 1)
        for quantile in mean["quantile"]
    ]
    return QUANTILES.validate(mean.with_columns(annual_return=pl.Series(annual, dtype=pl.Float64)))


def spread(rows: pl.DataFrame, calendar: pl.Series, horizon: int, round_trip_cost: float) -> Spread:
    """Measure the best quantile against the worst.

    Parameters
    ----------
    rows
        See ``quantile_rows``.
    calendar
        Market days, sorted.
    round_trip_cost
        Of buying and selling once, as a fraction; the short leg pays it as well.
    """
    table = _means(quantile_dates(rows))
    means = dict(table.iter_rows())
    if not {1, COUNT} <= means.keys():
        return Spread(np.nan, np.nan, np.nan, np.nan)
    legs = [_turnover(rows, quantile, calendar, horizon) for quantile in (1, COUNT)]
    gross = means[COUNT] - means[1]
    monotonicity = table.select(pl.corr("quantile", "mean_return", method="spearman")).item()
    return Spread(
        gross=gross,
        net=gross - sum(legs) * round_trip_cost,
        turnover=sum(legs) / 2,
        monotonicity=monotonicity,
    )


def _means(by_date: pl.DataFrame) -> pl.DataFrame:
    """Return ``quantile`` and the mean over the dates of its ``mean_return``."""
    # Few large groups are added up by several threads, in any order; a list is not.
    dates = by_date.group_by("quantile", maintain_order=True).agg("mean_return").sort("quantile")
    return dates.with_columns(pl.col("mean_return").list.mean())


def _turnover(rows: pl.DataFrame, quantile: int, calendar: pl.Series, horizon: int) -> float:
    """Return the mean share of new stocks from one period to the next; 1 if there is only one period."""
    first = rows["date"].min()
    days = calendar.filter(calendar >= first).gather_every(horizon)
    entries = pl.DataFrame({"date": days, "entry": np.arange(len(days))})
    members = rows.filter(pl.col("quantile") == quantile).join(entries, on="date", maintain_order="left")
    before = members.select("stock_code", entry=pl.col("entry") + 1, was_in=pl.lit(value=True))
    compared = (
        members.join(before, on=["stock_code", "entry"], how="left", maintain_order="left")
        .filter(pl.col("entry").is_in(before["entry"].unique().implode()))
        .group_by("entry", maintain_order=True)
        .agg(share=pl.col("was_in").is_null().mean())
    )
    mean = compared["share"].mean()
    return float(mean) if isinstance(mean, float) else 1.0
