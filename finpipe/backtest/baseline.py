"""The unstressed backtest that the stress battery compares with, and how to rerun it with other inputs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import polars as pl

from finpipe.backtest import metrics
from finpipe.backtest.information import InformationSummary, information_coefficients, summarise
from finpipe.backtest.rules import Rules
from finpipe.backtest.simulate import simulate


@dataclass(frozen=True)
class Baseline:
    """Everything that a stress may change.

    Parameters
    ----------
    predictions, daily_prices, rules, stocks, characteristics, regime
        As for ``simulate``.
    realized
        ``stock_code``, ``date``, ``realized_return_{h}d``.
    universe
        ``stock_code``, ``date``, ``market_cap`` of the predicted rows, as of their date.
    horizon
        Trading days over which the score is judged.
    features
        ``stock_code``, ``date`` and the model's inputs, for the leak alarm; None leaves it out.
    """

    predictions: pl.DataFrame
    daily_prices: pl.DataFrame
    rules: Rules
    stocks: pl.DataFrame
    realized: pl.DataFrame
    universe: pl.DataFrame
    horizon: int
    characteristics: pl.DataFrame | None = None
    regime: pl.DataFrame | None = None
    features: pl.DataFrame | None = None

    def information(self, predictions: pl.DataFrame, horizon: int | None = None) -> InformationSummary:
        """Return the rank IC of predictions, at the study's horizon unless another is given."""
        over = horizon or self.horizon
        daily = information_coefficients(predictions, self.realized, over)
        return summarise(daily["rank_ic"].to_numpy(), over)

    def returns(self, predictions: pl.DataFrame | None = None, rules: Rules | None = None) -> pl.Series:
        """Return the daily returns of a portfolio that trades ``predictions`` by ``rules``."""
        simulation = simulate(
            self.predictions if predictions is None else predictions,
            self.daily_prices,
            rules or self.rules,
            stocks=self.stocks,
            characteristics=self.characteristics,
            regime=self.regime,
        )
        return simulation.daily["portfolio_return"]

    @cached_property
    def rank_ic(self) -> float:
        """Mean daily rank IC without a change."""
        return self.information(self.predictions).mean

    @cached_property
    def own_returns(self) -> pl.Series:
        """Daily returns without a change."""
        return self.returns()

    @property
    def annual_return(self) -> float:
        """Annual return without a change."""
        return metrics.annual_return(self.own_returns)
