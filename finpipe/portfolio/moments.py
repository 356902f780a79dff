"""From bars to what an optimisation rests on: eligible tickers, their expected returns and their covariance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from finpipe.market.daily_bars import Progress, listed
from finpipe.portfolio.covariance import Covariance, covariance
from finpipe.portfolio.forecast import ExpectedReturns, expected_returns
from finpipe.portfolio.problem import ProblemError, as_problem
from finpipe.portfolio.quality import Eligibility, QualityRules, eligible_tickers
from finpipe.portfolio.requests import MomentsRequest
from finpipe.portfolio.results import Moments
from finpipe.portfolio.returns import Returns, adjusted_prices
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
    eligibility = judged_tickers(bars, tickers=tickers, reasons=reasons, rules=rules)
    kept, excluded = eligibility.tickers, eligibility.excluded
    bars = bars_of(bars, eligibility)
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
    unused = _unused_views(request, excluded)
    return assembled(
        bars, returns, expected, estimated, excluded=excluded, sectors=sectors or {}, notices=unused
    )


def judged_tickers(
    bars: pl.DataFrame,
    *,
    tickers: Sequence[str] = (),
    reasons: Mapping[str, str] | None = None,
    rules: QualityRules | None = None,
) -> Eligibility:
    """Judge the tickers by their bars, with the source's own reasons for those that have none.

    Raises
    ------
    ProblemError
        If fewer than two tickers are eligible; says why the others are not.
    """
    frame = eligible_tickers(bars, rules, tickers=tickers).frame
    known = set(bars["ticker"].unique())
    told = {ticker: why for ticker, why in (reasons or {}).items() if ticker not in known}
    if told:
        own = pl.col("ticker").replace_strict(told, default=pl.col("reason"), return_dtype=pl.String)
        frame = frame.with_columns(pl.when("eligible").then("reason").otherwise(own).alias("reason"))
    judged = Eligibility(frame)
    if len(judged.tickers) < 2:
        raise ProblemError(_too_few(judged.tickers, judged.excluded))
    return judged


def bars_of(bars: pl.DataFrame, eligibility: Eligibility) -> pl.DataFrame:
    """Return the bars of the eligible tickers."""
    if not eligibility.excluded:
        return bars
    return bars.filter(pl.col("ticker").is_in(eligibility.tickers))


def assembled(
    bars: pl.DataFrame,
    returns: Returns,
    expected: ExpectedReturns,
    covariance: Covariance,
    *,
    excluded: Mapping[str, str],
    sectors: Mapping[str, str],
    notices: Sequence[str] = (),
) -> Moments:
    """Put together what was estimated from the ``bars`` of the eligible tickers; ``notices`` come first."""
    last = bars.group_by("ticker", maintain_order=True).agg(pl.col("date").max(), pl.col("close").last())
    kept = set(expected.tickers)
    return Moments(
        tickers=expected.tickers,
        expected=expected,
        covariance=covariance,
        returns=returns,
        excluded=excluded,
        notices=(*notices, *expected.notices, *covariance.repaired),
        sectors={ticker: sector for ticker, sector in sectors.items() if ticker in kept},
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
