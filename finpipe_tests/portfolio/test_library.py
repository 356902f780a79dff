from __future__ import annotations

import datetime as dt
import json

import numpy as np
import pytest

import finpipe.portfolio
from finpipe.market.tickers import TickerError
from finpipe.portfolio import analyze, benchmark, frontier, hedge, optimize, update_prices
from finpipe.portfolio.analysis import analyze as analyze_bars
from finpipe.portfolio.covariance import covariance
from finpipe.portfolio.forecast import expected_returns
from finpipe.portfolio.market_data import market_bars, price_source
from finpipe.portfolio.optimizer import optimal_weights
from finpipe.portfolio.problem import InfeasibleError, Problem, ProblemError
from finpipe.portfolio.returns import adjusted_prices
from finpipe.settings import SettingsError, load_settings
from finpipe_tests.portfolio.files import FIRST, LAST, NAMES, NOW, SHORT, settings_of


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A home on a file with an index."""
    return {"settings": settings_of(tmp_path_factory.mktemp("library"), index=True), "now": NOW}


@pytest.fixture(scope="module")
def without_index(tmp_path_factory):
    return {"settings": settings_of(tmp_path_factory.mktemp("library")), "now": NOW}


@pytest.fixture(scope="module")
def prices(place):
    bars = market_bars(price_source(place["settings"]), NAMES, FIRST, LAST, now=NOW).bars
    return adjusted_prices(bars)


def test_the_steps_by_hand_give_the_same_weights(place, prices):
    found = optimize(NAMES, objective="min-volatility", covariance="oas", max_weight=0.3, **place)
    matrix = covariance(prices.returns(), "oas").matrix
    by_hand = optimal_weights(
        expected_returns(prices, "ensemble").values,
        matrix,
        Problem(objective="min-volatility", max_weight=0.3),
        tickers=prices.tickers,
    )
    weights = np.array([found.weights.get(ticker, 0.0) for ticker in prices.tickers])
    np.testing.assert_allclose(weights, by_hand.weights, atol=1e-9)
    assert found.volatility == pytest.approx(np.sqrt(weights @ matrix @ weights), rel=1e-9)
    assert sum(found.risk_contributions.values()) == pytest.approx(found.volatility, rel=1e-9)


def test_a_result_tells_all_that_it_rests_on(place):
    found = optimize([*NAMES, SHORT, "ZZZ"], budget=10_000, frontier_points=6, risk_free=0.01, **place)
    assert sum(found.weights.values()) == pytest.approx(1)
    assert list(found.weights.values()) == sorted(found.weights.values(), reverse=True)
    assert set(found.excluded) == {SHORT, "ZZZ"}
    assert "20 bars" in found.excluded[SHORT]
    assert "does not have ZZZ" in found.excluded["ZZZ"]
    assert found.moments.as_of == LAST
    assert (found.request.start, found.request.end) == (LAST.replace(year=LAST.year - 5), LAST), (
        "days are filled in"
    )
    assert found.moments.sectors["XOM"] == "Energy"
    assert found.frontier.frame.height == 6
    assert found.benchmark["date"][-1] == LAST
    assert found.allocation.spent <= 10_000
    assert found.seconds["total"] == pytest.approx(
        sum(found.seconds[stage] for stage in ("prices", "estimate", "optimise", "describe"))
    )
    assert found.sharpe == pytest.approx((found.expected_return - 0.01) / found.volatility)
    content = json.loads(json.dumps(found.to_json(), allow_nan=False))
    wanted = {
        "weights",
        "expected_return",
        "volatility",
        "sharpe",
        "excluded",
        "seconds",
        "fallbacks",
        "allocation",
    }
    assert wanted <= content.keys()
    assert content["weights"] == dict(found.weights)


def test_the_index_is_compared_with_and_not_bought(place):
    found = optimize(NAMES, **place)
    assert "^GSPC" not in found.moments.tickers
    assert found.benchmark is not None


def test_an_index_that_cannot_be_had_is_a_notice_unless_it_was_asked_for(without_index):
    found = optimize(NAMES, **without_index)
    assert found.benchmark is None
    assert any("^GSPC" in notice for notice in found.notices)
    with pytest.raises(ProblemError, match="benchmark SPY"):
        optimize(NAMES, benchmark="SPY", **without_index)


def test_a_target_names_its_objective(place):
    found = optimize(NAMES, target_volatility=0.2, max_weight=0.5, **place)
    assert found.request.objective == "target-volatility"
    assert found.volatility <= 0.2 + 1e-6


def test_settings_are_the_defaults(place):
    settings = place["settings"].model_copy(
        update={"objective": "risk-parity", "covariance": "sample", "max_weight": 1.0}
    )
    found = optimize(NAMES, settings=settings, now=NOW)
    assert (found.request.objective, found.moments.covariance.method) == ("risk-parity", "sample")
    part = np.array(list(found.risk_contributions.values()))
    np.testing.assert_allclose(part, part.mean(), atol=1e-6)
    assert optimize(NAMES, settings=settings, now=NOW, objective="hrp").request.objective == "hrp"


def test_views_move_what_is_expected(place):
    known = optimize(NAMES, forecast="equilibrium", **place).moments.expected
    moved = optimize(NAMES, forecast="black_litterman", views={"KO": 0.5}, **place).moments.expected
    at = known.tickers.index("KO")
    assert known.values[at] < moved.values[at] < 0.5
    with pytest.raises(ProblemError, match="views on PG"):
        optimize(NAMES, forecast="black_litterman", views={"PG": 0.5}, **place)
    with pytest.raises(ProblemError, match="at least one view"):
        optimize(NAMES, forecast="black_litterman", **place)
    lost = optimize([*NAMES, SHORT], forecast="black_litterman", views={"KO": 0.5, SHORT: 0.1}, **place)
    assert any(SHORT in notice and "play no part" in notice for notice in lost.notices)


def test_a_limit_on_a_sector_that_is_not_there_is_told(place):
    found = optimize(NAMES, sector_limits={"Toys": 0.1, "Energy": 0.15}, **place)
    assert any("Toys" in notice and "Energy" in notice for notice in found.notices)
    assert found.weights.get("XOM", 0.0) <= 0.15 + 1e-6


def test_a_frontier_ends_where_optimising_does(place):
    found = frontier(NAMES, points=8, max_weight=0.5, **place)
    safest = optimize(NAMES, objective="min-volatility", max_weight=0.5, **place)
    best = optimize(NAMES, max_weight=0.5, **place)
    frame = found.frontier.frame
    assert frame.height == 8
    assert frame["volatility"][0] == pytest.approx(safest.volatility, rel=1e-6)
    content = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert content["sharpe"] == pytest.approx(best.sharpe, rel=1e-6)
    assert len(content["points"]) == 8
    assert all(sum(point["weights"].values()) == pytest.approx(1) for point in content["points"])


def test_an_analysis_is_that_of_the_bars(place):
    found = analyze("ko", risk_free=0.02, **place)
    bars = market_bars(price_source(place["settings"]), ("KO", "^GSPC"), FIRST, LAST, now=NOW).bars
    by_hand = analyze_bars(bars, "KO", benchmark="^GSPC", risk_free=0.02)
    assert found.figures == by_hand.figures
    assert found.forecast.annual_return == by_hand.forecast.annual_return
    with pytest.raises(ProblemError, match="ZZZ"):
        analyze("ZZZ", **place)
    with pytest.raises(ProblemError, match="no forecast of a single ticker"):
        analyze("KO", forecast="equilibrium", **place)


def test_an_analysis_without_an_index_has_no_beta(without_index):
    found = analyze("KO", **without_index)
    assert np.isnan(found.figures.beta)
    assert any("^GSPC" in notice for notice in found.notices)


def test_an_index_is_analysed_without_itself(place):
    assert analyze("^GSPC", **place).benchmark is None


def test_hedges(place):
    found = hedge("KO", "PEP", **place)
    assert found.days == 419
    assert sum(found.weights.values()) == pytest.approx(1)
    with pytest.raises(ProblemError, match="cannot hedge itself"):
        hedge("KO", "ko", **place)
    with pytest.raises(ProblemError, match="common days"):
        hedge("KO", SHORT, **place)
    with pytest.raises(ProblemError, match="no prices of ZZZ"):
        hedge("KO", "ZZZ", **place)


def test_a_portfolio_beside_its_index(place, prices):
    found = benchmark({"KO": 0.6, "XOM": 0.4}, budget=1_000, **place)
    ko, xom = (prices.values[:, prices.tickers.index(ticker)] for ticker in ("KO", "XOM"))
    by_hand = 600 * ko[-1] / ko[0] + 400 * xom[-1] / xom[0]
    assert found.summary["portfolio"].final_value == pytest.approx(by_hand)
    made = optimize(NAMES, **place)
    assert benchmark(made, **place).summary["portfolio"].initial_value == pytest.approx(10_000)
    with pytest.raises(ProblemError, match=r"sum to 1\.2"):
        benchmark({"KO": 0.6, "XOM": 0.6}, **place)
    with pytest.raises(ProblemError, match="no ticker of the portfolio has prices"):
        benchmark({"ZZZ": 1.0}, **place)
    with pytest.raises(ProblemError, match=r"no weights|no tickers"):
        benchmark({}, **place)


def test_a_portfolio_without_an_index_is_compared_with_equal_weights(without_index, prices):
    found = benchmark({"KO": 0.5, "XOM": 0.5, "ZZZ": 0.0}, **without_index)
    returns = prices.returns()
    mean = returns.pick(("KO", "XOM")).values.mean(axis=1)
    assert found.summary["benchmark"].total_return == pytest.approx(np.prod(1 + mean) - 1)
    assert any("equal weights" in notice for notice in found.notices)


def test_updates_tell_what_they_did(place):
    report = update_prices([*NAMES, "ZZZ"], **place)
    assert report.counts["failed"] == 1
    assert "does not have ZZZ" in report.failures["ZZZ"]
    assert update_prices(NAMES, refresh=True, **place).counts == {"refetched": len(NAMES)}


def test_progress_is_told(place):
    told: list[tuple[str, float]] = []
    optimize(NAMES, progress=lambda *one: told.append(one), **place)
    assert {stage for stage, _ in told} >= {"estimates", "weights"}
    assert told[-1] == ("weights", 1.0)
    assert all(0 <= share <= 1 for _, share in told)


@pytest.mark.parametrize(
    ("asked", "kind", "words"),
    [
        ({"tickers": NAMES, "target_return": 9.0}, InfeasibleError, "the most that these tickers reach"),
        ({"tickers": NAMES, "max_weight": 0.1}, InfeasibleError, "max_weight of at least 0.1667"),
        ({"tickers": NAMES, "min_weight": 0.3}, InfeasibleError, "min_weight of at most"),
        ({"tickers": ["KO"]}, ProblemError, "at least two tickers"),
        ({"tickers": ["KO", "KO"]}, ProblemError, "duplicate ticker"),
        ({"tickers": "KO,,PEP"}, ProblemError, "a ticker is empty"),
        ({"group": "sp5000"}, TickerError, "Did you mean 'sp500'"),
        (
            {"group": "sp500", "start": "2020-01-02", "end": "2020-01-01"},
            ProblemError,
            "lies before the start",
        ),
        ({"tickers": NAMES, "end": "2031-01-01"}, ProblemError, "lies in the future"),
        ({"tickers": NAMES, "start": "2031-01-01"}, ProblemError, "lies in the future"),
        ({"tickers": [SHORT, "ZZZ"]}, ProblemError, "no ticker is left"),
        ({"tickers": [SHORT, "KO"]}, ProblemError, "only KO is left"),
        ({"tickers": ["YYY", "ZZZ"]}, ProblemError, "all 2 tickers are left out, as parquet gave no prices"),
        ({"tickers": NAMES, "objective": "target-return"}, ProblemError, "needs target_return"),
        ({"tickers": NAMES, "budget": 1.0}, ProblemError, "buys no share"),
        ({"tickers": NAMES, "risk_free": 0.99}, InfeasibleError, "risk-free rate"),
        ({"tickers": NAMES, "colour": "red"}, ProblemError, "colour"),
    ],
)
def test_nonsense_says_what_clashes_and_what_would_work(place, asked, kind, words):
    with pytest.raises(kind, match=words):
        optimize(**asked, **place)


def test_settings_that_cannot_work_are_refused(tmp_path):
    with pytest.raises(SettingsError, match="provider"):
        optimize(NAMES, home=tmp_path, provider="broker")


def test_own_groups_come_from_the_file_in_the_home(tmp_path, place):
    home = tmp_path / "home"
    home.mkdir()
    (home / "finpipe.toml").write_text('[groups]\nmine = ["KO", "PEP", "XOM"]\n', encoding="utf-8")
    found = optimize(group="mine", home=home, bars=place["settings"].bars, now=NOW)
    assert set(found.moments.tickers) == {"KO", "PEP", "XOM"}
    assert load_settings(home=home).groups == {"mine": ["KO", "PEP", "XOM"]}


def test_the_demo_group_needs_nothing_else(tmp_path):
    found = optimize(
        group="demo", home=tmp_path, end=dt.date(2014, 12, 31), now=dt.datetime(2015, 1, 10, tzinfo=dt.UTC)
    )
    assert len(found.moments.tickers) > 50
    assert found.request.start == dt.date(2009, 12, 31)
    assert found.benchmark is not None


def test_the_package_hands_out_functions_only():
    assert callable(finpipe.portfolio.optimize)
    assert callable(finpipe.portfolio.hedge)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        finpipe.portfolio.nothing  # noqa: B018
