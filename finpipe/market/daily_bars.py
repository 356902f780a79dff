"""Daily bars, the currency of the portfolio line: their columns, what a provider is, what is wrong with a bar."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import polars as pl

from finpipe.market.tickers import TickerError, canonical_tickers

BAR_SCHEMA = pl.Schema(
    {
        "ticker": pl.String,
        "date": pl.Date,
        "open": pl.Float64,
        "high": pl.Float64,
        "low": pl.Float64,
        "close": pl.Float64,
        "volume": pl.Int64,
        "adjusted_close": pl.Float64,
        "dividend": pl.Float64,
        "split_ratio": pl.Float64,
    }
)
"""Columns of bars, sorted by ticker and date, each pair once, no nulls.

``open``, ``high``, ``low``, ``close``: as traded on the day, in the currency of the exchange, adjusted for nothing.
``volume``: shares as traded. ``adjusted_close``: for splits and dividends up to the last bar known to the source, so
only its ratios mean something. ``dividend``: cash per share as of its ex-date, 0 = none. ``split_ratio``: new shares
for an old one, effective at the open of the day, 1 = none.
"""

KEY = ("ticker", "date")

Progress = Callable[[int, int], None]
"""Called with tickers done and tickers in all."""

_PRICES = ("open", "high", "low", "close", "adjusted_close")
_FIRST_DAY = dt.date(1800, 1, 1)


class ProviderError(ValueError):
    """Bars cannot be had, or are not what they should be; the message says what is wrong, where, and what to do."""


@dataclass(frozen=True, slots=True)
class BarRequest:
    """Which bars are wanted.

    Parameters
    ----------
    tickers
        Brought to canonical spelling; each once, at least one.
    start, end
        First and last day, both included.

    Raises
    ------
    ProviderError
        If a ticker is none, one is there twice, or ``end`` lies before ``start``.
    """

    tickers: tuple[str, ...]
    start: dt.date
    end: dt.date

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "tickers", canonical_tickers(self.tickers))
        except TickerError as error:
            raise ProviderError(str(error)) from error
        if self.end < self.start:
            raise ProviderError(
                f"the end {self.end} lies before the start {self.start}; both days are included"
            )


@dataclass(frozen=True, slots=True)
class BarBatch:
    """What a provider could get: every valid bar, and by ticker why there is none.

    Parameters
    ----------
    bars
        :data:`BAR_SCHEMA`, valid.
    failures
        Reason by ticker; together with the tickers in ``bars`` all that were asked for.
    notices
        Sentences about what was dropped, repaired or tried again.
    """

    bars: pl.DataFrame
    failures: dict[str, str] = field(default_factory=dict)
    notices: tuple[str, ...] = ()


class BarProvider(Protocol):
    """A source of daily bars."""

    @property
    def name(self) -> str:
        """What the source is called, e.g. ``yahoo``."""

    def fetch(self, request: BarRequest, progress: Progress | None = None) -> BarBatch:
        """Get what can be had of ``request``; a ticker that fails is reported, never raised."""


def no_bars() -> pl.DataFrame:
    """Bars of no ticker."""
    return pl.DataFrame(schema=BAR_SCHEMA)


def bar_faults(bars: pl.DataFrame, today: dt.date | None = None) -> pl.DataFrame:
    """Find what is wrong with single bars.

    Parameters
    ----------
    bars
        Columns of :data:`BAR_SCHEMA`, in any order.
    today
        Bars after this day are faulty; None: no limit.

    Returns
    -------
    pl.DataFrame
        ``ticker``, ``date``, ``fault`` (in words, with the value) and ``fatal``: a bar with a fatal fault cannot
        be used. Not fatal is an open, high or low out of order: the close is still good. A bar may have several.
    """
    late = pl.col("date") > (today or dt.date.max)
    repeated = (
        pl.struct(KEY).is_duplicated() if not bars.select(_in_order().all()).item() else pl.lit(value=False)
    )
    checks: list[tuple[pl.Expr, str, tuple[str, ...], bool]] = [
        (pl.col("ticker").is_null() | pl.col("date").is_null(), "no ticker or no date", (), True),
        (late | (pl.col("date") < _FIRST_DAY), "date {} is not possible", ("date",), True),
        (repeated, "more than one bar of the day", (), True),
        *((~_positive(name), f"{name} is {{}}", (name,), True) for name in (*_PRICES, "split_ratio")),
        (~_not_negative("volume"), "volume is {}", ("volume",), True),
        (~_not_negative("dividend"), "dividend is {}", ("dividend",), True),
        (_out_of_order(), "open {}, high {}, low {}, close {} out of order", _PRICES[:4], False),
    ]
    wrong = bars.select(mask.fill_null(value=False).alias(str(i)) for i, (mask, *_) in enumerate(checks))
    rows = [
        (row["ticker"], row["date"], words.format(*(row[name] for name in names)), fatal)
        for i, (_, words, names, fatal) in enumerate(checks)
        for row in bars.filter(wrong[str(i)]).iter_rows(named=True)
    ]
    schema = {"ticker": pl.String, "date": pl.Date, "fault": pl.String, "fatal": pl.Boolean}
    return pl.DataFrame(rows, schema=schema, orient="row").sort(*KEY, "fault", nulls_last=True)


def require_valid_bars(bars: pl.DataFrame, source: str, today: dt.date | None = None) -> None:
    """Accept nothing but faultless, sorted bars in :data:`BAR_SCHEMA`; a range out of order is let pass.

    Raises
    ------
    ProviderError
        Names the source, the columns or the first faulty bars and their number.
    """
    require_columns(bars, source)
    faults = bar_faults(bars, today).filter("fatal")
    if faults.height:
        raise ProviderError(f"{source}: {_told(faults)}")
    if not bars.select(_in_order().all()).item():
        raise ProviderError(f"{source}: bars are not sorted by ticker and date")


def require_columns(bars: pl.DataFrame, source: str) -> None:
    """Accept no frame but one in :data:`BAR_SCHEMA`, column by column.

    Raises
    ------
    ProviderError
        Names missing and unexpected columns and wrong types.
    """
    if bars.schema == BAR_SCHEMA:
        return
    missing = [name for name in BAR_SCHEMA if name not in bars.schema]
    strange = [name for name in bars.schema if name not in BAR_SCHEMA]
    typed = [
        f"{name} is {bars.schema[name]} instead of {kind}"
        for name, kind in BAR_SCHEMA.items()
        if name in bars.schema and bars.schema[name] != kind
    ]
    said = [f"no column {', '.join(missing)}"] if missing else []
    said += [f"unknown column {', '.join(strange)}"] if strange else []
    raise ProviderError(f"{source}: {'; '.join([*said, *typed]) or 'columns in another order'}")


def valid_bars(
    bars: pl.DataFrame, source: str, today: dt.date | None = None
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Keep the usable bars, sorted; tell what was dropped and what is odd.

    A bar that comes twice with the same values is kept once; of bars of a day that differ none is kept, as nobody
    can say which is right.

    Returns
    -------
    tuple[pl.DataFrame, tuple[str, ...]]
        Bars in :data:`BAR_SCHEMA`, and notices with number and first places.

    Raises
    ------
    ProviderError
        If the columns are not those of bars.
    """
    require_columns(bars, source)
    once = bars if bars.select(_in_order().all()).item() else bars.unique().sort(*KEY, nulls_last=True)
    notices = []
    if once.height < bars.height:
        notices.append(f"{source}: {bars.height - once.height} bars came twice and are kept once")
    faults = bar_faults(once, today)
    if faults.is_empty():
        return once, tuple(notices)
    for fatal, fate in ((True, "dropped"), (False, "kept as they are")):
        part = faults.filter(pl.col("fatal") == fatal)
        if part.height:
            notices.append(f"{source}: {fate}: {_told(part)}")
    good = once.join(faults.filter("fatal"), on=KEY, how="anti", nulls_equal=True, maintain_order="left")
    return good, tuple(notices)


def as_traded(bars: pl.DataFrame) -> pl.DataFrame:
    """Undo the split adjustment that sources put on prices, dividends and volume; ``adjusted_close`` stays.

    Prices of a day are multiplied by every split after it, volumes divided, so the bars must reach up to the day
    the source adjusted for.

    Parameters
    ----------
    bars
        Columns of :data:`BAR_SCHEMA`, sorted by ticker and date, all of them split-adjusted.
    """
    if bars.select((pl.col("split_ratio") == 1).all()).item():
        return bars
    later = _product_of_later(pl.col("split_ratio"))
    return bars.with_columns(later.alias("_later")).select(
        *(
            (pl.col(name) * pl.col("_later")).alias(name)
            if name in {"open", "high", "low", "close", "dividend"}
            else (pl.col(name) / pl.col("_later")).round().cast(pl.Int64).alias(name)
            if name == "volume"
            else pl.col(name)
            for name in BAR_SCHEMA
        )
    )


def adjusted_closes(bars: pl.DataFrame) -> pl.Series:
    """Closes adjusted for splits and dividends, so that the last one of each ticker is its close as traded.

    On the ex-date, what was worth the previous close C is worth C - D x R in R shares, so every earlier close is
    multiplied by (1 - D x R / C) / R: the formula of CRSP and Yahoo.

    Parameters
    ----------
    bars
        ``ticker``, ``close``, ``dividend``, ``split_ratio`` as traded; sorted by ticker and date.

    Raises
    ------
    ProviderError
        If a dividend is not less than the close before it; names the ticker.
    """
    ratio = pl.col("split_ratio")
    before = pl.col("close").shift(1).over("ticker")
    step = ((1 - pl.col("dividend") * ratio / before) / ratio).fill_null(1.0).alias("step")
    steps = bars.select("ticker", "close", step)
    wrong = steps.filter(pl.col("step") <= 0)
    if wrong.height:
        raise ProviderError(f"{wrong['ticker'][0]}: a dividend is as large as the close before it")
    return steps.select(
        (pl.col("close") * _product_of_later(pl.col("step"))).alias("adjusted_close")
    ).to_series()


def listed(words: Sequence[str], most: int = 8) -> str:
    """Name the first few of ``words`` and count the rest, for messages."""
    rest = len(words) - most
    return ", ".join(words[:most]) + (f" and {rest} more" if rest > 0 else "")


def _positive(column: str) -> pl.Expr:
    value = pl.col(column)
    return ((value > 0) & value.is_finite()).fill_null(value=False)


def _product_of_later(column: pl.Expr) -> pl.Expr:
    return column.shift(-1).fill_null(1.0).cum_prod(reverse=True).over("ticker")


def _not_negative(column: str) -> pl.Expr:
    return ((pl.col(column) >= 0) & pl.col(column).cast(pl.Float64).is_finite()).fill_null(value=False)


def _out_of_order() -> pl.Expr:
    # A millionth of slack: sources that adjust prices in single precision miss equality by less.
    above = pl.max_horizontal("open", "close", "low") > pl.col("high") * (1 + 1e-6)
    below = pl.min_horizontal("open", "close", "high") < pl.col("low") * (1 - 1e-6)
    priced = pl.all_horizontal(_positive(column) for column in _PRICES[:4])
    return (above | below) & priced


def _in_order() -> pl.Expr:
    ticker, date = pl.col("ticker"), pl.col("date")
    before = ticker.shift(1)
    ordered = (ticker > before) | ((ticker == before) & (date > date.shift(1)))
    return ordered.fill_null(value=pl.int_range(pl.len()) == 0) & ticker.is_not_null() & date.is_not_null()


def _told(faults: pl.DataFrame, most: int = 3) -> str:
    bars = faults.select(KEY).unique().height
    return (
        f"{bars} {'bar' if bars == 1 else 'bars'}: "
        + listed(list(_places(faults, most)), most)
        + (f" and {faults.height - most} more" if faults.height > most else "")
    )


def _places(faults: pl.DataFrame, most: int) -> Iterator[str]:
    for ticker, date, fault in faults.select(*KEY, "fault").head(most).iter_rows():
        yield f"{ticker} {date}: {fault}"
