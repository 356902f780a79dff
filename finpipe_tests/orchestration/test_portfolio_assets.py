from __future__ import annotations

import datetime as dt
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import numpy as np
import polars as pl
import pytest

from finpipe.market.price_history import PriceHistory
from finpipe.orchestration import portfolio_checks, portfolio_tables, ticker_groups
from finpipe.orchestration.build import build_definitions
from finpipe.orchestration.home import open_instance
from finpipe.orchestration.workspace import Workspace
from finpipe.portfolio.answers import answer_frontier, answer_optimize, requested
from finpipe.portfolio.covariance import Covariance
from finpipe.portfolio.efficient_frontier import Frontier
from finpipe.portfolio.forecast import ExpectedReturns
from finpipe.portfolio.requests import FrontierRequest, OptimizeRequest
from finpipe.portfolio.results import OptimizedPortfolio
from finpipe.portfolio.views import ranker_views
from finpipe_tests.demo_home import VARIANT, DemoHome
from finpipe_tests.orchestration.few_tickers import FRIDAY, GROUP, MONDAY, TICKERS, FewTickers, few_tickers

ESTIMATES = {"eligible_tickers", "covariance", "ranker_scores", "expected_returns"}
WEIGHTS = {"optimal_weights", "optimal_portfolio"}
ALL = ESTIMATES | WEIGHTS | {"efficient_frontier", "report"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FewTickers]:
    """The portfolio of the group; tests only look."""
    with few_tickers(tmp_path_factory.mktemp("few") / "home") as few:
        assert names(few.made()) == ALL | {"history", "summaries"}
        yield few


@pytest.fixture
def few(made: FewTickers, tmp_path: Path) -> Iterator[FewTickers]:
    """A copy of that home, to write to."""
    shutil.copytree(made.home, tmp_path / "home")
    with few_tickers(tmp_path / "home") as few:
        yield few


@pytest.fixture(scope="module")
def portfolio(made: FewTickers) -> OptimizedPortfolio:
    """The portfolio as the workspace has it."""
    with Workspace(made.settings) as workspace:
        return workspace.portfolio(GROUP)


def names(keys: set[str]) -> set[str]:
    return {key.rpartition("/")[2] for key in keys}


def test_numbers_are_those_of_the_command(made, portfolio):
    request = requested(OptimizeRequest, made.settings, group=GROUP)
    wanted = answer_optimize(request, made.settings, now=FRIDAY, update=False)
    found = json.loads(made.load("portfolio/optimal_portfolio"))
    said = wanted.to_json()
    assert found == {name: said[name] for name in said if name not in {"seconds", "stages"}}
    assert portfolio.to_json() == said | {"seconds": 0.0, "stages": {}}
    assert portfolio.benchmark.equals(wanted.benchmark)
    frontier = answer_frontier(
        requested(FrontierRequest, made.settings, group=GROUP), made.settings, now=FRIDAY, update=False
    ).frontier
    assert portfolio.frontier.frame.equals(frontier.frame)
    np.testing.assert_array_equal(portfolio.frontier.weights, frontier.weights)


def test_the_report_is_of_that_portfolio(made, portfolio):
    page = made.load("portfolio/report")
    block = page.partition('id="portfolio">')[2].partition("</script>")[0]
    assert json.loads(block)["weights"] == dict(portfolio.weights)
    with Workspace(made.settings) as workspace:
        assert Path(workspace.portfolio_report_path(GROUP)).read_text(encoding="utf-8") == page


def test_weights_of_all_tickers_can_be_queried(made, portfolio):
    with Workspace(made.settings) as workspace:
        every = workspace.frame("portfolio/optimal_weights")
    assert every["ticker_group"].unique().to_list() == [GROUP]
    assert tuple(every["ticker"]) == TICKERS
    held = every.filter(pl.col("weight") != 0)
    assert dict(held.select("ticker", "weight").iter_rows()) == portfolio.weights
    assert every["weight"].sum() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("setting", "value", "follows"),
    [
        ("max_weight", 0.5, WEIGHTS | {"efficient_frontier", "report"}),
        ("objective", "min-volatility", WEIGHTS | {"report"}),
        ("risk_free", 0.0, set()),
        ("train_years", 2, set()),
    ],
)
def test_a_setting_makes_stale_what_follows_it_and_no_more(few, setting, value, follows):
    before = few.settings
    few.changes[setting] = value
    status = few.status("portfolio/optimal_weights")
    assert bool(status.reasons) == bool(follows)
    if follows:
        assert status.reasons == (f"setting {setting}: {getattr(before, setting)!r} → {value!r}",)
    assert names(few.made()) == follows
    assert not few.made(groups=None), "nothing changed, so nothing runs"


def test_estimates_follow_their_methods(few):
    few.changes["covariance"] = "sample"
    assert {"covariance", *WEIGHTS, "efficient_frontier", "report"} <= names(few.made())
    assert portfolio_tables.covariance_of(few.load("portfolio/covariance").collect()).method == "sample"
    few.changes["forecast"] = "shrunk_mean"
    made = names(few.made())
    assert "expected_returns" in made
    assert "covariance" not in made


def test_the_job_of_the_ui_makes_a_group_once(few):
    few.changes["objective"] = "hrp"
    job = build_definitions(few.settings).resolve_job_def("portfolio")
    config = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    with open_instance(few.settings) as instance:
        for made in (True, False):
            before = instance.fetch_materializations(dg.AssetKey(["portfolio", "report"]), limit=1).records[0]
            wanted = [
                dg.AssetKey(key.split("/")) for key in ("portfolio/optimal_weights", "portfolio/report")
            ]
            result = job.execute_in_process(
                run_config=config,
                instance=instance,
                partition_key=GROUP,
                asset_selection=[*wanted, dg.AssetKey(["portfolio", "optimal_portfolio"])],
            )
            assert result.success
            after = instance.fetch_materializations(dg.AssetKey(["portfolio", "report"]), limit=1).records[0]
            versions = [
                record.asset_materialization.tags["dagster/data_version"] for record in (before, after)
            ]
            assert (versions[0] != versions[1]) == made
    assert few.status("portfolio/report").state == "fresh"


def test_a_new_session_goes_through_to_the_weights(few):
    few.set_time(MONDAY)
    assert {"history", "summaries", "covariance", "expected_returns"} | WEIGHTS <= names(
        few.made(groups=None)
    )
    with Workspace(few.settings) as workspace:
        assert workspace.portfolio(GROUP).moments.as_of == MONDAY.date()


def test_tables_and_back():
    tickers = ("A", "B")
    expected = ExpectedReturns(
        tickers,
        np.array([0.1, -0.2]),
        "ets",
        ("ets", "neutral"),
        {"B": "ets failed; 5% stands."},
        ("one", "two"),
    )
    back = portfolio_tables.expected_of(portfolio_tables.expected_frame(expected))
    np.testing.assert_array_equal(back.values, expected.values)
    assert (back.tickers, back.method, back.method_used) == (tickers, "ets", ("ets", "neutral"))
    assert (back.fallbacks, back.notices) == (expected.fallbacks, expected.notices)
    covariance = Covariance(tickers, np.array([[0.04, 0.01], [0.01, 0.09]]), "sample", None, ())
    restored = portfolio_tables.covariance_of(portfolio_tables.covariance_frame(covariance))
    np.testing.assert_array_equal(restored.matrix, covariance.matrix)
    assert (restored.tickers, restored.method, restored.shrinkage, restored.repaired) == (
        tickers,
        "sample",
        None,
        (),
    )
    frame = pl.DataFrame(
        {
            "expected_return": [0.1, 0.2],
            "volatility": [0.2, 0.3],
            "sharpe": [0.5, 0.6],
            "is_tangency": [False, True],
        }
    )
    frontier = Frontier(frame, np.array([[1.0, 0.0], [0.4, 0.6]]), ("relaxed",))
    line = portfolio_tables.frontier_of(portfolio_tables.frontier_frame(frontier, tickers))
    assert line.frame.equals(frame)
    np.testing.assert_array_equal(line.weights, frontier.weights)
    assert line.notices == ("relaxed",)


def test_checks_find_what_they_promise(portfolio):
    good = portfolio_checks.weights(portfolio)
    assert all(check.passed for check in good.values())
    first = next(iter(portfolio.weights))
    held = {**portfolio.weights, first: portfolio.weights[first] + 0.9}
    bad = portfolio_checks.weights(type(portfolio)(**{**_fields(portfolio), "weights": held}))
    assert not any(check.passed for check in bad.values())
    assert bad[portfolio_checks.SUM].blocks
    flat = Covariance(("A", "B"), np.ones((2, 2)), "sample")
    assert not portfolio_checks.positive_definite(flat).passed
    assert portfolio_checks.positive_definite(portfolio.moments.covariance).passed


def test_a_group_of_which_nothing_is_eligible_says_why(few):
    few.changes["groups"] = {GROUP: ["NONE1", "NONE2", "TEC01"]}
    outcome = few.run("portfolio/optimal_weights")
    sentence = outcome.failed[f"portfolio/eligible_tickers[{GROUP}]"]
    assert sentence.startswith("only TEC01 is left to weigh")
    assert f"portfolio/optimal_weights[{GROUP}]" in outcome.blocked


def test_the_rankers_scores_become_views_on_a_korean_group(own_home: DemoHome, tmp_path, monkeypatch):
    monkeypatch.setattr(ticker_groups, "now", lambda: dt.datetime(2026, 1, 2, 12, tzinfo=dt.UTC))
    with Workspace(own_home.settings()) as workspace:
        prices = workspace.frame("krx/daily_prices")
        predictions = workspace.load("krx/predictions", VARIANT)
    last = predictions.filter(pl.col("date") == pl.col("date").max())
    codes = last["stock_code"].cast(pl.String).sort()[:6].to_list()
    file = tmp_path / "bars.parquet"
    as_bars(prices, codes).write_parquet(file)
    changes = {
        "bars": file,
        "groups": {"korea": [f"{code}.KS" for code in codes]},
        "forecast": "black_litterman",
        "history_years": 2,
    }
    settings = own_home.settings(**changes)
    with Workspace(settings) as workspace:
        outcome = workspace.run(["portfolio/optimal_weights"], groups=["korea"])
        assert not outcome.failed, outcome.failed
        assert not any(name.startswith("krx/") for name in outcome.materialized), "made of what is there"
        scores = workspace.load("portfolio/ranker_scores", "korea").collect()
        expected = portfolio_tables.expected_of(workspace.load("portfolio/expected_returns", "korea"))
        covariance = portfolio_tables.covariance_of(workspace.load("portfolio/covariance", "korea").collect())
        assert not workspace.run(["portfolio/optimal_weights"], groups=["korea"]).materialized
    assert scores["variant"].unique().to_list() == [VARIANT]
    assert scores.height == last.height
    prior = 2.5 * covariance.matrix.mean(axis=1)
    views = ranker_views(last, covariance.tickers, prior, covariance.volatilities).views
    wished = np.array([view.value for view in views]) - prior
    moved = expected.values - prior
    assert len(views) == len(covariance.tickers)
    assert np.corrcoef(wished, moved)[0, 1] > 0.5, "expected returns move the way the ranker says"
    assert PriceHistory(next((own_home.home / "prices").glob("parquet-*.duckdb"))).coverage().height == len(
        codes
    )


def as_bars(prices: pl.DataFrame, codes: list[str]) -> pl.DataFrame:
    """Korean daily prices of some stocks as daily bars, in Yahoo's spelling."""
    wanted = prices.with_columns(pl.col("stock_code").cast(pl.String)).filter(
        pl.col("stock_code").is_in(codes), pl.col("adjusted_close") > 0, pl.col("open") > 0
    )
    return wanted.select(
        ticker=pl.col("stock_code") + ".KS",
        date="date",
        **{name: pl.col(name).cast(pl.Float64) for name in ("open", "high", "low", "close")},
        volume=pl.col("volume").cast(pl.Int64),
        adjusted_close=pl.col("adjusted_close").cast(pl.Float64),
        dividend=pl.lit(0.0),
        split_ratio=pl.lit(1.0),
    ).sort("ticker", "date")


def _fields(portfolio: OptimizedPortfolio) -> dict[str, object]:
    return {name: getattr(portfolio, name) for name in type(portfolio).__dataclass_fields__}
