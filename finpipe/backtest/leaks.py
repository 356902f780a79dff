"""An alarm for features that know tomorrow: those that order the next day's returns too well."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from finpipe.backtest.tables import FEATURE_LEAKS

SUSPICIOUS_IC = 0.15
SUSPICIOUS_T = 4.0
FEWEST_STOCKS = 3
TINY = 1e-12
_STOCKS = "number of stocks"


def feature_leaks(
    features: pl.DataFrame,
    realized: pl.DataFrame,
    *,
    names: Sequence[str] | None = None,
    horizon: int = 1,
    days: int | None = None,
    limit: float = SUSPICIOUS_IC,
) -> pl.DataFrame:
    """Measure how well each feature orders the next day's returns, and flag what is too good to be true.

    Honest features of daily bars reach a mean daily rank IC of a few hundredths against the return from
    the next open to the one after; tomorrow's return, or anything made of it, reaches several tenths.
    A feature is suspicious if its mean IC is beyond ``limit`` and more than 4 standard errors from 0, so
    that a handful of stocks or days raises no alarm by chance.

    Parameters
    ----------
    features
        ``stock_code``, ``date`` and features as known at the close.
    realized
        ``stock_code``, ``date``, ``realized_return_{horizon}d``.
    names
        The features to look at; all numeric ones by default.
    horizon
        Trading days of the return; the shorter, the clearer a leak stands out.
    days
        Look at this many days only, spread evenly; a few hundred are plenty for an alarm. None looks at all.
    limit
        Largest absolute mean rank IC that is believed.

    Returns
    -------
    pl.DataFrame
        ``tables.FEATURE_LEAKS``, the most suspicious first. Features that never vary across the stocks of
        a date, such as macro features, have a null IC and are not suspicious.
    """
    keys = ["stock_code", "date"]
    given = names or [
        name for name, kind in features.schema.items() if kind.is_numeric() and name not in keys
    ]
    label = pl.col(f"realized_return_{horizon}d").cast(pl.Float64)
    known = realized.select(*keys, realized=label).drop_nulls("realized")
    if days is not None:
        chosen = _spread(known["date"].unique().sort(), days).implode()
        known, features = (frame.filter(pl.col("date").is_in(chosen)) for frame in (known, features))
    joined = features.select(*keys, *given).join(known, on=keys, maintain_order="left")
    joined = joined.select("date", "realized", pl.col(given).fill_nan(None))
    alike: dict[bytes, list[str]] = {}
    for name in given:
        alike.setdefault(joined[name].is_null().to_numpy().tobytes(), []).append(name)
    found = pl.collect_all([_daily_rank_ics(joined, together) for together in alike.values()])
    daily = {
        name: ics[name] for together, ics in zip(alike.values(), found, strict=True) for name in together
    }
    rows = [(name, *_mean_and_t(daily[name].drop_nulls())) for name in given]
    schema = {"feature": pl.String, "mean_rank_ic": pl.Float64, "t": pl.Float64, "days": pl.Int32}
    table = pl.DataFrame(rows, schema=schema, orient="row")
    size = pl.col("mean_rank_ic").abs()
    certain = pl.col("t").abs().fill_null(0) > SUSPICIOUS_T
    return FEATURE_LEAKS.validate(
        table.with_columns(suspicious=((size > limit) & certain).fill_null(value=False))
        .select(FEATURE_LEAKS.names)
        .sort(size, "feature", descending=[True, False], nulls_last=True)
    )


def _spread(dates: pl.Series, count: int) -> pl.Series:
    """Return ``count`` of the dates at even distances, or all if there are no more."""
    if len(dates) <= count:
        return dates
    return dates.gather([position * len(dates) // count for position in range(count)])


def _daily_rank_ics(joined: pl.DataFrame, names: Sequence[str]) -> pl.LazyFrame:
    """Return the daily rank ICs of features that are known on the same rows; null on days that have none."""
    return (
        joined.lazy()
        .select("date", "realized", *names)
        .drop_nulls(names[0])
        .with_columns(pl.col("realized").rank().over("date"))
        .group_by("date", maintain_order=True)
        .agg(
            pl.len().alias(_STOCKS), *(pl.corr(pl.col(name).rank(), "realized").alias(name) for name in names)
        )
        .filter(pl.col(_STOCKS) >= FEWEST_STOCKS)
        .select(pl.col(names).fill_nan(None))
    )


def _mean_and_t(ics: pl.Series) -> tuple[float | None, float | None, int]:
    mean, deviation = ics.mean(), ics.std()
    if not isinstance(mean, float) or not isinstance(deviation, float):
        return mean if isinstance(mean, float) else None, None, len(ics)
    return mean, mean * len(ics) ** 0.5 / max(deviation, TINY), len(ics)
