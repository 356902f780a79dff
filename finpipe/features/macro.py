"""Macro features: one row per market day, from index, derivative and bond levels (no stock prices here)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import polars as pl

from finpipe.features.feature import Feature

KOSPI_200 = "KOSPI_코스피_200"
KOSDAQ_150 = "KOSDAQ_코스닥_150"
LARGE_CAPS = "KOSPI_코스피_대형주"
SMALL_CAPS = "KOSPI_코스피_소형주"
VKOSPI = "DERIV_옵션지수_코스피_200_변동성지수"
DOLLAR_FUTURES = "DERIV_선물지수_미국달러선물지수"
TREASURY_BONDS = "BOND_국고채프라임지수"
BREADTH_CLASSES = ("KOSPI", "KOSDAQ")

FORWARD_FILL_DAYS = 10


@dataclass(frozen=True, slots=True)
class MacroFeatures:
    """Macro features and what could not be computed.

    Parameters
    ----------
    frame
        One row per market day: ``date`` and ten float32 columns. Null: the index is missing, too young for
        its window, or silent for more than the forward-fill limit.
    missing
        Codes of the indices without a single valid level, in a fixed order; the breadth of a market without
        any index is named by its classes. Features that need them are null everywhere.
    """

    frame: pl.DataFrame
    missing: tuple[str, ...]


def macro_features(
    index_levels: pl.DataFrame, days: Iterable[dt.date], *, forward_fill_days: int = FORWARD_FILL_DAYS
) -> MacroFeatures:
    """Compute the macro features of every market day.

    Windows count the days on which the index has a valid (finite, positive) level. Each feature is computed
    on its own days and then carried forward onto ``days``.

    Parameters
    ----------
    index_levels
        Levels in the schema of ``krx/index_levels``: ``index_code``, ``date``, ``index_class``, ``close``.
    days
        The market calendar: the days that get a row, in any order.
    forward_fill_days
        For how many market days a value may stand in for a later one.

    Returns
    -------
    MacroFeatures
        The frame has ``market_regime_score``, ``kosdaq_regime_score``, ``size_spread``, ``market_breadth``,
        ``market_breadth_change``, ``fear_index_level`` (points), ``fear_index_delta`` (points),
        ``dollar_impact``, ``bond_stock_spread`` and ``macro_risk_score``; fractions unless stated.

    Notes
    -----
    krx reference §5. ``macro_risk_score`` averages the components present on the day. Breadth counts an
    index only where it has a level and a mean of at least ten levels.
    """
    levels = index_levels.filter(pl.col("close").is_finite() & (pl.col("close") > 0)).sort("date")
    present = set(levels["index_code"].cast(pl.String).unique())
    series = {code: _series(levels, code) for code in _REQUIRED}
    breadth = _breadth(levels)

    missing = [code for code in _REQUIRED if code not in present]
    if breadth.is_empty():
        missing.append(f"any index of class {' or '.join(BREADTH_CLASSES)}")

    value = pl.col("value")
    features = {
        "market_regime_score": series[KOSPI_200].with_columns(_regime(value)),
        "kosdaq_regime_score": series[KOSDAQ_150].with_columns(_regime(value)),
        "size_spread": _spread(series[LARGE_CAPS], series[SMALL_CAPS]),
        "market_breadth": breadth,
        "market_breadth_change": breadth.with_columns(value.diff(5)),
        "fear_index_level": series[VKOSPI],
        "fear_index_delta": series[VKOSPI].with_columns(value.diff(5)),
        "dollar_impact": series[DOLLAR_FUTURES].with_columns(_change(value)),
        "bond_stock_spread": _spread(series[TREASURY_BONDS], series[KOSPI_200]),
    }
    calendar = pl.Series("date", list(days), dtype=pl.Date).unique().sort()
    frame = pl.DataFrame([calendar]).with_columns(
        _carried(feature, calendar, forward_fill_days).alias(name) for name, feature in features.items()
    )
    return MacroFeatures(
        frame.with_columns(macro_risk_score=_risk_score()).with_columns(pl.exclude("date").cast(pl.Float32)),
        tuple(missing),
    )


def regime_momentum_interaction() -> pl.Expr:
    """Return the product of the market's regime and a stock's momentum, each clipped.

    Returns
    -------
    pl.Expr
        ``clip(market_regime_score, ±0.2) · clip(mom_20d, ±0.5)``, named ``regime_momentum_interaction``,
        float32; null where either is null. Evaluate it on rows that have both columns.

    Notes
    -----
    krx reference §5.
    """
    regime = pl.col("market_regime_score").cast(pl.Float64).clip(-0.2, 0.2)
    momentum = pl.col("mom_20d").cast(pl.Float64).clip(-0.5, 0.5)
    return (regime * momentum).cast(pl.Float32).alias("regime_momentum_interaction")


def join_macro_features(rows: pl.DataFrame, macro: pl.DataFrame) -> pl.DataFrame:
    """Join the macro features of the day to stock rows and add the composite that needs both.

    Parameters
    ----------
    rows
        Rows with ``date`` and ``mom_20d``.
    macro
        ``MacroFeatures.frame``.

    Returns
    -------
    pl.DataFrame
        ``rows`` in their order, with the macro columns and ``regime_momentum_interaction``; null where the
        day has no macro row.
    """
    return rows.join(macro, on="date", how="left", maintain_order="left").with_columns(
        regime_momentum_interaction()
    )


_REQUIRED = (KOSPI_200, KOSDAQ_150, LARGE_CAPS, SMALL_CAPS, VKOSPI, DOLLAR_FUTURES, TREASURY_BONDS)

# A level that equals its mean but for rounding is not above it.
_ROUNDING = 1.0 + 1e-12


def _series(levels: pl.DataFrame, code: str) -> pl.DataFrame:
    return levels.filter(pl.col("index_code") == code).select("date", value="close")


def _regime(level: pl.Expr) -> pl.Expr:
    return level / level.rolling_mean(120, min_samples=60) - 1


def _change(level: pl.Expr) -> pl.Expr:
    return level / level.shift(20) - 1


def _spread(long: pl.DataFrame, short: pl.DataFrame) -> pl.DataFrame:
    """20-day change of one index minus that of another, on the days that both have a level."""
    both = long.join(short, on="date", how="inner", suffix="_short").sort("date")
    return both.select("date", value=_change(pl.col("value")) - _change(pl.col("value_short")))


def _breadth(levels: pl.DataFrame) -> pl.DataFrame:
    mean = pl.col("close").rolling_mean(20, min_samples=10).over("index_code")
    return (
        levels.filter(pl.col("index_class").is_in(list(BREADTH_CLASSES)))
        .select("date", above=pl.when(mean.is_not_null()).then(pl.col("close") > mean * _ROUNDING))
        .group_by("date")
        .agg(value=pl.col("above").mean())
        .drop_nulls("value")
        .sort("date")
    )


def _carried(feature: pl.DataFrame, calendar: pl.Series, limit: int) -> pl.Series:
    """Value of the latest day at or before each calendar day, null when more than ``limit`` market days old."""
    valid = feature.drop_nulls("value")
    if valid.is_empty() or calendar.is_empty():
        return pl.Series(values=[None] * len(calendar), dtype=pl.Float64)
    days = calendar.to_numpy()
    observed = valid["date"].to_numpy()
    latest = np.searchsorted(observed, days, side="right") - 1
    source = observed[latest.clip(0)]
    first = np.searchsorted(days, source, side="right") - 1
    # Before the calendar begins, weekdays stand in for market days.
    before = np.busday_count(source, days[0])
    age = np.arange(len(days)) - first + np.where(first < 0, before - 1, 0)
    values = valid["value"].to_numpy()[latest.clip(0)]
    kept = (latest >= 0) & (age <= limit)
    return pl.Series(values=np.where(kept, values, np.nan)).fill_nan(None)


def _risk_score() -> pl.Expr:
    components = {"fear_index_delta": 10.0, "dollar_impact": 0.1, "bond_stock_spread": 0.1}
    regime = -pl.col("market_regime_score").clip(-0.3, 0.3) / 0.3
    return pl.mean_horizontal(
        regime, *(pl.col(name).clip(-limit, limit) / limit for name, limit in components.items())
    )


def _declare(
    name: str,
    formula: str,
    own_days: int,
    *,
    unit: str = "fraction",
    low: float | None = None,
    high: float | None = None,
    models: tuple[str, ...] = ("v4",),
) -> Feature:
    return Feature(
        name=name,
        group="macro",
        formula=f"{formula}; carried forward at most {FORWARD_FILL_DAYS} market days",
        window=own_days + FORWARD_FILL_DAYS,
        source="krx reference §5",
        null="an index is missing, too young for the window, or silent beyond the forward fill",
        unit=unit,
        low=low,
        high=high,
        models=models,
    )


FEATURES = (
    _declare(
        "market_regime_score",
        f"x / mean[x; 120, 60] - 1 of {KOSPI_200}",
        120,
        models=("v4", "v5"),
    ),
    _declare("kosdaq_regime_score", f"x / mean[x; 120, 60] - 1 of {KOSDAQ_150}", 120),
    _declare("size_spread", f"20-day change of {LARGE_CAPS} minus that of {SMALL_CAPS}", 21),
    _declare(
        "market_breadth",
        "share of the KOSPI and KOSDAQ indices above mean[close; 20, 10], among those with both values",
        20,
        low=0.0,
        high=1.0,
    ),
    _declare(
        "market_breadth_change",
        "market_breadth minus its value 5 days before",
        25,
        low=-1.0,
        high=1.0,
        models=(),
    ),
    _declare("fear_index_level", f"level of {VKOSPI}", 1, unit="points", low=0.0),
    _declare("fear_index_delta", f"{VKOSPI} minus its value 5 days before", 6, unit="points"),
    _declare("dollar_impact", f"20-day change of {DOLLAR_FUTURES}", 21),
    _declare(
        "bond_stock_spread",
        f"20-day change of {TREASURY_BONDS} minus that of {KOSPI_200}, on days with both",
        21,
    ),
    _declare(
        "macro_risk_score",
        "mean of the present among -clip(market_regime_score, ±0.3)/0.3, clip(fear_index_delta, ±10)/10, "
        "clip(dollar_impact, ±0.1)/0.1 and clip(bond_stock_spread, ±0.1)/0.1",
        120,
        unit="score",
        low=-1.0,
        high=1.0,
    ),
)
"""Columns of ``MacroFeatures.frame`` beside ``date``, in order."""

COMPOSITES = (
    Feature(
        name="regime_momentum_interaction",
        group="macro",
        formula="clip(market_regime_score, ±0.2) * clip(mom_20d, ±0.5)",
        window=120 + FORWARD_FILL_DAYS,
        source="krx reference §5",
        null="market_regime_score or mom_20d is null",
        unit="score",
        low=-0.1,
        high=0.1,
        models=("v4",),
    ),
)
"""Features of a stock's row that combine the macro features of the day with its own."""
