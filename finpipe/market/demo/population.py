"""Who is listed on the demo market: codes, names, markets, industries, and when each stock comes and goes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finpipe.market.demo.industries import INDUSTRIES, NAME_STEMS
from finpipe.market.demo.ticks import round_to_tick

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

KOSPI, KOSDAQ, KONEX = 0, 1, 2
MARKET_NAMES: tuple[str, ...] = ("KOSPI", "KOSDAQ", "KONEX")
"""``current_market_type`` of the market numbers."""
DAILY_MARKET_NAMES: tuple[str, ...] = ("kospi", "kosdaq", "kodex")
"""``daily_prices.market_type`` of the market numbers; the source calls KONEX ``kodex``."""

COMMON, PREFERRED, SPAC = 0, 1, 2

STAYS, DISTRESS, MERGER, VOLUNTARY, EXPIRY = 0, 1, 2, 3, 4
DELISTING_REASONS: tuple[str, ...] = (
    "",
    "감사의견 거절(감사범위 제한)",
    "피흡수합병",
    "신청에 의한 상장폐지",
    "존립기간 만료",
)
"""``delisted_stocks.reason`` of the exit numbers."""

LIQUIDATION_DAYS = 7
"""Sessions of liquidation trading before a distressed stock leaves the exchange."""

_ALPHANUMERIC_FROM = np.datetime64("2024-01-01")
_MEDIAN_CAP = 2.2e12
_CAP_SPREAD = 1.25


@dataclass(frozen=True, slots=True)
class Population:
    """The stocks of a demo market; every array has one entry per stock, in code order.

    Session numbers count from 0; ``sessions`` (one past the last) means never.
    """

    codes: tuple[str, ...]
    names: tuple[str, ...]
    kind: Ints
    issuer: Ints
    """Position of the issuer's common share; the stock itself unless it is a preferred share."""
    market: Ints
    moves_on: Ints
    """Session from which the stock trades on ``moves_to`` instead of ``market``."""
    moves_to: Ints
    industry: Ints
    later_industry: Ints
    changes_on: Ints
    """Session from which the company belongs to ``later_industry``."""
    listed_on: Ints
    last_on: Ints
    exit: Ints
    decline_from: Ints
    """Session from which a distressed company's price slides."""
    suspended_from: Ints
    suspended_until: Ints
    price: Ints
    """Base price of the first session in KRW."""
    shares: Ints
    volatility: Floats
    """Long-run idiosyncratic volatility per day."""
    turnover: Floats
    """Median fraction of the shares traded in a day."""
    beta: Floats

    @property
    def size(self) -> int:
        """Number of stocks."""
        return len(self.codes)


def draw_population(rng: np.random.Generator, stocks: int, sessions: NDArray[np.datetime64]) -> Population:
    """Draw the stocks of a market that lives through ``sessions``, ``stocks`` of them listed on average.

    More names than that come and go. Up to about 300 stocks most are large; beyond that mainly small
    companies are added, as on a real exchange.

    Raises
    ------
    ValueError
        If fewer than 20 stocks are asked for.
    """
    if stocks < 20:
        raise ValueError(f"a demo market needs at least 20 stocks to hold every kind, got {stocks}")
    last = sessions.size - 1
    names = _names_needed(rng.spawn(1)[0], stocks, sessions.size)
    kind, issuer = _kinds(rng, names)
    common, preferred, spac = kind == COMMON, kind == PREFERRED, kind == SPAC

    market = np.where(rng.random(names) < 0.52, KOSPI, KOSDAQ)
    konex = rng.permutation(np.flatnonzero(common & ~np.isin(np.arange(names), issuer[preferred])))
    market[konex[: max(1, round(0.03 * names))]] = KONEX
    market[spac] = KOSDAQ
    market[issuer[preferred]] = KOSPI

    listed_on, last_on, leaves = _lifetimes(rng, market, spac, sessions.size)
    moves_on, moves_to = _moves(rng, market, common, (listed_on, last_on), sessions.size)
    industry = rng.integers(0, len(INDUSTRIES), names)
    changes_on = np.where(
        common & (rng.random(names) < 0.03), rng.integers(0, sessions.size, names), sessions.size
    )
    later_industry = np.where(changes_on < sessions.size, rng.integers(0, len(INDUSTRIES), names), industry)

    centre = np.log(_MEDIAN_CAP) - 0.7 * np.log(max(stocks, 300) / 300)
    cap = np.exp(centre + _CAP_SPREAD * rng.standard_normal(names))
    cap *= np.choose(market, (1.4, 0.75, 1.0))
    cap[market == KONEX] = rng.uniform(2e10, 8e10, int((market == KONEX).sum()))
    cap[spac] = rng.uniform(8e9, 2e10, int(spac.sum()))
    price = np.exp(np.log(24_000) + 0.9 * rng.standard_normal(names)).clip(1_500, 800_000)
    price[spac] = 2_000.0

    log_volatility = np.choose(market, (-4.10, -3.75, -3.6)) + 0.30 * rng.standard_normal(names)
    log_volatility -= 0.05 * np.log(cap / _MEDIAN_CAP)
    log_volatility[spac] = -5.8
    log_turnover = np.choose(market, (-5.0, -4.25, -7.5)) + 0.6 * rng.standard_normal(names)
    log_turnover[spac] = -5.5
    beta = (1 + 0.25 * rng.standard_normal(names)).clip(0.2, 2.0)
    beta[spac] = 0.02

    for values, factor in ((price, 0.6), (cap, 0.12)):
        values[preferred] = values[issuer[preferred]] * factor
    log_volatility[preferred] = log_volatility[issuer[preferred]] + 0.1
    for whole in (market, listed_on, last_on, leaves, industry, later_industry, changes_on):
        whole[preferred] = whole[issuer[preferred]]
    moves_on[preferred] = sessions.size
    decline_from, suspended_from, suspended_until = _endings(rng, leaves, listed_on, last_on, last)
    for ending in (decline_from, suspended_from, suspended_until):
        ending[preferred] = ending[issuer[preferred]]
    base = round_to_tick(price)
    codes = _codes(rng, kind, issuer, sessions[listed_on])
    labels = _names(rng, kind, issuer, industry)
    order = np.argsort(np.array(codes))
    position = np.empty(names, dtype=np.int64)
    position[order] = np.arange(names)
    return Population(
        codes=tuple(codes[index] for index in order),
        names=tuple(labels[index] for index in order),
        kind=kind[order],
        issuer=position[issuer[order]],
        market=market[order],
        moves_on=moves_on[order],
        moves_to=moves_to[order],
        industry=industry[order],
        later_industry=later_industry[order],
        changes_on=changes_on[order],
        listed_on=listed_on[order],
        last_on=last_on[order],
        exit=leaves[order],
        decline_from=decline_from[order],
        suspended_from=suspended_from[order],
        suspended_until=suspended_until[order],
        price=base[order],
        shares=np.maximum(cap / base, 1_000).astype(np.int64)[order],
        volatility=np.exp(log_volatility)[order],
        turnover=np.exp(log_turnover)[order],
        beta=beta[order],
    )


def _kinds(rng: np.random.Generator, stocks: int) -> tuple[Ints, Ints]:
    kind = np.full(stocks, COMMON)
    issuer = np.arange(stocks)
    preferred = max(1, round(0.04 * stocks))
    spacs = max(1, round(0.03 * stocks))
    kind[:preferred] = PREFERRED
    kind[preferred : preferred + spacs] = SPAC
    issuer[:preferred] = rng.choice(np.flatnonzero(kind == COMMON), preferred, replace=False)
    return kind, issuer


def _names_needed(rng: np.random.Generator, stocks: int, sessions: int) -> int:
    """How many names keep ``stocks`` of them listed on an average day, from a trial of their lifetimes."""
    kind, issuer = _kinds(rng, 2_000)
    market = np.full(2_000, KOSPI)
    listed_on, last_on, _ = _lifetimes(rng, market, kind == SPAC, sessions)
    return round(stocks * sessions / float(np.mean((last_on - listed_on)[issuer] + 1)))


def _lifetimes(rng: np.random.Generator, market: Ints, spac: Mask, sessions: int) -> tuple[Ints, Ints, Ints]:
    stocks, last = market.size, sessions - 1
    arrives = rng.random(stocks) < 0.30
    listed_on = np.where(arrives, rng.integers(1, max(2, int(0.92 * sessions)), stocks), 0)
    listed_on[spac] = rng.integers(0, max(1, int(0.85 * sessions)), int(spac.sum()))

    years = sessions / 248
    leaves = rng.random(stocks) < 1 - np.exp(-0.014 * years)
    earliest = listed_on + min(260, sessions // 3)
    last_on = earliest + (rng.random(stocks) * (last - earliest)).astype(np.int64)
    last_on[spac] = listed_on[spac] + 3 * 248
    goes = (leaves | spac) & (last_on < last - 1) & (last_on > listed_on)
    how = rng.choice([DISTRESS, MERGER, VOLUNTARY], stocks, p=[0.6, 0.3, 0.1])
    how[spac] = EXPIRY
    how[market == KONEX] = VOLUNTARY
    return listed_on, np.where(goes, last_on, last), np.where(goes, how, STAYS)


def _moves(
    rng: np.random.Generator, market: Ints, common: Mask, lifetime: tuple[Ints, Ints], sessions: int
) -> tuple[Ints, Ints]:
    """Promotions from KONEX to KOSDAQ and from KOSDAQ to KOSPI in the middle of a stock's life."""
    listed_on, last_on = lifetime
    middle = listed_on + ((last_on - listed_on) * rng.uniform(0.3, 0.8, market.size)).astype(np.int64)
    promoted = common & (rng.random(market.size) < np.choose(market, (0.0, 0.03, 0.25)))
    moves_on = np.where(promoted & (middle > listed_on), middle, sessions)
    return moves_on, np.where(moves_on < sessions, market - 1, market)


def _endings(
    rng: np.random.Generator, leaves: Ints, listed_on: Ints, last_on: Ints, last: int
) -> tuple[Ints, Ints, Ints]:
    """Sessions of the final slide and of the final suspension ``[from, until)``."""
    never = last + 1
    slide = rng.integers(100, 240, leaves.size)
    closed = rng.integers(10, 45, leaves.size)
    distressed, merged = leaves == DISTRESS, (leaves == MERGER) | (leaves == VOLUNTARY)
    suspended_until = np.where(
        distressed, last_on - LIQUIDATION_DAYS + 1, np.where(merged, last_on + 1, never)
    )
    suspended_from = np.where(
        distressed, suspended_until - closed, np.where(merged, suspended_until - 5 - closed // 4, never)
    )
    decline_from = np.where(distressed, suspended_from - slide, never)
    return (
        np.maximum(decline_from, listed_on + 1),
        np.maximum(suspended_from, listed_on + 2),
        suspended_until,
    )


def _codes(rng: np.random.Generator, kind: Ints, issuer: Ints, listing: NDArray[np.datetime64]) -> list[str]:
    """Six characters; common shares end in 0, preferred shares repeat their issuer's code and end in 5."""
    numbers = rng.choice(np.arange(2, 48_000), kind.size, replace=False)
    alphanumeric = (listing >= _ALPHANUMERIC_FROM) & (kind == COMMON)
    letters = "ABCDGHJKLMNPRSTVWXYZ"
    taken: set[str] = set()
    codes: list[str] = []
    for number, modern in zip(numbers.tolist(), alphanumeric.tolist(), strict=True):
        code = f"{number % 1_000:04d}{letters[number % len(letters)]}0" if modern else f"{number:05d}0"
        while code in taken:
            code = f"{(int(code[:4]) + 1) % 10_000:04d}{code[4:]}"
        taken.add(code)
        codes.append(code)
    for index in np.flatnonzero(kind == PREFERRED).tolist():
        codes[index] = codes[int(issuer[index])][:5] + "5"
    return codes


def _names(rng: np.random.Generator, kind: Ints, issuer: Ints, industry: Ints) -> list[str]:
    stems = rng.permutation(np.array(NAME_STEMS)).tolist()
    counts: dict[str, int] = {}
    names: list[str] = []
    for index in range(kind.size):
        stem = stems[index % len(stems)]
        stem += stems[(index // len(stems) * 7 + index) % len(stems)] if index >= len(stems) else ""
        name = stem + INDUSTRIES[int(industry[index])].suffix
        counts[name] = counts.get(name, 0) + 1
        names.append(name if counts[name] == 1 else f"{name}{counts[name]}")
    for series, index in enumerate(np.flatnonzero(kind == SPAC).tolist(), start=1):
        names[index] = f"{stems[index % len(stems)]}제{series}호스팩"
    for index in np.flatnonzero(kind == PREFERRED).tolist():
        names[index] = names[int(issuer[index])] + "우"
    return names
