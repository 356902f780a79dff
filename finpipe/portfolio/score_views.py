"""Views that the scores of a ranker make, around the equilibrium that expected returns start from."""

from __future__ import annotations

import numpy as np
import polars as pl

from finpipe.portfolio.black_litterman import implied_returns
from finpipe.portfolio.covariance import Covariance
from finpipe.portfolio.views import View, ranker_views


def score_views(scores: pl.DataFrame, covariance: Covariance, *, risk_free: float) -> tuple[View, ...]:
    """Return one absolute view for each ticker of ``covariance`` that has a score; none if there are no scores.

    Parameters
    ----------
    scores
        ``stock_code``, ``date`` and ``score`` of all stocks that were scored on a day.
    risk_free
        Fraction a year; the equilibrium of equal weights starts from it.
    """
    if scores.is_empty():
        return ()
    prior = implied_returns(covariance.matrix, np.ones(len(covariance.tickers)), risk_free=risk_free)
    return ranker_views(scores, covariance.tickers, prior, covariance.volatilities).views
