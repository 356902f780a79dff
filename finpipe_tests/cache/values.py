"""Small tables and entries for the tests of the cache."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from finpipe.cache.entry import NEVER, Entry, Expiry, Value


def table(rows: int = 10, seed: int = 0) -> pa.Table:
    """One column of 8 x ``rows`` bytes in an allocation of its own."""
    return pa.table({"close": np.random.default_rng(seed).random(rows)})


def entry(value: Value = None, *, at: float = 0.0, expiry: Expiry = NEVER) -> Entry:
    return Entry.of(table() if value is None else value, at, expiry)
