"""The six checks that a backtest has to pass before it is worth anybody's money.

Thresholds are those of the Korean reference line (section 7.4), on the figures of this package. The
battery of stressed reruns is in ``safety``.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from finpipe.backtest.tables import SAFETY

MIN_RANK_IC = 0.02
MIN_POSITIVE_YEARS = 0.5
MAX_DEVIATION = 0.25
MAX_LOSING_YEARS = 0.4
MIN_WORST_YEAR = -0.2
MIN_MEAN_YEAR = 0.05
MIN_SPREAD = 0.0

CHECKS: Mapping[str, str] = {
    "rank_ic": (
        "Mean daily rank IC is at least 0.02, and above 0 in at least half of the years: without it the "
        "ranking knows nothing, whatever the portfolio earned."
    ),
    "annual_deviation": (
        "Annual returns deviate by less than 0.25 (standard deviation over years, ddof 0): a mean that hides "
        "wild years cannot be held."
    ),
    "losing_years": (
        "At most 40 percent of the years lose money: the result must not hang on a few good years."
    ),
    "worst_year": (
        "The worst year loses less than 20 percent: a deeper loss ends most strategies before they recover."
    ),
    "mean_year": "The mean year earns more than 5 percent after costs: less does not pay for the risk.",
    "net_spread": (
        "The best fifth beats the worst by more than the trading costs of both: the whole ranking works, not "
        "only its top."
    ),
}
"""The checks by name: the rule in words and why it matters."""


def checklist(annual: pl.DataFrame, mean_rank_ic: float, net_spread: float) -> pl.DataFrame:
    """Judge a backtest by the six checks.

    Parameters
    ----------
    annual
        ``tables.ANNUAL``.
    mean_rank_ic
        Mean daily rank IC over all days.
    net_spread
        Best minus worst quantile per holding period, both legs paying costs.

    Returns
    -------
    pl.DataFrame
        ``tables.SAFETY``, six rows. A value that could not be measured is null and fails.
    """
    years = annual["portfolio_return"].to_numpy()
    known_ic = annual["mean_rank_ic"].drop_nulls().to_numpy()
    positive = float((known_ic > 0).mean()) if len(known_ic) else np.nan
    has_years = len(years) > 0
    deviation = float(years.std()) if has_years else np.nan
    losing = float((years < 0).mean()) if has_years else np.nan
    worst = float(years.min()) if has_years else np.nan
    mean = float(years.mean()) if has_years else np.nan
    measured = {
        "rank_ic": (
            mean_rank_ic,
            MIN_RANK_IC,
            mean_rank_ic >= MIN_RANK_IC and positive >= MIN_POSITIVE_YEARS,
        ),
        "annual_deviation": (deviation, MAX_DEVIATION, deviation < MAX_DEVIATION),
        "losing_years": (losing, MAX_LOSING_YEARS, losing <= MAX_LOSING_YEARS),
        "worst_year": (worst, MIN_WORST_YEAR, worst > MIN_WORST_YEAR),
        "mean_year": (mean, MIN_MEAN_YEAR, mean > MIN_MEAN_YEAR),
        "net_spread": (net_spread, MIN_SPREAD, net_spread > MIN_SPREAD),
    }
    rows = [(name, *measured[name], why) for name, why in CHECKS.items()]
    table = pl.DataFrame(rows, schema={column.name: column.dtype for column in SAFETY.columns}, orient="row")
    return SAFETY.validate(table.with_columns(pl.col("value").fill_nan(None)))
