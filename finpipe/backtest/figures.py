"""The values of the headline figures, for all days and by year; what they are is in ``definitions``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import sqrt

import numpy as np
import polars as pl

from finpipe.backtest import metrics, significance
from finpipe.backtest.definitions import DEFINITIONS
from finpipe.backtest.information import summarise
from finpipe.backtest.metrics import DAYS_PER_YEAR
from finpipe.backtest.quantiles import Spread, spread
from finpipe.backtest.simulate import Simulation
from finpipe.backtest.tables import FIGURES

ALL = "all"
WHOLE = "whole shares at the prices of the day, so that a part of the money is left over"
FRACTIONAL = "fractions of shares at adjusted prices, so that the result does not depend on this amount"

Values = dict[str, float]


@dataclass(frozen=True)
class Evidence:
    """What the figures are computed from.

    Parameters
    ----------
    simulation
        The portfolio.
    daily
        ``tables.DAILY_PERFORMANCE``.
    ic
        ``tables.IC``.
    quantile_rows
        See ``quantiles.quantile_rows``.
    calendar
        Market days, sorted.
    horizon
        Trading days.
    trials
        Number of strategies tried.
    trial_variance
        Variance of the daily Sharpe ratios of the trials; None takes that of worthless strategies.
    risk_free
        Fraction per year.
    """

    simulation: Simulation
    daily: pl.DataFrame
    ic: pl.DataFrame
    quantile_rows: pl.DataFrame
    calendar: pl.Series
    horizon: int
    trials: int
    trial_variance: float | None
    risk_free: float

    def spread(self) -> Spread:
        """Return the best quantile against the worst."""
        cost = self.simulation.rules.round_trip_cost
        return spread(self.quantile_rows, self.calendar, self.horizon, cost)

    def of_year(self, year: int) -> Evidence:
        """Return the evidence of one calendar year."""
        in_year = pl.col("date").dt.year() == year
        return replace(
            self,
            daily=self.daily.filter(in_year),
            ic=self.ic.filter(in_year),
            quantile_rows=self.quantile_rows.filter(in_year),
        )


def figures(evidence: Evidence) -> pl.DataFrame:
    """Return all figures under ``tables.FIGURES``: those of all days first, then year by year."""
    periods = {ALL: _by_period(evidence) | _once(evidence)}
    for year in evidence.daily["date"].dt.year().unique().sort():
        periods[str(year)] = _by_period(evidence.of_year(year))
    parameters = {
        "horizon": evidence.horizon,
        "least_lags": evidence.horizon - 1,
        "risk_free": evidence.risk_free,
        "participation": evidence.simulation.rules.participation,
        "shares": WHOLE if evidence.simulation.rules.whole_shares else FRACTIONAL,
    }
    rows = [
        (
            definition.section,
            definition.figure,
            period,
            values[definition.figure],
            definition.unit,
            definition.text.format(**parameters),
        )
        for period, values in periods.items()
        for definition in DEFINITIONS
        if definition.figure in values
    ]
    table = pl.DataFrame(rows, schema={column.name: column.dtype for column in FIGURES.columns}, orient="row")
    is_finite = pl.col("value").is_finite()
    return FIGURES.validate(table.with_columns(pl.when(is_finite).then(pl.col("value")).alias("value")))


def _by_period(evidence: Evidence) -> Values:
    """Return the figures that make sense for a year as well as for all days."""
    return (
        _returns(evidence)
        | _risk(evidence)
        | _benchmark(evidence)
        | _information(evidence)
        | _quantiles(evidence)
        | _trading(evidence)
    )


def _once(evidence: Evidence) -> Values:
    return _orders(evidence.simulation) | _capacity(evidence.simulation) | _significance(evidence)


def _returns(evidence: Evidence) -> Values:
    daily = evidence.daily
    ours = daily["portfolio_return"].to_numpy()
    months = metrics.monthly_returns(daily)["portfolio_return"].to_numpy()
    return {
        "total_return": metrics.total_return(ours),
        "annual_return": metrics.annual_return(ours),
        "gross_annual_return": metrics.annual_return(ours + daily["cost"].to_numpy()),
        "best_day": float(ours.max()),
        "worst_day": float(ours.min()),
        "hit_rate": metrics.hit_rate(ours),
        "monthly_hit_rate": metrics.hit_rate(months),
        "days": float(len(ours)),
    }


def _risk(evidence: Evidence) -> Values:
    ours = evidence.daily["portfolio_return"].to_numpy()
    return {
        "volatility": metrics.volatility(ours),
        "sharpe": metrics.sharpe(ours, evidence.risk_free),
        "sortino": metrics.sortino(ours, evidence.risk_free),
        "max_drawdown": metrics.max_drawdown(ours),
        "calmar": metrics.calmar(ours),
        "value_at_risk": metrics.value_at_risk(ours),
        "expected_shortfall": metrics.expected_shortfall(ours),
        "skewness": significance.skewness(ours),
        "kurtosis": significance.kurtosis(ours),
    }


def _benchmark(evidence: Evidence) -> Values:
    daily = evidence.daily
    ours, theirs = daily["portfolio_return"].to_numpy(), daily["benchmark_return"].to_numpy()
    known = theirs[~np.isnan(theirs)]
    growth = metrics.annual_return(np.nan_to_num(theirs)) if len(known) else np.nan
    months = metrics.monthly_returns(daily)["portfolio_return"].to_numpy()
    their_months = metrics.monthly_returns(daily, "benchmark_return")["benchmark_return"].to_numpy()
    return {
        "benchmark_total_return": metrics.total_return(known) if len(known) else np.nan,
        "benchmark_annual_return": growth,
        "excess_annual_return": metrics.annual_return(ours) - growth,
        "benchmark_volatility": metrics.volatility(known),
        "benchmark_sharpe": metrics.sharpe(known, evidence.risk_free),
        "benchmark_max_drawdown": metrics.max_drawdown(known),
        "beta": metrics.beta(ours, theirs),
        "alpha": metrics.alpha(ours, theirs, evidence.risk_free),
        "tracking_error": metrics.tracking_error(ours, theirs),
        "information_ratio": metrics.information_ratio(ours, theirs),
        "up_capture": metrics.up_capture(months, their_months),
        "down_capture": metrics.down_capture(months, their_months),
    }


def _information(evidence: Evidence) -> Values:
    plain = summarise(evidence.ic["ic"].to_numpy(), evidence.horizon)
    ranked = summarise(evidence.ic["rank_ic"].to_numpy(), evidence.horizon)
    return {
        "mean_ic": plain.mean,
        "mean_rank_ic": ranked.mean,
        "rank_ic_deviation": ranked.deviation,
        "icir": ranked.icir,
        "rank_ic_t": ranked.t,
        "rank_ic_positive": ranked.positive,
        "ic_days": float(ranked.days),
    }


def _quantiles(evidence: Evidence) -> Values:
    found = evidence.spread()
    return {
        "spread_gross": found.gross,
        "spread_net": found.net,
        "quantile_turnover": found.turnover,
        "monotonicity": found.monotonicity,
    }


def _trading(evidence: Evidence) -> Values:
    daily = evidence.daily
    years = daily.height / DAYS_PER_YEAR
    return {
        "annual_turnover": float(daily["turnover"].sum()) / years,
        "cost_drag": float(daily["cost"].sum()) / years,
        "mean_positions": float(daily["n_positions"].to_numpy().mean()),
        "mean_cash_share": float(daily["cash_share"].to_numpy().mean()),
    }


def _orders(simulation: Simulation) -> Values:
    reasons = simulation.trades["reason"].cast(pl.String)
    return {
        "trades": float(len(reasons)),
        "blocked_orders": float(simulation.daily["blocked_orders"].sum()),
        "stop_losses": float((reasons == "stop_loss").sum()),
        "delistings": float((reasons == "delisting").sum()),
        "total_cost": float(simulation.daily["cost"].sum()),
    }


def _capacity(simulation: Simulation) -> Values:
    frame = simulation.capacity
    return {
        "initial_capital": simulation.rules.initial_capital,
        "median_market_share": _quantile(frame["share"], 0.5),
        "largest_market_share": _quantile(frame["largest_share"], 1.0),
        "capacity": _quantile(frame["capacity"], 0.5),
        "capacity_tight": _quantile(frame["capacity"], 0.1),
    }


def _significance(evidence: Evidence) -> Values:
    ours = evidence.daily["portfolio_return"].to_numpy()
    n, trials = len(ours), evidence.trials
    excess = ours - evidence.risk_free / DAYS_PER_YEAR
    ratio = metrics.sharpe(excess) / sqrt(DAYS_PER_YEAR)
    skew, tails = significance.skewness(ours), significance.kurtosis(ours)
    variance = 1 / n if evidence.trial_variance is None else evidence.trial_variance
    low, high = significance.bootstrap_interval(excess, significance.sharpe_by_row, block=evidence.horizon)
    return {
        "return_t": significance.newey_west_t(ours),
        "lo_sharpe": significance.lo_sharpe(excess),
        "sharpe_low": low,
        "sharpe_high": high,
        "probabilistic_sharpe": significance.probabilistic_sharpe(ratio, n=n, skewness=skew, kurtosis=tails),
        "expected_maximum_sharpe": significance.expected_maximum_sharpe(variance, trials)
        * sqrt(DAYS_PER_YEAR),
        "deflated_sharpe": significance.deflated_sharpe(
            ratio, n=n, trials=trials, variance=variance, skewness=skew, kurtosis=tails
        ),
        "trials": float(trials),
    }


def _quantile(values: pl.Series, level: float) -> float:
    found = values.quantile(level, "linear")
    return float(found) if found is not None else np.nan
