"""Estimates and weights as the tables that assets are kept as, and back: nothing is computed here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from finpipe.market.schema import Column, Table

if TYPE_CHECKING:
    from finpipe.portfolio.covariance import Covariance
    from finpipe.portfolio.efficient_frontier import Frontier
    from finpipe.portfolio.forecast import ExpectedReturns
    from finpipe.portfolio.results import Moments, OptimizedPortfolio

TICKER = Column("ticker", pl.String, "ticker in Yahoo's spelling")
NOTICES = Column(
    "notices", pl.String, "what was assumed, repaired or relaxed, a line each; the same in all rows"
)

ELIGIBLE_TICKERS = Table(
    "portfolio/eligible_tickers",
    "Every ticker of a group, and why it is left out.",
    (
        TICKER,
        Column("eligible", pl.Boolean, "whether its bars are good enough to estimate from"),
        Column("reason", pl.String, "why it is left out", null="it is not"),
    ),
    key=("ticker",),
)
EXPECTED_RETURNS = Table(
    "portfolio/expected_returns",
    "What is expected of each eligible ticker over the next year.",
    (
        TICKER,
        Column("expected_return", pl.Float64, "simple return", "fraction a year"),
        Column("method", pl.String, "the method asked for"),
        Column("method_used", pl.String, "the method that gave the value"),
        Column("fallback", pl.String, "why another method was used", null="none was"),
        NOTICES,
    ),
    key=("ticker",),
)
COVARIANCE = Table(
    "portfolio/covariance",
    "Covariance of annual returns: a row and a column for each eligible ticker.",
    (
        TICKER,
        Column("method", pl.String, "the estimator"),
        Column("shrinkage", pl.Float64, "weight of the target", null="a method without one"),
        NOTICES,
    ),
    key=("ticker",),
    extra=True,
)
OPTIMAL_WEIGHTS = Table(
    "portfolio/optimal_weights",
    "The optimal portfolio: every eligible ticker with its weight.",
    (
        TICKER,
        Column("sector", pl.String, "sector", null="not known"),
        Column("weight", pl.Float64, "part of the portfolio", "fraction"),
        Column("risk_contribution", pl.Float64, "part of the portfolio's volatility", "fraction a year"),
        Column("expected_return", pl.Float64, "simple return of the ticker", "fraction a year"),
        Column("volatility", pl.Float64, "of the ticker", "fraction a year"),
        Column("price", pl.Float64, "last close", "currency of its exchange"),
    ),
    key=("ticker",),
)
EFFICIENT_FRONTIER = Table(
    "portfolio/efficient_frontier",
    "Efficient portfolios, with a column of weights for each eligible ticker.",
    (
        Column("expected_return", pl.Float64, "of the portfolio", "fraction a year"),
        Column("volatility", pl.Float64, "of the portfolio", "fraction a year"),
        Column("sharpe", pl.Float64, "(return - risk-free rate) / volatility", null="no volatility"),
        Column("is_tangency", pl.Boolean, "whether it is the portfolio of the best Sharpe ratio"),
        NOTICES,
    ),
    key=(),
    extra=True,
)
RANKER_SCORES = Table(
    "portfolio/ranker_scores",
    "The latest scores of the Korean ranker, for views on a Korean group.",
    (
        Column("stock_code", pl.String, "KRX short code"),
        Column("date", pl.Date, "day of the scores"),
        Column("score", pl.Float64, "raw model output; higher is better"),
        Column("variant", pl.String, "the study whose scores they are"),
    ),
    key=("stock_code",),
)


def expected_frame(expected: ExpectedReturns) -> pl.DataFrame:
    """Return expected returns as a table."""
    return pl.DataFrame(
        {
            "ticker": expected.tickers,
            "expected_return": expected.values,
            "method": [expected.method] * len(expected.tickers),
            "method_used": expected.method_used,
            "fallback": [expected.fallbacks.get(ticker) for ticker in expected.tickers],
            "notices": [_joined(expected.notices)] * len(expected.tickers),
        },
        schema=EXPECTED_RETURNS.empty().schema,
    )


def expected_of(frame: pl.DataFrame) -> ExpectedReturns:
    """Return the expected returns that ``expected_frame`` made a table of."""
    from finpipe.portfolio.forecast import ExpectedReturns

    fallen = frame.drop_nulls("fallback").select("ticker", "fallback")
    return ExpectedReturns(
        tuple(frame["ticker"]),
        frame["expected_return"].to_numpy(),
        frame["method"][0],
        tuple(frame["method_used"]),
        dict(fallen.iter_rows()),
        _lines(frame),
    )


def covariance_frame(covariance: Covariance) -> pl.DataFrame:
    """Return a covariance as a table."""
    count = len(covariance.tickers)
    about = {
        "ticker": covariance.tickers,
        "method": [covariance.method] * count,
        "shrinkage": [covariance.shrinkage] * count,
        "notices": [_joined(covariance.repaired)] * count,
    }
    matrix = pl.DataFrame(covariance.matrix, schema=list(covariance.tickers), orient="row")
    return pl.DataFrame(about, schema=COVARIANCE.empty().schema).hstack(matrix)


def covariance_of(frame: pl.DataFrame) -> Covariance:
    """Return the covariance that ``covariance_frame`` made a table of."""
    from finpipe.portfolio.covariance import Covariance

    tickers = tuple(frame["ticker"])
    matrix = np.ascontiguousarray(frame.select(tickers).to_numpy())
    return Covariance(tickers, matrix, frame["method"][0], frame["shrinkage"][0], _lines(frame))


def frontier_frame(frontier: Frontier, tickers: Sequence[str]) -> pl.DataFrame:
    """Return a frontier over ``tickers`` as a table."""
    notices = pl.lit(_joined(frontier.notices)).alias("notices")
    points = frontier.frame.with_columns(notices).select(EFFICIENT_FRONTIER.names)
    return points.hstack(pl.DataFrame(frontier.weights, schema=list(tickers), orient="row"))


def frontier_of(frame: pl.DataFrame) -> Frontier:
    """Return the frontier that ``frontier_frame`` made a table of."""
    from finpipe.portfolio.efficient_frontier import Frontier

    points = [name for name in EFFICIENT_FRONTIER.names if name != NOTICES.name]
    weights = np.ascontiguousarray(frame.drop(EFFICIENT_FRONTIER.names).to_numpy())
    return Frontier(frame.select(points), weights, _lines(frame))


def weights_frame(portfolio: OptimizedPortfolio) -> pl.DataFrame:
    """Return the weights of a portfolio as a table, with those of zero."""
    moments = portfolio.moments
    return pl.DataFrame(
        {
            "ticker": moments.tickers,
            "sector": [moments.sectors.get(ticker) for ticker in moments.tickers],
            "weight": [portfolio.weights.get(ticker, 0.0) for ticker in moments.tickers],
            "risk_contribution": [
                portfolio.risk_contributions.get(ticker, 0.0) for ticker in moments.tickers
            ],
            "expected_return": moments.expected.values,
            "volatility": moments.covariance.volatilities,
            "price": [moments.prices[ticker] for ticker in moments.tickers],
        },
        schema=OPTIMAL_WEIGHTS.empty().schema,
    )


def portfolio_json(portfolio: OptimizedPortfolio) -> str:
    """Return what ``finpipe optimize --json`` prints of a portfolio, but for the time it took."""
    said = {name: value for name, value in portfolio.to_json().items() if name not in {"seconds", "stages"}}
    return json.dumps(said, ensure_ascii=False, indent=1)


def portfolio_of(
    text: str, moments: Moments, frontier: Frontier | None, benchmark: pl.DataFrame | None
) -> OptimizedPortfolio:
    """Return the portfolio that ``portfolio_json`` wrote down, with what it rests on."""
    from finpipe.portfolio.requests import OptimizeRequest
    from finpipe.portfolio.results import OptimizedPortfolio

    said: dict[str, Any] = json.loads(text)
    return OptimizedPortfolio(
        request=OptimizeRequest(**said["request"]),
        moments=moments,
        weights=said["weights"],
        expected_return=said["expected_return"],
        volatility=said["volatility"],
        sharpe=float("nan") if said["sharpe"] is None else said["sharpe"],
        risk_contributions=said["risk_contributions"],
        notices=tuple(said["notices"]),
        frontier=frontier,
        benchmark=benchmark,
    )


def _joined(notices: Sequence[str]) -> str:
    return "\n".join(notices)


def _lines(frame: pl.DataFrame) -> tuple[str, ...]:
    return tuple(frame["notices"][0].splitlines())
