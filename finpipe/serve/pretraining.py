"""Analyses with their forecasts, made before anybody asks and kept in the shared cache as the service's own answers."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from finpipe.cache.entry import Value
from finpipe.cache.request import Request
from finpipe.portfolio.answers import requested
from finpipe.portfolio.market_data import period, price_source
from finpipe.portfolio.requests import AnalyzeRequest
from finpipe.serve import tasks
from finpipe.serve.caches import Caches, code_version
from finpipe.serve.history_view import HistoryViews
from finpipe.serve.plans import Plans
from finpipe.serve.problems import ProblemError
from finpipe.settings import Settings


@dataclass(frozen=True, slots=True)
class Pretrained:
    """The forecast of a ticker, or why there is none.

    Attributes
    ----------
    method, method_used
        The one asked for, and the one that served; None if nothing did.
    annual_return
        Expected simple return over 252 sessions.
    fallback
        Why another method served.
    failure
        Why there is no forecast.
    """

    ticker: str
    method: str | None = None
    method_used: str | None = None
    annual_return: float | None = None
    fallback: str | None = None
    failure: str | None = None


def pretrain(
    settings: Settings,
    group: str,
    tickers: Sequence[str],
    *,
    end: dt.date,
    years: int,
    risk_free: float,
    at: dt.datetime,
    tell: Callable[[str], object] = lambda _: None,
) -> list[Pretrained]:
    """Answer ``/api/analyze`` for each ticker, as if it were asked without days; what is in the cache is not made anew.

    Parameters
    ----------
    group
        Names the source of the prices, which are in the history.
    end, years
        Last day, included, and length of the period.
    risk_free
        Rate a year; that of the settings is what the service answers with.
    at
        The time, with its zone.
    """
    source = price_source(settings, group=group)
    if source.name == "demo":
        settings = settings.model_copy(update={"provider": "demo"})
    plans = Plans(settings, HistoryViews(), code_version())
    caches = Caches(settings, ())
    found: list[Pretrained] = []
    try:
        for number, ticker in enumerate(tickers, 1):
            start, _ = period(source, None, end, at, tickers=(ticker,), years=years)
            tell(f"{ticker}, {number} of {len(tickers)}")
            try:
                asked = requested(
                    AnalyzeRequest, settings, ticker=ticker, start=start, end=end, risk_free=risk_free
                )
                plan = plans.of(asked)
                text = plan.asked.model_dump_json()
                key = plans.key("analyze", plan)
                policy = plans.policy("analyze", plan, key)
                request = Request(key, lambda text=text: _answer(text, settings), policy)
                value: Any = caches.results_lookup.get(request, background=True).value
            except (ValueError, OSError, ProblemError) as error:
                found.append(Pretrained(ticker, failure=str(error)))
                continue
            told = value["forecast"]
            found.append(
                Pretrained(
                    ticker, told["method"], told["method_used"], told["annual_return"], told["fallback"]
                )
            )
        return found
    finally:
        caches.close()


def _answer(text: str, settings: Settings) -> Value:
    answer: Value = json.loads(tasks.run("analyze", text, settings, lambda *_: None, update=False))
    return answer
