from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from finpipe.portfolio.moments import estimate_moments
from finpipe.portfolio.optimization import frontier_of_moments, optimize_moments, problem_of
from finpipe.portfolio.problem import ProblemError
from finpipe.portfolio.requests import FrontierRequest, OptimizeRequest
from finpipe.portfolio.returns import adjusted_prices
from finpipe.portfolio.views import View
from finpipe_tests.portfolio.files import LAST, NAMES, SHORT
from finpipe_tests.portfolio.sample_bars import bars_of, random_prices


@pytest.fixture(scope="module")
def bars():
    prices = dict(random_prices(NAMES, 420, seed=3, drift=0.0012))
    return bars_of({**prices, SHORT: [None] * 400 + [5.0 + day % 2 for day in range(20)]})


def test_moments_are_of_the_eligible_and_name_the_others(bars):
    asked = (*NAMES, SHORT, "GONE", "DEAD")
    found = estimate_moments(
        bars,
        OptimizeRequest(tickers=asked),
        tickers=asked,
        sectors={"KO": "Consumer Staples", SHORT: "Energy"},
        reasons={"DEAD": "delisted", "KO": "not up to date"},
    )
    assert found.tickers == tuple(sorted(NAMES))
    assert found.excluded.keys() == {SHORT, "GONE", "DEAD"}
    assert found.excluded["DEAD"] == "delisted", "the source's own reason is told"
    assert found.sectors == {"KO": "Consumer Staples"}
    assert found.as_of == LAST
    last = bars.filter(pl.col("date") == LAST)
    assert found.prices == {ticker: last.filter(ticker=ticker)["close"][0] for ticker in NAMES}
    assert found.covariance.tickers == found.expected.tickers == found.returns.tickers == found.tickers
    np.testing.assert_array_equal(
        found.returns.values, adjusted_prices(bars.filter(pl.col("ticker") != SHORT)).returns().values
    )


def test_too_few_tickers_say_why(bars):
    asked = ("KO", SHORT, "GONE")
    few = bars.filter(pl.col("ticker").is_in(asked))
    with pytest.raises(ProblemError, match=f"only KO is left to weigh.*{SHORT}: It has 20 bars"):
        estimate_moments(few, OptimizeRequest(tickers=asked), tickers=asked)


def test_views_of_others_join_those_of_the_request(bars):
    request = OptimizeRequest(tickers=NAMES, forecast="black_litterman", views={"KO": 0.3})
    own = estimate_moments(bars, request, tickers=NAMES).expected
    both = estimate_moments(bars, request, tickers=NAMES, views=[View({"XOM": 1.0}, -0.3)]).expected
    at = own.tickers.index("XOM")
    assert both.values[at] < own.values[at]


def test_every_limit_of_a_request_reaches_the_problem():
    request = OptimizeRequest(
        tickers=NAMES,
        objective="target-return",
        target_return=0.1,
        min_weight=0.01,
        max_weight=0.4,
        l2=0.1,
        cost=0.001,
        current_weights={"KO": 1.0},
        max_turnover=1.0,
        sector_limits={"Energy": (0.0, 0.3)},
        risk_free=0.02,
        confidence=0.9,
    )
    problem = problem_of(request)
    for name in type(problem).__dataclass_fields__:
        assert getattr(problem, name) == getattr(request, name), name
    assert problem_of(FrontierRequest(tickers=NAMES, max_weight=0.4)).max_weight == 0.4


def test_weights_and_frontier_of_the_same_moments(bars):
    request = OptimizeRequest(tickers=NAMES, max_weight=0.5, frontier_points=7)
    moments = estimate_moments(bars, request, tickers=NAMES)
    found = optimize_moments(moments, request, seconds={"prices": 1.5})
    assert found.seconds["total"] == pytest.approx(
        1.5 + found.seconds["optimise"] + found.seconds["describe"]
    )
    assert 0 not in found.weights.values(), "what weighs nothing is left out"
    assert found.weights.keys() == found.risk_contributions.keys()
    alone = frontier_of_moments(moments, FrontierRequest(tickers=NAMES, max_weight=0.5, points=7))
    assert alone.frontier.frame.equals(found.frontier.frame)
    best = alone.frontier.frame.filter("is_tangency")
    assert best["sharpe"][0] == pytest.approx(found.sharpe, rel=1e-6)
