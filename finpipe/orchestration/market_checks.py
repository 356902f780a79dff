"""Asset checks of market data: days that the exchange knows, prices that can be. Frames in, outcomes out."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import polars as pl

from finpipe.market.calendar import unexpected_days
from finpipe.orchestration.check import Check

DAYS = "dates_in_calendar"
PRICES = "prices_sane"
PROMISES = {
    DAYS: "Every day is a session of the Korea Exchange and none is missing; a table with days to come, or with many "
    "days on which the exchange was closed, is not taken.",
    PRICES: "Prices are positive, lie between the day's low and high, and do not multiply overnight; a table with "
    "many that are not so is not taken.",
}

FIRST_SESSION = dt.date(1956, 3, 3)
"""Opening of the exchange."""
STRANGE_DAYS = 0.01
"""Share of days without a session beyond which a table is not taken: its dates are no trading days."""
WRONG_ROWS = 1e-4
"""Share of rows with impossible prices that somebody should look at."""
POISONED_ROWS = 0.01
"""Share of rows with impossible prices beyond which a table is not taken."""
FACTOR = 5.0
"""Adjusted close over the previous one, or its inverse, that no trading day explains."""
SHOWN = 5


def dates_in_calendar(dates: pl.Series, today: dt.date) -> Check:
    """Compare the days of a table with the sessions of the Korea Exchange.

    Parameters
    ----------
    dates
        Dates, repeated or not.
    today
        The day in Seoul; later ones cannot be known yet.
    """
    days = dates.drop_nulls().unique().sort()
    impossible = days.filter((days > today) | (days < FIRST_SESSION))
    if len(impossible):
        return Check(
            passed=False,
            finding=f"{len(impossible)} day(s) before the exchange opened or after today, {today}: "
            f"{_listed(impossible.to_list())}. What was made before stays. Mend the dates, or this machine's clock",
            blocks=True,
        )
    found = unexpected_days(days)
    extra, missing = found.extra.tolist(), found.missing.tolist()
    parts = [f"{len(extra)} on which the exchange was closed: {_listed(extra)}"] if extra else []
    parts += [f"{len(missing)} session(s) are missing: {_listed(missing)}"] if missing else []
    finding = f"{len(days):,} days; " + (
        "; ".join(parts) or "all sessions of the exchange, and none is missing"
    )
    blocks = len(extra) > STRANGE_DAYS * len(days)
    return Check(not parts, finding + ". What was made before stays" * blocks, blocks=blocks)


def prices_sane(prices: pl.DataFrame) -> Check:
    """Count rows whose prices cannot be.

    Parameters
    ----------
    prices
        ``krx/daily_prices``, sorted by (stock_code, date).
    """
    low, high, close, adjusted = (pl.col(name) for name in ("low", "high", "close", "adjusted_close"))
    same = pl.col("stock_code").to_physical() == pl.col("stock_code").to_physical().shift(1)
    move = adjusted / adjusted.shift(1)
    wrong = {
        "not positive": pl.any_horizontal(pl.col("open", "low", "high", "close") <= 0),
        "outside the day's low and high": (low > high)
        | (close < low)
        | (close > high)
        | (pl.col("open") < low)
        | (pl.col("open") > high),
        "adjusted close not positive and finite": ~(adjusted.is_finite() & (adjusted > 0)),
        f"adjusted close more than {FACTOR:g} times the day before, or less than 1/{FACTOR:g}": same
        & ((move > FACTOR) | (move < 1 / FACTOR)),
    }
    flagged = prices.lazy().select(
        "stock_code", "date", *(rule.fill_null(value=False).alias(name) for name, rule in wrong.items())
    )
    any_wrong = pl.any_horizontal(pl.col(list(wrong)))
    rows = max(prices.height, 1)
    bad = flagged.filter(any_wrong).collect()
    share = bad.height / rows
    counts = {name: int(bad[name].sum()) for name in wrong}
    said = "; ".join(f"{count:,} {name}" for name, count in counts.items() if count)
    finding = f"{bad.height:,} of {prices.height:,} rows have prices that cannot be"
    if bad.height:
        code, day = bad.select(pl.col("stock_code").cast(pl.String), "date").row(0)
        finding += f" ({share:.3%}): {said}; e.g. {code} on {day}"
    blocks = share > POISONED_ROWS
    return Check(
        share <= WRONG_ROWS, finding + ". What was made before stays" * blocks, counts, blocks=blocks
    )


def _listed(days: Sequence[dt.date]) -> str:
    more = f" and {len(days) - SHOWN} more" if len(days) > SHOWN else ""
    return ", ".join(map(str, days[:SHOWN])) + more
