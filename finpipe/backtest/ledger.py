"""The books of a simulated account: cash, shares, orders filled and orders still open.

What to hold is decided in ``simulate``; at which prices, and whether at all, in ``exchange``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from finpipe.backtest.exchange import Exchange, Flags, Floats
from finpipe.backtest.rules import Rules
from finpipe.backtest.tables import HOLDINGS, TRADES

REASONS = ("rebalance", "cash_rule", "stop_loss", "delisting", "retry", "fraction")
NOT_ORDERED = ("delisting", "fraction")
ROUNDS = 60
CLOSE_ENOUGH = 1e-12
ROUNDING = 1e-9
DUST = 1e-9
SPARE = 1e-12


@dataclass(frozen=True, slots=True)
class Fill:
    """Orders of one day that were filled: signed shares (positive bought) and their prices."""

    day: int
    stock: NDArray[np.int64]
    shares: Floats
    price: Floats
    commission: Floats
    tax: Floats
    slippage: Floats
    reason: NDArray[np.int64]


class Ledger:
    """Cohorts of one account, each with its own cash and shares; all arrays are (cohorts, stocks).

    Cash of a cohort is never negative, nor are shares: buys shrink to the cash that there is.
    """

    def __init__(self, exchange: Exchange, rules: Rules) -> None:
        shape = (rules.cohorts, len(exchange.codes))
        self._exchange = exchange
        self._rules = rules
        self.cash = np.full(rules.cohorts, rules.initial_capital / rules.cohorts)
        self.shares = np.zeros(shape)
        self.entry = np.full(shape, np.nan)
        self._open_sales = np.full(shape, np.nan)
        self._price = exchange.close[0]
        self._fills: list[Fill] = []
        self._closes: list[tuple[int, NDArray[np.int64], Floats]] = []
        self.cost = 0.0
        self.traded = 0.0
        self.blocked = 0

    def open_day(self, day: int) -> None:
        """Start a day: interest, splits, payment for delisted stocks."""
        self.cost, self.traded, self.blocked = 0.0, 0.0, 0
        if self._rules.cash_rate:
            self.cash *= (1 + self._rules.cash_rate) ** (1 / 252)
        self._split(day)
        self._pay_delisted(day)

    def rebalance(self, day: int, cohort: int, weight: Floats, *, stopped: Flags, cash_rule: bool) -> None:
        """Trade a cohort towards weights of what is left of it after the costs of getting there.

        An order to buy that cannot be filled lapses and its money stays in cash. An order to sell
        that cannot be filled stays open and is tried again every day until the next rebalance.

        Parameters
        ----------
        weight
            Fraction of the cohort's money per stock, ``(stocks,)``; adds up to at most 1.
        stopped
            Stocks that are sold because of the stop-loss, not for want of rank, ``(stocks,)``.
        cash_rule
            Whether the weights were cut by the cash rule. Both only name the trades.
        """
        held = self.shares[cohort]
        stock = np.flatnonzero((held > 0) | (weight > 0))
        self._open_sales[cohort] = np.nan
        if len(stock) == 0:
            return
        wanted, now = weight[stock], held[stock]
        opened = self._exchange.open[day, stock]
        price = np.where(np.isnan(opened), self._price[stock], opened)
        value = now * price
        can_buy, can_sell = self._exchange.buyable[day, stock], self._exchange.sellable[day, stock]
        is_stuck = (wanted == 0) & ~can_sell
        equity = float(self.cash[cohort] + value.sum())
        budget = self._after_costs(equity - float(value[is_stuck].sum()), wanted, value, can_buy, can_sell)
        target = np.divide(wanted * budget, price, out=np.zeros_like(price), where=wanted > 0)
        if self._rules.whole_shares:
            target = np.floor(target + ROUNDING)
        change = target - now
        change[(wanted > 0) & (np.abs(change * price) < DUST * equity)] = 0.0
        is_blocked = ((change > 0) & ~can_buy) | ((change < 0) & ~can_sell)
        self.blocked += int(is_blocked.sum())
        open_sale = is_blocked & (change < 0)
        self._open_sales[cohort, stock[open_sale]] = target[open_sale]
        change[is_blocked] = 0.0
        change = self._affordable(cohort, change, price)
        usual = REASONS.index("cash_rule" if cash_rule else "rebalance")
        reason = np.where(stopped[stock] & (change < 0), REASONS.index("stop_loss"), usual)
        self._fill(day, cohort, stock=stock, change=change, price=price, reason=reason)

    def sell_stopped(self, day: int, cohort: int, stopped: Flags) -> None:
        """Sell all shares of the flagged stocks at the open, or leave the orders open."""
        is_new = stopped & (self.shares[cohort] > 0) & ~(self._open_sales[cohort] == 0)
        self._open_sales[cohort, is_new] = 0.0
        self._sell_open(day, cohort, np.flatnonzero(is_new), "stop_loss")

    def retry(self, day: int, cohort: int) -> None:
        """Try the open sales of a cohort again."""
        self._sell_open(day, cohort, np.flatnonzero(~np.isnan(self._open_sales[cohort])), "retry")

    def close_day(self, day: int) -> tuple[float, int]:
        """Value the positions at the close; return their value and number."""
        self._price = self._exchange.close[day]
        shares = self.shares.sum(axis=0)
        stock = np.flatnonzero(shares > 0)
        value = shares[stock] * self._price[stock]
        self._closes.append((day, stock, value))
        return float(value.sum()), len(stock)

    def below_stop(self, cohort: int, stop_loss: float) -> Flags:
        """Flag the stocks of a cohort that closed at or below their average entry price less the stop."""
        is_below = self._price <= self.entry[cohort] * (1 - stop_loss)
        flags: Flags = is_below & (self.shares[cohort] > 0)
        return flags

    def trades(self) -> pl.DataFrame:
        """Return every filled order under ``tables.TRADES``."""
        fills = self._fills
        if not fills:
            return TRADES.empty()
        exchange = self._exchange
        day = np.concatenate([np.full(len(fill.stock), fill.day) for fill in fills])
        stock = np.concatenate([fill.stock for fill in fills])
        shares = np.concatenate([fill.shares for fill in fills])
        price = np.concatenate([fill.price for fill in fills])
        reason = np.concatenate([fill.reason for fill in fills])
        is_order = np.isin(reason, [REASONS.index(name) for name in NOT_ORDERED], invert=True)
        market_value = np.where(is_order, exchange.value[day, stock], np.nan)
        return TRADES.validate(
            pl.DataFrame(
                {
                    "date": exchange.dates[day],
                    "stock_code": exchange.codes.gather(stock),
                    "side": np.where(shares > 0, "buy", "sell"),
                    "shares": np.abs(shares),
                    "price": price,
                    "value": np.abs(shares) * price,
                    "commission": np.concatenate([fill.commission for fill in fills]),
                    "tax": np.concatenate([fill.tax for fill in fills]),
                    "slippage": np.concatenate([fill.slippage for fill in fills]),
                    "reason": np.array(REASONS)[reason],
                    "market_value": market_value,
                }
            ).with_columns(
                pl.col("side", "reason").cast(pl.Categorical), pl.col("market_value").fill_nan(None)
            )
        )

    def holdings(self, equity: Floats) -> pl.DataFrame:
        """Return the positions of every close under ``tables.HOLDINGS``, given equity by day."""
        if not self._closes:
            return HOLDINGS.empty()
        day = np.concatenate([np.full(len(stock), at) for at, stock, _ in self._closes])
        stock = np.concatenate([stock for _, stock, _ in self._closes])
        value = np.concatenate([value for _, _, value in self._closes])
        return HOLDINGS.validate(
            pl.DataFrame(
                {
                    "date": self._exchange.dates[day],
                    "stock_code": self._exchange.codes.gather(stock),
                    "weight": value / equity[day],
                    "value": value,
                }
            )
        )

    def _split(self, day: int) -> None:
        if self._exchange.share_ratio is None:
            return
        ratio = self._exchange.share_ratio[day]
        self._price = self._price / ratio
        changed = np.flatnonzero((ratio != 1.0) & (self.shares > 0).any(axis=0))
        if len(changed) == 0:
            return
        self.entry[:, changed] /= ratio[changed]
        self._open_sales[:, changed] = np.floor(self._open_sales[:, changed] * ratio[changed])
        for cohort in range(len(self.cash)):
            exact = self.shares[cohort, changed] * ratio[changed]
            whole = np.floor(exact + ROUNDING)
            self.shares[cohort, changed] = exact
            rest = exact - whole
            has_rest = rest > ROUNDING
            stock = changed[has_rest]
            self._pay_out(
                day, cohort, stock=stock, shares=rest[has_rest], price=self._price[stock], reason="fraction"
            )
            self.shares[cohort, changed] = whole

    def _pay_delisted(self, day: int) -> None:
        gone = np.flatnonzero((self._exchange.delisting_day <= day) & (self.shares > 0).any(axis=0))
        if len(gone) == 0:
            return
        price = self._price[gone] * (1 + self._exchange.delisting_return[gone])
        for cohort in range(len(self.cash)):
            is_held = self.shares[cohort, gone] > 0
            stock = gone[is_held]
            self._open_sales[cohort, stock] = np.nan
            shares = self.shares[cohort, stock].copy()
            self._pay_out(day, cohort, stock=stock, shares=shares, price=price[is_held], reason="delisting")

    def _after_costs(
        self, equity: float, wanted: Floats, value: Floats, can_buy: Flags, can_sell: Flags
    ) -> float:
        """Return what is left of ``equity`` after the costs of trading to ``wanted`` shares of just that."""
        budget = equity
        for _ in range(ROUNDS):
            change = wanted * budget - value
            bought = float(change[(change > 0) & can_buy].sum())
            sold = -float(change[(change < 0) & can_sell].sum())
            left = equity - bought * self._rules.buy_cost - sold * self._rules.sell_cost
            if abs(left - budget) <= CLOSE_ENOUGH * equity:
                break
            budget = left
        return max(left, 0.0)

    def _affordable(self, cohort: int, change: Floats, price: Floats) -> Floats:
        value = change * price
        proceeds = -value[value < 0].sum() * (1 - self._rules.sell_cost)
        needed = value[value > 0].sum() * (1 + self._rules.buy_cost)
        available = (self.cash[cohort] + proceeds) * (1 - SPARE)
        if needed <= available:
            return change
        bought = change * (available / needed)
        if self._rules.whole_shares:
            bought = np.floor(bought)
        return np.where(change > 0, bought, change)

    def _sell_open(self, day: int, cohort: int, stock: NDArray[np.int64], reason: str) -> None:
        can_sell = self._exchange.sellable[day, stock]
        self.blocked += int((~can_sell).sum())
        sold = stock[can_sell]
        change = self._open_sales[cohort, sold] - self.shares[cohort, sold]
        self._open_sales[cohort, sold] = np.nan
        price = self._exchange.open[day, sold]
        codes = np.full(len(sold), REASONS.index(reason))
        self._fill(day, cohort, stock=sold, change=change, price=price, reason=codes)

    def _pay_out(
        self, day: int, cohort: int, *, stock: NDArray[np.int64], shares: Floats, price: Floats, reason: str
    ) -> None:
        codes = np.full(len(stock), REASONS.index(reason))
        self._fill(day, cohort, stock=stock, change=-shares, price=price, reason=codes, is_order=False)

    def _fill(
        self,
        day: int,
        cohort: int,
        *,
        stock: NDArray[np.int64],
        change: Floats,
        price: Floats,
        reason: NDArray[np.int64],
        is_order: bool = True,
    ) -> None:
        is_traded = change != 0
        if not is_traded.any():
            return
        stock, change, price, reason = (
            stock[is_traded],
            change[is_traded],
            price[is_traded],
            reason[is_traded],
        )
        rules = self._rules
        value = change * price
        size = np.abs(value) * is_order
        commission, slippage = size * rules.commission, size * rules.slippage
        tax = np.where(value < 0, size * rules.sale_tax, 0.0)
        before = self.shares[cohort, stock]
        after = before + change
        after[after < ROUNDING * np.abs(change)] = 0.0
        is_buy = change > 0
        paid = np.where(before > 0, before * self.entry[cohort, stock], 0.0) + value
        average = paid / np.where(is_buy, after, 1.0)
        self.entry[cohort, stock] = np.where(is_buy, average, self.entry[cohort, stock])
        self.shares[cohort, stock] = after
        cost = float((commission + slippage + tax).sum())
        self.cash[cohort] -= float(value.sum()) + cost
        self.cost += cost
        self.traded += float(size.sum())
        self._fills.append(Fill(day, stock, change, price, commission, tax, slippage, reason))
