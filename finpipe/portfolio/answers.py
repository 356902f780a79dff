"""From a request to its result, for library, command and service alike: prices of its period, then the computation."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import polars as pl
from pydantic import ValidationError

from finpipe.market.daily_bars import BarRequest, listed
from finpipe.portfolio.market_data import (
    MarketBars,
    PriceSource,
    chosen_tickers,
    default_benchmark,
    market_bars,
    period,
    price_source,
)
from finpipe.portfolio.problem import ProblemError, as_problem, check_tickers
from finpipe.portfolio.requests import (
    AnalyzeRequest,
    BenchmarkRequest,
    FrontierRequest,
    GroupRequest,
    HedgeRequest,
    MomentsRequest,
    OptimizeRequest,
    Request,
)

if TYPE_CHECKING:
    from finpipe.market.price_update import UpdateReport
    from finpipe.market.tickers import TickerGroup
    from finpipe.portfolio.analysis import Analysis
    from finpipe.portfolio.comparison import BenchmarkResult
    from finpipe.portfolio.hedging import Hedge
    from finpipe.portfolio.results import FrontierResult, Moments, OptimizedPortfolio
    from finpipe.portfolio.returns import Floats, Prices
    from finpipe.settings import Settings

Told = Callable[[str, float], None]
"""Called with what is going on and the share of it that is done, from 0 to 1."""

FROM_SETTINGS = ("objective", "forecast", "covariance", "min_weight", "max_weight", "risk_free")
"""Fields of requests whose defaults are settings."""

Asked = TypeVar("Asked", bound=Request)


def requested(kind: type[Asked], settings: Settings, **values: Any) -> Asked:  # noqa: ANN401 (pydantic validates)
    """Return a request of ``values``; those that are None are the setting's, or the request's own default.

    A target names its objective: ``target_return`` without an objective asks for ``target-return``.

    Raises
    ------
    ProblemError
        Names each value that cannot work, and what would.
    """
    given = {name: value for name, value in values.items() if value is not None}
    for target in ("target_return", "target_volatility"):
        if target in given:
            given.setdefault("objective", target.replace("_", "-"))
    for name in FROM_SETTINGS:
        if name in kind.model_fields and (name, kind) != ("forecast", AnalyzeRequest):
            given.setdefault(name, getattr(settings, name))
    try:
        return kind(**given)
    except ValidationError as error:
        raise ProblemError("; ".join(_sentence(dict(item)) for item in error.errors())) from error


def answer_optimize(
    request: OptimizeRequest,
    settings: Settings,
    *,
    now: dt.datetime | None = None,
    progress: Told | None = None,
    update: bool = True,
) -> OptimizedPortfolio:
    """Return the optimal portfolio of a request.

    Parameters
    ----------
    settings
        Name the home and the source of prices.
    now
        With its time zone; by default the computer's clock is asked.
    progress
        Told what is going on.
    update
        Whether the provider may be asked for prices that the home lacks.

    Raises
    ------
    ProblemError, InfeasibleError, TickerError, ProviderError
        The request makes no sense, no portfolio meets it, a ticker or group is none, or there are no prices.
    """
    from finpipe.portfolio.optimization import optimize_moments, problem_of

    problem_of(request)
    work = _Work(request, settings, now, progress, update)
    moments, level = work.moments(request)
    work.say("weights", 0.0)
    with as_problem():
        found = optimize_moments(moments, work.dated(request), benchmark=level, seconds=work.seconds)
    work.say("weights", 1.0)
    return found


def answer_frontier(
    request: FrontierRequest,
    settings: Settings,
    *,
    now: dt.datetime | None = None,
    progress: Told | None = None,
    update: bool = True,
) -> FrontierResult:
    """Return the efficient frontier of a request; parameters and errors as :func:`answer_optimize`."""
    from finpipe.portfolio.optimization import frontier_of_moments, problem_of

    problem_of(request)
    work = _Work(request, settings, now, progress, update)
    moments, _ = work.moments(request)
    return frontier_of_moments(
        moments, work.dated(request), seconds=work.seconds, told=lambda share: work.say("frontier", share)
    )


def answer_analyze(
    request: AnalyzeRequest,
    settings: Settings,
    *,
    now: dt.datetime | None = None,
    progress: Told | None = None,
    update: bool = True,
) -> Analysis:
    """Return the analysis of one ticker; parameters and errors as :func:`answer_optimize`."""
    from finpipe.portfolio.analysis import analyze

    work = _Work(request, settings, now, progress, update)
    market, level = work.bars((request.ticker,))
    if request.ticker in market.failures:
        raise ProblemError(
            f"there is nothing to analyse of {request.ticker}: {market.failures[request.ticker]}"
        )
    with as_problem():
        found = analyze(
            market.bars,
            request.ticker,
            benchmark=None if level is None or level == request.ticker else level,
            risk_free=request.risk_free,
            method=request.forecast,
        )
    return replace(found, notices=(*market.notices, *found.notices))


def answer_hedge(
    request: HedgeRequest,
    settings: Settings,
    *,
    now: dt.datetime | None = None,
    progress: Told | None = None,
    update: bool = True,
) -> Hedge:
    """Return whether one of two tickers hedges the other; parameters and errors as :func:`answer_optimize`."""
    from finpipe.portfolio.hedging import hedge
    from finpipe.portfolio.returns import simple_returns

    work = _Work(request, settings, now, progress, update)
    market, _ = work.bars((request.first, request.second))
    for ticker, reason in market.failures.items():
        raise ProblemError(f"there are no prices of {ticker} to compare: {reason}")
    with as_problem():
        return hedge(simple_returns(market.bars), request.first, request.second)


def answer_benchmark(
    request: BenchmarkRequest,
    settings: Settings,
    *,
    now: dt.datetime | None = None,
    progress: Told | None = None,
    update: bool = True,
) -> BenchmarkResult:
    """Return how a portfolio would have done; parameters and errors as :func:`answer_optimize`.

    Without an index to compare with, equal weights of the portfolio's tickers take its place, and a notice says so.
    """
    from finpipe.portfolio.comparison import benchmark_portfolio
    from finpipe.portfolio.returns import adjusted_prices

    if not request.weights:
        raise ProblemError("the portfolio has no weights: give ticker to weight, e.g. AAPL 0.6 and MSFT 0.4")
    work = _Work(request, settings, now, progress, update)
    market, level = work.bars(tuple(sorted(request.weights)))
    held = sorted(request.weights.keys() - market.failures.keys())
    if not held:
        ticker, reason = next(iter(market.failures.items()))
        raise ProblemError(f"no ticker of the portfolio has prices; {ticker}: {reason}")
    with as_problem():
        prices = adjusted_prices(market.bars)
    columns = {ticker: prices.values[:, at] for at, ticker in enumerate(prices.tickers)}
    notices = market.notices
    if level is None:
        index, name = _equal_weights(prices.pick(held)), "equal weights"
        notices += ("compared with equal weights of the portfolio's own tickers, set anew each day",)
    else:
        index, name = columns[level], level
    found = benchmark_portfolio(
        request.weights,
        prices.dates,
        {ticker: columns[ticker] for ticker in held},
        index,
        budget=request.budget,
        risk_free=request.risk_free,
        benchmark_name=name,
    )
    return replace(found, notices=(*notices, *found.notices))


def answer_update(
    request: GroupRequest,
    settings: Settings,
    *,
    now: dt.datetime | None = None,
    progress: Told | None = None,
    refresh: bool = False,
) -> UpdateReport:
    """Bring the home's prices of a group up to date and tell what was done, ticker by ticker.

    Tickers in quarantine are asked for again with ``refresh`` only, which also fetches every other one whole.

    Raises
    ------
    ProblemError, TickerError, ProviderError
        As :func:`answer_optimize`.
    """
    work = _Work(request, settings, now, progress, update=True)
    start, end = work.days
    if work.source.first is not None:
        start = work.source.first
    if refresh:
        work.source.quarantine.release(work.group.tickers, work.now)
    index = None if work.source.last else default_benchmark(work.source, request.group, work.group.tickers)
    tickers = dict.fromkeys((*work.group.tickers, *([index] if index else [])))
    return work.source.history.update(
        work.source.provider, BarRequest(tuple(tickers), start, end), work.now, work.fetching, refresh=refresh
    )


@dataclass(slots=True)
class _Work:
    """One request being answered: its tickers, source and days, and how long each stage took."""

    request: Request
    settings: Settings
    clock: dt.datetime | None
    progress: Told | None
    update: bool
    seconds: dict[str, float] = field(default_factory=dict)
    now: dt.datetime = field(init=False)
    group: TickerGroup = field(init=False)
    source: PriceSource = field(init=False)
    days: tuple[dt.date, dt.date] = field(init=False)

    def __post_init__(self) -> None:
        self.now = self.clock or dt.datetime.now(dt.UTC)
        name = getattr(self.request, "group", None)
        with self.timed("prices"):
            self.group = chosen_tickers(_tickers_of(self.request), name, self.settings.groups)
            self.source = price_source(self.settings, group=name)
            self.days = period(
                self.source,
                self.request.start,
                self.request.end,
                self.now,
                tickers=self.group.tickers,
                years=self.settings.history_years,
            )

    def dated(self, request: Asked) -> Asked:
        """The request with its days filled in."""
        return request.model_copy(update={"start": self.days[0], "end": self.days[1]})

    def bars(self, tickers: Sequence[str]) -> tuple[MarketBars, str | None]:
        """Bars of tickers and of what they are compared with, and the name of that, if there are bars of it."""
        benchmark, index = getattr(self.request, "benchmark", None), None
        if "benchmark" in type(self.request).model_fields:
            index = benchmark or default_benchmark(self.source, getattr(self.request, "group", None), tickers)
        wanted = dict.fromkeys((*tickers, *([index] if index else [])))
        with self.timed("prices"):
            found = market_bars(
                self.source,
                tuple(wanted),
                *self.days,
                now=self.now,
                progress=self.fetching,
                update=self.update,
            )
        failures = dict(found.failures)
        if index is None or index not in failures:
            return found, index
        reason = failures[index] if index in tickers else failures.pop(index)
        if benchmark is not None and index not in tickers:
            raise ProblemError(
                f"there are no prices of the benchmark {index}: {reason}; name another, or leave it out"
            )
        return MarketBars(
            found.bars, failures, (*found.notices, f"no comparison with {index}: {reason}")
        ), None

    def moments(self, request: MomentsRequest) -> tuple[Moments, pl.DataFrame | None]:
        """Moments of the request's tickers, and date and close of what they are compared with."""
        from finpipe.portfolio.moments import estimate_moments

        tickers = self.group.tickers
        check_tickers(tickers)
        strange = sorted(set(request.views or ()) - set(tickers))
        if strange:
            raise ProblemError(
                f"there are views on {', '.join(strange)}, which are not among the tickers asked for"
            )
        market, index = self.bars(tickers)
        if set(tickers) <= market.failures.keys():
            reasons = list(dict.fromkeys(market.failures.values()))
            raise ProblemError(
                f"all {len(tickers)} tickers are left out, as {self.source.name} gave no prices of them: "
                f"{listed(reasons, 3)}. Choose other tickers, another period or another source, e.g. a file of bars"
            )
        bars, level = market.bars, None
        if index is not None:
            level = bars.filter(pl.col("ticker") == index).select("date", close="adjusted_close")
            if index not in tickers:
                bars = bars.filter(pl.col("ticker") != index)
        with self.timed("estimate"):
            self.say("estimates", 0.0)
            found = estimate_moments(
                bars,
                request,
                tickers=tickers,
                sectors=self.group.sectors,
                reasons=market.failures,
                progress=self.forecasting,
            )
        return replace(found, notices=(*market.notices, *found.notices)), level

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the time spent within to a stage."""
        started = time.perf_counter()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - started

    def fetching(self, done: int, total: int) -> None:
        """Progress of a fetch."""
        self.say(f"prices from {self.source.name}", done / max(total, 1))

    def forecasting(self, done: int, total: int) -> None:
        """Progress of forecasts."""
        self.say("forecasts", done / max(total, 1))

    def say(self, stage: str, share: float) -> None:
        """Tell what is going on."""
        if self.progress is not None:
            self.progress(stage, share)


def _tickers_of(request: Request) -> tuple[str, ...] | None:
    if isinstance(request, AnalyzeRequest):
        return (request.ticker,)
    if isinstance(request, HedgeRequest):
        return (request.first, request.second)
    if isinstance(request, BenchmarkRequest):
        return tuple(request.weights)
    return getattr(request, "tickers", None)


def _equal_weights(prices: Prices) -> Floats:
    """Level of equal weights set anew each day, of the tickers that have a return that day; begins at 1."""
    returns = prices.returns().values
    known = ~np.isnan(returns)
    count = np.maximum(known.sum(axis=1), 1)
    mean = np.where(known, returns, 0.0).sum(axis=1) / count
    level: Floats = np.cumprod(np.concatenate([[1.0], 1.0 + mean]))
    return level


def _sentence(item: Mapping[str, Any]) -> str:
    name = ".".join(str(part) for part in item["loc"])
    message = str(item["msg"]).removeprefix("Value error, ")
    if item["type"] == "value_error":
        return message
    given = f" (given: {item['input']!r})" if item["type"] != "missing" else ""
    return f"{name}: {message[:1].lower()}{message[1:]}{given}"
