"""What workers compute: from a request to the JSON of its answer, by the functions that library and command use."""

from __future__ import annotations

import datetime as dt
import json
import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finpipe.portfolio import requests
from finpipe.settings import Settings

if TYPE_CHECKING:
    from finpipe.portfolio.results import FrontierResult, Moments, OptimizedPortfolio

log = logging.getLogger(__name__)

Told = Callable[[str, float], None]
Run = Callable[[str, Settings, Told, bool], bytes]

REFUSED, MISSING, PROVIDER, FAILED = "refused", "missing", "provider", "failed"
"""Kinds of errors: the request makes no sense; what it names does not exist; the provider fails; a fault of ours."""


class MissingError(ValueError):
    """What is asked for does not exist here."""


def run(kind: str, request: str, settings: Settings, told: Told, *, update: bool) -> bytes:
    """Return the JSON text that answers a request of a kind in ``KINDS``; models of Prophet come from the cache."""
    from finpipe.serve.fitted_models import models_of

    with models_of(settings):
        return KINDS[kind](request, settings, told, update)


def described(error: Exception) -> dict[str, str]:
    """Return the kind of an error and its sentence."""
    from finpipe.market.daily_bars import ProviderError

    if isinstance(error, MissingError):
        return {"kind": MISSING, "detail": str(error)}
    if isinstance(error, ProviderError):
        return {"kind": PROVIDER, "detail": str(error)}
    if isinstance(error, ValueError) and type(error).__module__.startswith("finpipe."):
        return {"kind": REFUSED, "detail": str(error)}
    log.error("a task failed", exc_info=error)
    return {"kind": FAILED, "detail": f"{type(error).__name__}: {error}"}


def warm_up(settings: Settings) -> None:
    """Load and compile what most tasks need, and take the memory for it, by tasks on a handful of made-up stocks."""
    tickers = ("COM01", "DIS01", "ENE01", "FIN01", "TEC01", "UTI01")
    days = {"start": "2019-01-02", "end": "2020-12-30"}
    tasks = (
        ("optimize", {"tickers": tickers, "frontier_points": 3, **days}),
        ("analyze", {"ticker": tickers[0], **days}),
    )
    try:
        with tempfile.TemporaryDirectory(prefix="finpipe-") as home:
            changed = {"home": Path(home), "provider": "demo", "bars": None, "redis_url": None}
            elsewhere = settings.model_copy(update=changed)
            for kind, request in tasks:
                run(kind, json.dumps(request), elsewhere, lambda _stage, _share: None, update=True)
    except OSError as error:
        log.warning("not warmed up, so that the first tasks take longer: %s", error)


def _optimize(request: str, settings: Settings, told: Told, update: bool) -> bytes:
    from finpipe.portfolio.answers import answer_optimize

    asked = requests.OptimizeRequest.model_validate_json(request)
    return _json(portfolio_values(answer_optimize(asked, settings, progress=told, update=update)))


def _frontier(request: str, settings: Settings, told: Told, update: bool) -> bytes:
    from finpipe.portfolio.answers import answer_frontier

    asked = requests.FrontierRequest.model_validate_json(request)
    return _json(frontier_values(answer_frontier(asked, settings, progress=told, update=update)))


def _analyze(request: str, settings: Settings, told: Told, update: bool) -> bytes:
    from finpipe.portfolio.answers import answer_analyze
    from finpipe.portfolio.plain import plain

    asked = requests.AnalyzeRequest.model_validate_json(request)
    try:
        found = answer_analyze(asked, settings, progress=told, update=update)
    except ValueError as error:
        raise _missing((asked.ticker,), settings) or error from error
    return _json(plain(found))


def _hedge(request: str, settings: Settings, told: Told, update: bool) -> bytes:
    from finpipe.portfolio.answers import answer_hedge
    from finpipe.portfolio.plain import plain

    asked = requests.HedgeRequest.model_validate_json(request)
    try:
        found = answer_hedge(asked, settings, progress=told, update=update)
    except ValueError as error:
        raise _missing((asked.first, asked.second), settings) or error from error
    return _json(plain(found))


def _benchmark(request: str, settings: Settings, told: Told, update: bool) -> bytes:
    from finpipe.portfolio.answers import answer_benchmark
    from finpipe.portfolio.plain import plain

    asked = requests.BenchmarkRequest.model_validate_json(request)
    return _json(plain(answer_benchmark(asked, settings, progress=told, update=update)))


def _bring(request: str, settings: Settings, told: Told, update: bool) -> bytes:
    """Bring prices into the history; the service reads them there."""
    from finpipe.portfolio.market_data import market_bars, price_source

    asked: dict[str, Any] = json.loads(request)
    days = (dt.date.fromisoformat(asked["start"]), dt.date.fromisoformat(asked["end"]))
    found = market_bars(
        price_source(settings, group=asked["group"]),
        asked["tickers"],
        *days,
        now=dt.datetime.now(dt.UTC),
        progress=lambda done, total: told("prices", done / max(total, 1)),
        update=update,
    )
    return _json({"failures": dict(found.failures), "notices": list(found.notices)})


def _screen(request: str, settings: Settings, told: Told, update: bool) -> bytes:  # noqa: ARG001 (as all tasks)
    from finpipe.serve.screening import screen

    return _json(screen(json.loads(request), settings))


def _picks(request: str, settings: Settings, told: Told, update: bool) -> bytes:  # noqa: ARG001 (as all tasks)
    from finpipe.serve.research import picks

    return _json(picks(settings, json.loads(request)["variant"]))


KINDS: dict[str, Run] = {
    "optimize": _optimize,
    "frontier": _frontier,
    "analyze": _analyze,
    "hedge": _hedge,
    "benchmark": _benchmark,
    "bring": _bring,
    "screen": _screen,
    "picks": _picks,
}
"""What a worker can be asked, by its kind."""


def portfolio_values(found: OptimizedPortfolio) -> dict[str, Any]:
    """Return an optimal portfolio as ``models.PortfolioAnswer`` describes it."""
    from finpipe.portfolio.plain import plain

    values: dict[str, Any] = plain(
        {
            "weights": found.weights,
            "expected_return": found.expected_return,
            "volatility": found.volatility,
            "sharpe": found.sharpe,
            "risk_contributions": found.risk_contributions,
            "excluded": found.excluded,
            "notices": found.notices,
            "allocation": found.allocation,
            "frontier": None if found.frontier is None else found.frontier.frame,
            "assets": _assets(found.moments),
            "as_of": found.moments.as_of,
            "start": found.request.start,
            "end": found.request.end,
            "seconds": found.seconds,
            "request": found.request,
        }
    )
    return values


def frontier_values(found: FrontierResult) -> dict[str, Any]:
    """Return a frontier as ``models.FrontierAnswer`` describes it."""
    from finpipe.portfolio.plain import plain

    tickers = found.moments.tickers
    values: dict[str, Any] = plain(
        {
            "frontier": found.frontier.frame,
            "weights": [
                {tickers[at]: float(row[at]) for at in range(len(tickers)) if row[at] != 0}
                for row in found.frontier.weights
            ],
            "assets": _assets(found.moments),
            "excluded": found.moments.excluded,
            "notices": found.notices,
            "as_of": found.moments.as_of,
            "start": found.request.start,
            "end": found.request.end,
            "seconds": found.seconds,
            "request": found.request,
        }
    )
    return values


def _assets(moments: Moments) -> list[dict[str, Any]]:
    import numpy as np

    volatility = np.sqrt(np.diag(moments.covariance.matrix))
    return [
        {
            "ticker": ticker,
            "expected_return": float(moments.expected.values[at]),
            "volatility": float(volatility[at]),
            "method_used": moments.expected.method_used[at],
            "sector": moments.sectors.get(ticker),
            "price": moments.prices.get(ticker),
        }
        for at, ticker in enumerate(moments.tickers)
    ]


def _missing(tickers: tuple[str, ...], settings: Settings) -> MissingError | None:
    """An error that says which ticker has no prices at all, if one has none."""
    from finpipe.market.daily_bars import ProviderError
    from finpipe.portfolio.market_data import price_source

    try:
        held = set(price_source(settings).history.read(tickers)["ticker"].unique())
    except ProviderError:
        return None
    gone = [ticker for ticker in tickers if ticker not in held]
    if not gone:
        return None
    source = price_source(settings)
    reason = source.quarantine.kept(dt.datetime.now(dt.UTC)).get(gone[0])
    if reason is None:
        return None
    return MissingError(f"there are no prices of {gone[0]}: {reason.reason}")


def _json(values: dict[str, Any]) -> bytes:
    return json.dumps(values, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
