"""The (stock x day) panel: where each stock begins, which day each row is, and the rows in order of date."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from finpipe.market.schema import SchemaError
from finpipe.panel.positions import positions

Offsets = NDArray[np.int64]


@dataclass(frozen=True)
class DateOrder:
    """The rows of a panel by date: those of day ``d`` are ``rows[starts[d]:starts[d + 1]]``, in stock order."""

    rows: NDArray[np.int64]
    starts: Offsets


@dataclass(frozen=True)
class Panel:
    """The index of a frame that is sorted by (stock, date).

    Parameters
    ----------
    starts
        Offset of each stock's first row, then the number of rows; shape (stocks + 1,).
    days
        Position of each row's date among ``dates``; shape (rows,).
    dates
        The distinct dates, ascending; shape (days,), type ``datetime64[D]``.
    """

    starts: Offsets
    days: NDArray[np.int32]
    dates: NDArray[np.datetime64]

    @classmethod
    def from_frame(cls, frame: pl.DataFrame) -> Panel:
        """Index ``frame`` by its columns ``stock_code`` and ``date``.

        Raises
        ------
        SchemaError
            If a key is null, a stock's rows are not together, or its dates do not increase.
        """
        codes, dates = frame["stock_code"], frame["date"]
        if codes.null_count() or dates.null_count():
            raise SchemaError("panel: stock_code and date must not be null; drop or repair such rows first")
        if codes.dtype in (pl.Categorical, pl.Enum):
            codes = codes.to_physical()
        first = (codes != codes.shift(1)).fill_null(value=True)
        begins = first.arg_true().to_numpy().astype(np.int64)
        starts = np.append(begins, frame.height)
        if codes.gather(begins).n_unique() != begins.size:
            again = frame["stock_code"].gather(begins)
            raise SchemaError(
                f"panel: the rows of stock {again.filter(again.is_duplicated())[0]} are not together; "
                "sort by (stock_code, date)"
            )
        numbers = dates.cast(pl.Date).to_physical().to_numpy()
        increases = numbers[1:] > numbers[:-1]
        increases[begins[1:] - 1] = True
        if not increases.all():
            row = int(np.argmin(increases)) + 1
            raise SchemaError(
                f"panel: row {row}, stock {frame['stock_code'][row]} on {dates[row]}, follows {dates[row - 1]}; "
                "rows must be sorted by and unique in (stock_code, date)"
            )
        distinct, days = positions(numbers)
        return cls(starts, days, distinct.astype("datetime64[D]"))

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.days.size

    @property
    def stocks(self) -> int:
        """Number of stocks."""
        return self.starts.size - 1

    @cached_property
    def by_date(self) -> DateOrder:
        """The rows in order of date, computed when first asked for."""
        from finpipe.panel.counting_sort import counting_sort
        from finpipe.panel.position_kernels import count

        starts = np.zeros(self.dates.size + 1, np.int64)
        count(self.days, 0, starts[1:])
        np.cumsum(starts, out=starts)
        rows = np.empty(self.rows, np.int64)
        counting_sort(self.days, starts.copy(), rows)
        return DateOrder(rows, starts)

    def blocks(self, rows: int) -> list[range]:
        """Cut the stocks into runs of about ``rows`` rows each, never splitting a stock."""
        blocks, begin = [], 0
        while begin < self.stocks:
            end = int(np.searchsorted(self.starts, self.starts[begin] + rows, side="right")) - 1
            end = min(max(end, begin + 1), self.stocks)
            blocks.append(range(begin, end))
            begin = end
        return blocks
