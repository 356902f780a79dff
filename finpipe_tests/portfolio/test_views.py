from __future__ import annotations

import datetime as dt
from statistics import NormalDist

import numpy as np
import polars as pl
import pytest

from finpipe.portfolio.views import View, ranker_views, view_matrix

DAY = dt.date(2024, 5, 2)
TICKERS = ("005930.KS", "247540.KQ", "AAPL", "000660.KS")


def predictions() -> pl.DataFrame:
    codes = ["005930", "247540", "000020", "005930", "247540"]
    days = [DAY] * 3 + [DAY - dt.timedelta(1)] * 2
    return pl.DataFrame({"date": days, "stock_code": codes, "score": [3.0, -1.0, 0.5, -9.0, 9.0]})


def test_views_are_laid_out_over_the_tickers():
    made = view_matrix([View({"KO": 1}, 0.08), View({"PEP": 1, "KO": -1}, 0.02, 0.9)], ("KO", "MSFT", "PEP"))
    np.testing.assert_array_equal(made.pick, [[1, 0, 0], [-1, 0, 1]])
    np.testing.assert_array_equal(made.values, [0.08, 0.02])
    np.testing.assert_array_equal(made.confidences, [0.5, 0.9])


def test_views_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match=r"must sum to 1 .* or 0 .*, not 2"):
        View({"KO": 1, "PEP": 1}, 0.1)
    with pytest.raises(ValueError, match=r"not 0: \{\}"):
        View({}, 0.1)
    with pytest.raises(ValueError, match="view on KO is nan"):
        View({"KO": 1}, float("nan"))
    with pytest.raises(ValueError, match=r"confidence of a view on KO is 70; it must lie between 0 and 1"):
        View({"KO": 1}, 0.1, 70)
    with pytest.raises(ValueError, match="views on XYZ, which the portfolio does not hold"):
        view_matrix([View({"XYZ": 1}, 0.1)], ("KO",))


def test_scores_become_views_around_the_prior():
    prior, risk = np.array([0.06, 0.07, 0.08, 0.09]), np.array([0.2, 0.4, 0.3, 0.3])
    made = ranker_views(predictions(), TICKERS, prior, risk, information_coefficient=0.1, confidence=0.6)
    z = NormalDist().inv_cdf(5 / 6)
    assert [dict(view.weights) for view in made.views] == [{"005930.KS": 1.0}, {"247540.KQ": 1.0}]
    assert made.views[0].value == pytest.approx(0.06 + 0.1 * 0.2 * z)
    assert made.views[1].value == pytest.approx(0.07 - 0.1 * 0.4 * z)
    assert {view.confidence for view in made.views} == {0.6}
    assert made.day == DAY
    assert made.without_score == ("AAPL", "000660.KS")
    assert made.outside == 1


def test_tickers_need_no_mapping_and_ties_share_a_rank():
    scores = pl.DataFrame({"ticker": ["A", "B", "C"], "score": [1.0, 1.0, 5.0]})
    made = ranker_views(scores, ("B", "A"), np.zeros(2), np.ones(2))
    assert made.day is None
    assert made.views[0].value == made.views[1].value == pytest.approx(0.05 * NormalDist().inv_cdf(1 / 3))


def test_categorical_codes_and_missing_scores():
    frame = predictions().with_columns(
        pl.col("stock_code").cast(pl.Categorical),
        score=pl.when(pl.col("score") < 0).then(None).otherwise("score"),
    )
    assert ranker_views(frame, TICKERS, np.zeros(4), np.ones(4)).without_score == TICKERS[1:]


def test_useless_predictions_are_refused():
    args = (TICKERS, np.zeros(4), np.ones(4))
    with pytest.raises(ValueError, match="need 'score' and 'ticker' or 'stock_code'"):
        ranker_views(predictions().rename({"score": "rank"}), *args)
    with pytest.raises(ValueError, match="have no scores"):
        ranker_views(predictions().clear(), *args)
    with pytest.raises(ValueError, match="more than one score of 005930"):
        ranker_views(predictions().with_columns(date=pl.lit(DAY)), *args)
    with pytest.raises(ValueError, match="none of AAPL has a score; scored are 000020, 005930, 247540"):
        ranker_views(predictions(), ("AAPL",), np.zeros(1), np.ones(1))
