"""A portfolio that follows its rules through the market calendar, day by day.

The signal of a day is known at its close and traded at the next open. Choosing is in ``selection``,
prices in ``exchange``, bookkeeping in ``ledger``; what the result is worth in ``performance``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from finpipe.backtest.capacity import capacity
from finpipe.backtest.exchange import Exchange, Flags, Floats
from finpipe.backtest.ledger import Ledger
from finpipe.backtest.rules import Rules
from finpipe.backtest.selection import choose, weigh
from finpipe.backtest.signals import Signals
from finpipe.backtest.tables import CAPACITY, DAILY, HOLDINGS, TRADES


class SimulationError(ValueError):
    """The inputs do not fit together, so that nothing can be simulated."""


@dataclass(frozen=True)
class Simulation:
    """What a portfolio did; every frame follows its table in ``backtest.tables``.

    Parameters
    ----------
    rules
        The rules that it followed.
    daily
        ``tables.DAILY``: one row per market day after the first signal, up to the last one.
    trades
        ``tables.TRADES``: every filled order.
    holdings
        ``tables.HOLDINGS``: positions at every close.
    capacity
        ``tables.CAPACITY``: size of the orders beside the market's.
    notes
        What was left out or carried on for want of data, in sentences with counts; empty if nothing was.
    """

    rules: Rules
    daily: pl.DataFrame
    trades: pl.DataFrame
    holdings: pl.DataFrame
    capacity: pl.DataFrame
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        DAILY.validate(self.daily)
        TRADES.validate(self.trades)
        HOLDINGS.validate(self.holdings)
        CAPACITY.validate(self.capacity)


def simulate(
    predictions: pl.DataFrame,
    daily_prices: pl.DataFrame,
    rules: Rules,
    *,
    stocks: pl.DataFrame,
    characteristics: pl.DataFrame | None = None,
    regime: pl.DataFrame | None = None,
) -> Simulation:
    """Trade the predictions by the rules from the first signal to the last.

    On a signal day T (every ``horizon / cohorts`` market days, counted from the first prediction) one
    cohort chooses from the day's candidates, and at the open of T+1 trades the difference between what
    it has and what it wants. Weights are shares of the cohort's money at those opening prices, after
    the costs of getting there. Between rebalances positions drift. Each cohort keeps its own money;
    years follow each other without a restart.

    What cannot be traded at the open (no row, volume 0, no opening price, or locked at the price limit
    against the order) is not bought, and its money waits in cash for the next rebalance; or it is not
    sold, and the sale is tried again every day. Shares of a delisted company are paid at the last price
    times (1 + ``delisting_return``) on the first market day after its last row. A stock whose rows end
    without a delisting stays at its last price, and is counted in the notes.

    Parameters
    ----------
    predictions
        ``krx/predictions``. Days after the last price are ignored.
    daily_prices
        ``krx/daily_prices``; its dates are the market calendar.
    rules
        What to do.
    stocks
        ``krx/stocks``: ``stock_code``, ``delisting_date``, and ``delisting_return`` if known by stock.
    characteristics
        ``stock_code``, ``date`` and the columns of ``rules.characteristics``; missing rows are unknown.
    regime
        ``date``, ``market_regime_score``; needed for the cash rule. Unknown leaves the money invested.

    Returns
    -------
    Simulation

    Raises
    ------
    SimulationError
        There are fewer than two predicted days within the prices, or one is not in the calendar.
    finpipe.backtest.exchange.ExchangeError
        Prices lack a column or a stock.
    finpipe.backtest.signals.SignalError
        The rules look at something that is not given, or a predicted stock has no price on its day.
    """
    calendar = daily_prices["date"].unique().sort()
    ranked = predictions.filter(pl.col("date") <= calendar[-1]) if len(calendar) else predictions.clear()
    days = ranked["date"].unique().sort()
    if len(days) < 2:
        raise SimulationError(
            f"{len(days)} predicted day(s) up to the last price; a simulation needs two, one for the first "
            "signal and one to trade on"
        )
    strange = days.filter(~days.is_in(calendar.implode()))
    if len(strange):
        raise SimulationError(f"{len(strange)} predicted day(s) are no market days, e.g. {strange[0]}")
    exchange = Exchange.of(
        daily_prices,
        stocks,
        ranked["stock_code"].unique().sort(),
        first=days[0],
        last=days[-1],
        raw=rules.whole_shares,
        delisting_return=rules.delisting_return,
    )
    signals = Signals.of(ranked, exchange, rules, characteristics=characteristics, regime=regime)
    ledger = Ledger(exchange, rules)
    books = _trade(exchange, signals, ledger, rules)
    daily = _daily(exchange, books, rules)
    trades = ledger.trades()
    equity = np.concatenate([[rules.initial_capital], daily["equity"].to_numpy()])
    return Simulation(
        rules=rules,
        daily=daily,
        trades=trades,
        holdings=ledger.holdings(equity),
        capacity=capacity(trades, daily, rules),
        notes=(*signals.notes, *_stale_positions(exchange, ledger)),
    )


@dataclass(frozen=True, slots=True)
class _Books:
    """Account totals at the close of each day, from the first trading day."""

    cash: Floats
    positions: Floats
    cost: Floats
    traded: Floats
    n_positions: Floats
    blocked: Floats


def _trade(exchange: Exchange, signals: Signals, ledger: Ledger, rules: Rules) -> _Books:
    n_days = len(exchange.dates)
    totals = np.zeros((6, n_days - 1))
    nothing = np.zeros(len(exchange.codes), dtype=bool)
    stopped = [nothing] * rules.cohorts
    for day in range(1, n_days):
        ledger.open_day(day)
        deciding = rules.cohort_of(day - 1) if day - 1 in signals.candidates else None
        for cohort in range(rules.cohorts):
            if cohort == deciding:
                held = ledger.shares[cohort] > 0
                weight = _target(signals, day - 1, rules, held=held, excluded=stopped[cohort])
                cash_rule = signals.invested[day - 1] < 1
                ledger.rebalance(day, cohort, weight, stopped=stopped[cohort], cash_rule=cash_rule)
            else:
                ledger.retry(day, cohort)
                if stopped[cohort].any():
                    ledger.sell_stopped(day, cohort, stopped[cohort])
        value, count = ledger.close_day(day)
        totals[:, day - 1] = (
            ledger.cash.sum(),
            value,
            ledger.cost,
            ledger.traded,
            count,
            ledger.blocked,
        )
        if rules.stop_loss is not None:
            stopped = [ledger.below_stop(cohort, rules.stop_loss) for cohort in range(rules.cohorts)]
    return _Books(*totals)


def _target(signals: Signals, day: int, rules: Rules, *, held: Flags, excluded: Flags) -> Floats:
    weight = np.zeros(len(held))
    share = signals.invested[day]
    if share > 0:
        candidates = signals.candidates[day]
        chosen = choose(candidates, rules, held=held, excluded=excluded)
        weight[candidates.stock[chosen]] = share * weigh(candidates.volatility[chosen], rules)
    return weight


def _daily(exchange: Exchange, books: _Books, rules: Rules) -> pl.DataFrame:
    equity = books.cash + books.positions
    before = np.concatenate([[rules.initial_capital], equity[:-1]])
    return DAILY.validate(
        pl.DataFrame(
            {
                "date": exchange.dates[1:],
                "equity": equity,
                "cash": books.cash,
                "positions_value": books.positions,
                "portfolio_return": equity / before - 1,
                "gross_return": (equity + books.cost) / before - 1,
                "cost": books.cost,
                "turnover": books.traded / 2 / before,
                "n_positions": pl.Series(books.n_positions).cast(pl.Int32),
                "blocked_orders": pl.Series(books.blocked).cast(pl.Int32),
            }
        )
    )


def _stale_positions(exchange: Exchange, ledger: Ledger) -> list[str]:
    held = np.flatnonzero((ledger.shares > 0).any(axis=0))
    ended = held[(exchange.value[-1, held] == 0) & np.isnan(exchange.open[-1, held])]
    if len(ended) == 0:
        return []
    example = exchange.codes[int(ended[0])]
    return [
        f"{len(ended)} position(s) did not trade on the last day and stand at their last price: {example}"
    ]
