"""No label that a model learns from is earned on a day that the model is tested on, or kept from by the embargo.

The days of a label are counted here anew, one by one, on the calendar of the market.
"""

from __future__ import annotations

import datetime as dt
from bisect import bisect_left

import polars as pl
import pytest

from finpipe.learning.folds import Fold, validation_fold, walk_forward_folds
from finpipe.learning.window import training_window
from finpipe_tests.integration.altered_market import poisoned
from finpipe_tests.integration.whole_graph import WholeGraph, assert_same_bits, run

HORIZONS = (1, 5, 21, 63, 126)
EMBARGO = 5
TEST_YEARS = [2022, 2023, 2024]


@pytest.fixture(scope="module")
def days(whole: WholeGraph) -> list[dt.date]:
    """The market calendar."""
    return whole["daily_prices"]["date"].unique().sort().to_list()


@pytest.mark.parametrize("horizon", HORIZONS)
@pytest.mark.parametrize("train_years", [1, 0], ids=["rolling", "expanding"])
def test_no_label_touches_the_test_year_or_the_embargo(whole, days, horizon, train_years):
    folds = folds_of(days, horizon, train_years)
    assert [fold.test_year for fold in folds] == TEST_YEARS
    for fold in folds:
        rows = training_rows(whole, fold)
        assert_apart(rows["date"].unique(), days, horizon, first_day(days, fold.test_year))
        assert fold.test_rows(whole["training_panel"])["date"].min() == first_day(days, fold.test_year)


@pytest.mark.parametrize("horizon", [1, 5, 21, 63])
def test_the_year_that_stops_the_training_is_purged_likewise(whole, days, horizon):
    for fold in folds_of(days, horizon, train_years=0)[1:]:
        inner = validation_fold(days, fold)
        learned = training_rows(whole, inner)["date"].unique()
        judged = inner.test_rows(whole["training_panel"])["date"].unique()
        assert_apart(learned, days, horizon, first_day(days, fold.test_year - 1))
        assert_apart(judged, days, horizon, first_day(days, fold.test_year))


@pytest.mark.parametrize("year", TEST_YEARS)
def test_the_window_of_a_year_shows_no_label_that_ends_in_it(whole, days, year):
    window = training_window(days, year, horizons=HORIZONS, train_years=1)
    shown = window.of(whole["training_panel"].lazy()).collect()
    for horizon in HORIZONS:
        labels = shown.select("date", f"^(forward|realized|target)_.*_{horizon}d$")
        seen = labels.filter(pl.any_horizontal(pl.exclude("date").is_not_null()))
        assert_apart(seen["date"].unique(), days, horizon, first_day(days, year), embargo=0)
        (fold,) = (fold for fold in folds_of(days, horizon, 1) if fold.test_year == year)
        label = f"target_rank_{horizon}d"
        keys = ["stock_code", "date", label]
        assert_same_bits(label, fold.training_rows(shown, label).select(keys), training_rows(whole, fold))


def test_poison_in_the_embargo_and_the_test_year_reaches_no_row_that_is_learned_from(
    market, whole, days, tmp_path
):
    year = 2023
    last = days[bisect_left(days, dt.date(year, 1, 1)) - EMBARGO - 1]
    then = run(poisoned(market, tmp_path / "copy.db", last), ["training_panel"])
    for horizon in HORIZONS:
        (fold,) = (fold for fold in folds_of(days, horizon, 0) if fold.test_year == year)
        rows = [
            fold.training_rows(made["training_panel"], f"target_rank_{horizon}d") for made in (then, whole)
        ]
        own = pl.col("stock_code", "date", f"^(forward|realized|target)_.*_{horizon}d$", "mom_20d", "roe")
        assert_same_bits(f"{horizon} days", *(frame.select(own) for frame in rows))


def folds_of(days: list[dt.date], horizon: int, train_years: int) -> list[Fold]:
    """The folds of all test years that have a whole year before them."""
    return walk_forward_folds(
        days, horizon=horizon, embargo_days=EMBARGO, train_years=train_years or None, min_train_rows=1
    )


def training_rows(whole: WholeGraph, fold: Fold) -> pl.DataFrame:
    """What the fold learns from: keys and labels."""
    label = f"target_rank_{fold.horizon}d"
    return fold.training_rows(whole["training_panel"], label).select("stock_code", "date", label)


def first_day(days: list[dt.date], year: int) -> dt.date:
    return next(day for day in days if day.year == year)


def assert_apart(
    learned: pl.Series, days: list[dt.date], horizon: int, tested_from: dt.date, embargo: int = EMBARGO
) -> None:
    """Check that the days on which labels are earned end before the embargo, and not a day sooner."""
    off_limits = set(days[days.index(tested_from) - embargo :])
    for day in learned:
        entry = days.index(day) + 1
        earned = days[entry : entry + horizon + 1]
        assert len(earned) == horizon + 1
        assert off_limits.isdisjoint(earned), f"the label of {day} is earned until {earned[-1]}"
    following = days.index(learned.max()) + 1
    assert days[following + 1 + horizon] in off_limits, "more is purged than need be"
