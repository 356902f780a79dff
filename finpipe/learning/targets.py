"""Forward returns and the labels made of them: what a stock bought at the next open will have earned.

The only place of the package that looks ahead. Whether a label may be trained on is decided in ``folds``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from finpipe.learning.rows import (
    KEYS,
    AlignmentError,
    packed_keys,
    require_same_rows,
    row_positions,
)
from finpipe.market.schema import DATE, STOCK_CODE, Column, Table
from finpipe.panel.panel import Panel
from finpipe.panel.threads import run
from finpipe.panel.traded import is_traded

RankScope = Literal["universe", "market"]
Floats: TypeAlias = NDArray[np.float64]
Positions: TypeAlias = NDArray[np.int64]

LABEL_LIMIT = 0.5
"""Largest gain or loss that a label shows, fraction."""

_HORIZONS_AT_A_TIME = 2  # much of the work on one is done by one thread; each needs a dozen arrays
_ROWS_PER_PIECE = 50_000  # arrays of a piece stay in the processor's cache
_NEVER = np.iinfo(np.int64).max
_READ = ("market", "volume", "adjusted_open", "adjusted_close")
_NO_LABEL = "no entry at the next open, or the window runs past the data"


def forward_returns_table(horizons: Sequence[int]) -> Table:
    """Return the schema of ``krx/forward_returns`` for these horizons."""
    return Table(
        "krx/forward_returns",
        "Returns from the open of the next day to the open h market days later, and the labels made of them.",
        (STOCK_CODE, DATE, *(column for horizon in horizons for column in _columns(horizon))),
    )


def forward_returns(
    daily_prices: pl.DataFrame | pl.LazyFrame,
    beta: pl.DataFrame,
    universe: pl.DataFrame | None = None,
    sector: pl.Series | None = None,
    *,
    horizons: Sequence[int] = (1, 5, 21, 63, 126),
    rank_scope: RankScope = "universe",
    delisting_return: float = -0.3,
    stocks: pl.DataFrame | None = None,
    threads: int | None = None,
) -> pl.DataFrame:
    """Return what each traded row earns over each horizon, and the labels made of it.

    A signal of the close of market day T is bought at the adjusted open of T+1 and sold at the adjusted
    open of T+1+h. Days are counted on the market calendar, which is the dates of ``daily_prices``; a
    stock's own halts and gaps do not stretch the window.

    - No label where T+1 saw no trade of the stock (no row, volume 0, no opening price), and none where
      T+1+h lies past the data.
    - A stock that cannot be sold at the open of T+1+h (halted, no row, no opening price) counts with its
      last traded price, the adjusted close of its last traded row up to and including T+1+h.
    - A stock that has left the exchange by T+1+h counts with that price times (1 + ``delisting_return``).
      It has left if its delisting date is not after T+1+h, or if its rows end before T+1+h although its
      market has later ones. Missing rows after which the stock trades again, or missing last days of a
      whole market, are gaps of the data and cost nothing.

    The cross-section then gives, with fr = clip(return, -0.5, 0.5) and m = median of fr over all traded
    rows of the date: alpha = fr - m, residual = fr - rolling_beta * m. Ranks are average-tie ranks over
    the number of labels, in (0, 1], 1 being the best.

    Parameters
    ----------
    daily_prices
        ``krx/daily_prices``.
    beta
        ``krx/rolling_beta``: a row per traded row (KOSPI or KOSDAQ, volume > 0), in order.
    universe
        ``krx/universe``; among its rows labels are ranked. Not needed with ``rank_scope="market"``.
    sector
        Sector of each traded row, null where unknown; None gives null sector ranks.
    horizons
        Trading days between entry and exit.
    rank_scope
        ``"universe"`` ranks among the members of the universe on the date and leaves other rows without
        rank; ``"market"`` ranks all traded rows.
    delisting_return
        Return between the last trade of a delisted stock and what its holder gets, fraction.
    stocks
        ``krx/stocks`` with the delisting dates; None relies on where the rows end.
    threads
        How many threads work; None for one per processor. The result does not depend on it.

    Returns
    -------
    DataFrame
        ``forward_returns_table(horizons)``, one row per traded row. ``forward_return_{h}d`` is clipped,
        ``realized_return_{h}d`` is the same unclipped.

    Raises
    ------
    AlignmentError
        The rows of ``beta``, ``sector`` or ``universe`` do not fit ``daily_prices``.
    ValueError
        ``rank_scope`` is ``"universe"`` and no universe is given, or a horizon is below 1.

    Notes
    -----
    krx reference §4.2. Subtracting the median moves every stock of a date alike, so
    ``target_alpha_rank`` equals ``target_rank``.
    """
    if min(horizons, default=0) < 1:
        raise ValueError(
            f"horizons are trading days, one at least and each 1 or more; given: {list(horizons)}"
        )
    if rank_scope == "universe" and universe is None:
        raise ValueError("labels are ranked within the universe, but none is given; or use rank_scope market")
    prices = daily_prices.lazy().select(*KEYS, *_READ).collect()
    side_by_side = min(_HORIZONS_AT_A_TIME, threads or os.cpu_count() or 1)
    each = max((threads or os.cpu_count() or 1) // side_by_side, 1)
    path = _PricePath(prices, stocks, max(horizons), each)
    keys = prices.select(KEYS)[path.rows]
    packed, rows_of = packed_keys(keys), "the traded rows of krx/daily_prices"
    require_same_rows("krx/rolling_beta", beta, packed, rows_of)
    if sector is not None and len(sector) != keys.height:
        raise AlignmentError(
            f"sector has {len(sector):,} rows, but {rows_of} are {keys.height:,}: "
            "materialize krx/sector_features again"
        )
    members = None
    if rank_scope == "universe" and universe is not None:
        members = row_positions("krx/universe", universe, packed, rows_of)
    ranking = _Ranking(keys, members, sector, each)
    rolling_beta = beta["rolling_beta"].cast(pl.Float64).to_numpy()

    made: dict[int, list[pl.Series]] = {}

    def add_labels(horizon: int) -> None:
        realized = path.returns(horizon, delisting_return)
        label = np.clip(realized, -LABEL_LIMIT, LABEL_LIMIT)
        market = ranking.date_median(label)
        residual = rolling_beta * market
        np.subtract(label, residual, out=residual)
        rank = ranking.rank(label)
        residual_rank, sector_rank = ranking.rank(residual), ranking.sector_rank(label)
        alpha = np.subtract(label, market, out=market)
        arrays = (label, realized, alpha, residual, rank, rank, residual_rank, sector_rank)
        made[horizon] = [
            pl.Series(column.name, np.asarray(array, dtype=np.float32), nan_to_null=True)
            for column, array in zip(_columns(horizon), arrays, strict=True)
        ]

    run(add_labels, sorted(set(horizons)), side_by_side)
    return pl.DataFrame(
        [*keys.get_columns(), *(column for horizon in sorted(made) for column in made[horizon])]
    )


class _PricePath:
    """Rows of ``daily_prices`` as arrays, so that the row of any later market day is found by arithmetic."""

    def __init__(
        self, daily_prices: pl.DataFrame, stocks: pl.DataFrame | None, longest: int, threads: int | None
    ) -> None:
        self._panel = panel = Panel.from_frame(daily_prices)
        self._day, self._dates = panel.days, panel.dates
        stock = np.repeat(np.arange(panel.stocks), np.diff(panel.starts))
        # A window that leaves the calendar must not reach into the keys of the next stock.
        self._key = stock * (len(self._dates) + longest + 1) + self._day
        traded = daily_prices["volume"].to_numpy() > 0
        opening = daily_prices["adjusted_open"].to_numpy()
        self._open = np.where(traded & (opening > 0), opening, np.nan)
        self._close = daily_prices["adjusted_close"].to_numpy()
        self._last_traded = np.maximum.accumulate(np.where(traded, np.arange(len(stock)), 0))
        self.rows = daily_prices.select(is_traded().arg_true()).to_series().to_numpy().astype(np.int64)
        self._gone_from = self._first_day_gone(daily_prices, stocks)[stock[self.rows]]
        self._threads = threads

    def returns(self, horizon: int, delisting_return: float) -> Floats:
        """Return of each traded row from the open of T+1 to the open of T+1+horizon; NaN without label."""
        out = np.empty(len(self.rows))

        def of_rows(some: slice) -> None:
            row, present = self._row_on_or_before(1, some)
            entry = np.where(present, self._open[row], np.nan)
            row, present = self._row_on_or_before(1 + horizon, some)
            opening = np.where(present, self._open[row], np.nan)
            leaving = np.where(np.isnan(opening), self._close[self._last_traded[row]], opening)
            exit_day = self._day[self.rows[some]] + (1 + horizon)
            growth = leaving / entry
            growth[~present & (self._gone_from[some] <= exit_day)] *= 1 + delisting_return
            growth[exit_day >= len(self._dates)] = np.nan
            out[some] = growth - 1

        pieces = [slice(begin, begin + _ROWS_PER_PIECE) for begin in range(0, len(out), _ROWS_PER_PIECE)]
        run(of_rows, pieces, self._threads)
        return out

    def _row_on_or_before(self, ahead: int, some: slice) -> tuple[Positions, NDArray[np.bool_]]:
        """For some traded rows: the stock's last row up to ``ahead`` market days later, and if it is of that day."""
        here = self.rows[some]
        target = self._key[here] + ahead
        # Where the stock has no gap, which is nearly always, the row is simply that many rows below.
        row = np.minimum(here + ahead, len(self._key) - 1)
        present = self._key[row] == target
        others = np.flatnonzero(~present)
        row[others] = np.searchsorted(self._key, target[others], side="right") - 1
        present[others] = self._key[row[others]] == target[others]
        return row, present

    def _first_day_gone(self, daily_prices: pl.DataFrame, stocks: pl.DataFrame | None) -> NDArray[np.int64]:
        """Per stock, the number of the first market day after it left the exchange; huge if it is still there."""
        market_last = daily_prices.group_by("market").agg(end=pl.max("date"))
        last = (
            daily_prices[self._panel.starts[1:] - 1]
            .select("stock_code", "market", "date")
            .join(market_last, on="market", how="left", maintain_order="left")
        )
        after_last = np.searchsorted(self._dates, last["date"].to_numpy(), side="right")
        gone = np.where((last["date"] < last["end"]).to_numpy(), after_last, _NEVER)
        if stocks is None:
            return gone
        delisted = last.join(stocks, on="stock_code", how="left", maintain_order="left")["delisting_date"]
        delisted_from = np.searchsorted(self._dates, delisted.to_numpy())
        return np.where(delisted.is_null().to_numpy(), gone, np.minimum(gone, delisted_from))


class _Ranking:
    """Medians of the traded rows by date, and percent ranks among those of them that are ranked."""

    def __init__(
        self, keys: pl.DataFrame, members: Positions | None, sector: pl.Series | None, threads: int | None
    ) -> None:
        self._threads = threads
        self._traded = Panel.from_frame(keys)
        self._members = slice(None) if members is None else members
        self._ranked = self._traded if members is None else Panel.from_frame(keys[members])
        self._groups = None if sector is None else _numbered(sector)[self._members]

    def date_median(self, values: Floats) -> Floats:
        """Median of the date's values, on every row; NaN on a date without values."""
        from finpipe.panel import cross_section

        return cross_section.median(self._traded, values, self._threads)[self._traded.days]

    def rank(self, values: Floats) -> NDArray[np.float32]:
        """Percent rank within the date; NaN on rows that are not ranked."""
        return self._rank(values, None)

    def sector_rank(self, values: Floats) -> NDArray[np.float32]:
        """Percent rank within the date and sector; NaN also where the sector is not known."""
        if self._groups is None:
            return np.full(len(values), np.nan, dtype=np.float32)
        return self._rank(values, self._groups)

    def _rank(self, values: Floats, groups: NDArray[np.int32] | None) -> NDArray[np.float32]:
        from finpipe.panel import cross_section

        ranks = np.full(len(values), np.nan, dtype=np.float32)
        ranks[self._members] = cross_section.rank(self._ranked, values[self._members], groups, self._threads)
        return ranks


def _numbered(sector: pl.Series) -> NDArray[np.int32]:
    """Number the sectors from 0; -1 where there is none."""
    codes = sector.cast(pl.Categorical).to_physical()
    distinct = codes.drop_nulls().unique().to_numpy()
    number = np.full(int(distinct.max(initial=0)) + 1, -1, dtype=np.int32)
    number[distinct] = np.arange(len(distinct))
    return np.asarray(
        np.where(codes.is_null().to_numpy(), np.int32(-1), number[codes.fill_null(0).to_numpy()])
    )


def _columns(horizon: int) -> tuple[Column, ...]:
    window = f"from the open of T+1 to the open of T+{1 + horizon}"
    unranked = f"{_NO_LABEL}, or not a member of the universe (where ranks are taken in it)"
    described = (
        ("forward_return", f"return {window}, clipped to +-50%: the label", "fraction", _NO_LABEL),
        ("realized_return", f"return {window}, unclipped: for evaluation", "fraction", _NO_LABEL),
        (
            "forward_alpha",
            "forward_return minus its median over the traded rows of the date",
            "fraction",
            _NO_LABEL,
        ),
        ("forward_residual", "forward_return minus rolling_beta times that median", "fraction", _NO_LABEL),
        ("target_rank", "percent rank of forward_return on the date", "rank", unranked),
        ("target_alpha_rank", "percent rank of forward_alpha on the date", "rank", unranked),
        ("target_residual_rank", "percent rank of forward_residual on the date", "rank", unranked),
        (
            "target_sector_rank",
            "percent rank of forward_return within the date and sector",
            "rank",
            f"{unranked}, or no sector known",
        ),
    )
    return tuple(
        Column(f"{name}_{horizon}d", pl.Float32, text, unit, null=null)
        for name, text, unit, null in described
    )
