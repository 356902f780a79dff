"""From prices of a ticker group to its optimal portfolio, by the functions that the commands call too."""

from __future__ import annotations

from collections.abc import Callable

import dagster as dg
import polars as pl

from finpipe.orchestration import metadata, portfolio_checks, portfolio_tables
from finpipe.orchestration.partitions import ticker_groups
from finpipe.orchestration.price_shelf import GroupBars
from finpipe.orchestration.ranker_scores import latest_scores
from finpipe.orchestration.result_tables import ResultTables
from finpipe.orchestration.stage import Output, Result, stage
from finpipe.settings import RESULTS_NAME, Settings

PERCENT = "{:.2%}"
SHOWN = 15


@stage(
    group="portfolio",
    prefix="portfolio",
    storage="duckdb",
    table=lambda: portfolio_tables.ELIGIBLE_TICKERS,
    inputs={"history": "prices/history"},
    partitions_def=ticker_groups,
    checks={portfolio_checks.ELIGIBLE: "At least half of the group's tickers are eligible."},
)
def eligible_tickers(history: GroupBars) -> Result:
    """Which tickers of the group have bars good enough to estimate from, and why the others have not."""
    from finpipe.portfolio.moments import judged_tickers

    frame = judged_tickers(history.members, tickers=history.tickers, reasons=history.failures).frame
    left_out = frame.filter(~pl.col("eligible")).select("ticker", "reason")
    facts = {
        "eligible": frame.height - left_out.height,
        "left out": left_out.height,
        "reasons": metadata.table(left_out),
    }
    return Result(frame, facts, {portfolio_checks.ELIGIBLE: portfolio_checks.most_eligible(frame)})


@stage(
    group="portfolio",
    prefix="portfolio",
    table=lambda: portfolio_tables.COVARIANCE,
    inputs={"history": "prices/history"},
    partitions_def=ticker_groups,
    checks={portfolio_checks.DEFINITE: "The matrix is positive definite."},
    blocking=(portfolio_checks.DEFINITE,),
)
def covariance(
    history: GroupBars, eligible_tickers: pl.DataFrame, settings: dg.ResourceParam[Settings]
) -> Result:
    """Covariance of the annual returns of the eligible tickers."""
    from finpipe.portfolio.covariance import covariance
    from finpipe.portfolio.moments import bars_of
    from finpipe.portfolio.quality import Eligibility
    from finpipe.portfolio.returns import adjusted_prices

    prices = adjusted_prices(bars_of(history.members, Eligibility(eligible_tickers)))
    found = covariance(prices.returns(), settings.covariance)
    facts = {
        "method": found.method,
        "shrinkage": "none" if found.shrinkage is None else round(found.shrinkage, 4),
        "tickers": len(found.tickers),
        "notices": "\n".join(found.repaired) or "none",
    }
    check = portfolio_checks.positive_definite(found)
    return Result(portfolio_tables.covariance_frame(found), facts, {portfolio_checks.DEFINITE: check})


@stage(
    group="portfolio",
    prefix="portfolio",
    table=lambda: portfolio_tables.RANKER_SCORES,
    inputs={"history": "prices/history"},
    as_they_are=("krx/predictions",),
    partitions_def=ticker_groups,
)
def ranker_scores(
    context: dg.AssetExecutionContext, history: GroupBars, settings: dg.ResourceParam[Settings]
) -> Result:
    """The Korean ranker's latest scores, on which Black-Litterman views of a Korean group rest; else empty."""
    wanted = settings.forecast == "black_litterman"
    tables = ResultTables(settings.home / RESULTS_NAME)
    found = latest_scores(tables, context.instance, history.tickers if wanted else ())
    study = found["variant"][0] if found.height else "none"
    return Result(found, {"study": study, "stocks scored": found.height})


@stage(
    group="portfolio",
    prefix="portfolio",
    storage="duckdb",
    table=lambda: portfolio_tables.EXPECTED_RETURNS,
    inputs={"history": "prices/history"},
    partitions_def=ticker_groups,
)
def expected_returns(
    history: GroupBars,
    eligible_tickers: pl.DataFrame,
    covariance: pl.DataFrame,
    ranker_scores: pl.DataFrame,
    settings: dg.ResourceParam[Settings],
    progress: Callable[[str], None],
) -> Result:
    """What is expected of each eligible ticker over the next year, by which method, and every fallback."""
    from finpipe.portfolio.forecast import expected_returns
    from finpipe.portfolio.moments import bars_of
    from finpipe.portfolio.quality import Eligibility
    from finpipe.portfolio.returns import adjusted_prices
    from finpipe.portfolio.score_views import score_views

    estimated = portfolio_tables.covariance_of(covariance)
    views = score_views(ranker_scores, estimated, risk_free=settings.risk_free)
    found = expected_returns(
        adjusted_prices(bars_of(history.members, Eligibility(eligible_tickers))),
        settings.forecast,
        covariance=estimated,
        views=views,
        risk_free=settings.risk_free,
        progress=lambda done, total: progress(f"{done} of {total} forecasts"),
    )
    frame = portfolio_tables.expected_frame(found)
    used = frame["method_used"].value_counts().sort("method_used")
    facts = {
        "methods used": metadata.table(used),
        "fallbacks": len(found.fallbacks),
        "views": len(views),
        "notices": "\n".join(found.notices) or "none",
    }
    return Result(frame, facts)


@stage(
    group="portfolio",
    prefix="portfolio",
    inputs={"history": "prices/history"},
    partitions_def=ticker_groups,
    outputs={
        "optimal_weights": Output(
            "duckdb", lambda: portfolio_tables.OPTIMAL_WEIGHTS, "The weight of every eligible ticker."
        ),
        "optimal_portfolio": Output(
            "json",
            None,
            "The portfolio as `finpipe optimize --json` prints it: figures, notices, exclusions.",
        ),
    },
    checks=portfolio_checks.PROMISES,
    blocking=(portfolio_checks.SUM,),
)
def optimal_weights(
    context: dg.AssetExecutionContext,
    history: GroupBars,
    eligible_tickers: pl.DataFrame,
    expected_returns: pl.DataFrame,
    covariance: pl.DataFrame,
    settings: dg.ResourceParam[Settings],
) -> Result:
    """The weights that are best for the objective of the settings, within their bounds."""
    from finpipe.orchestration.portfolio_inputs import moments_of
    from finpipe.portfolio.optimization import optimize_moments
    from finpipe.portfolio.requests import OptimizeRequest

    moments = moments_of(history, eligible_tickers, expected_returns, covariance)
    request = OptimizeRequest.model_validate(
        {
            "group": context.partition_key,
            "start": history.start,
            "end": history.end,
            "forecast": moments.expected.method,
            "covariance": moments.covariance.method,
            "objective": settings.objective,
            "risk_free": settings.risk_free,
            "min_weight": settings.min_weight,
            "max_weight": settings.max_weight,
        }
    )
    found = optimize_moments(moments, request, benchmark=history.level)
    frame = portfolio_tables.weights_frame(found)
    largest = frame.filter(pl.col("weight") != 0).sort("weight", descending=True).head(SHOWN)
    facts = {
        "expected return": found.expected_return,
        "volatility": found.volatility,
        "sharpe": found.sharpe,
        "tickers held": len(found.weights),
        "excluded": len(found.excluded),
        "largest": metadata.table(
            largest.select("ticker", "weight", "risk_contribution", "expected_return"),
            {"weight": PERCENT, "risk_contribution": PERCENT, "expected_return": PERCENT},
        ),
        "notices": "\n".join(found.notices) or "none",
    }
    values = {"optimal_weights": frame, "optimal_portfolio": portfolio_tables.portfolio_json(found)}
    return Result(values, facts, portfolio_checks.weights(found))


@stage(
    group="portfolio",
    prefix="portfolio",
    table=lambda: portfolio_tables.EFFICIENT_FRONTIER,
    inputs={"history": "prices/history"},
    partitions_def=ticker_groups,
)
def efficient_frontier(
    context: dg.AssetExecutionContext,
    history: GroupBars,
    eligible_tickers: pl.DataFrame,
    expected_returns: pl.DataFrame,
    covariance: pl.DataFrame,
    settings: dg.ResourceParam[Settings],
) -> Result:
    """Which expected return is to be had at which volatility, with the weights of each point."""
    from finpipe.orchestration.portfolio_inputs import moments_of
    from finpipe.portfolio.optimization import frontier_of_moments
    from finpipe.portfolio.requests import FrontierRequest

    moments = moments_of(history, eligible_tickers, expected_returns, covariance)
    request = FrontierRequest.model_validate(
        {
            "group": context.partition_key,
            "risk_free": settings.risk_free,
            "min_weight": settings.min_weight,
            "max_weight": settings.max_weight,
        }
    )
    found = frontier_of_moments(moments, request).frontier
    points = found.frame.select("expected_return", "volatility", "sharpe", "is_tangency")
    some = points.gather_every(max(points.height // 10, 1))
    facts = {
        "points": points.height,
        "some of them": metadata.table(
            some, {"expected_return": PERCENT, "volatility": PERCENT, "sharpe": "{:.2f}"}
        ),
        "notices": "\n".join(found.notices) or "none",
    }
    return Result(portfolio_tables.frontier_frame(found, moments.tickers), facts)


@stage(
    group="portfolio",
    prefix="portfolio",
    outputs={
        "report": Output("html", None, "The portfolio on one page, which opens in any browser, offline.")
    },
    inputs={"history": "prices/history"},
    partitions_def=ticker_groups,
)
def portfolio_report(
    history: GroupBars,
    eligible_tickers: pl.DataFrame,
    expected_returns: pl.DataFrame,
    covariance: pl.DataFrame,
    optimal_portfolio: str,
    efficient_frontier: pl.DataFrame,
) -> dict[str, str]:
    """The portfolio on one page: allocation, frontier, risk, forecasts, exclusions."""
    from finpipe.orchestration.portfolio_inputs import moments_of
    from finpipe.portfolio.report import render

    moments = moments_of(history, eligible_tickers, expected_returns, covariance)
    frontier = portfolio_tables.frontier_of(efficient_frontier)
    portfolio = portfolio_tables.portfolio_of(optimal_portfolio, moments, frontier, history.level)
    return {"report": render(portfolio)}
