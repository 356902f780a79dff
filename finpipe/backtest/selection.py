"""Which of one day's ranked stocks a portfolio wants, and with which weights.

The simulation and today's picks both ask here, so that what is bought is what was tested.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from math import ceil

import numpy as np
import polars as pl
from numpy.typing import NDArray

from finpipe.backtest.rules import Rules

UNKNOWN_SECTOR = -1


class SelectionError(ValueError):
    """The candidates lack something that the rules look at."""


def portfolio_weights(
    candidates: pl.DataFrame,
    rules: Rules,
    *,
    held: Collection[str] = (),
    excluded: Collection[str] = (),
    regime: float | None = None,
) -> pl.DataFrame:
    """Choose and weigh the stocks to hold, given one date's ranks.

    Parameters
    ----------
    candidates
        One date's rows: ``stock_code``, ``rank`` (1 is best) and the columns of
        ``rules.characteristics``, dated like the ranks. Other columns are passed through.
    rules
        What to hold.
    held
        Codes in the portfolio now; they profit from ``rules.hold_rank``.
    excluded
        Codes that must not be held, for example because they have just been stopped out.
    regime
        ``market_regime_score`` of the date; None if unknown, which leaves the money invested.

    Returns
    -------
    pl.DataFrame
        The chosen candidates in order of rank with ``weight``, a fraction of the capital. Weights add
        up to ``invested_share(rules, regime)``; no row is returned if nothing is to be held.

    Raises
    ------
    SelectionError
        A column that the rules look at is missing, or the rows are of more than one date.

    Examples
    --------
    >>> import polars as pl
    >>> from finpipe.backtest.rules import Rules
    >>> day = pl.DataFrame({"stock_code": ["000020", "000040", "000050"], "rank": [2, 1, 3]})
    >>> portfolio_weights(day, Rules(n=2))["weight"].to_list()
    [0.5, 0.5]
    """
    needed = ["stock_code", "rank", *rules.characteristics]
    missing = [name for name in needed if name not in candidates.columns]
    if missing:
        raise SelectionError(
            f"candidates lack {', '.join(missing)}; they have {candidates.columns}. "
            "Join the columns named by rules.characteristics to the ranks first."
        )
    if "date" in candidates.columns and candidates["date"].n_unique() > 1:
        raise SelectionError("candidates are of more than one date; choose the rows of a single one")
    share = invested_share(rules, regime)
    code = pl.col("stock_code").cast(pl.String)
    flags = candidates.select(
        held=code.is_in(list(held)),
        excluded=code.is_in(list(excluded)),
    )
    day = Candidates.of(candidates, np.arange(candidates.height))
    chosen = choose(day, rules, held=flags["held"].to_numpy(), excluded=flags["excluded"].to_numpy())
    if share <= 0:
        chosen = chosen[:0]
    weight = share * weigh(day.volatility[chosen], rules)
    rows: pl.DataFrame = candidates[day.stock[chosen].tolist()]
    return rows.with_columns(weight=pl.Series(weight, dtype=pl.Float64))


def invested_share(rules: Rules, regime: float | None) -> float:
    """Return the share of the capital that is invested under a regime score; 1 if the score is unknown."""
    if rules.regime_threshold is None or regime is None or regime >= rules.regime_threshold:
        return 1.0
    return 1.0 - rules.regime_cash


@dataclass(frozen=True, slots=True)
class Candidates:
    """One date's ranked stocks as arrays of equal length, in order of rank.

    Parameters
    ----------
    stock
        Where each candidate stands in a list of all stocks.
    rank
        1 is best.
    sector
        A number per sector, or ``UNKNOWN_SECTOR``.
    amihud, volatility
        ``amihud_rank`` and ``volatility_20d``; NaN where unknown.
    """

    stock: NDArray[np.int64]
    rank: NDArray[np.int64]
    sector: NDArray[np.int64]
    amihud: NDArray[np.float64]
    volatility: NDArray[np.float64]

    @classmethod
    def of(cls, frame: pl.DataFrame, stock: NDArray[np.int64]) -> Candidates:
        """Build from a frame with ``rank`` and perhaps ``sector``, ``amihud_rank``, ``volatility_20d``."""
        rank = frame["rank"].to_numpy().astype(np.int64)
        order = np.argsort(rank, kind="stable")

        def numbers(name: str) -> NDArray[np.float64]:
            if name not in frame.columns:
                return np.full(len(order), np.nan)
            return frame[name].cast(pl.Float64).fill_null(np.nan).to_numpy()[order]

        sector = np.full(len(order), UNKNOWN_SECTOR, dtype=np.int64)
        if "sector" in frame.columns:
            labels = frame["sector"].cast(pl.String).rank("dense").cast(pl.Int64)
            sector = labels.fill_null(UNKNOWN_SECTOR).to_numpy()[order]
        return cls(stock[order], rank[order], sector, numbers("amihud_rank"), numbers("volatility_20d"))


def choose(
    candidates: Candidates,
    rules: Rules,
    *,
    held: NDArray[np.bool_],
    excluded: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """Return which candidates to hold, as positions in their arrays, in order of rank.

    First what is held and still ranks within ``rules.hold_rank``, best first; then the best of the
    rest. ``held`` and ``excluded`` are flags per stock, indexed by ``candidates.stock``.
    """
    is_open = ~excluded[candidates.stock]
    if rules.max_amihud_rank is not None:
        is_open &= candidates.amihud <= rules.max_amihud_rank
    wanted = rules.n if rules.selection == "top_n" else ceil(int(is_open.sum()) / 5)
    is_kept = np.zeros(len(is_open), dtype=bool)
    if rules.hold_rank is not None:
        is_kept = is_open & held[candidates.stock] & (candidates.rank <= rules.hold_rank)
    is_new = is_open & ~is_kept
    if rules.buy_rank is not None:
        is_new &= candidates.rank <= rules.buy_rank
    queue = np.concatenate([np.flatnonzero(is_kept), np.flatnonzero(is_new)])
    if rules.sector_cap is None:
        taken = queue[:wanted]
    else:
        taken = _within_cap(queue, candidates.sector, rules.sector_cap, wanted)
    return np.sort(taken)


def weigh(volatility: NDArray[np.float64], rules: Rules) -> NDArray[np.float64]:
    """Return weights that add up to 1 for chosen stocks with the given annualised volatilities.

    With ``inverse_volatility`` an unknown volatility counts as the median of the known ones.
    """
    if len(volatility) == 0:
        return np.zeros(0)
    if rules.weighting == "equal" or np.isnan(volatility).all():
        return np.full(len(volatility), 1 / len(volatility))
    known = np.where(np.isnan(volatility), np.nanmedian(volatility), volatility)
    raw = 1 / np.maximum(known, rules.volatility_floor)
    weights: NDArray[np.float64] = raw / raw.sum()
    return weights


def _within_cap(
    queue: NDArray[np.int64], sector: NDArray[np.int64], cap: int, wanted: int
) -> NDArray[np.int64]:
    counts: dict[int, int] = {}
    taken: list[int] = []
    for position in queue.tolist():
        if len(taken) == wanted:
            break
        label = int(sector[position])
        if counts.get(label, 0) < cap:
            counts[label] = counts.get(label, 0) + 1
            taken.append(position)
    return np.array(taken, dtype=np.int64)
