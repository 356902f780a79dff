"""What a caller asks of the optimiser: the objective, its limits, and errors that say which of them clash.

Checks that need no solver stand here; those that do (the highest reachable return) are in ``optimizer``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from finpipe.settings import PortfolioObjective

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

Objective = PortfolioObjective
OBJECTIVES: tuple[str, ...] = get_args(Objective)
WITHOUT_PROGRAM = ("risk-parity", "hrp", "herc")
"""Objectives that follow a rule instead of minimising over all feasible weights."""

_BY_RULE = ("sector_limits", "l2", "cost", "max_turnover", "a negative min_weight")
UNKNOWN_TO: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(WITHOUT_PROGRAM, _BY_RULE),
    "max-diversification": ("l2", "cost", "max_turnover"),
}
"""What an objective cannot honour."""

DEFAULT_MAX_WEIGHT = 0.2
ROUNDING = 1e-9
"""By how much sums of limits may miss 1."""


class ProblemError(ValueError):
    """A request makes no sense as it stands; the message says what to change."""


class InfeasibleError(ProblemError):
    """No portfolio meets the request; the message names the limits that clash and what would work."""


@contextmanager
def as_problem() -> Iterator[None]:
    """Within it, a value that a computation refuses is a request that makes no sense: ``ProblemError``."""
    try:
        yield
    except ProblemError:
        raise
    except ValueError as error:
        raise ProblemError(str(error)) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What to optimise, and within which limits.

    Parameters
    ----------
    objective
        ``max-sharpe``, ``min-volatility``, ``target-return`` (least volatility that returns at least
        ``target_return``), ``target-volatility`` (highest return with at most ``target_volatility``),
        ``risk-parity``, ``hrp`` (hierarchical risk parity), ``min-cvar``, ``max-diversification`` (highest ratio of
        the mean volatility of the names to that of the portfolio), ``herc`` (hierarchical equal risk contribution).
    risk_free
        Fraction per year; the Sharpe ratio is (expected return - risk_free) / volatility.
    target_return, target_volatility
        Fractions per year; only with the objective of that name.
    min_weight, max_weight
        Bounds of every weight, fractions of the whole. ``max_weight`` None is 20%, relaxed with a notice
        where so few names could not sum to 1; a number given is never relaxed.
    sector_limits
        Sector to the most that it may weigh, or to (least, most).
    l2
        Annual variance added for concentration: l2 x sum(w^2). 0 is off.
    current_weights
        Ticker to weight held now; what is missing is held at 0. Needed by ``cost`` and ``max_turnover``.
    cost
        Fraction of the traded value lost in trading from ``current_weights``: cost x sum(|w - current|) is
        taken off the expected return, and added to what ``min-volatility`` and ``min-cvar`` minimise.
    max_turnover
        Most of sum(|w - current|); 2 replaces a whole portfolio.
    confidence
        Level of the conditional value at risk: 0.95 averages the worst 5% of days.

    Raises
    ------
    ProblemError
        A value is out of its range or does not belong to the objective.
    """

    objective: Objective = "max-sharpe"
    risk_free: float = 0.0
    target_return: float | None = None
    target_volatility: float | None = None
    min_weight: float = 0.0
    max_weight: float | None = None
    sector_limits: Mapping[str, float | tuple[float, float]] = field(default_factory=dict)
    l2: float = 0.0
    current_weights: Mapping[str, float] | None = None
    cost: float = 0.0
    max_turnover: float | None = None
    confidence: float = 0.95

    def __post_init__(self) -> None:
        _require("objective", self.objective, self.objective in OBJECTIVES, f"one of {', '.join(OBJECTIVES)}")
        for name in ("risk_free", "min_weight", "l2", "cost", "confidence"):
            value = getattr(self, name)
            _require(name, value, bool(np.isfinite(value)), "a finite number")
        for name in ("target_return", "target_volatility"):
            self._belongs(name)
        if self.target_volatility is not None:
            _require("target_volatility", self.target_volatility, self.target_volatility > 0, "above 0")
        _require("min_weight", self.min_weight, -1 <= self.min_weight <= 1, "between -1 and 1")
        if self.max_weight is not None:
            fits = max(self.min_weight, 0.0) <= self.max_weight <= 1 and self.max_weight > 0
            _require(
                "max_weight", self.max_weight, fits, f"above 0, from min_weight ({self.min_weight:g}) to 1"
            )
        _require("l2", self.l2, self.l2 >= 0, "0 (off) or more")
        _require("cost", self.cost, 0 <= self.cost < 1, "a fraction from 0 to 1")
        _require("confidence", self.confidence, 0 < self.confidence < 1, "between 0 and 1, e.g. 0.95")
        if self.max_turnover is not None:
            _require("max_turnover", self.max_turnover, self.max_turnover >= 0, "0 or more, or left out")
        if self.current_weights is None and (self.cost > 0 or self.max_turnover is not None):
            raise ProblemError(
                "cost and max_turnover are counted from the weights held now: give current_weights"
            )
        for ticker, weight in (self.current_weights or {}).items():
            _require(f"current weight of {ticker}", weight, bool(np.isfinite(weight)), "a finite number")
        for sector in self.sector_limits:
            least, most = self.sector_range(sector)
            fits = bool(least <= most)
            _require(
                f"limit of sector {sector}", f"{least:g} to {most:g}", fits, "a least not above its most"
            )
        self._check_known()

    def sector_range(self, sector: str) -> tuple[float, float]:
        """Return the least and the most that ``sector`` may weigh; no limit is (-inf, inf)."""
        limit = self.sector_limits.get(sector, (-np.inf, np.inf))
        least, most = limit if isinstance(limit, tuple) else (-np.inf, limit)
        return float(least), float(most)

    def _belongs(self, name: str) -> None:
        value, objective = getattr(self, name), name.replace("_", "-")
        if self.objective == objective and value is None:
            raise ProblemError(f"the objective {objective} needs {name}, a fraction per year such as 0.1")
        if self.objective != objective and value is not None:
            raise ProblemError(
                f"{name} = {value:g} belongs to the objective {objective}, not to {self.objective}: "
                f"choose that objective or leave {name} out"
            )
        if value is not None:
            _require(name, value, bool(np.isfinite(value)), "a finite number")

    def _check_known(self) -> None:
        given = {
            "sector_limits": bool(self.sector_limits),
            "l2": self.l2 > 0,
            "cost": self.cost > 0,
            "max_turnover": self.max_turnover is not None,
            "a negative min_weight": self.min_weight < 0,
        }
        unknown = UNKNOWN_TO.get(self.objective, ())
        if names := [name for name in unknown if given[name]]:
            does = "follows a rule" if self.objective in WITHOUT_PROGRAM else "maximises a ratio"
            raise ProblemError(
                f"{self.objective} {does} that knows no {' and no '.join(names)}: "
                "leave that out, or choose min-volatility"
            )


@dataclass(frozen=True, slots=True)
class Bounds:
    """Feasible bounds of a problem on certain tickers.

    Parameters
    ----------
    lower, upper
        Bounds of the weights; shape (N,).
    notices
        What was relaxed, in words.
    """

    lower: Floats
    upper: Floats
    notices: tuple[str, ...] = ()


def feasible_bounds(
    problem: Problem, tickers: Sequence[str], sectors: Mapping[str, str] | None = None
) -> Bounds:
    """Bounds of the weights, once tickers, bounds and sector limits are known not to clash.

    As every ticker has at most one sector, sums of bounds decide feasibility exactly.

    Raises
    ------
    ProblemError
        Fewer than two tickers, a ticker twice, or a limit on a sector that no ticker has.
    InfeasibleError
        Bounds and sector limits admit no weights that sum to 1; says which, with figures.
    """
    check_tickers(tickers)
    members = sector_members(problem, tickers, sectors)
    count = len(tickers)
    if problem.max_weight is not None:
        bounds = Bounds(np.full(count, problem.min_weight), np.full(count, problem.max_weight))
        _check_bounds(problem, bounds, members)
        return bounds

    def at(cap: float) -> Bounds:
        return Bounds(np.full(count, problem.min_weight), np.full(count, max(cap, problem.min_weight)))

    choices = sorted({DEFAULT_MAX_WEIGHT, max(DEFAULT_MAX_WEIGHT, 2 / count), 1.0})
    for cap in choices[:-1]:
        try:
            _check_bounds(problem, at(cap), members)
        except InfeasibleError:
            continue
        break
    else:
        cap = choices[-1]
        _check_bounds(problem, at(cap), members)
    notices: tuple[str, ...] = ()
    if cap > DEFAULT_MAX_WEIGHT:
        notices = (
            f"the default maximum weight of {DEFAULT_MAX_WEIGHT:.0%} was relaxed to {cap:.1%}, as {count} tickers "
            "within these limits could not sum to 100%",
        )
    elif count * cap <= 1 + ROUNDING:
        notices = (
            f"with {count} tickers the default maximum weight of {cap:.0%} leaves only equal weights; give a "
            "higher max_weight for a choice",
        )
    elif problem.min_weight > cap:
        notices = (f"the default maximum weight was relaxed to min_weight ({problem.min_weight:.1%})",)
    return Bounds(at(cap).lower, at(cap).upper, notices)


def sector_members(
    problem: Problem, tickers: Sequence[str], sectors: Mapping[str, str] | None
) -> dict[str, Indices]:
    """Positions of the tickers of each limited sector.

    Raises
    ------
    ProblemError
        A limited sector has no ticker; lists those that there are.
    """
    known = [(sectors or {}).get(ticker) for ticker in tickers]
    members = {
        sector: np.array([at for at, name in enumerate(known) if name == sector], dtype=np.int64)
        for sector in problem.sector_limits
    }
    for sector, found in members.items():
        least, most = problem.sector_range(sector)
        if len(found) == 0 and least > 0:
            there = sorted({name for name in known if name})
            raise ProblemError(
                f"sector {sector!r} must weigh at least {least:.1%} but none of the {len(tickers)} tickers is in "
                f"it; sectors here: {', '.join(there) or 'none (no sectors were given)'}"
            )
        if len(found) == 0 and not any(known):
            raise ProblemError(
                f"sector {sector!r} is limited to {most:.1%}, but the sectors of the tickers are unknown: "
                "give sectors, or leave sector_limits out"
            )
    return members


def check_tickers(tickers: Sequence[str]) -> None:
    """Raise ``ProblemError`` unless there are at least two tickers, none of them twice."""
    if twice := sorted(ticker for ticker, times in Counter(tickers).items() if times > 1):
        raise ProblemError(f"each ticker may stand once, these stand twice or more: {', '.join(twice)}")
    if len(tickers) < 2:
        there = f"only {tickers[0]} is" if tickers else "no ticker is"
        raise ProblemError(f"{there} left to weigh: a portfolio needs at least two tickers")


def check_moments(expected: Floats, covariance: Floats, tickers: Sequence[str]) -> None:
    """Raise ``ProblemError`` unless the figures fit the tickers, are finite, and the covariance is one."""
    count = len(tickers)
    if expected.shape != (count,) or covariance.shape != (count, count):
        raise ProblemError(
            f"{count} tickers need {count} expected returns and a {count} x {count} covariance; "
            f"given are shapes {expected.shape} and {covariance.shape}"
        )
    for name, known in (
        ("expected return", [bool(value) for value in np.isfinite(expected)]),
        ("covariance", [bool(row.all()) for row in np.isfinite(covariance)]),
    ):
        if not all(known):
            unknown = [ticker for ticker, is_known in zip(tickers, known, strict=True) if not is_known]
            raise ProblemError(
                f"no finite {name} for {', '.join(unknown[:10])}{' …' if len(unknown) > 10 else ''}: "
                "exclude these tickers first"
            )
    scale = float(np.abs(covariance).max())
    if not np.allclose(covariance, covariance.T, rtol=0, atol=1e-9 * scale):
        raise ProblemError("the covariance is not symmetric")
    try:
        np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        least = float(np.linalg.eigvalsh(covariance)[0])
        if least < -1e-9 * scale:
            raise ProblemError(
                f"the covariance is not positive semidefinite (smallest eigenvalue {least:.3g}): repair it first, "
                "as covariance() does"
            ) from None


def _check_bounds(problem: Problem, bounds: Bounds, members: Mapping[str, Indices]) -> None:
    count = len(bounds.lower)
    low, high = float(bounds.lower[0]), float(bounds.upper[0])
    if count * high < 1 - ROUNDING:
        raise InfeasibleError(
            f"{count} tickers of at most {high:.4g} sum to {count * high:.4g}, below 1: give max_weight of at least "
            f"{_above(1 / count)}, or at least {int(np.ceil(1 / high - ROUNDING))} tickers"
        )
    if count * low > 1 + ROUNDING:
        raise InfeasibleError(
            f"{count} tickers of at least {low:.4g} sum to {count * low:.4g}, above 1: give min_weight of at most "
            f"{np.floor(1e4 / count) / 1e4:.4g}, or at most {int(1 / low + ROUNDING)} tickers"
        )
    floors, caps, rest = {}, {}, count
    for sector, found in members.items():
        least, most = problem.sector_range(sector)
        rest -= len(found)
        floors[sector], caps[sector] = max(least, len(found) * low), min(most, len(found) * high)
        if floors[sector] > caps[sector] + ROUNDING:
            raise InfeasibleError(
                f"sector {sector} may weigh {max(least, 0):.4g} to {min(most, 1):.4g}, but its {len(found)} tickers of "
                f"{low:.4g} to {high:.4g} each weigh {len(found) * low:.4g} to {len(found) * high:.4g}: change the "
                "limit of the sector or the bounds of the weights"
            )
    spread = ", ".join(f"{sector} {cap:.4g}" for sector, cap in caps.items())
    if sum(caps.values()) + rest * high < 1 - ROUNDING:
        raise InfeasibleError(
            f"sectors may weigh at most {sum(caps.values()):.4g} together ({spread}) and the {rest} other tickers "
            f"{rest * high:.4g}, below 1: raise sector limits by {1 - sum(caps.values()) - rest * high:.4g} in sum, "
            "or max_weight"
        )
    if sum(floors.values()) + rest * low > 1 + ROUNDING:
        spread = ", ".join(f"{sector} {floor:.4g}" for sector, floor in floors.items())
        raise InfeasibleError(
            f"sectors must weigh at least {sum(floors.values()):.4g} together ({spread}) and the {rest} other tickers "
            f"{rest * low:.4g}, above 1: lower the least of the sectors or min_weight"
        )


def _above(value: float) -> str:
    return f"{np.ceil(value * 1e4 - 1e-9) / 1e4:.4g}"


def _require(name: str, value: object, is_met: bool, wanted: str) -> None:
    if not is_met:
        raise ProblemError(f"{name} is {value}: it must be {wanted}")
