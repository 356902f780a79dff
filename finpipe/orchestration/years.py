"""Which test years the data allow; they are partitions of what is trained and predicted year by year."""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg
import polars as pl

from finpipe.orchestration.io_managers import SIZE
from finpipe.orchestration.partitions import TEST_YEAR
from finpipe.orchestration.provenance import latest_record
from finpipe.orchestration.shelves import shelves
from finpipe.settings import Settings, SettingsError

PRICES = "krx/daily_prices"


def sync_test_years(
    settings: Settings, instance: dg.DagsterInstance, wanted: Sequence[int] | None = None
) -> None:
    """Add a partition for each test year that the stored prices allow.

    None is added before prices are stored, or while they are missing and have to be made again.

    Raises
    ------
    SettingsError
        A year that is ``wanted`` is not possible.
    """
    shelf, record = shelves(settings)["parquet"], latest_record(instance, PRICES, None)
    if record is None or not shelf.holds(PRICES, None, int(record.metadata[SIZE])):
        return
    from finpipe.learning.folds import available_test_years

    days = shelf.get(PRICES, None).select(pl.col("date").unique()).collect().to_series()
    first, last = settings.first_test_year, settings.last_test_year
    possible = [
        year
        for year in available_test_years(days, train_years=settings.train_years or None)
        if (first is None or year >= first) and (last is None or year <= last)
    ]
    if wanted is not None and (unknown := sorted(set(wanted) - set(possible))):
        raise SettingsError(
            f"test year(s) {', '.join(map(str, unknown))} cannot be tested: the data run from {days.min()} to "
            f"{days.max()} and {settings.train_years} years are trained on; possible: "
            f"{', '.join(map(str, possible)) or 'none'}"
        )
    instance.add_dynamic_partitions(TEST_YEAR, [str(year) for year in possible])
