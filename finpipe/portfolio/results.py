"""What the portfolio line answers: one typed, frozen result for each question, and its plain values for JSON."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

from finpipe.portfolio.plain import plain, plain_frontier
from finpipe.portfolio.requests import FrontierRequest, OptimizeRequest

if TYPE_CHECKING:
    from finpipe.portfolio.allocation import Allocation
    from finpipe.portfolio.covariance import Covariance
    from finpipe.portfolio.efficient_frontier import Frontier
    from finpipe.portfolio.forecast import ExpectedReturns
    from finpipe.portfolio.returns import Returns


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """What an optimisation rests on.

    Parameters
    ----------
    tickers
        Eligible tickers; the order of every array here.
    expected, covariance, returns
        Annual expected returns, annual covariance, daily simple returns, all in the order of ``tickers``.
    excluded
        Reason by ticker, of those that were asked for and are not in ``tickers``.
    notices
        What was dropped, replaced by a fallback or relaxed, in sentences.
    sectors
        Sector by ticker, where known.
    prices
        Last close by ticker, in the currency of its exchange.
    as_of
        Last day with prices.
    """

    tickers: tuple[str, ...]
    expected: ExpectedReturns
    covariance: Covariance
    returns: Returns
    excluded: Mapping[str, str]
    notices: tuple[str, ...]
    sectors: Mapping[str, str]
    prices: Mapping[str, float]
    as_of: dt.date


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizedPortfolio:
    """Optimal weights and all that they rest on.

    Parameters
    ----------
    weights
        Fraction by ticker, largest first, those that weigh nothing left out; they sum to 1.
    expected_return, volatility
        Fractions a year.
    sharpe
        (expected return - risk-free rate) / volatility.
    risk_contributions
        Part of the volatility by ticker of ``weights``; they sum to the volatility.
    allocation
        Whole shares for the budget; None without a budget.
    frontier
        None unless points were asked for.
    benchmark
        Daily ``date`` and ``close`` (adjusted) of the benchmark; None if there is none.
    seconds
        Wall time by stage; ``total`` is all of it.
    """

    request: OptimizeRequest
    moments: Moments
    weights: Mapping[str, float]
    expected_return: float
    volatility: float
    sharpe: float
    risk_contributions: Mapping[str, float]
    notices: tuple[str, ...]
    allocation: Allocation | None = None
    frontier: Frontier | None = None
    benchmark: pl.DataFrame | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def excluded(self) -> Mapping[str, str]:
        """Reason by ticker that could not take part."""
        return self.moments.excluded

    def to_json(self) -> dict[str, Any]:
        """Return plain values: what ``finpipe optimize --json`` prints. A number that is none is null."""
        found: dict[str, Any] = plain(
            {
                "weights": self.weights,
                "expected_return": self.expected_return,
                "volatility": self.volatility,
                "sharpe": self.sharpe,
                "risk_contributions": self.risk_contributions,
                "excluded": self.excluded,
                "fallbacks": self.moments.expected.fallbacks,
                "notices": self.notices,
                "allocation": self.allocation
                and {
                    "shares": self.allocation.shares,
                    "spent": self.allocation.spent,
                    "left": self.allocation.left,
                },
                "as_of": self.moments.as_of,
                "tickers": len(self.moments.tickers),
                "seconds": self.seconds.get("total", 0.0),
                "stages": self.seconds,
                "request": self.request,
            }
        )
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontierResult:
    """The efficient frontier and all that it rests on."""

    request: FrontierRequest
    moments: Moments
    frontier: Frontier
    notices: tuple[str, ...]
    seconds: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return plain values: the points with their weights, and the figures of the one of the best Sharpe ratio."""
        return plain_frontier(self)
