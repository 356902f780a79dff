"""Forward returns and the labels made of them: what a stock bought at the next open will have earned.

Labels after beta are a table of their own: another beta changes them, and no other label.

The only place of the package that looks ahead. Whether a label may be trained on is decided in ``folds``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
from finpipe.panel.columns import empty_column
from finpipe.panel.panel import Panel
from finpipe.panel.threads import run
from finpipe.panel.traded import is_traded

RankScope = Literal["universe", "market"]
Floats: TypeAlias = NDArray[np.float64]
Singles: TypeAlias = NDArray[np.float32]

LABEL_LIMIT = 0.5
"""Largest gain or loss that a label shows, fraction."""

_ROWS_PER_PIECE = 200_000
_DATES_PER_PIECE = 32  # what is put side by side stays in the processor's cache
_NEVER = np.iinfo(np.int64).max
_READ = ("market", "volume", "adjusted_open", "adjusted_close")
_NO_LABEL = "no entry at the next open, or the window runs past the data"
_UNRANKED = f"{_NO_LABEL}, or not a member of the universe (where ranks are taken in it)"


def forward_returns_table(horizons: Sequence[int]) -> Table:
    """Return the schema of ``krx/forward_returns`` for these horizons."""
    return Table(
        "krx/forward_returns",
        "Returns from the open of the next day to the open h market days later, and the labels made of them.",
        (STOCK_CODE, DATE, *(column for horizon in horizons for column in _columns(horizon))),
    )


def residual_returns_table(horizons: Sequence[int]) -> Table:
    """Return the schema of ``krx/residual_returns`` for these horizons."""
    return Table(
        "krx/residual_returns",
        "What beta leaves of the forward returns, and the labels made of that.",
        (STOCK_CODE, DATE, *(column for horizon in horizons for column in _residual_columns(horizon))),
    )


def forward_returns(
    daily_prices: pl.DataFrame | pl.LazyFrame,
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
    rows of the date: alpha = fr - m. Ranks are average-tie ranks over the number of labels, in (0, 1], 1
    being the best.

    Parameters
    ----------
    daily_prices
        ``krx/daily_prices``.
    universe
        ``krx/universe``; among its rows labels are ranked. Not needed with ``rank_scope="market"``.
    sector
        Sector of each traded row (KOSPI or KOSDAQ, volume > 0), in order, null where unknown; None gives
        null sector ranks.
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
        The rows of ``sector`` or ``universe`` do not fit ``daily_prices``.
    ValueError
        ``rank_scope`` is ``"universe"`` and no universe is given, or a horizon is below 1.

    Notes
    -----
    krx reference §4.2. Subtracting the median moves every stock of a date alike, so
    ``target_alpha_rank`` equals ``target_rank``.
    """
    wanted = _checked(horizons)
    prices = daily_prices.lazy().select(*KEYS, *_READ).collect()
    path = _PricePath(prices, stocks)
    keys = prices.select(KEYS)[path.rows]
    if sector is not None and len(sector) != keys.height:
        raise AlignmentError(
            f"sector has {len(sector):,} rows, but the traded rows of krx/daily_prices are {keys.height:,}: "
            "materialize krx/sector_features again"
        )
    ranked = _ranked(packed_keys(keys), universe, rank_scope, "the traded rows of krx/daily_prices")
    del prices
    panel = Panel.from_frame(keys)
    realized = empty_column(len(wanted) * panel.rows, np.float64).reshape(len(wanted), -1)
    for horizon, line in zip(wanted, realized, strict=True):
        path.returns(horizon, delisting_return, line, threads)
    del path
    sectors = np.full(keys.height, -1, np.int32) if sector is None else _numbered(sector)
    columns = keys.get_columns()
    for horizon, lines in zip(wanted, _labels(panel, realized, ranked, sectors, threads), strict=True):
        label, realized_return, alpha, rank, sector_rank = lines
        of_horizon = [label, realized_return, alpha, rank, rank, sector_rank]
        columns += _named(_columns(horizon), of_horizon)
    return pl.DataFrame(columns)


def residual_returns(
    forward_returns: pl.DataFrame | pl.LazyFrame,
    beta: pl.DataFrame,
    universe: pl.DataFrame | None = None,
    *,
    horizons: Sequence[int] = (1, 5, 21, 63, 126),
    rank_scope: RankScope = "universe",
    threads: int | None = None,
) -> pl.DataFrame:
    """Return what beta leaves of each forward return, and its percent rank.

    With fr the clipped return and m its median over all traded rows of the date: residual = fr - rolling_beta * m.

    Parameters
    ----------
    forward_returns
        ``krx/forward_returns``, of which the clipped returns are read.
    beta
        ``krx/rolling_beta``: the same rows, in order.
    universe, horizons, rank_scope, threads
        As :func:`forward_returns`.

    Returns
    -------
    DataFrame
        ``residual_returns_table(horizons)``, the rows of ``forward_returns``; null where there is no label.

    Raises
    ------
    AlignmentError
        The rows of ``beta`` or ``universe`` do not fit ``forward_returns``.
    ValueError
        ``rank_scope`` is ``"universe"`` and no universe is given, or a horizon is below 1.

    Notes
    -----
    krx reference §4.2.
    """
    wanted = _checked(horizons)
    keys = forward_returns.lazy().select(KEYS).collect()
    packed, rows_of = packed_keys(keys), "krx/forward_returns"
    require_same_rows("krx/rolling_beta", beta, packed, rows_of)
    ranked = _ranked(packed, universe, rank_scope, rows_of)
    del packed
    panel = Panel.from_frame(keys)
    returns = empty_column(len(wanted) * panel.rows, np.float32).reshape(len(wanted), -1)
    for horizon, line in zip(wanted, returns, strict=True):
        line[:] = forward_returns.lazy().select(f"forward_return_{horizon}d").collect().to_series()
    betas = beta["rolling_beta"].cast(pl.Float32).to_numpy()
    columns = keys.get_columns()
    for horizon, lines in zip(wanted, _residuals(panel, returns, betas, ranked, threads), strict=True):
        columns += _named(_residual_columns(horizon), lines)
    return pl.DataFrame(columns)


def _checked(horizons: Sequence[int]) -> list[int]:
    if min(horizons, default=0) < 1:
        raise ValueError(
            f"horizons are trading days, one at least and each 1 or more; given: {list(horizons)}"
        )
    return sorted(set(horizons))


def _ranked(
    rows: NDArray[np.int64], universe: pl.DataFrame | None, rank_scope: RankScope, rows_of: str
) -> NDArray[np.bool_]:
    """Which rows (packed keys) are ranked."""
    if rank_scope == "market":
        return np.ones(rows.size, np.bool_)
    if universe is None:
        raise ValueError("labels are ranked within the universe, but none is given; or use rank_scope market")
    ranked = np.zeros(rows.size, np.bool_)
    ranked[row_positions("krx/universe", universe, rows, rows_of)] = True
    return ranked


def _named(columns: Sequence[Column], lines: Iterable[Singles]) -> list[pl.Series]:
    return [
        pl.Series(column.name, line, nan_to_null=True) for column, line in zip(columns, lines, strict=True)
    ]


class _PricePath:
    """Rows of ``daily_prices`` as arrays, along which a stock is followed to a later market day."""

    def __init__(self, daily_prices: pl.DataFrame, stocks: pl.DataFrame | None) -> None:
        self._panel = panel = Panel.from_frame(daily_prices)
        self._traded = (daily_prices["volume"] > 0).to_numpy()
        self._open = daily_prices["adjusted_open"].to_numpy()
        self._close = daily_prices["adjusted_close"].to_numpy()
        self.rows = daily_prices.select(is_traded().arg_true()).to_series().to_numpy().astype(np.int64)
        self._places = np.searchsorted(self.rows, panel.starts)
        self._gone_from = self._first_day_gone(daily_prices, stocks)

    def returns(self, horizon: int, delisting_return: float, out: Floats, threads: int | None) -> None:
        """Write the return of each traded row from the open of T+1 to that of T+1+horizon; NaN without label."""
        from finpipe.learning import target_kernels

        def of_stocks(some: range) -> None:
            target_kernels.returns(
                self._panel.starts,
                self._places,
                self.rows,
                self._panel.days,
                self._traded,
                self._open,
                self._close,
                self._gone_from,
                len(self._panel.dates),
                horizon,
                1 + delisting_return,
                some.start,
                some.stop,
                out,
            )

        run(of_stocks, self._panel.blocks(_ROWS_PER_PIECE), threads)

    def _first_day_gone(self, daily_prices: pl.DataFrame, stocks: pl.DataFrame | None) -> NDArray[np.int64]:
        """Per stock, the number of the first market day after it left the exchange; huge if it is still there."""
        market_last = daily_prices.group_by("market").agg(end=pl.max("date"))
        last = (
            daily_prices[self._panel.starts[1:] - 1]
            .select("stock_code", "market", "date")
            .join(market_last, on="market", how="left", maintain_order="left")
        )
        after_last = np.searchsorted(self._panel.dates, last["date"].to_numpy(), side="right")
        gone = np.where((last["date"] < last["end"]).to_numpy(), after_last, _NEVER)
        if stocks is None:
            return gone
        delisted = last.join(stocks, on="stock_code", how="left", maintain_order="left")["delisting_date"]
        delisted_from = np.searchsorted(self._panel.dates, delisted.to_numpy())
        return np.where(delisted.is_null().to_numpy(), gone, np.minimum(gone, delisted_from))


def _labels(
    panel: Panel,
    realized: Floats,
    ranked: NDArray[np.bool_],
    sectors: NDArray[np.int32],
    threads: int | None,
) -> NDArray[np.float32]:
    """For each line of ``realized``, the lines of ``target_kernels.labels``."""
    from finpipe.learning import target_kernels

    out = empty_column(len(realized) * 5 * panel.rows, np.float32).reshape(len(realized), 5, -1)
    count = int(sectors.max(initial=0)) + 1

    def of_dates(some: range) -> None:
        target_kernels.labels(
            realized,
            panel.starts,
            panel.days,
            some.start,
            some.stop,
            ranked,
            sectors,
            count,
            LABEL_LIMIT,
            out,
        )

    run(of_dates, _pieces(panel), threads)
    return out


def _residuals(
    panel: Panel,
    returns: Singles,
    betas: Singles,
    ranked: NDArray[np.bool_],
    threads: int | None,
) -> NDArray[np.float32]:
    """For each line of ``returns``, the lines of ``target_kernels.residuals``."""
    from finpipe.learning import target_kernels

    out = empty_column(len(returns) * 2 * panel.rows, np.float32).reshape(len(returns), 2, -1)

    def of_dates(some: range) -> None:
        target_kernels.residuals(returns, panel.starts, panel.days, some.start, some.stop, betas, ranked, out)

    run(of_dates, _pieces(panel), threads)
    return out


def _pieces(panel: Panel) -> list[range]:
    days = panel.dates.size
    return [range(day, min(day + _DATES_PER_PIECE, days)) for day in range(0, days, _DATES_PER_PIECE)]


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
    window, unranked = _window(horizon), _UNRANKED
    return _declared(
        horizon,
        ("forward_return", f"return {window}, clipped to +-50%: the label", "fraction", _NO_LABEL),
        ("realized_return", f"return {window}, unclipped: for evaluation", "fraction", _NO_LABEL),
        (
            "forward_alpha",
            "forward_return minus its median over the traded rows of the date",
            "fraction",
            _NO_LABEL,
        ),
        ("target_rank", "percent rank of forward_return on the date", "rank", unranked),
        ("target_alpha_rank", "percent rank of forward_alpha on the date", "rank", unranked),
        (
            "target_sector_rank",
            "percent rank of forward_return within the date and sector",
            "rank",
            f"{unranked}, or no sector known",
        ),
    )


def _residual_columns(horizon: int) -> tuple[Column, ...]:
    what = f"forward_return {_window(horizon)} minus rolling_beta times its median over the traded rows of the date"
    return _declared(
        horizon,
        ("forward_residual", what, "fraction", _NO_LABEL),
        ("target_residual_rank", "percent rank of forward_residual on the date", "rank", _UNRANKED),
    )


def _window(horizon: int) -> str:
    return f"from the open of T+1 to the open of T+{1 + horizon}"


def _declared(horizon: int, *described: tuple[str, str, str, str]) -> tuple[Column, ...]:
    return tuple(
        Column(f"{name}_{horizon}d", pl.Float32, text, unit, null=null)
        for name, text, unit, null in described
    )
