from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest

from finpipe.portfolio.plain import plain
from finpipe.portfolio.requests import HedgeRequest


@dataclass(frozen=True, slots=True)
class Pair:
    one: object
    other: object


def test_everything_that_results_are_made_of_becomes_json():
    value = Pair(
        {"KO": np.float64(0.5), 3: float("nan")},
        [
            np.arange(2),
            np.array([1.5, np.inf]),
            np.array(["2024-01-02"], dtype="datetime64[D]"),
            pl.DataFrame({"date": [dt.date(2024, 1, 2)], "close": [None]}),
            Pair(np.bool_(True), np.int64(3)),
            HedgeRequest(first="KO", second="PEP"),
            (True, None, "text", dt.datetime(2024, 1, 2, tzinfo=dt.UTC)),
        ],
    )
    made = plain(value)
    assert json.loads(json.dumps(made, allow_nan=False)) == {
        "one": {"KO": 0.5, "3": None},
        "other": [
            [0, 1],
            [1.5, None],
            ["2024-01-02"],
            {"date": ["2024-01-02"], "close": [None]},
            {"one": True, "other": 3},
            {"first": "KO", "second": "PEP"},
            [True, None, "text", "2024-01-02T00:00:00+00:00"],
        ],
    }


def test_what_json_cannot_hold_is_refused():
    with pytest.raises(TypeError, match="set is no plain value"):
        plain({"names": {1, 2}})
