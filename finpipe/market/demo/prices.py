"""The day-by-day simulation of closing prices: who trades, at what base price, and where the close ends up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finpipe.market.demo.corporate_actions import CorporateActions
from finpipe.market.demo.factors import Factors, fat_tailed
from finpipe.market.demo.population import (
    COMMON,
    DISTRESS,
    KONEX,
    KOSDAQ,
    PREFERRED,
    SPAC,
    Population,
)
from finpipe.market.demo.signal import PlantedSignal
from finpipe.market.demo.ticks import price_limits, round_to_tick
from finpipe.market.demo.volume import LOCKED_SHARE, Trading

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

_BLOCK = 32
_HALT_HAZARD = 0.0007
_IDLE_KONEX, _AFTER_HOURS_ONLY = 0.30, 0.00002
_VOLATILITY_MEMORY, _VOLATILITY_SPREAD = 200, 0.35
_NEAR_LIMIT = 0.2
_SLIDE, _LIQUIDATION_SLIDE = -0.009, -0.13


@dataclass(frozen=True, slots=True)
class PriceBlock:
    """Consecutive sessions of all stocks; arrays have shape (days, stocks) unless said otherwise.

    Parameters
    ----------
    first
        Session number of the first day.
    listed
        Whether the stock has a row on the day.
    halted
        Listed, but without any trade.
    after_hours
        Traded only outside the session: volume, but no opening, highest or lowest price.
    locked
        Closed at the price limit without leaving it all day.
    base, close
        The exchange's base price and the closing price, KRW; 0 where not listed.
    volume
        Shares traded; 0 where halted or not listed.
    shares
        Listed shares on the day.
    market
        Market number on the day.
    industry
        Industry number on the day.
    volatility
        Standard deviation of the idiosyncratic return of the day.
    """

    first: int
    listed: Mask
    halted: Mask
    after_hours: Mask
    locked: Mask
    base: Ints
    close: Ints
    volume: Ints
    shares: Ints
    market: Ints
    industry: Ints
    volatility: Floats

    @property
    def days(self) -> int:
        """Number of sessions in the block."""
        return len(self.listed)


@dataclass(frozen=True, slots=True)
class ProfitabilityNews:
    """Gross profit over assets becoming known: ``value[i]`` of stock ``stock[i]`` before session ``session[i]``.

    Sorted by session.
    """

    session: Ints
    stock: Ints
    value: Floats


def simulate_prices(
    rng: np.random.Generator, population: Population, factors: Factors, news: ProfitabilityNews
) -> Iterator[PriceBlock]:
    """Yield the market in blocks of sessions, in order.

    The log return of a stock is beta times the market factor, plus its industry's (and KOSDAQ's) factor, plus
    Student t noise with four degrees of freedom, plus the planted drift. Closing prices are rounded to the
    tick and held within the price limit; the return actually made is change over base price.
    """
    exchange = _Exchange(rng, population, factors, news)
    sessions = factors.market.size
    for first in range(0, sessions, _BLOCK):
        yield exchange.trade(first, min(_BLOCK, sessions - first))


class _Exchange:
    def __init__(
        self, rng: np.random.Generator, population: Population, factors: Factors, news: ProfitabilityNews
    ) -> None:
        self._noise, self._events, actions, trading = rng.spawn(4)
        self._population = population
        self._factors = factors
        self._news = news
        stocks = population.size
        self._close = population.price.copy()
        self._shares = population.shares.copy()
        self._halt_left = np.zeros(stocks, dtype=np.int64)
        self._volatility_state = _VOLATILITY_SPREAD * self._noise.standard_normal(stocks)
        self._signal = PlantedSignal(stocks)
        self._actions = CorporateActions(actions, stocks)
        self._trading = Trading(trading, population)
        self._adjustment = np.ones(stocks)
        self._preferred = np.flatnonzero(population.kind == PREFERRED)
        self._ordinary = population.kind != SPAC
        self._may_act = population.kind == COMMON

    def trade(self, first: int, days: int) -> PriceBlock:
        population = self._population
        stocks = population.size
        shape = (days, stocks)
        noise = fat_tailed(self._noise, 4.0, shape)
        noise[:, self._preferred] = (
            0.8 * noise[:, population.issuer[self._preferred]] + 0.6 * noise[:, self._preferred]
        )
        block = PriceBlock(
            first=first,
            listed=np.zeros(shape, dtype=np.bool_),
            halted=np.zeros(shape, dtype=np.bool_),
            after_hours=np.zeros(shape, dtype=np.bool_),
            locked=np.zeros(shape, dtype=np.bool_),
            base=np.zeros(shape, dtype=np.int64),
            close=np.zeros(shape, dtype=np.int64),
            volume=np.zeros(shape, dtype=np.int64),
            shares=np.zeros(shape, dtype=np.int64),
            market=np.zeros(shape, dtype=np.int64),
            industry=np.zeros(shape, dtype=np.int64),
            volatility=np.zeros(shape),
        )
        for row in range(days):
            self._trade_day(block, row, noise[row])
        return block

    def _trade_day(self, block: PriceBlock, row: int, noise: Floats) -> None:
        population, day = self._population, block.first + row
        self._read_news(day)
        listed = (population.listed_on <= day) & (day <= population.last_on)
        market = np.where(day >= population.moves_on, population.moves_to, population.market)
        industry = np.where(day >= population.changes_on, population.later_industry, population.industry)
        halted = listed & self._halted(day, market, listed)
        trades = listed & ~halted

        base, shares = self._actions.take_effect(trades, self._close, self._shares)
        shares = self._actions.issue_shares(trades & self._may_act, shares)
        volatility = self._volatility(day)
        after_hours = trades & (self._events.random(population.size) < _AFTER_HOURS_ONLY)
        open_today = trades & ~after_hours
        wanted = self._log_return(day, market, industry, noise, volatility)
        low, high = price_limits(base)
        close = np.clip(round_to_tick(np.exp(np.log(base) + wanted)), low, high).astype(np.int64)
        close = np.where(open_today, close, base)
        change = (close - base) / base
        at_limit = open_today & (np.abs(change) > _NEAR_LIMIT) & ((close == low) | (close == high))
        locked = at_limit & (self._events.random(population.size) < LOCKED_SHARE)
        volume = self._trading.volume(
            shares, market, np.abs(change) / volatility, locked=locked, after_hours=after_hours
        )
        volume = np.where(trades, volume, 0)

        self._adjustment *= np.where(trades, self._close / base, 1.0)
        self._close = np.where(listed, close, self._close)
        self._shares = np.where(listed, shares, self._shares)
        eligible = self._ordinary & (market != KONEX)
        self._signal.close_day(trades, eligible, change, volume / self._adjustment)
        may_act = self._may_act & (population.suspended_from > day + 25)
        closed = self._actions.announce(trades, may_act, close)
        self._halt_left = np.maximum(self._halt_left - 1, 0) + closed

        block.listed[row], block.halted[row], block.after_hours[row] = listed, halted, after_hours
        block.base[row], block.close[row] = np.where(listed, base, 0), np.where(listed, close, 0)
        block.locked[row], block.volume[row] = locked, volume
        block.shares[row], block.market[row], block.industry[row] = shares, market, industry
        block.volatility[row] = volatility

    def _read_news(self, day: int) -> None:
        start, stop = np.searchsorted(self._news.session, (day, day + 1))
        if stop > start:
            self._signal.gp_over_assets[self._news.stock[start:stop]] = self._news.value[start:stop]

    def _halted(self, day: int, market: Ints, listed: Mask) -> Mask:
        population = self._population
        chance = self._events.random(population.size)
        first_day = population.listed_on == day
        ending = (population.suspended_from <= day) & (day < population.suspended_until)
        liquidation = (population.exit == DISTRESS) & (day >= population.suspended_until)
        starts = np.flatnonzero(
            listed & ~first_day & ~liquidation & (self._halt_left == 0) & (chance < _HALT_HAZARD)
        )
        if starts.size:
            how = self._events.random(starts.size)
            brief = self._events.integers(1, 6, starts.size)
            longer = self._events.integers(5, 21, starts.size)
            endless = self._events.integers(40, 251, starts.size)
            self._halt_left[starts] = np.where(how < 0.82, brief, np.where(how < 0.985, longer, endless))
        idle = (market == KONEX) & (chance > 1 - _IDLE_KONEX)
        paused = (self._halt_left > 0) & ~liquidation
        return np.asarray((paused | idle | ending) & ~first_day)

    def _volatility(self, day: int) -> Floats:
        if day % 5 == 0:
            pull = 5 / _VOLATILITY_MEMORY
            shock = self._noise.standard_normal(self._population.size)
            self._volatility_state *= 1 - pull
            self._volatility_state += np.sqrt(2 * pull) * _VOLATILITY_SPREAD * shock
        wild = 1 + 0.5 * (day >= self._population.decline_from)
        volatility = self._population.volatility * np.exp(self._volatility_state)
        return np.asarray(volatility * wild * self._factors.agitation[day])

    def _log_return(
        self, day: int, market: Ints, industry: Ints, noise: Floats, volatility: Floats
    ) -> Floats:
        population, factors = self._population, self._factors
        follows = population.beta > 0.1
        drift = volatility * self._signal.push
        drift += _SLIDE * (day >= population.decline_from) * (day < population.suspended_from)
        drift += (_LIQUIDATION_SLIDE + 0.1 * np.minimum(noise, 0)) * (
            (population.exit == DISTRESS) & (day >= population.suspended_until)
        )
        shared = factors.industry[day, industry] + (market == KOSDAQ) * factors.kosdaq[day]
        return np.asarray(
            population.beta * factors.market[day] + follows * shared + volatility * noise + drift
        )
