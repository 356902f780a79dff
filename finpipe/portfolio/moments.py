"""From bars to what an optimisation rests on: eligible tickers, their expected returns and their covariance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from finpipe.market.daily_bars import Progress, listed
from finpipe.portfolio.covariance import covariance
from finpipe.portfolio.forecast import expected_returns
from finpipe.portfolio.problem import ProblemError, as_problem
from finpipe.portfolio.quality import QualityRules, eligible_tickers
from finpipe.portfolio.requests import MomentsRequest
from finpipe.portfolio.results import Moments
from finpipe.portfolio.returns import adjusted_prices
from finpipe.portfolio.views import View

SHOWN = 5


def estimate_moments(
    bars: pl.DataFrame,
    request: MomentsRequest,
    *,
    tickers: Sequence[str] = (),
    sectors: Mapping[str, str] | None = None,
    views: Sequence[View] = (),
    reasons: Mapping[str, str] | None = None,
    rules: QualityRules | None = None,
    progress: Progress | None = None,
) -> Moments:
    """Judge the tickers by their bars and estimate what is expected of those that pass.

    Parameters
    ----------
    bars
        Daily bars of the period, sorted by ticker and date.
    request
        Names the methods; its own views come before ``views``.
    tickers
        All that were asked for, so that one without bars is excluded by name.
    sectors
        Sector by ticker, where known.
    reasons
        Why there are no bars of a ticker, where the source of the bars said so.
    progress
        Of the statistical forecast models.

    Raises
    ------
    ProblemError
        If fewer than two tickers are eligible; says why the others are not.
    """
    eligibility = eligible_tickers(bars, rules, tickers=tickers)
    known = set(bars["ticker"].unique())
    kept, excluded = eligibility.tickers, eligibility.excluded
    excluded |= {
        ticker: why for ticker, why in (reasons or {}).items() if ticker in excluded and ticker not in known
    }
    if len(kept) < 2:
        raise ProblemError(_too_few(kept, excluded))
    if excluded:
        bars = bars.filter(pl.col("ticker").is_in(kept))
    prices = adjusted_prices(bars)
    returns = prices.returns()
    estimated = covariance(returns, request.covariance)
    stated = _stated_views(request, kept)
    with as_problem():
        expected = expected_returns(
            prices,
            request.forecast,
            covariance=estimated,
            views=[*stated, *views] if request.forecast == "black_litterman" else (),
            risk_free=request.risk_free,
            progress=progress,
        )
    last = bars.group_by("ticker", maintain_order=True).agg(pl.col("date").max(), pl.col("close").last())
    return Moments(
        tickers=kept,
        expected=expected,
        covariance=estimated,
        returns=returns,
        excluded=excluded,
        notices=(*_unused_views(request, excluded), *expected.notices, *estimated.repaired),
        sectors={ticker: sector for ticker, sector in (sectors or {}).items() if ticker in set(kept)},
        prices=dict(last.select("ticker", "close").iter_rows()),
        as_of=last["date"].max(),  # type: ignore[arg-type]
    )


def _stated_views(request: MomentsRequest, kept: Sequence[str]) -> list[View]:
    return [View({ticker: 1.0}, value) for ticker, value in (request.views or {}).items() if ticker in kept]


def _unused_views(request: MomentsRequest, excluded: Mapping[str, str]) -> tuple[str, ...]:
    unused = [ticker for ticker in request.views or {} if ticker in excluded]
    return (f"the views on {listed(unused)} play no part, as these tickers were left out",) if unused else ()


def _too_few(kept: Sequence[str], excluded: Mapping[str, str]) -> str:
    left = f"only {kept[0]} is" if kept else "no ticker is"
    reasons = "; ".join(
        f"{ticker}: {reason.rstrip('.')}" for ticker, reason in list(excluded.items())[:SHOWN]
    )
    more = f"; and {len(excluded) - SHOWN} more" if len(excluded) > SHOWN else ""
    why = f" Left out: {reasons}{more}." if excluded else ""
    return (
        f"{left} left to weigh, and a portfolio needs at least two tickers.{why} "
        "Name more tickers, or a longer period."
    )
