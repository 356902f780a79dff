"""Comparison: a table beside the version of it that was made last. What a table holds by itself is for ``checks``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from finpipe.orchestration.check import Check

ROWS = "rows_as_last_time"
NULLS = "nulls_as_last_time"
ROW_COUNT = "dagster/row_count"
NULL_SHARES = "finpipe/null_shares"
DATABASE = "finpipe/database"

FEWER = 0.05
"""Loss of rows from one run to the next that somebody should look at, as a fraction."""
MORE = 1.0
"""Growth of that kind."""
EMPTIER = 0.05
"""Growth of a column's share of nulls that somebody should look at."""
SHOWN = 10

COMPARED: Mapping[str, tuple[str, ...]] = {
    "market": (ROWS, NULLS),
    "features": (ROWS, NULLS),
    "learning": (ROWS, NULLS),
}
"""Checks by asset group."""
PROMISES = {
    ROWS: "About as many rows as the last time; a table of the database that has lost most of them is not taken.",
    NULLS: "No column has many more nulls than the last time.",
}
BLOCKING = frozenset({("market", ROWS)})
"""Groups and checks that keep a bad table out: everything else is made of it."""

Recorded = Mapping[str, Any]
"""Metadata of a materialization, by name."""


def null_shares(frame: pl.DataFrame) -> dict[str, float]:
    """Return the share of nulls of each column that has any."""
    rows = max(frame.height, 1)
    return {
        column.name: round(column.null_count() / rows, 6)
        for column in frame.iter_columns()
        if column.null_count()
    }


def compare(group: str, now: Recorded, last: Recorded | None, *, row_loss: float) -> dict[str, Check]:
    """Compare the metadata of two versions of a table of ``group``; None if there is no earlier one.

    Versions that were made from different databases are not compared.

    Parameters
    ----------
    row_loss
        Loss of rows that keeps a market table out, as a fraction.
    """
    names = COMPARED.get(group, ())
    if last is None or now.get(DATABASE) != last.get(DATABASE):
        return dict.fromkeys(
            names, Check(passed=True, finding="the first version, which others are compared with")
        )
    compared = {}
    if ROWS in names and ROW_COUNT in last:
        limit = row_loss if (group, ROWS) in BLOCKING else None
        compared[ROWS] = rows_as_last_time(now[ROW_COUNT], last[ROW_COUNT], row_loss=limit)
    if NULLS in names:
        compared[NULLS] = nulls_as_last_time(now.get(NULL_SHARES, {}), last.get(NULL_SHARES, {}))
    return compared


def rows_as_last_time(now: int, last: int, *, row_loss: float | None) -> Check:
    """Judge a number of rows; it blocks if a larger share than ``row_loss`` is gone."""
    change = now / last - 1 if last else 0.0
    finding = f"{now:,} rows, {last:,} the last time ({change:+.1%})"
    if row_loss is not None and -change > row_loss:
        return Check(
            passed=False,
            finding=f"{finding}: is the database complete? What was made before stays. If so many rows are meant to "
            "be gone, run once with FINPIPE_ROW_LOSS=1",
            blocks=True,
        )
    return Check(-FEWER <= change <= MORE, finding)


def nulls_as_last_time(now: Mapping[str, float], last: Mapping[str, float]) -> Check:
    """Judge the shares of nulls by column."""
    grown = sorted(
        ((share - last.get(name, 0.0), name) for name, share in now.items()),
        key=lambda item: (-item[0], item[1]),
    )
    worse = [
        f"{name} {last.get(name, 0.0):.1%} → {now[name]:.1%}" for growth, name in grown if growth > EMPTIER
    ]
    if worse:
        more = f" and {len(worse) - SHOWN} more" if len(worse) > SHOWN else ""
        return Check(passed=False, finding=f"more nulls than the last time: {', '.join(worse[:SHOWN])}{more}")
    most = f"; the most {grown[0][0]:+.2%} in {grown[0][1]}" if grown and grown[0][0] > 0 else ""
    return Check(passed=True, finding=f"no column has many more nulls than the last time{most}")
