"""Freshness: how old assets may grow that every trading day makes anew, as Dagster's daemon watches it.

Dagster counts hours and knows no exchange, so the windows are the exchange's: how long it closes at most. It
judges by materializations, which observed sources have none of: the tables read from them stand for them.
"""

from __future__ import annotations

import datetime as dt

import dagster as dg

LOADING = dt.timedelta(hours=12)
"""Time that data and runs may take after a close."""
USUAL_CLOSURE = dt.timedelta(days=4)
"""From one close to the next over a weekend and a holiday beside it; longer ones come about three times a year."""
LONGEST_CLOSURE = dt.timedelta(days=11)
"""From one close to the next at the most: over Chuseok of 2017."""
DAILY = frozenset(
    f"krx/{name}"
    for name in (
        "daily_prices",
        "index_levels",
        "picks",
        "performance",
        "performance_report",
        "performance_picture",
    )
)
"""Assets that come out anew with every trading day: what is read of the sources, the picks, the report."""


def policy(key: str) -> dg.FreshnessPolicy | None:
    """Return how old the asset ``key`` may grow; None if new days do not make it anew."""
    if key not in DAILY:
        return None
    return dg.FreshnessPolicy.time_window(
        fail_window=LONGEST_CLOSURE + LOADING, warn_window=USUAL_CLOSURE + LOADING
    )
