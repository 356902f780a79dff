"""Files of made-up bars for tests that go through a source of prices."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from finpipe.settings import Settings, load_settings
from finpipe_tests.portfolio.sample_bars import bars_of, random_prices, weekdays

NAMES = ("AAPL", "JNJ", "KO", "MSFT", "PEP", "XOM")
DAYS = 420
SHORT = "NEWCO"
"""A ticker whose bars begin a month before the end."""
NOW = dt.datetime(2024, 6, 3, 23, 0, tzinfo=dt.UTC)
FIRST, LAST = weekdays(DAYS)[0].item(), weekdays(DAYS)[-1].item()


def write_bars(path: Path, *, index: bool = False) -> Path:
    """Six companies, one that was listed lately, and an index if asked for."""
    prices: dict[str, object] = dict(random_prices(NAMES, DAYS, seed=3, drift=0.0012))
    prices[SHORT] = [None] * (DAYS - 20) + [10.0 + day % 3 for day in range(20)]
    if index:
        prices["^GSPC"] = random_prices(["^GSPC"], DAYS, seed=1)["^GSPC"]
    bars_of(prices).write_parquet(path)
    return path


def settings_of(folder: Path, *, index: bool = False, **flags: object) -> Settings:
    """Settings of a home in ``folder`` whose prices come from a file there."""
    path = folder / "bars.parquet"
    if not path.is_file():
        write_bars(path, index=index)
    return load_settings(home=folder / "home", bars=path, **flags)
