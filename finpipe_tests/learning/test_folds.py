from __future__ import annotations

import datetime as dt

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finpipe.learning.folds import (
    FoldError,
    available_test_years,
    latest_fold,
    validation_fold,
    walk_forward_folds,
)
from finpipe_tests.learning.small_market import weekdays

DAYS = weekdays(dt.date(2011, 1, 4), dt.date(2020, 6, 30))


def days_of(fold, first="train_first", last="train_last", calendar=DAYS):
    return [day for day in calendar if getattr(fold, first) <= day <= getattr(fold, last)]


def last_label_day(fold, calendar=DAYS):
    """The market day on whose open the label of the last training row ends."""
    return calendar[calendar.index(fold.train_last) + 1 + fold.horizon]


@pytest.mark.parametrize("horizon", [1, 5, 21, 63])
@pytest.mark.parametrize("embargo", [0, 5, 20])
@pytest.mark.parametrize("train_years", [1, 3, None])
def test_no_training_label_touches_the_test_year_or_the_embargo_and_no_other_day_is_lost(
    horizon, embargo, train_years
):
    folds = walk_forward_folds(DAYS, horizon=horizon, embargo_days=embargo, train_years=train_years)
    assert [fold.test_year for fold in folds] == list(range(2011 + (train_years or 1), 2021))
    for fold in folds:
        first_test = DAYS.index(fold.test_first)
        assert DAYS.index(last_label_day(fold)) == first_test - 1 - embargo
        assert days_of(fold, "test_first", "test_last") == [day for day in DAYS if day.year == fold.test_year]
        first_year = fold.test_year - train_years if train_years else 2011
        kept, possible = days_of(fold), [d for d in DAYS if first_year <= d.year < fold.test_year]
        assert kept == possible[: len(kept)]
        assert len(possible) - len(kept) == horizon + 1 + embargo
        purged = [day for day in possible if DAYS.index(day) + 1 + horizon >= first_test]
        assert fold.purged_days == len(purged)


@settings(deadline=None, max_examples=40)
@given(
    st.sets(st.sampled_from(DAYS), min_size=200, max_size=800),
    st.integers(1, 80),
    st.integers(0, 30),
    st.sampled_from([1, 2, None]),
)
def test_the_purge_counts_market_days_whatever_the_calendar(days, horizon, embargo, train_years):
    calendar = sorted(days)
    for year in available_test_years(calendar, train_years=train_years):
        options = {"horizon": horizon, "embargo_days": embargo, "train_years": train_years}
        first_year = year - train_years if train_years else calendar[0].year
        if sum(first_year <= day.year < year for day in calendar) < horizon + 2 + embargo:
            with pytest.raises(FoldError, match="none is left"):
                walk_forward_folds(days, [year], **options)
            continue
        (fold,) = walk_forward_folds(days, [year], **options)
        ends = calendar.index(fold.train_last) + 1 + horizon
        assert ends == calendar.index(fold.test_first) - 1 - embargo


def test_years_that_can_be_tested_have_all_training_years_before_them():
    assert available_test_years(DAYS, train_years=3) == list(range(2014, 2021))
    assert available_test_years(DAYS, train_years=None) == list(range(2012, 2021))
    assert available_test_years(DAYS[:100]) == []
    assert available_test_years([]) == []


def test_a_year_that_cannot_be_tested_is_explained():
    with pytest.raises(FoldError, match=r"test year 2013 needs days .* 3 year\(s\) .* 2014, 2015"):
        walk_forward_folds(DAYS, [2013], horizon=21)
    with pytest.raises(FoldError, match="2011-01-04 to 2020-06-30"):
        walk_forward_folds(DAYS, [2021], horizon=21)
    with pytest.raises(FoldError, match=r"test year 2012: of its 25\d training days none is left"):
        walk_forward_folds(DAYS, [2012], horizon=300, train_years=1)
    with pytest.raises(FoldError, match="horizon must be 1 or more"):
        walk_forward_folds(DAYS, horizon=0)


@pytest.mark.parametrize("horizon", [1, 21, 63])
def test_the_validation_year_is_the_last_training_year_purged_likewise(horizon):
    (fold,) = walk_forward_folds(DAYS, [2018], horizon=horizon, embargo_days=5)
    inner = validation_fold(DAYS, fold)
    assert days_of(inner, "test_first", "test_last") == [day for day in days_of(fold) if day.year == 2017]
    assert inner.test_last == fold.train_last
    assert inner.train_first == fold.train_first
    assert DAYS.index(last_label_day(inner)) == DAYS.index(inner.test_first) - 6


def test_a_single_training_year_cannot_be_split():
    (fold,) = walk_forward_folds(DAYS, [2018], horizon=5, train_years=1)
    with pytest.raises(FoldError, match="more train years"):
        validation_fold(DAYS, fold)


def test_the_latest_fold_predicts_the_last_day_from_labels_that_have_ended():
    fold = latest_fold(DAYS, horizon=21)
    assert fold.test_first == fold.test_last == DAYS[-1]
    assert fold.train_first == next(day for day in DAYS if day.year == 2017)
    assert last_label_day(fold) == DAYS[-2]
    with pytest.raises(FoldError, match="no market day"):
        latest_fold([], horizon=1)


def test_rows_of_a_fold_have_labels_and_too_few_are_explained():
    (fold,) = walk_forward_folds(DAYS, [2018], horizon=5, min_train_rows=700, min_test_rows=100)
    frame = pl.DataFrame({"date": DAYS, "y": [None, float("nan")] * 3 + [1.0] * (len(DAYS) - 6)})
    rows = fold.training_rows(frame, "y")
    assert rows["date"].to_list() == days_of(fold)
    assert fold.test_rows(frame)["date"].to_list() == days_of(fold, "test_first", "test_last")
    sparse = frame.with_columns(y=pl.when(pl.int_range(pl.len()) % 2 == 0).then("y"))
    with pytest.raises(FoldError, match=r"test year 2018: 38\d of 77\d rows from 2015-01-01 to .* have y"):
        fold.training_rows(sparse, "y")
    with pytest.raises(FoldError, match="test year 2018: 0 rows from 2018-01-01"):
        fold.test_rows(frame[:100])
