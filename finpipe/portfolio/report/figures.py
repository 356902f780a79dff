"""The figures of an optimised portfolio with their definitions: what the report takes its numbers from."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl

from finpipe.page import numerals
from finpipe.page.figures import Figure, label
from finpipe.portfolio.comparison import BENCHMARK, PORTFOLIO
from finpipe.portfolio.cvar import conditional_value_at_risk
from finpipe.portfolio.report.subject import Subject

UNITS: dict[str, Callable[[float | None], str]] = {
    "fraction": numerals.percent,
    "ratio": numerals.decimal,
    "count": numerals.whole,
    "names": lambda value: numerals.decimal(value, 1),
    "money": lambda value: numerals.decimal(value, 2),
}

TEXTS = {
    "expected_return": (
        "fraction",
        "Sum of weight times the ticker's expected simple return over the next year, after the cost of trading where "
        "one was given. A forecast, not a promise.",
    ),
    "volatility": (
        "fraction",
        "Standard deviation of the portfolio's annual return, sqrt(w'Sw), with the annual covariance S: daily "
        "covariance of simple returns times 252.",
    ),
    "sharpe": (
        "ratio",
        "(Expected return - risk-free rate) / volatility: forecast return above the risk-free rate per unit of risk.",
    ),
    "risk_free_rate": ("fraction", "Annual rate that the Sharpe ratio is measured against, as given."),
    "holdings": ("count", "Tickers with a weight."),
    "largest_weight": ("fraction", "The largest single weight."),
    "five_largest": ("fraction", "Sum of the five largest weights."),
    "effective_holdings": (
        "names",
        "1 / sum of squared weights: the number of equal holdings that would be as concentrated (inverse Herfindahl).",
    ),
    "short_weight": ("fraction", "Sum of the negative weights."),
    "diversification_ratio": (
        "ratio",
        "Weighted mean of the holdings' volatilities over the portfolio's volatility (Choueifaty and Coignard 2008): 1 "
        "where nothing diversifies.",
    ),
    "effective_risks": (
        "names",
        "1 / sum of squared shares of risk: the number of equal risk contributions that would be as concentrated.",
    ),
    "largest_risk": (
        "fraction",
        "The largest share of the volatility that one ticker contributes: w (Sw) / volatility squared.",
    ),
    "mean_correlation": ("ratio", "Plain mean of the correlations between the holdings, pair by pair."),
    "annual_return": (
        "fraction",
        "In sample: compound return a year, (end / start)^(365 / calendar days) - 1, of the weights restored every "
        "day, without costs, over the prices that they were made from.",
    ),
    "benchmark_annual_return": ("fraction", "In sample: the same of the benchmark."),
    "realised_volatility": (
        "fraction",
        "In sample: sample standard deviation of the portfolio's daily returns times sqrt(252).",
    ),
    "realised_sharpe": (
        "ratio",
        "In sample: mean daily return above the risk-free one times 252, over the realised volatility.",
    ),
    "benchmark_sharpe": ("ratio", "In sample: the same of the benchmark."),
    "max_drawdown": ("fraction", "In sample: deepest fall of the portfolio's value from its highest so far."),
    "benchmark_max_drawdown": ("fraction", "In sample: the same of the benchmark."),
    "daily_cvar": (
        "fraction",
        "In sample: mean loss on the worst days, as many as the request's confidence leaves, 5% by default "
        "(conditional value at risk, Rockafellar and Uryasev 2000). Positive is a loss.",
    ),
    "beta": (
        "ratio",
        "In sample: covariance of daily returns with the benchmark's over the variance of the benchmark's.",
    ),
    "benchmark_correlation": ("ratio", "In sample: correlation of daily returns with the benchmark's."),
    "budget": ("money", "Money to buy whole shares for, in the currency of the prices."),
    "spent": ("money", "Worth of the whole shares at the last closes."),
    "left": ("money", "What whole shares leave of the budget."),
    "asked": ("count", "Tickers that were asked for."),
    "eligible": ("count", "Tickers whose bars passed the quality rules; only these can have a weight."),
    "excluded": ("count", "Tickers that were asked for and could not take part; each has its reason."),
    "forecast_fallbacks": ("count", "Tickers for which another method than the one asked for gave the forecast."),
    "days": ("count", "Days with returns in the period."),
    "shrinkage": (
        "fraction",
        "Weight of the identity matrix in the covariance (Ledoit and Wolf 2004; Chen et al. 2010): 0 is the sample.",
    ),
}  # fmt: skip

SECTIONS = {
    "expectation": ("expected_return", "volatility", "sharpe", "risk_free_rate"),
    "composition": ("holdings", "largest_weight", "five_largest", "effective_holdings", "short_weight"),
    "risk": ("diversification_ratio", "effective_risks", "largest_risk", "mean_correlation"),
    "in_sample": (
        "annual_return", "benchmark_annual_return", "realised_volatility", "realised_sharpe", "benchmark_sharpe",
        "max_drawdown", "benchmark_max_drawdown", "daily_cvar", "beta", "benchmark_correlation",
    ),
    "shares": ("budget", "spent", "left"),
    "estimate": ("asked", "eligible", "excluded", "forecast_fallbacks", "days", "shrinkage"),
}  # fmt: skip

LABELS = {
    "sharpe": "Sharpe ratio",
    "risk_free_rate": "Risk-free rate",
    "realised_sharpe": "Realised Sharpe ratio",
    "benchmark_sharpe": "Benchmark Sharpe ratio",
    "five_largest": "Five largest weights",
    "effective_risks": "Effective risk contributions",
    "largest_risk": "Largest share of risk",
    "daily_cvar": "Daily CVaR",
    "benchmark_correlation": "Correlation with the benchmark",
    "left": "Left over",
    "days": "Days with returns",
}


def figures(subject: Subject) -> dict[str, Figure]:
    """Return the figures that can be computed, by name, in their order."""
    values = (
        _expectation(subject) | _risk(subject) | _in_sample(subject) | _shares(subject) | _estimate(subject)
    )
    found = {}
    for section, names in SECTIONS.items():
        for name in names:
            value = values.get(name)
            if value is None or not np.isfinite(value):
                continue
            unit, definition = TEXTS[name]
            title = LABELS.get(name) or label(name)
            found[name] = Figure(section, name, title, float(value), UNITS[unit](value), definition)
    return found


def rows(found: dict[str, Figure]) -> list[dict[str, object]]:
    """Return the figures as rows of plain values."""
    return [
        {
            "section": figure.section,
            "figure": figure.name,
            "value": figure.value,
            "unit": TEXTS[figure.name][0],
            "definition": figure.definition,
        }
        for figure in found.values()
    ]


Values = dict[str, float | None]


def _expectation(subject: Subject) -> Values:
    portfolio, weights = subject.portfolio, subject.held["weight"].to_numpy()
    short = float(weights[weights < 0].sum())
    return {
        "expected_return": portfolio.expected_return,
        "volatility": portfolio.volatility,
        "sharpe": portfolio.sharpe,
        "risk_free_rate": portfolio.request.risk_free,
        "holdings": float(len(weights)),
        "largest_weight": float(weights.max()),
        "five_largest": float(np.sort(weights)[::-1][:5].sum()),
        "effective_holdings": 1 / float((weights**2).sum()),
        "short_weight": short or None,
    }


def _risk(subject: Subject) -> Values:
    held, total = subject.held, subject.portfolio.volatility
    if total <= 0:
        return {}
    risk = held["risk"].to_numpy()
    alone = float(held.select((pl.col("weight").abs() * pl.col("volatility")).sum()).item())
    pairs = subject.correlation(held["ticker"].to_list())[np.triu_indices(held.height, 1)]
    return {
        "diversification_ratio": alone / total,
        "effective_risks": 1 / float((risk**2).sum()),
        "largest_risk": float(risk.max()),
        "mean_correlation": float(pairs.mean()) if len(pairs) else None,
    }


def _in_sample(subject: Subject) -> Values:
    record = subject.track_record
    if record is None:
        return {}
    own, other = record.result.summary[PORTFOLIO], record.result.summary[BENCHMARK]
    return {
        "annual_return": own.annual_return,
        "benchmark_annual_return": other.annual_return,
        "realised_volatility": own.volatility,
        "realised_sharpe": own.sharpe,
        "benchmark_sharpe": other.sharpe,
        "max_drawdown": own.max_drawdown,
        "benchmark_max_drawdown": other.max_drawdown,
        "daily_cvar": conditional_value_at_risk(record.returns, subject.portfolio.request.confidence),
        "beta": record.result.beta,
        "benchmark_correlation": record.result.correlation,
    }


def _shares(subject: Subject) -> Values:
    allocation = subject.portfolio.allocation
    if allocation is None:
        return {}
    return {"budget": subject.portfolio.request.budget, "spent": allocation.spent, "left": allocation.left}


def _estimate(subject: Subject) -> Values:
    moments = subject.portfolio.moments
    return {
        "asked": float(len(moments.tickers) + len(moments.excluded)),
        "eligible": float(len(moments.tickers)),
        "excluded": float(len(moments.excluded)),
        "forecast_fallbacks": float(len(moments.expected.fallbacks)),
        "days": float(len(moments.returns.dates)),
        "shrinkage": moments.covariance.shrinkage,
    }
