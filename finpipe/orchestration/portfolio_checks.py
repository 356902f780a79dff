"""Checks of the portfolio line: whether estimates and weights are what an optimisation rests on and promises."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from finpipe.orchestration.check import Check

if TYPE_CHECKING:
    import polars as pl

    from finpipe.portfolio.covariance import Covariance
    from finpipe.portfolio.results import OptimizedPortfolio

SUM = "weights_sum_to_one"
BOUNDS = "weights_within_bounds"
DEFINITE = "positive_definite"
COVERAGE = "tickers_arrived"
ELIGIBLE = "most_tickers_eligible"
PROMISES = {
    SUM: "The weights sum to 1.",
    BOUNDS: "Every weight lies within its bounds.",
}
SLACK = 1e-6
"""How far a weight or their sum may be off: what a solver leaves."""
ENOUGH = 0.9
"""Share of a group's tickers that should have bars."""
MOST = 0.5
"""Share of a group's tickers that should be eligible."""
NAMED = 10


def tickers_arrived(tickers: int, missing: dict[str, str]) -> Check:
    """Count the tickers without bars, by name."""
    have = tickers - len(missing)
    return Check(have >= ENOUGH * tickers, _counted(have, tickers, "have bars", missing))


def most_eligible(frame: pl.DataFrame) -> Check:
    """Count the tickers that are left out, by name; ``frame`` is ``portfolio/eligible_tickers``."""
    left_out = dict(frame.filter(~frame["eligible"]).select("ticker", "reason").iter_rows())
    have = frame.height - len(left_out)
    return Check(have >= MOST * frame.height, _counted(have, frame.height, "are eligible", left_out))


def positive_definite(covariance: Covariance) -> Check:
    """Look at the smallest eigenvalue."""
    values = np.linalg.eigvalsh(covariance.matrix)
    finding = f"eigenvalues between {values[0]:.3g} and {values[-1]:.3g}"
    return Check(bool(values[0] > 0), finding, blocks=True)


def weights(portfolio: OptimizedPortfolio) -> dict[str, Check]:
    """Add the weights up, and compare each with the bounds that the problem had, relaxed or not."""
    from finpipe.portfolio.optimization import problem_of
    from finpipe.portfolio.problem import feasible_bounds

    moments = portfolio.moments
    bounds = feasible_bounds(problem_of(portfolio.request), moments.tickers, moments.sectors)
    held = np.array([portfolio.weights.get(ticker, 0.0) for ticker in moments.tickers])
    within = bool((held >= bounds.lower - SLACK).all() and (held <= bounds.upper + SLACK).all())
    limits = f"bounds {bounds.lower.min():g} and {bounds.upper.max():g}"
    return {
        SUM: Check(abs(float(held.sum()) - 1) <= SLACK, f"they sum to {held.sum():.9f}", blocks=True),
        BOUNDS: Check(within, f"from {held.min():.4f} to {held.max():.4f}; {limits}"),
    }


def _counted(have: int, of: int, what: str, missing: dict[str, str]) -> str:
    named = "; ".join(f"{ticker}: {why.rstrip('.')}" for ticker, why in list(missing.items())[:NAMED])
    more = f"; and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
    return f"{have} of {of} tickers {what}" + (f"; not {named}{more}" if missing else "")
