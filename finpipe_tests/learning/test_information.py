from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata

from finpipe.learning.information import mean_rank_correlation

values = st.sampled_from([-1.0, 0.0, 0.5, 0.5000001, 3.0])
days = st.lists(st.lists(st.tuples(values, values), min_size=1, max_size=6), min_size=1, max_size=5)


def rows_of(market) -> tuple[pl.DataFrame, np.ndarray]:
    dates = [dt.date(2020, 1, 1 + number) for number, day in enumerate(market) for _ in day]
    labels = [label for day in market for _, label in day]
    return pl.DataFrame({"date": dates, "y": labels}), np.array([score for day in market for score, _ in day])


@settings(deadline=None, max_examples=100)
@given(days)
def test_equals_the_plain_definition(market):
    expected = []
    for day in market:
        x, y = rankdata([score for score, _ in day]), rankdata([label for _, label in day])
        if y.std() > 0:
            expected.append(np.corrcoef(x, y)[0, 1] if x.std() > 0 else 0.0)
    rows, scores = rows_of(market)
    if expected:
        assert mean_rank_correlation(rows, "y", scores) == pytest.approx(np.mean(expected), abs=1e-12)
    else:
        with pytest.raises(ValueError, match="no day has two different values of y"):
            mean_rank_correlation(rows, "y", scores)


def test_only_the_order_of_the_scores_counts():
    rng = np.random.default_rng(0)
    rows = pl.DataFrame(
        {"date": [dt.date(2020, 1, 1)] * 50 + [dt.date(2020, 1, 2)] * 70, "y": rng.random(120)}
    )
    labels = rows["y"].to_numpy()
    assert mean_rank_correlation(rows, "y", np.exp(5 * labels)) == pytest.approx(1)
    assert mean_rank_correlation(rows, "y", -labels) == pytest.approx(-1)
