from __future__ import annotations

import datetime as dt
import math

import polars as pl
import pytest

from finpipe.learning.weights import sample_weights

DATES = [dt.date(2020, 1, 1), dt.date(2020, 1, 6), dt.date(2020, 1, 11)]


def test_the_newest_day_counts_exp_of_twice_the_decay_as_much_as_the_oldest():
    weights = sample_weights(pl.DataFrame({"date": DATES}), time_decay=0.7)
    assert weights.mean() == pytest.approx(1)
    assert weights[2] / weights[0] == pytest.approx(math.exp(1.4))
    assert weights[1] / weights[0] == pytest.approx(math.exp(0.7))


def test_stressed_markets_count_double_and_unknown_risk_does_not():
    rows = pl.DataFrame({"date": DATES[:1] * 4, "macro_risk_score": [0.6, 0.61, None, -1.0]})
    weights = sample_weights(rows, risk_weighting=True)
    assert weights.mean() == pytest.approx(1)
    assert (weights / weights[0]).tolist() == pytest.approx([1, 2, 1, 1])


def test_one_day_weighs_all_rows_alike_and_no_row_none():
    assert sample_weights(pl.DataFrame({"date": DATES[:1] * 2})).tolist() == [1, 1]
    assert sample_weights(pl.DataFrame({"date": []}, schema={"date": pl.Date})).tolist() == []


def test_risk_weights_without_a_risk_score_are_refused():
    with pytest.raises(ValueError, match="macro_risk_score"):
        sample_weights(pl.DataFrame({"date": DATES}), risk_weighting=True)
