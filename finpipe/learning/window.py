"""Windows: the part of the training panel that one test year may see, as a rule that can be written down.

A model depends on its window instead of the whole panel: days that come later change the panel, but not
the windows of the years before.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import polars as pl

from finpipe.learning.folds import FoldError

LABEL = r"^(forward|realized|target)_.*_(\d+)d$"
"""Columns of the panel that look ahead, and how far."""


@dataclass(frozen=True, slots=True)
class Window:
    """Days of the panel, and how far its labels may be seen.

    Attributes
    ----------
    first, last
        First and last day, both inclusive.
    labels_until
        By horizon, the last day whose label may be seen; labels of later days become null, those of
        horizons that are not named are left out.
    calendar
        The market days from ``first`` to ``last`` and, for a training window, the first test day.
    """

    first: dt.date
    last: dt.date
    labels_until: Mapping[int, dt.date]
    calendar: tuple[dt.date, ...]

    def of(self, panel: pl.LazyFrame) -> pl.LazyFrame:
        """Return the rows and labels of ``panel`` that the window shows."""
        import re

        shown = []
        for name in panel.collect_schema().names():
            label = re.match(LABEL, name)
            if label is None:
                shown.append(pl.col(name))
            elif int(label[2]) in self.labels_until:
                until = self.labels_until[int(label[2])]
                shown.append(pl.when(pl.col("date") <= until).then(pl.col(name)).alias(name))
        return panel.filter(pl.col("date").is_between(self.first, self.last)).select(shown)

    def to_json(self) -> str:
        """Return the window as JSON."""
        content = {
            "first": self.first.isoformat(),
            "last": self.last.isoformat(),
            "labels_until": {str(horizon): day.isoformat() for horizon, day in self.labels_until.items()},
            "calendar": [day.isoformat() for day in self.calendar],
        }
        return json.dumps(content)

    @classmethod
    def from_json(cls, text: str) -> Window:
        """Return the window that ``to_json`` wrote."""
        content = json.loads(text)
        day = dt.date.fromisoformat
        return cls(
            day(content["first"]),
            day(content["last"]),
            {int(horizon): day(until) for horizon, until in content["labels_until"].items()},
            tuple(day(text) for text in content["calendar"]),
        )


def training_window(
    days: Iterable[dt.date], test_year: int, *, horizons: Iterable[int], train_years: int | None
) -> Window:
    """Return what the model of ``test_year`` may see: the years before it, labels that end before it.

    Parameters
    ----------
    days
        The market calendar, in any order.
    horizons
        Horizons of the labels, trading days.
    train_years
        Calendar years before the test year; None for all of them.

    Raises
    ------
    FoldError
        The data have no day of the test year, or none before it.
    """
    calendar = sorted(set(days))
    start = dt.date(test_year - train_years, 1, 1) if train_years else calendar[0]
    before = [day for day in calendar if start <= day < dt.date(test_year, 1, 1)]
    test = [day for day in calendar if day.year == test_year]
    if not before or not test:
        raise FoldError(f"test year {test_year}: the data have no days of it or of the years before it")
    ends = {horizon: len(before) - horizon - 2 for horizon in horizons}
    until = {horizon: before[position] for horizon, position in ends.items() if position >= 0}
    return Window(before[0], before[-1], until, (*before, test[0]))


def test_window(days: Iterable[dt.date], test_year: int) -> Window:
    """Return what is predicted in ``test_year``: its days so far, without labels."""
    test = sorted(day for day in set(days) if day.year == test_year)
    if not test:
        raise FoldError(f"test year {test_year}: the data have no days of it")
    return Window(test[0], test[-1], {}, tuple(test))
