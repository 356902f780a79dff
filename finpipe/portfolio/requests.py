"""What can be asked of the portfolio line: one typed, validated, canonical request for each question.

Requests are plain values: equal questions are equal requests and have equal canonical texts, whatever the order of
their tickers, so that they serve as keys of caches and as models of the service.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from finpipe.market.tickers import canonical_ticker, canonical_tickers
from finpipe.portfolio.problem import Objective
from finpipe.settings import PortfolioCovariance, PortfolioForecast

Forecast = PortfolioForecast
CovarianceMethod = PortfolioCovariance

Ticker = Annotated[str, BeforeValidator(canonical_ticker)]
Tickers = Annotated[tuple[str, ...], BeforeValidator(canonical_tickers)]


def _by_ticker(values: object) -> object:
    if not isinstance(values, Mapping):
        return values
    return dict(zip(canonical_tickers(str(ticker) for ticker in values), values.values(), strict=True))


Share = Annotated[float, Field(allow_inf_nan=False)]
WeightByTicker = Annotated[Mapping[str, Share], BeforeValidator(_by_ticker)]


class Request(BaseModel):
    """A question about prices between two days.

    Parameters
    ----------
    start, end
        First and last day, both included. Without ``end`` the last finished session; without ``start`` five years
        before the end.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    start: dt.date | None = Field(
        None, description="first day, included; five years before the end if not given"
    )
    end: dt.date | None = Field(
        None, description="last day, included; the last finished session if not given"
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.start and self.end and self.end < self.start:
            raise ValueError(f"the end {self.end} lies before the start {self.start}; both days are included")
        return self

    def canonical(self) -> str:
        """Return the text that equal questions share: sorted names, sorted tickers, no defaults left open."""
        values = self.model_dump(mode="json")
        if isinstance(values.get("tickers"), list):
            values["tickers"] = sorted(values["tickers"])
        kind = type(self).__name__
        return json.dumps({"kind": kind, **values}, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


class GroupRequest(Request):
    """A question about several tickers: a list of them, or a group by its name."""

    tickers: Tickers | None = Field(None, description="tickers in Yahoo's spelling, each once")
    group: str | None = Field(None, description="name of a group of tickers, or the path of a file of them")

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.tickers is None) == (self.group is None):
            raise ValueError("give either tickers or a group, e.g. tickers AAPL,MSFT or group sp500")
        return self


class MomentsRequest(GroupRequest):
    """What expected returns and covariance are estimated from, and how."""

    forecast: Forecast = Field("ensemble", description="method of expected returns")
    covariance: CovarianceMethod = Field("ledoit-wolf", description="method of the covariance")
    risk_free: Share = Field(0.0, gt=-0.5, lt=1, description="risk-free rate, fraction a year")
    views: WeightByTicker | None = Field(
        None, description="Black-Litterman: expected return by ticker, fraction a year"
    )
    min_weight: Share = Field(0.0, ge=-1, le=1, description="least weight of a ticker, fraction")
    max_weight: Share | None = Field(
        None,
        gt=0,
        le=1,
        description="most weight of a ticker, fraction; 20%, relaxed if infeasible, if not given",
    )
    sector_limits: Mapping[str, float | tuple[float, float]] = Field(
        default_factory=dict, description="most weight by sector, or least and most"
    )
    l2: Share = Field(0.0, ge=0, description="annual variance added for concentration; 0: none")

    @model_validator(mode="after")
    def _views_are_used(self) -> Self:
        if self.views and self.forecast != "black_litterman":
            raise ValueError(
                f"views belong to the forecast black_litterman, not to {self.forecast}: choose it, or leave them out"
            )
        return self


class OptimizeRequest(MomentsRequest):
    """Which weights are optimal."""

    objective: Objective = Field("max-sharpe", description="what the weights are optimal for")
    target_return: Share | None = Field(None, description="objective target-return: fraction a year")
    target_volatility: Share | None = Field(None, description="objective target-volatility: fraction a year")
    current_weights: WeightByTicker | None = Field(None, description="weights held now, by ticker")
    cost: Share = Field(0.0, ge=0, lt=1, description="fraction of the traded value lost in trading")
    max_turnover: Share | None = Field(None, ge=0, description="most of sum |w - current|")
    confidence: Share = Field(0.95, gt=0, lt=1, description="level of the conditional value at risk")
    budget: Share | None = Field(None, gt=0, description="money to buy whole shares for")
    benchmark: Ticker | None = Field(None, description="ticker to compare with; the group's own if not given")
    frontier_points: int = Field(
        0, ge=0, le=200, description="points of the efficient frontier, 3 or more; 0: none"
    )


class FrontierRequest(MomentsRequest):
    """Which expected return is to be had at which volatility."""

    points: int = Field(50, ge=3, le=200, description="points between least volatility and highest return")


class AnalyzeRequest(Request):
    """How a single ticker has done and what is expected of it."""

    ticker: Ticker = Field(description="ticker in Yahoo's spelling")
    forecast: Forecast = Field("ensemble", description="method of the forecast")
    benchmark: Ticker | None = Field(None, description="ticker that beta and correlation refer to")
    risk_free: Share = Field(0.0, gt=-0.5, lt=1, description="risk-free rate, fraction a year")


class HedgeRequest(Request):
    """Whether one of two tickers hedges the other."""

    first: Ticker = Field(description="ticker that is held")
    second: Ticker = Field(description="ticker that may hedge it")

    @model_validator(mode="after")
    def _two(self) -> Self:
        if self.first == self.second:
            raise ValueError(f"{self.first} cannot hedge itself: give two different tickers")
        return self


class BenchmarkRequest(Request):
    """How a portfolio would have done beside an index and the risk-free rate."""

    weights: WeightByTicker = Field(description="weight by ticker, fractions")
    budget: Share = Field(10_000.0, gt=0, description="money at the start")
    benchmark: Ticker | None = Field(
        None, description="ticker to compare with; the index of the tickers' exchange if not given"
    )
    risk_free: Share = Field(0.0, gt=-0.5, lt=1, description="risk-free rate, fraction a year")
