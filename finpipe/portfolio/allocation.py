"""From weights to whole shares for a sum of money."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import floor, fsum, isfinite
from typing import Literal

import numpy as np

from finpipe.portfolio.problem import Floats, Indices, ProblemError

SECONDS = 10.0
"""Time after which the search for the closest allocation takes what it has."""


@dataclass(frozen=True, slots=True)
class Allocation:
    """Whole shares bought for a budget.

    Parameters
    ----------
    shares
        Ticker to number of shares, without those of 0.
    spent, left
        Money in shares and money left over; their sum is the budget.
    weights
        Ticker to the share of the budget that its shares are worth.
    notices
        Which tickers got nothing, and why; whether the search was cut off.
    """

    shares: dict[str, int]
    spent: float
    left: float
    weights: dict[str, float]
    notices: tuple[str, ...]


def whole_shares(
    weights: Mapping[str, float],
    prices: Mapping[str, float],
    budget: float,
    *,
    method: Literal["greedy", "closest"] = "greedy",
) -> Allocation:
    """Return whole shares worth close to ``weights`` of ``budget``, and never more than it.

    Parameters
    ----------
    weights
        Ticker to weight, 0 or more, of at most 1 in sum; what is missing to 1 stays cash.
    prices
        Ticker to the price of a share, in the money of the budget.
    method
        ``greedy`` buys the whole shares that a weight pays for and then, one at a time, the share of the ticker
        furthest below its weight that the rest still buys. ``closest`` minimises the sum of |value - weight x
        budget| and the money left (a mixed-integer program solved by HiGHS, 10 s at most).

    Raises
    ------
    ProblemError
        The budget is not positive, a weight is negative or the weights sum to more than 1, a price is
        missing or not positive, or nothing can be bought.
    """
    wanted = {ticker: float(weight) for ticker, weight in weights.items() if weight != 0}
    _check(wanted, prices, budget)
    tickers = list(wanted)
    price = np.array([float(prices[ticker]) for ticker in tickers])
    target = np.array([wanted[ticker] for ticker in tickers]) * budget
    counts = _greedy(target, price, budget)
    notices: list[str] = []
    if method == "closest":
        found, is_best = _closest(target, price, budget)
        if found is not None and _distance(found, target, price) <= _distance(counts, target, price):
            counts = found
        if not is_best:
            notices.append(
                f"the search for the closest allocation ended after {SECONDS:g} s with the best so far"
            )
    elif method != "greedy":
        raise ProblemError(f"method is {method!r}: it must be greedy or closest")
    shares = {ticker: int(count) for ticker, count in zip(tickers, counts, strict=True) if count > 0}
    if not shares:
        cheapest = int(np.argmin(price))
        raise ProblemError(
            f"a budget of {budget:,.2f} buys no share: the cheapest, {tickers[cheapest]}, costs {price[cheapest]:,.2f}"
        )
    if nothing := [ticker for ticker in tickers if ticker not in shares]:
        notices.append(
            f"{len(nothing)} of {len(tickers)} tickers get no share, as one costs more than their part of the budget: "
            f"{', '.join(nothing[:10])}{' …' if len(nothing) > 10 else ''}"
        )
    spent = fsum(count * float(prices[ticker]) for ticker, count in shares.items())
    return Allocation(
        shares=shares,
        spent=spent,
        left=budget - spent,
        weights={ticker: count * float(prices[ticker]) / budget for ticker, count in shares.items()},
        notices=tuple(notices),
    )


def _greedy(target: Floats, price: Floats, budget: float) -> Indices:
    counts = np.array([floor(value) for value in target / price], dtype=np.int64)
    while _left(counts, price, budget) < 0:  # a weight that ends on a whole share may round up
        counts[np.argmax(np.where(counts > 0, counts * price - target, -np.inf))] -= 1
    while True:
        short = np.where(price <= _left(counts, price, budget), target - counts * price, 0.0)
        at = int(np.argmax(short))
        if short[at] <= 0:
            return counts
        counts[at] += 1
        if _left(counts, price, budget) < 0:
            counts[at] -= 1
            return counts


def _closest(target: Floats, price: Floats, budget: float) -> tuple[Indices | None, bool]:
    """Minimise sum of gaps - money spent over (counts, gaps), with gaps >= |value - target|."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    count = len(price)
    worth, gap = np.diag(price), np.eye(count)
    spend = np.concatenate([price, np.zeros(count)])
    found = milp(
        np.concatenate([-price, np.ones(count)]) / budget,
        integrality=np.concatenate([np.ones(count), np.zeros(count)]),
        bounds=Bounds(0, np.concatenate([np.ceil(target / price) + 1, np.full(count, np.inf)])),
        constraints=[
            LinearConstraint(np.hstack([worth, -gap]), -np.inf, target),
            LinearConstraint(np.hstack([worth, gap]), target, np.inf),
            LinearConstraint(spend[None, :], -np.inf, budget),
        ],
        options={"time_limit": SECONDS, "mip_rel_gap": 1e-4},
    )
    if found.x is None:
        return None, False
    counts = np.rint(found.x[:count]).astype(np.int64)
    return (counts if _left(counts, price, budget) >= 0 else None), found.status == 0


def _distance(counts: Indices, target: Floats, price: Floats) -> float:
    value = counts * price
    return float(np.abs(value - target).sum() - value.sum())


def _left(counts: Indices, price: Floats, budget: float) -> float:
    return budget - fsum((counts * price).tolist())


def _check(weights: Mapping[str, float], prices: Mapping[str, float], budget: float) -> None:
    if not (isfinite(budget) and budget > 0):
        raise ProblemError(f"budget is {budget}: it must be a positive sum of money")
    for ticker, weight in weights.items():
        if not (isfinite(weight) and weight > 0):
            raise ProblemError(
                f"{ticker} weighs {weight}: only weights of 0 or more can be bought as whole shares"
            )
    if not weights:
        raise ProblemError("no ticker has a weight above 0: there is nothing to buy")
    total = fsum(weights.values())
    if total > 1 + 1e-6:
        raise ProblemError(
            f"the weights sum to {total:.6g}: divide them by that, so that the budget is enough"
        )
    without = [ticker for ticker in weights if not _is_price(prices.get(ticker))]
    if without:
        raise ProblemError(
            f"no price above 0 for {', '.join(without[:10])}{' …' if len(without) > 10 else ''}: give their prices, or "
            "leave these tickers out and optimise again"
        )


def _is_price(price: float | None) -> bool:
    return price is not None and isfinite(price) and price > 0
