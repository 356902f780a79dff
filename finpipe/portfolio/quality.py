"""The quality prefilter: which tickers have bars good enough to estimate from, and why the others have not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from finpipe.portfolio.returns import Floats

Counts = NDArray[np.int64]

ELIGIBILITY_SCHEMA = pl.Schema({"ticker": pl.String, "eligible": pl.Boolean, "reason": pl.String})


@dataclass(frozen=True, slots=True)
class QualityRules:
    """What a ticker's bars must be like.

    Parameters
    ----------
    min_history
        Fewest bars; half a year by default.
    min_valid
        Smallest share of the group's weekday sessions, from the ticker's first bar on, that have a bar of it.
        Weekends are left out, so that a market that never closes does not make gaps in the others.
    max_silence
        Most sessions of the group after the ticker's last bar: more and it no longer trades.
    max_unchanged
        Longest run of sessions with the same adjusted close.
    max_rise, max_fall
        Largest growth and loss of the adjusted close from one bar to the next, as fractions. Splits are adjusted
        for, so what goes beyond is an error in the data or an event that no estimate survives.
    min_traded_value
        Smallest median of close x volume over the last ``liquidity_window`` bars, in the currency of the bars; 0
        lets everything pass, as indices have no volume.
    liquidity_window
        Number of latest bars whose traded value counts.
    """

    min_history: int = 126
    min_valid: float = 0.9
    max_silence: int = 10
    max_unchanged: int = 15
    max_rise: float = 3.0
    max_fall: float = 0.8
    min_traded_value: float = 100_000.0
    liquidity_window: int = 63

    def __post_init__(self) -> None:
        if not 0 <= self.min_valid <= 1 or not 0 <= self.max_fall <= 1:
            raise ValueError(
                f"min_valid {self.min_valid} and max_fall {self.max_fall} are fractions between 0 and 1"
            )
        counts = {"min_history": 2, "max_silence": 0, "max_unchanged": 1, "liquidity_window": 1}
        for name, least in counts.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}; the least that makes sense is {least}")
        if self.max_rise <= 0 or self.min_traded_value < 0:
            raise ValueError(
                f"max_rise {self.max_rise} must be positive, min_traded_value {self.min_traded_value} not negative"
            )


@dataclass(frozen=True, slots=True)
class Eligibility:
    """Which tickers may be estimated.

    Parameters
    ----------
    frame
        :data:`ELIGIBILITY_SCHEMA`, sorted by ticker; ``reason`` is null for the eligible, else one sentence with
        the figures.
    """

    frame: pl.DataFrame

    @property
    def tickers(self) -> tuple[str, ...]:
        """The eligible tickers, sorted."""
        return tuple(self.frame.filter("eligible")["ticker"])

    @property
    def excluded(self) -> dict[str, str]:
        """Reason by excluded ticker."""
        return dict(self.frame.filter(~pl.col("eligible")).select("ticker", "reason").iter_rows())


def eligible_tickers(
    bars: pl.DataFrame, rules: QualityRules | None = None, *, tickers: Sequence[str] = ()
) -> Eligibility:
    """Judge each ticker by its bars; the first rule that it breaks is its reason.

    Parameters
    ----------
    bars
        Daily bars of the whole group, sorted by ticker and date: the group's dates are the sessions against which
        gaps are counted.
    rules
        By default :class:`QualityRules` as it stands.
    tickers
        All that were asked for; those without bars are excluded by name.

    Returns
    -------
    Eligibility
        Every ticker of ``bars`` and of ``tickers``.

    Raises
    ------
    ValueError
        If the bars are not sorted by ticker.
    """
    rules = rules or QualityRules()
    absent = sorted(set(tickers) - set(bars["ticker"].unique()))
    judged = pl.DataFrame(
        {"ticker": absent, "reason": ["There are no bars of it in the period."] * len(absent)},
        schema={"ticker": pl.String, "reason": pl.String},
    )
    if not bars.is_empty():
        verdict = pl.coalesce(pl.when(broken).then(said) for broken, said in _verdicts(rules))
        judged = pl.concat([_figures(bars, rules).select("ticker", reason=verdict), judged])
    frame = judged.select("ticker", pl.col("reason").is_null().alias("eligible"), "reason")
    return Eligibility(frame.sort("ticker"))


def _figures(bars: pl.DataFrame, rules: QualityRules) -> pl.DataFrame:
    """One row per ticker with what the rules ask for."""
    runs = bars.select(pl.col("ticker").rle()).unnest("ticker")
    if runs["value"].is_duplicated().any():
        raise ValueError("the bars are not sorted by ticker and date")
    tickers, lengths = runs["value"], runs["len"].to_numpy().astype(np.int64)
    ends = np.cumsum(lengths)
    starts = ends - lengths
    price, close = (bars[name].cast(pl.Float64).to_numpy() for name in ("adjusted_close", "close"))
    date = bars["date"].to_physical().to_numpy()
    session, weekdays, is_weekday = _sessions(date)

    growth = np.full(len(price), np.nan)
    with np.errstate(all="ignore"):
        growth[1:] = price[1:] / price[:-1] - 1
        growth[starts] = np.nan
        wild = np.fmax((1 + growth) / (1 + rules.max_rise), (1 - rules.max_fall) / (1 + growth))
        bad = ~((price > 0) & np.isfinite(price) & (close > 0) & np.isfinite(close))
    wild[~np.isfinite(wild)] = 0.0
    jump, fault = _first_highest(wild, starts, lengths), _first_highest(bad, starts, lengths)

    first, last = starts, ends - 1
    valid = np.add.reduceat(is_weekday.astype(np.int64), starts)
    days = bars["date"]
    return pl.DataFrame(
        {
            "ticker": tickers,
            "bars": lengths,
            "bad_bars": np.add.reduceat(bad.astype(np.int64), starts),
            "bad_date": days.gather(fault),
            "bad_price": np.where((price > 0)[fault], close[fault], price[fault]),
            "first": days.gather(first),
            "last": days.gather(last),
            "silence": session.max() - session[last],
            "valid": valid,
            "possible": weekdays.max() - weekdays[first] + is_weekday[first],
            "unchanged": _longest_standstill(growth, starts),
            "growth": growth[jump],
            "jump_date": days.gather(jump),
            "jump_from": price[np.maximum(jump - 1, 0)],
            "jump_to": price[jump],
            "jump_split": bars["split_ratio"].gather(jump),
            "traded": _median_traded(bars, ends, lengths, rules.liquidity_window),
        }
    ).with_columns(pl.col("growth", "bad_price", "traded").fill_nan(None))


def _sessions(date: NDArray[np.int32]) -> tuple[Counts, Counts, NDArray[np.bool_]]:
    """Of each bar: the number of its session, of weekday sessions up to it, and whether it is on a weekday."""
    offset = date - date.min()
    is_session = np.zeros(int(offset.max()) + 1, dtype=bool)
    is_session[offset] = True
    # Day 0, the first of 1970, was a Thursday.
    is_weekday = (np.arange(len(is_session)) + int(date.min()) + 3) % 7 < 5
    session = np.cumsum(is_session) - 1
    weekdays = np.cumsum(is_session & is_weekday)
    return session[offset], weekdays[offset], is_weekday[offset]


def _first_highest(values: Floats | NDArray[np.bool_], starts: Counts, lengths: Counts) -> Counts:
    """Row of the first highest value of each ticker."""
    is_highest = values == np.repeat(np.maximum.reduceat(values, starts), lengths)
    rows = np.flatnonzero(is_highest)
    return rows[np.searchsorted(rows, starts)]


def _longest_standstill(growth: Floats, starts: Counts) -> Counts:
    """Bars in the longest run of equal prices of each ticker."""
    moved = np.flatnonzero(growth != 0)
    lengths = np.diff(np.append(moved, len(growth)))
    longest: Counts = np.maximum.reduceat(lengths, np.searchsorted(moved, starts))
    return longest


def _median_traded(bars: pl.DataFrame, ends: Counts, lengths: Counts, window: int) -> Floats:
    """Median of close x volume over the last ``window`` bars of each ticker; NaN for a ticker without any."""
    back = np.arange(window)
    rows = np.maximum(ends[:, None] - 1 - back, 0)
    close = bars["close"].cast(pl.Float64).to_numpy()
    volume = bars["volume"].cast(pl.Float64).to_numpy()
    traded = np.where(back < lengths[:, None], close[rows] * volume[rows], np.nan)
    medians = np.full(len(ends), np.nan)
    known = ~np.isnan(traded).all(axis=1)
    medians[known] = np.nanmedian(traded[known], axis=1)
    return medians


def _verdicts(rules: QualityRules) -> list[tuple[pl.Expr, pl.Expr]]:
    """When each rule is broken, and the sentence that says so, in the order in which they are asked."""
    share = pl.col("valid") / pl.col("possible")
    jumped = (pl.col("growth") > rules.max_rise) | (pl.col("growth") < -rules.max_fall)
    return [
        (
            pl.col("bars") < rules.min_history,
            pl.format("It has {} bars, since {}; {} are needed.", "bars", "first", pl.lit(rules.min_history)),
        ),
        (
            pl.col("bad_bars") > 0,
            pl.format(
                "{} of its prices are not positive numbers, the first on {} ({}).",
                "bad_bars",
                "bad_date",
                pl.col("bad_price").cast(pl.String).fill_null("none"),
            ),
        ),
        (
            pl.col("silence") > rules.max_silence,
            pl.format(
                "Its last bar is of {}, {} sessions before the end of the period; at most {} are allowed.",
                "last",
                "silence",
                pl.lit(rules.max_silence),
            ),
        ),
        (
            share < rules.min_valid,
            pl.format(
                "It has bars on {} of {} sessions since {} ({}%); {}% are needed.",
                "valid",
                "possible",
                "first",
                (share * 100).round(1),
                pl.lit(f"{rules.min_valid * 100:g}"),
            ),
        ),
        (
            pl.col("unchanged") > rules.max_unchanged,
            pl.format(
                "Its price stood still for {} sessions in a row; at most {} are allowed.",
                "unchanged",
                pl.lit(rules.max_unchanged),
            ),
        ),
        (
            jumped,
            pl.format(
                "Its adjusted price went from {} to {} ({}%) on {}{}.",
                pl.col("jump_from").round(4),
                pl.col("jump_to").round(4),
                (pl.col("growth") * 100).round(1),
                "jump_date",
                pl.when(pl.col("jump_split") == 1)
                .then(pl.lit(" without a split to explain it"))
                .otherwise(pl.format(" although a split of {} is recorded that day", "jump_split")),
            ),
        ),
        (
            (pl.col("traded") < rules.min_traded_value) & (rules.min_traded_value > 0),
            pl.format(
                "A median of {} a day was traded over its last {} bars; {} are needed.",
                pl.col("traded").round(0).cast(pl.Int64),
                pl.min_horizontal("bars", pl.lit(rules.liquidity_window)),
                pl.lit(f"{rules.min_traded_value:.0f}"),
            ),
        ),
    ]
