"""What the report is about: a portfolio, and what follows from it, computed once for all sections."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from finpipe.portfolio.efficient_frontier import Frontier, efficient_frontier
from finpipe.portfolio.optimization import problem_of
from finpipe.portfolio.problem import ProblemError
from finpipe.portfolio.report.track_record import TrackRecord, track_record
from finpipe.portfolio.results import OptimizedPortfolio
from finpipe.portfolio.returns import Floats, places

FRONTIER_POINTS = 40
UNKNOWN_SECTOR = "Sector not known"


@dataclass(frozen=True)
class Subject:
    """A portfolio with its tables.

    Parameters
    ----------
    portfolio
        What the report is about.
    """

    portfolio: OptimizedPortfolio

    @cached_property
    def tickers(self) -> pl.DataFrame:
        """One row per eligible ticker, largest weight first, then highest expected return.

        ``ticker``, ``sector``, ``weight``, ``risk`` (share of the volatility, null without volatility),
        ``expected_return``, ``volatility``, ``method``, ``fallback`` (null where none), ``price``, ``shares``,
        ``value`` and ``bought`` (fraction of the budget); the last three are null without a budget.
        """
        portfolio, moments = self.portfolio, self.portfolio.moments
        allocation, total = portfolio.allocation, portfolio.volatility
        rows = []
        for at, ticker in enumerate(moments.tickers):
            price = moments.prices.get(ticker)
            shares = None if allocation is None else allocation.shares.get(ticker, 0)
            rows.append(
                {
                    "ticker": ticker,
                    "sector": moments.sectors.get(ticker, UNKNOWN_SECTOR),
                    "weight": portfolio.weights.get(ticker, 0.0),
                    "risk": portfolio.risk_contributions.get(ticker, 0.0) / total if total > 0 else None,
                    "expected_return": float(moments.expected.values[at]),
                    "volatility": float(moments.covariance.volatilities[at]),
                    "method": moments.expected.method_used[at],
                    "fallback": moments.expected.fallbacks.get(ticker),
                    "price": price,
                    "shares": shares,
                    "value": None if shares is None or price is None else shares * price,
                    "bought": None if allocation is None else allocation.weights.get(ticker, 0.0),
                }
            )
        schema = dict.fromkeys(rows[0], pl.Float64) | {
            "ticker": pl.String, "sector": pl.String, "method": pl.String, "fallback": pl.String, "shares": pl.Int64
        }  # fmt: skip
        return pl.DataFrame(rows, schema=schema).sort(
            pl.col("weight").abs(), "expected_return", "ticker", descending=[True, True, False]
        )

    @cached_property
    def held(self) -> pl.DataFrame:
        """The rows of ``tickers`` with a weight."""
        return self.tickers.filter(pl.col("weight") != 0)

    @cached_property
    def sectors(self) -> pl.DataFrame | None:
        """``sector``, ``weight``, ``risk``, ``held``, ``eligible``; largest first; None where no sector is known."""
        if not self.portfolio.moments.sectors:
            return None
        return (
            self.tickers.group_by("sector")
            .agg(
                pl.col("weight", "risk").sum(),
                (pl.col("weight") != 0).sum().alias("held"),
                pl.len().alias("eligible"),
            )
            .sort("weight", "sector", descending=[True, False])
        )

    @cached_property
    def frontier(self) -> Frontier | None:
        """That of the portfolio, or else one of 40 points for the same request; None where there is none."""
        if self.portfolio.frontier is not None:
            return self.portfolio.frontier
        moments = self.portfolio.moments
        try:
            return efficient_frontier(
                moments.expected.values,
                moments.covariance.matrix,
                problem_of(self.portfolio.request),
                FRONTIER_POINTS,
                tickers=moments.tickers,
                sectors=moments.sectors,
            )
        except ProblemError:
            return None

    @cached_property
    def track_record(self) -> TrackRecord | None:
        """The weights over the period they were made from; None where it is too short."""
        return track_record(self.portfolio)

    @cached_property
    def period(self) -> tuple[dt.date, dt.date]:
        """First and last day with returns, as dates."""
        dates = self.portfolio.moments.returns.dates
        return dates[0].item(), dates[-1].item()

    def correlation(self, tickers: list[str]) -> Floats:
        """Return the correlations of ``tickers``, (n, n)."""
        at = places(self.portfolio.moments.tickers, tickers)
        return self.portfolio.moments.covariance.correlation[np.ix_(at, at)]

    def likest_side_by_side(self, tickers: list[str]) -> list[str]:
        """Return ``tickers`` in the order of hierarchical risk parity's tree, so that clusters become blocks."""
        from finpipe.portfolio.hierarchical import leaf_order

        at = places(self.portfolio.moments.tickers, tickers)
        return [tickers[i] for i in leaf_order(self.portfolio.moments.covariance.matrix[np.ix_(at, at)])]

    @property
    def request_values(self) -> Mapping[str, object]:
        """What was asked for by name, defaults included, without what was left open."""
        return {name: value for name, value in self.portfolio.request if value not in (None, {}, ())}
