"""What the service answers, as typed models: the source of its OpenAPI document.

Fractions are fractions (0.05 is 5%); a number that is unknown or undefined is null; frames are columns of equal length.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from finpipe.portfolio.requests import WeightByTicker

Number = float | None
Dates = list[dt.date]
Numbers = list[Number]


class Model(BaseModel):
    """A value of the service; unknown names are refused where it is sent to it."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Problem(BaseModel):
    """What went wrong (RFC 9457); every error of the service is one."""

    type: str = Field("about:blank", description="kind of problem, a relative address")
    title: str = Field(description="the kind in words")
    status: int = Field(description="status of the response")
    detail: str | None = Field(None, description="what is wrong here, and what would work")
    instance: str | None = Field(None, description="identifier of the request, as in the log")
    errors: list[FieldProblem] | None = Field(None, description="fields of the request that cannot be used")


class FieldProblem(BaseModel):
    """One field that cannot be used."""

    pointer: str = Field(description="where in the request, e.g. body/tickers/0 or query/start")
    detail: str = Field(description="what is wrong with it")


class Figures(BaseModel):
    """Return and risk of a ticker."""

    growth: Number
    total_return: Number
    volatility: Number
    sharpe: Number
    max_drawdown: Number
    value_at_risk: Number
    expected_shortfall: Number
    beta: Number
    correlation: Number
    low_52_weeks: Number
    high_52_weeks: Number
    averages: dict[str, Number] = Field(description="means of the last 20, 50 and 200 prices, by number")


class Chart(BaseModel):
    """Daily adjusted prices."""

    date: Dates
    open: Numbers
    high: Numbers
    low: Numbers
    close: Numbers
    volume: list[int | None]
    average_20: Numbers
    average_50: Numbers
    average_200: Numbers


class Ranges(BaseModel):
    """Ranges that the bars reach back to."""

    range: list[str] = Field(description="1M, 3M, 6M, YTD, 1Y, 2Y, 5Y, MAX")
    start: Dates
    total_return: Numbers


class ForecastPath(BaseModel):
    """Expected price and its band, by weekday."""

    date: Dates
    value: Numbers
    low: Numbers
    high: Numbers


class ForecastAnswer(BaseModel):
    """Where the price would be in a year."""

    method: str
    method_used: str
    fallback: str | None
    annual_return: Number
    parts: dict[str, Number]
    level: float = Field(description="probability of the band")
    path: ForecastPath


class AnalysisAnswer(BaseModel):
    """How a single ticker has done and what is expected of it."""

    ticker: str
    benchmark: str | None
    start: dt.date
    end: dt.date
    bars: int
    last_price: float
    figures: Figures
    chart: Chart
    ranges: Ranges
    forecast: ForecastAnswer
    notices: list[str]


class Bars(BaseModel):
    """Daily bars of one ticker: as traded, and the close adjusted for splits and dividends."""

    date: Dates
    open: list[float]
    high: list[float]
    low: list[float]
    close: list[float]
    volume: list[int]
    adjusted_close: list[float]
    dividend: list[float]
    split_ratio: list[float]


class PricesAnswer(BaseModel):
    """Daily bars of several tickers; as an Arrow stream one table of all, sorted by ticker and date."""

    start: dt.date
    end: dt.date
    bars: dict[str, Bars]
    failures: dict[str, str] = Field(description="reason by ticker without bars")
    notices: list[str]


class AllocationAnswer(BaseModel):
    """Whole shares for a budget."""

    shares: dict[str, int]
    spent: float
    left: float
    weights: dict[str, float]
    notices: list[str]


class FrontierLine(BaseModel):
    """Portfolios along the efficient frontier."""

    expected_return: Numbers
    volatility: Numbers
    sharpe: Numbers
    is_tangency: list[bool]


class Asset(BaseModel):
    """One eligible ticker: what is expected of it, and how."""

    ticker: str
    expected_return: Number
    volatility: Number
    method_used: str
    sector: str | None
    price: Number


class Level(BaseModel):
    """A daily level."""

    date: Dates
    close: Numbers


class PortfolioAnswer(BaseModel):
    """Optimal weights and what they rest on."""

    weights: dict[str, float] = Field(description="fraction by ticker, largest first")
    expected_return: Number
    volatility: Number
    sharpe: Number
    risk_contributions: dict[str, float] = Field(description="part of the volatility by ticker")
    excluded: dict[str, str] = Field(description="reason by ticker that could not take part")
    notices: list[str]
    allocation: AllocationAnswer | None
    frontier: FrontierLine | None
    assets: list[Asset] = Field(description="all eligible tickers")
    as_of: dt.date
    start: dt.date
    end: dt.date
    seconds: dict[str, float] = Field(description="time by stage when it was computed")
    request: dict[str, Any]


class FrontierAnswer(BaseModel):
    """The efficient frontier."""

    frontier: FrontierLine
    weights: list[dict[str, float]] = Field(
        description="by point of the frontier; those that weigh nothing left out"
    )
    assets: list[Asset]
    excluded: dict[str, str]
    notices: list[str]
    as_of: dt.date
    start: dt.date
    end: dt.date
    seconds: dict[str, float]
    request: dict[str, Any]


class Rolling(BaseModel):
    """Correlation over a moving window."""

    date: Dates
    correlation: Numbers


class HedgeAnswer(BaseModel):
    """Whether one ticker hedges the other."""

    ticker: str
    other: str
    start: dt.date
    end: dt.date
    days: int
    correlation: Number
    p_value: Number
    is_hedge: bool
    strength: Literal["Strong", "Moderate", "Weak"]
    hedge_ratio: Number
    weights: dict[str, Number]
    volatilities: dict[str, Number]
    hedged_volatility: Number
    rolling: Rolling
    window: int


class Timeline(BaseModel):
    """Values in money at the close of each day."""

    date: Dates
    portfolio: Numbers
    benchmark: Numbers
    risk_free: Numbers


class PerformanceAnswer(BaseModel):
    """What became of one line."""

    initial_value: Number
    final_value: Number
    profit_loss: Number
    total_return: Number
    annual_return: Number
    volatility: Number
    sharpe: Number
    max_drawdown: Number


class BenchmarkSummary(BaseModel):
    """The three lines."""

    portfolio: PerformanceAnswer
    benchmark: PerformanceAnswer
    risk_free: PerformanceAnswer


class BenchmarkAnswer(BaseModel):
    """A portfolio beside an index and the risk-free rate."""

    timeline: Timeline
    summary: BenchmarkSummary
    beta: Number
    correlation: Number
    cash: dict[str, float]
    notices: list[str]


JobState = Literal["waiting", "running", "done", "failed", "cancelled"]


class JobAnswer(BaseModel):
    """A computation under way or over."""

    id: str
    state: JobState
    stage: str = Field(description="what is going on, in words")
    progress: Annotated[float, Field(ge=0, le=1)]
    seconds: float = Field(description="since it was asked for, until it was over")
    result: PortfolioAnswer | None = Field(None, description="when done")
    problem: Problem | None = Field(None, description="when failed")


class NewPortfolio(Model):
    """A portfolio to save."""

    weights: WeightByTicker = Field(
        min_length=1, max_length=2000, description="fraction by ticker, at most 1 in sum"
    )
    prices: WeightByTicker = Field(default_factory=dict, max_length=2000)
    expected_return: Annotated[float, Field(allow_inf_nan=False)] | None = None
    volatility: Annotated[float, Field(allow_inf_nan=False)] | None = None
    sharpe: Annotated[float, Field(allow_inf_nan=False)] | None = None
    metadata: dict[str, Any] = Field(default_factory=dict, description="how it was made")


class SavedAnswer(BaseModel):
    """A saved portfolio."""

    id: str
    weights: dict[str, float]
    prices: dict[str, float]
    expected_return: Number
    volatility: Number
    sharpe: Number
    saved_at: dt.datetime | None
    metadata: dict[str, Any]


class PortfolioList(BaseModel):
    """All saved portfolios, latest first."""

    portfolios: list[SavedAnswer]
    damaged: dict[str, str] = Field(description="what is wrong, by id, of those that cannot be read")


class Condition(Model):
    """A bound on a figure."""

    figure: str = Field(min_length=1, max_length=64, description="one of the figures that the answer lists")
    at_least: Annotated[float, Field(allow_inf_nan=False)] | None = None
    at_most: Annotated[float, Field(allow_inf_nan=False)] | None = None


class ScreenRequest(Model):
    """Which stocks have figures within bounds."""

    market: Literal["prices", "krx"] = Field(
        "prices", description="prices: all tickers of the price history; krx: features of the Korean stocks"
    )
    conditions: list[Condition] = Field(default_factory=list, max_length=50)
    group: str | None = Field(None, max_length=64, description="prices: only members of this group")
    sort: str | None = Field(
        None, max_length=64, description="figure to sort by; the first column if not given"
    )
    descending: bool = True
    limit: int = Field(100, ge=1, le=5000)


class TableAnswer(BaseModel):
    """Rows as columns."""

    columns: dict[str, list[Any]] = Field(description="values by column, all of one length")
    rows: int
    matched: int = Field(description="rows that meet the conditions, beyond the limit too")
    of: int = Field(description="rows looked at")
    as_of: dt.date | None
    figures: list[str] = Field(description="columns that can be bounded and sorted by")


class PicksAnswer(BaseModel):
    """The latest lists of a Korean study."""

    variant: str
    variants: list[str] = Field(description="studies that have picks")
    as_of: dt.date | None
    columns: dict[str, list[Any]]
    rows: int


class ReportEntry(BaseModel):
    """A report of a study."""

    variant: str
    made_at: dt.datetime
    bytes: int
    href: str


class ReportList(BaseModel):
    """Reports of the Korean line, latest first."""

    reports: list[ReportEntry]


class GroupEntry(BaseModel):
    """A group of tickers."""

    name: str
    tickers: list[str]
    sectors: dict[str, str]
    as_of: str | None
    problem: str | None = Field(None, description="why an own group cannot be used")


class GroupList(BaseModel):
    """All groups."""

    groups: list[GroupEntry]


class Tier(BaseModel):
    """A tier of the cache."""

    name: str
    entries: int | None
    bytes: int | None
    budget: int | None
    evictions: int
    refused: int
    undecodable: int
    errors: int
    detail: str


class TierCount(BaseModel):
    """Users' requests to a tier or source since the start."""

    hits: int
    stale: int
    misses: int
    errors: int


class CacheAnswer(BaseModel):
    """Where the cache stands."""

    tiers: list[Tier]
    counts: dict[str, TierCount]
    background: dict[str, int]
    hit_ratio: float | None
    requests: int
    window_seconds: float | None
    level: str = Field(description="shared store in use: redis, disk or memory only")
    prefetch: dict[str, int]
    history: HistoryState


class HistoryState(BaseModel):
    """The history of prices of the provider in use (L3)."""

    provider: str
    tickers: int
    bars: int
    first: dt.date | None
    last: dt.date | None
    bytes: int


class WorkerState(BaseModel):
    """The processes that compute."""

    processes: int
    busy: int
    waiting: int
    replaced: int


class HealthAnswer(BaseModel):
    """Whether the service works."""

    status: Literal["ok", "degraded", "starting"]
    version: str
    seconds: float = Field(description="since the start")
    workers: WorkerState
    cache: str
    notices: list[str]


for _model in (Problem, CacheAnswer):
    _model.model_rebuild()
