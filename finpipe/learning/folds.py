"""Walk-forward folds: which days a model may learn from, and which it is tested on. Days only, no rows of a model.

The arithmetic, on the positions of days in the market calendar: the label of a row at day t is earned from
the open of day t + 1 to the open of day t + 1 + h. With s the first test day and e the embargo,

- a row is purged if its label ends on or after the first test day: t + 1 + h >= s;
- of the days that are left, the last e are dropped too.

So the last training day is s - h - 2 - e, and every training label has ended by day s - 1 - e: its span
touches neither the test year nor the embargo before it (López de Prado 2018, chapter 7).
"""

from __future__ import annotations

import datetime as dt
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import polars as pl


class FoldError(ValueError):
    """A fold cannot be made or filled; the message says what is too little and what would help."""


@dataclass(frozen=True, slots=True)
class Fold:
    """One step of the walk: the days to learn from and the days to predict, both ends inclusive.

    Attributes
    ----------
    test_year
        Calendar year of the test days.
    train_first, train_last
        First and last day whose rows may be learned from.
    test_first, test_last
        First and last day to predict.
    horizon
        Trading days between entry and exit of the label.
    embargo_days
        Days dropped between the end of the last label and the first test day.
    purged_days
        Days of the training years whose labels end in the test year.
    min_train_rows, min_test_rows
        Fewest rows with a label, and to predict, for which the fold means anything.
    """

    test_year: int
    train_first: dt.date
    train_last: dt.date
    test_first: dt.date
    test_last: dt.date
    horizon: int
    embargo_days: int
    purged_days: int
    min_train_rows: int = 1_000
    min_test_rows: int = 100

    def training_rows(self, frame: pl.DataFrame, label: str) -> pl.DataFrame:
        """Return the rows of the training days that have a label.

        Raises
        ------
        FoldError
            There are fewer than ``min_train_rows``.
        """
        days = frame.filter(pl.col("date").is_between(self.train_first, self.train_last))
        rows = days.filter(is_labelled(label))
        if rows.height < self.min_train_rows:
            raise FoldError(
                f"test year {self.test_year}: {rows.height:,} of {days.height:,} rows from {self.train_first} to "
                f"{self.train_last} have {label}, at least {self.min_train_rows:,} are needed; start the test "
                "years later, or lower the floors of the universe"
            )
        return rows

    def test_rows(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return the rows of the test days, with and without labels.

        Raises
        ------
        FoldError
            There are fewer than ``min_test_rows``.
        """
        rows = frame.filter(pl.col("date").is_between(self.test_first, self.test_last))
        if rows.height < self.min_test_rows:
            raise FoldError(
                f"test year {self.test_year}: {rows.height:,} rows from {self.test_first} to {self.test_last}, "
                f"at least {self.min_test_rows:,} are needed; end the test years earlier, or lower the floors "
                "of the universe"
            )
        return rows


def is_labelled(label: str) -> pl.Expr:
    """Return whether a row has the label; LightGBM would take a missing one for 0."""
    return pl.col(label).is_not_null() & pl.col(label).is_not_nan()


def available_test_years(days: Iterable[dt.date], *, train_years: int | None = 3) -> list[int]:
    """Return the years that can be tested: those before which all training years are in the data.

    Parameters
    ----------
    days
        The market calendar.
    train_years
        Calendar years to train on; None or 0 trains on all years before, at least one.
    """
    years = sorted({day.year for day in days})
    return [year for year in years if year - (train_years or 1) >= years[0]]


def walk_forward_folds(
    days: Iterable[dt.date],
    test_years: Iterable[int] | None = None,
    *,
    horizon: int,
    embargo_days: int = 5,
    train_years: int | None = 3,
    min_train_rows: int = 1_000,
    min_test_rows: int = 100,
) -> list[Fold]:
    """Return a fold per test year: the ``train_years`` calendar years before it, purged and embargoed.

    Parameters
    ----------
    days
        The market calendar, in any order.
    test_years
        Years to test; None takes all of ``available_test_years``.
    horizon
        Trading days between entry and exit of the label.
    embargo_days
        Trading days dropped between the end of the last training label and the first test day.
    train_years
        Calendar years to train on; None or 0 trains on all years before.
    min_train_rows, min_test_rows
        Passed on to the folds, which apply them when they pick their rows.

    Raises
    ------
    FoldError
        A year is not in the data, its training years are not all there, or nothing is left of them.
    """
    if horizon < 1 or embargo_days < 0 or (train_years or 0) < 0:
        raise FoldError(
            f"horizon must be 1 or more, embargo_days and train_years 0 or more; given: {horizon}, {embargo_days}, "
            f"{train_years}"
        )
    calendar = sorted(set(days))
    available = available_test_years(calendar, train_years=train_years)
    folds = []
    for year in available if test_years is None else test_years:
        if year not in available:
            training = "a year" if not train_years else f"{train_years} year(s)"
            raise FoldError(
                f"test year {year} needs days of its own and {training} before it in the data, which run from "
                f"{_span(calendar)}; years that can be tested: {', '.join(map(str, available)) or 'none'}"
            )
        first = dt.date(year - train_years, 1, 1) if train_years else calendar[0]
        test = [day for day in calendar if day.year == year]
        window = _Window(first, test[0], test[-1], horizon, embargo_days, min_train_rows, min_test_rows)
        folds.append(window.fold(calendar, year))
    return folds


def latest_fold(
    days: Iterable[dt.date],
    *,
    horizon: int,
    embargo_days: int = 0,
    train_years: int | None = 3,
    min_train_rows: int = 1_000,
) -> Fold:
    """Return the fold that predicts the last day from everything that was known then.

    It trains on the year so far and the ``train_years`` calendar years before it (None or 0: on all), up to the
    last day whose label has ended by the last day.

    Raises
    ------
    FoldError
        No label has ended by the last day.
    """
    calendar = sorted(set(days))
    if not calendar:
        raise FoldError("there is no market day")
    last = calendar[-1]
    first = dt.date(last.year - train_years, 1, 1) if train_years else calendar[0]
    window = _Window(first, last, last, horizon, embargo_days, min_train_rows, min_test_rows=1)
    return window.fold(calendar, last.year)


def validation_fold(days: Iterable[dt.date], fold: Fold) -> Fold:
    """Return the split of a fold's training days for early stopping or a search.

    It validates on the last training year, which is what is left of the calendar year before the test
    year, and trains on the days before, purged and embargoed likewise.

    Raises
    ------
    FoldError
        Nothing is left to train or to validate on.
    """
    calendar = [day for day in sorted(set(days)) if fold.train_first <= day <= fold.train_last]
    held_out = [day for day in calendar if day.year >= fold.test_year - 1]
    if not held_out or held_out[0] == calendar[0]:
        raise FoldError(
            f"test year {fold.test_year}: the training days from {fold.train_first} to {fold.train_last} cannot "
            f"be split into years to learn from and {fold.test_year - 1} to validate on; use more train years, "
            "or neither early stopping nor a search"
        )
    window = _Window(
        fold.train_first,
        held_out[0],
        held_out[-1],
        fold.horizon,
        fold.embargo_days,
        fold.min_train_rows,
        fold.min_test_rows,
    )
    return window.fold(calendar, held_out[0].year)


@dataclass(frozen=True, slots=True)
class _Window:
    """Where a fold begins and what it tests, before purging."""

    train_first: dt.date
    test_first: dt.date
    test_last: dt.date
    horizon: int
    embargo_days: int
    min_train_rows: int
    min_test_rows: int

    def fold(self, calendar: Sequence[dt.date], test_year: int) -> Fold:
        begin, s = bisect_left(calendar, self.train_first), bisect_left(calendar, self.test_first)
        end = s - self.horizon - 2 - self.embargo_days
        if end < begin:
            raise FoldError(
                f"test year {test_year}: of its {s - begin} training days none is left when labels of "
                f"{self.horizon} days must end {self.embargo_days} days before {self.test_first}; shorten the "
                "horizon or use more train years"
            )
        return Fold(
            test_year=test_year,
            train_first=calendar[begin],
            train_last=calendar[end],
            test_first=self.test_first,
            test_last=self.test_last,
            horizon=self.horizon,
            embargo_days=self.embargo_days,
            purged_days=min(self.horizon + 1, s - begin),
            min_train_rows=self.min_train_rows,
            min_test_rows=self.min_test_rows,
        )


def _span(calendar: Sequence[dt.date]) -> str:
    return f"{calendar[0]} to {calendar[-1]}" if calendar else "nowhere to nowhere"
