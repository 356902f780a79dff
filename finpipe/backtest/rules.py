"""The rules that a simulated portfolio follows: what it buys, when, how much, and what trading costs.

Parameter values of the named strategies are data in ``presets.toml``; the mechanics are in ``simulate``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


class RulesError(ValueError):
    """A rule has a value that no portfolio can follow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Rules of a long-only portfolio of ranked stocks.

    Parameters
    ----------
    selection
        ``top_n`` holds the ``n`` best ranks; ``quintile`` the best fifth of the day's candidates.
    n
        Number of stocks of ``top_n``.
    horizon
        Trading days between two rebalances of the same money.
    cohorts
        The capital is split into this many sub-portfolios, each rebalanced every ``horizon`` days, one
        every ``horizon / cohorts`` days, so that the result depends less on the day of the start.
    sector_cap
        Most stocks held of one sector, in number; None for no cap. Stocks without a sector count as one
        sector together.
    buy_rank
        No stock ranked worse than this is bought, even if fewer than ``n`` are found; None for no limit.
    hold_rank
        A stock that is held is kept while its rank is not worse than this, which saves turnover; it
        may not be below ``n``. None sells whatever is not selected anew.
    weighting
        ``equal``, or ``inverse_volatility``: proportional to 1 / max(volatility_20d, volatility_floor).
    volatility_floor
        Smallest annualised volatility used in the weights, as a fraction.
    max_amihud_rank
        Candidates need an ``amihud_rank`` (percent rank of illiquidity, 1 is the least liquid) of at
        most this; a stock without one is no candidate. None for no filter.
    regime_threshold
        The portfolio goes to cash at a rebalance whose ``market_regime_score`` (KOSPI 200 over its
        120-day mean, minus 1) is below this at the signal's close. None for no cash rule.
    regime_cash
        Share of the money that then stays in cash: 1 all of it, 0.5 half.
    stop_loss
        A stock that closes this fraction or more below its average entry price (adjusted) is sold at
        the next open; the money waits for the next rebalance. None for no stop-loss.
    commission
        Broker's fee per side, as a fraction of the traded value.
    sale_tax
        Securities transaction tax on sales, as a fraction of the traded value.
    slippage
        Loss against the opening price per side, as a fraction of the traded value.
    initial_capital
        KRW at the start.
    whole_shares
        Buy whole shares at raw prices and leave the rest in cash. Otherwise shares are fractional.
    participation
        Share of a stock's daily traded value that one may be; only used to estimate the capacity.
    delisting_return
        What a stock pays after its last day, relative to its last price (-0.3 loses 30 percent), unless
        the table of stocks gives its own.
    cash_rate
        Interest on cash per year, as a fraction.

    Raises
    ------
    RulesError
        A value is out of its range.
    """

    selection: Literal["top_n", "quintile"] = "top_n"
    n: int = 20
    horizon: int = 21
    cohorts: int = 1
    sector_cap: int | None = None
    buy_rank: int | None = None
    hold_rank: int | None = None
    weighting: Literal["equal", "inverse_volatility"] = "equal"
    volatility_floor: float = 0.1
    max_amihud_rank: float | None = None
    regime_threshold: float | None = None
    regime_cash: float = 1.0
    stop_loss: float | None = None
    commission: float = 0.00015
    sale_tax: float = 0.0018
    slippage: float = 0.002
    initial_capital: float = 100_000_000.0
    whole_shares: bool = False
    participation: float = 0.05
    delisting_return: float = -0.3
    cash_rate: float = 0.0

    def __post_init__(self) -> None:
        require = _require
        require("selection", self.selection, self.selection in {"top_n", "quintile"}, "top_n or quintile")
        require(
            "weighting",
            self.weighting,
            self.weighting in {"equal", "inverse_volatility"},
            "equal or inverse_volatility",
        )
        for name in ("n", "horizon", "cohorts"):
            require(name, getattr(self, name), getattr(self, name) >= 1, "at least 1")
        require("cohorts", self.cohorts, self.cohorts <= self.horizon, f"at most horizon ({self.horizon})")
        for name in ("sector_cap", "buy_rank"):
            value = getattr(self, name)
            require(name, value, value is None or value >= 1, "at least 1, or left out")
        require(
            "hold_rank",
            self.hold_rank,
            self.hold_rank is None or self.selection == "quintile" or self.hold_rank >= self.n,
            f"at least n ({self.n}), or left out",
        )
        require("volatility_floor", self.volatility_floor, self.volatility_floor > 0, "positive")
        for name in ("max_amihud_rank", "regime_cash", "stop_loss", "participation"):
            value = getattr(self, name)
            optional = name in {"max_amihud_rank", "stop_loss"}
            require(name, value, (value is None and optional) or 0 < value <= 1, "above 0 and at most 1")
        for name in ("commission", "sale_tax", "slippage"):
            require(name, getattr(self, name), 0 <= getattr(self, name) < 0.5, "from 0 up to 0.5")
        require("initial_capital", self.initial_capital, self.initial_capital > 0, "positive")
        require(
            "delisting_return", self.delisting_return, -1 <= self.delisting_return <= 1, "between -1 and 1"
        )
        require("cash_rate", self.cash_rate, -0.5 < self.cash_rate < 1, "between -0.5 and 1")

    @property
    def buy_cost(self) -> float:
        """Cost of buying, as a fraction of the traded value."""
        return self.commission + self.slippage

    @property
    def sell_cost(self) -> float:
        """Cost of selling, as a fraction of the traded value."""
        return self.commission + self.slippage + self.sale_tax

    @property
    def round_trip_cost(self) -> float:
        """Cost of buying and selling again, as a fraction of the traded value."""
        return self.buy_cost + self.sell_cost

    @property
    def characteristics(self) -> list[str]:
        """Columns beside the score that these rules look at: of the candidates, dated like the signal."""
        needed = {
            "sector": self.sector_cap is not None,
            "amihud_rank": self.max_amihud_rank is not None,
            "volatility_20d": self.weighting == "inverse_volatility",
        }
        return [name for name, is_needed in needed.items() if is_needed]

    def cohort_of(self, day: int) -> int | None:
        """Return which cohort takes its signal ``day`` trading days after the first one, if any."""
        offset = day % self.horizon
        for cohort in range(self.cohorts):
            if offset == cohort * self.horizon // self.cohorts:
                return cohort
        return None


def _require(name: str, value: object, is_met: bool, wanted: str) -> None:
    if not is_met:
        raise RulesError(f"rules.{name} is {value!r}; it has to be {wanted}")
