"""What the weights would have earned over the very prices that they were made from, beside a benchmark.

The weights are restored every day, without cost: that is the portfolio whose return and volatility the optimiser sees.
It is in sample, so it flatters; it shows how rough the way was, not what is to be earned.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from finpipe.portfolio.comparison import BENCHMARK, PORTFOLIO, BenchmarkResult, benchmark_portfolio
from finpipe.portfolio.problem import ProblemError
from finpipe.portfolio.results import OptimizedPortfolio
from finpipe.portfolio.returns import Floats

EQUAL_WEIGHT = "Equal weights"
SHORTEST = 21
"""Days of which a track record is told."""


@dataclass(frozen=True, slots=True)
class TrackRecord:
    """Weights and benchmark over the period, in sample.

    Parameters
    ----------
    result
        Values from 1 at the close of the first day with returns on, and what describes them.
    benchmark_name
        Ticker of the benchmark, or :data:`EQUAL_WEIGHT`: all eligible tickers alike, restored every day.
    returns
        Daily returns of the portfolio, (days,), a ticker without one counted as 0.
    notices
        What was missing, in sentences.
    """

    result: BenchmarkResult
    benchmark_name: str
    returns: Floats
    notices: tuple[str, ...]

    @property
    def daily(self) -> pl.DataFrame:
        """``date``, ``equity``, ``drawdown``, ``benchmark_equity``, ``benchmark_drawdown``."""
        values = {"equity": PORTFOLIO, "benchmark_equity": BENCHMARK}
        return self.result.timeline.select(
            "date",
            *(pl.col(source).alias(name) for name, source in values.items()),
            *(
                (pl.col(source) / pl.col(source).cum_max() - 1).alias(name.replace("equity", "drawdown"))
                for name, source in values.items()
            ),
        )

    @property
    def annual(self) -> pl.DataFrame:
        """``year``, ``portfolio``, ``benchmark``, ``risk_free`` returns, ``days``; outer years may be incomplete."""
        lines = self.result.timeline.columns[1:]
        ends = self.result.timeline.group_by(pl.col("date").dt.year().alias("year"), maintain_order=True).agg(
            *(pl.col(line).last() for line in lines), pl.len().alias("days")
        )
        return ends.select(
            "year", *(pl.col(line) / pl.col(line).shift(1, fill_value=1.0) - 1 for line in lines), "days"
        )


def track_record(portfolio: OptimizedPortfolio) -> TrackRecord | None:
    """Return what became of the weights; None for fewer than 21 days."""
    moments = portfolio.moments
    held = moments.returns.pick(tuple(portfolio.weights))
    if len(held.dates) < SHORTEST:
        return None
    known = np.isfinite(held.values)
    returns = np.where(known, held.values, 0.0) @ np.array(list(portfolio.weights.values()))
    notices = []
    if gaps := int((~known).sum()):
        notices.append(
            f"{gaps:,} of {known.size:,} daily returns of what is held are not known, mostly from before a listing, "
            "and count as 0"
        )
    level, name = _benchmark(portfolio)
    if level is None and portfolio.benchmark is not None:
        notices.append(f"the benchmark {name} has no price in the period; equal weights stand in for it")
    if level is None:
        level, name = _grown(_mean_return(moments.returns.values)), EQUAL_WEIGHT
    try:
        result = benchmark_portfolio(
            {PORTFOLIO: 1.0},
            held.dates,
            {PORTFOLIO: _grown(returns)},
            level,
            budget=1.0,
            risk_free=portfolio.request.risk_free,
            benchmark_name=name,
        )
    except ProblemError:  # short positions may ruin a portfolio on its first days
        return None
    return TrackRecord(result, name, returns[1:], (*notices, *result.notices))


def _benchmark(portfolio: OptimizedPortfolio) -> tuple[Floats | None, str]:
    given = portfolio.benchmark
    name = portfolio.request.benchmark or "Benchmark"
    if given is None or given.is_empty():
        return None, name
    if "ticker" in given.columns:
        name = str(given["ticker"][0])
    days = pl.DataFrame({"date": portfolio.moments.returns.dates}).with_columns(pl.col("date").cast(pl.Date))
    level = days.join(given.select("date", "close"), on="date", how="left", maintain_order="left")["close"]
    values: Floats = level.cast(pl.Float64).fill_null(np.nan).to_numpy().astype(np.float64)
    return (values if (values > 0).any() else None), name


def _mean_return(returns: Floats) -> Floats:
    known = np.isfinite(returns)
    total = np.where(known, returns, 0.0).sum(axis=1)
    mean: Floats = total / np.maximum(known.sum(axis=1), 1)
    return mean


def _grown(returns: Floats) -> Floats:
    """Value at the close of each day of 1 at the close of the first."""
    values: Floats = np.cumprod(np.concatenate([[1.0], 1 + returns[1:]]))
    return values
