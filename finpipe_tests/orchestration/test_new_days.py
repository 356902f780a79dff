"""What new trading days, and a new year, make stale: the demo market up to a day, then with the days after it."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from finpipe.market.demo import write_demo_market
from finpipe.orchestration.workspace import Workspace
from finpipe.settings import CONFIG_NAME, load_settings
from finpipe_tests.demo_home import OWN_PRESETS, VARIANT

DATED = ("daily_prices", "index_daily_prices", "deriv_index_daily", "bond_index_daily")
NEW_YEAR = f"2024|{VARIANT}"


def keep_days_until(database: Path, day: str) -> None:
    """Delete what was not yet known on ``day``, YYYYMMDD."""
    with closing(sqlite3.connect(database)) as connection:
        for table in DATED:
            connection.execute(f"DELETE FROM {table} WHERE date > ?", [day])
        connection.execute("DELETE FROM delisted_stocks WHERE delisting_date > ?", [day])
        connection.execute("DELETE FROM financial_periods WHERE available_date > ?", [day])
        connection.commit()


def add_days_until(database: Path, day: str, full: Path) -> None:
    """Add what became known up to ``day``, as a loader does."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("ATTACH ? AS full", [str(full)])
        (last,) = connection.execute("SELECT max(date) FROM daily_prices").fetchone()
        for table, column in (
            *((table, "date") for table in DATED),
            ("delisted_stocks", "delisting_date"),
            ("financial_periods", "available_date"),
        ):
            between = f"{column} > ? AND {column} <= ?"
            connection.execute(f"INSERT INTO {table} SELECT * FROM full.{table} WHERE {between}", [last, day])
        connection.commit()


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> list[set[str]]:
    """What a run makes: of the data until 2023, with the first days of 2024, and with some more."""
    folder = tmp_path_factory.mktemp("growing")
    full, database = folder / "full.db", folder / "krx_stock_data.db"
    write_demo_market(full, stocks=40, years=5)
    shutil.copyfile(full, database)
    (folder / CONFIG_NAME).write_text(OWN_PRESETS, encoding="utf-8")
    keep_days_until(database, "20231228")
    made = []
    with Workspace(load_settings(home=folder / "home", database=database, workers=1, threads=2)) as workspace:
        for day in ("20240131", "20240229", ""):
            outcome = workspace.run(["krx/picks"])
            assert not outcome.failed
            made.append(set(outcome.materialized))
            if day:
                add_days_until(database, day, full)
    return made


def years(made: set[str], asset: str) -> set[str]:
    return {name.partition("[")[2][:4] for name in made if name.startswith(f"{asset}[")}


def test_the_year_that_has_not_begun_has_no_partition(history):
    assert years(history[0], "krx/yearly_ranker") == {"2023"}


def test_a_new_year_adds_a_partition_and_trains_it_alone(history):
    assert years(history[1], "krx/yearly_ranker") == {"2024"}
    assert years(history[1], "krx/yearly_predictions") == {"2024"}
    assert f"krx/picks[{VARIANT}]" in history[1]


def test_new_days_extend_the_current_year_and_the_picks_and_train_nothing(history):
    assert years(history[2], "krx/yearly_ranker") == set()
    assert years(history[2], "krx/yearly_predictions") == {"2024"}
    assert {f"krx/predictions[{VARIANT}]", f"krx/picks[{VARIANT}]"} <= history[2]
    assert "krx/training_panel" in history[2]
