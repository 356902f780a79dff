"""The evaluation of a simulation: every table under its schema, numbers that agree across tables."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest

from finpipe.backtest import metrics
from finpipe.backtest.checklist import checklist
from finpipe.backtest.definitions import DEFINITIONS
from finpipe.backtest.performance import Performance, evaluate
from finpipe.backtest.rules import Rules
from finpipe.backtest.sectors import sector_attribution
from finpipe.backtest.simulate import simulate
from finpipe.market.schema import SchemaError
from finpipe_tests.backtest.small_market import random_market


@pytest.fixture(scope="module")
def studied():
    """A simulation over two calendar years in a market with all sorts of trouble, and its evaluation."""
    prices, stocks, predictions = random_market(21, n_stocks=14, n_days=420)
    simulation = simulate(predictions, prices, Rules(n=4, horizon=5, stop_loss=0.2), stocks=stocks)
    opened = pl.col("adjusted_open")
    realized = prices.select(
        "stock_code",
        "date",
        *(
            ((opened.shift(-1 - h) / opened.shift(-1)).over("stock_code") - 1)
            .cast(pl.Float32)
            .alias(f"realized_return_{h}d")
            for h in (1, 5)
        ),
    )
    index = prices.group_by("date").agg(close=pl.col("adjusted_close").mean()).sort("date")
    sector = prices.select(
        "stock_code",
        "date",
        sector=pl.when(pl.col("stock_code").cast(pl.String) < "000080")
        .then(pl.lit("banks"))
        .when(pl.col("stock_code").cast(pl.String) < "000130")
        .then(pl.lit("ships"))
        .cast(pl.Categorical),
    )
    importance = pl.DataFrame({"test_year": [2020, 2020], "feature": ["a", "b"], "gain": [3.0, 1.0]})
    performance = evaluate(
        simulation, predictions, realized, index, sector, horizon=5, trials=7, importance=importance
    )
    return simulation, performance, sector, predictions, realized


def test_tables_agree_with_each_other(studied):
    simulation, performance, *_ = studied
    daily = performance.daily
    assert daily["equity"][-1] == pytest.approx(simulation.daily["equity"][-1] / 100_000_000)
    assert performance.figure("total_return") == pytest.approx(daily["equity"][-1] - 1)
    assert (performance.annual["portfolio_return"] + 1).product() == pytest.approx(daily["equity"][-1])
    assert (performance.monthly["portfolio_return"] + 1).product() == pytest.approx(daily["equity"][-1])
    assert performance.figure("max_drawdown") == pytest.approx(performance.drawdowns["depth"][0])
    assert performance.figure("mean_rank_ic") == pytest.approx(performance.ic["rank_ic"].mean())
    at_horizon = performance.ic_decay.filter(pl.col("horizon") == 5)
    assert performance.figure("mean_rank_ic") == pytest.approx(at_horizon["mean_rank_ic"].item())
    for year, row in zip(performance.annual["year"], performance.annual.iter_rows(named=True), strict=True):
        assert performance.figure("total_return", str(year)) == pytest.approx(row["portfolio_return"])
        assert performance.figure("sharpe", str(year)) == pytest.approx(row["sharpe"])
        assert performance.figure("mean_rank_ic", str(year)) == pytest.approx(row["mean_rank_ic"])
    assert performance.figure("beta") == pytest.approx(
        metrics.beta(daily["portfolio_return"].to_numpy(), daily["benchmark_return"].to_numpy())
    )
    assert performance.rolling["sharpe_252d"].null_count() == 251


def test_every_figure_stands_once_with_its_definition(studied):
    _, performance, *_ = studied
    whole = performance.figures.filter(pl.col("period") == "all")
    assert whole["figure"].to_list() == [definition.figure for definition in DEFINITIONS]
    assert performance.figures.select("figure", "period").is_unique().all()
    assert not performance.figures["definition"].str.contains(r"[{}]").any()
    assert whole["value"].null_count() == 0
    assert performance.figures["value"].is_not_nan().all()
    with pytest.raises(KeyError, match="no figure 'luck'"):
        performance.figure("luck")


def test_sector_contributions_add_up_to_the_return_before_costs(studied):
    simulation, performance, *_ = studied
    assert performance.sectors["contribution"].sum() == pytest.approx(simulation.daily["gross_return"].sum())
    invested = 1 - performance.daily["cash_share"].to_numpy().mean()
    assert performance.sectors["mean_weight"].sum() == pytest.approx(invested)
    assert set(performance.sectors["sector"]) == {"banks", "ships", "unknown"}


def test_a_sector_is_the_last_one_known_on_the_day(studied):
    simulation, _, sector, *_ = studied
    only_first = sector.filter(pl.col("date") == sector["date"].min())
    later = sector.filter(pl.col("date") == sector["date"].max())
    assert set(sector_attribution(simulation, only_first)["sector"]) == {"banks", "ships", "unknown"}
    before_last = simulation.holdings["date"].max()
    weights = sector_attribution(simulation, later.filter(pl.col("date") > before_last))
    assert set(weights["sector"]) == {"unknown"}


def test_importance_gets_shares(studied):
    _, performance, *_ = studied
    assert performance.importance["share"].to_list() == [0.75, 0.25]


def test_without_benchmark_sector_and_importance(studied):
    simulation, _, _, predictions, realized = studied
    performance = evaluate(simulation, predictions, realized, horizon=5)
    assert performance.daily["benchmark_return"].null_count() == performance.daily.height
    assert performance.figure("beta") is None
    assert performance.figure("benchmark_annual_return") is None
    assert performance.annual["excess"].null_count() == performance.annual.height
    assert performance.sectors.is_empty()
    assert performance.importance.is_empty()
    assert performance.figure("deflated_sharpe") == pytest.approx(performance.figure("probabilistic_sharpe"))


def test_more_trials_deflate_the_sharpe_ratio(studied):
    _, performance, *_ = studied
    assert performance.figure("deflated_sharpe") < performance.figure("probabilistic_sharpe")
    assert performance.figure("expected_maximum_sharpe") > 0


def test_a_gap_in_the_benchmark_is_bridged(studied):
    simulation, _, _, predictions, realized = studied
    dates = simulation.daily["date"]
    index = pl.DataFrame({"date": dates, "close": np.linspace(100, 200, len(dates))})
    holed = index.filter(pl.col("date") != dates[10])
    whole = evaluate(simulation, predictions, realized, index, horizon=5).daily
    bridged = evaluate(simulation, predictions, realized, holed, horizon=5).daily
    assert bridged["benchmark_return"].null_count() == 2
    assert bridged["benchmark_equity"][-1] == pytest.approx(whole["benchmark_equity"][-1])


def test_a_frame_that_breaks_its_table_is_refused(studied):
    _, performance, *_ = studied
    frames = performance.frames() | {"monthly": performance.monthly.drop("month")}
    with pytest.raises(SchemaError, match="month"):
        Performance(horizon=5, trials=1, **frames)


def years(*returns: float, ic: float = 0.03) -> pl.DataFrame:
    n = len(returns)
    return pl.DataFrame(
        {"year": range(2020, 2020 + n), "portfolio_return": returns, "mean_rank_ic": [ic] * n}
    )


def test_a_good_record_passes_all_six_checks():
    table = checklist(years(0.1, 0.2, -0.05, 0.15), 0.03, 0.004)
    assert table["passed"].all()
    assert table.height == 6


@pytest.mark.parametrize(
    ("annual", "ic", "net", "failing"),
    [
        (years(0.1, 0.2), 0.01, 0.01, ["rank_ic"]),
        (years(0.1, 0.2, ic=-0.01), 0.03, 0.01, ["rank_ic"]),
        (years(0.9, 0.1, 0.1), 0.03, 0.01, ["annual_deviation"]),
        (years(0.3, 0.3, -0.01, -0.01), 0.03, 0.01, ["losing_years"]),
        (years(0.35, 0.1, -0.25), 0.03, 0.01, ["worst_year"]),
        (years(0.05, 0.04), 0.03, 0.01, ["mean_year"]),
        (years(0.1, 0.2), 0.03, -0.001, ["net_spread"]),
        (years(0.1, 0.2), float("nan"), float("nan"), ["rank_ic", "net_spread"]),
    ],
)
def test_each_check_can_fail(annual, ic, net, failing):
    table = checklist(annual, ic, net)
    failed = table.filter(~pl.col("passed"))["check"].to_list()
    assert failed == failing


def test_performance_of_a_portfolio_that_never_trades():
    prices, stocks, predictions = random_market(2, n_days=30, trouble=False)
    regime = pl.DataFrame({"date": prices["date"].unique().sort()}).with_columns(
        market_regime_score=pl.lit(-1.0)
    )
    simulation = simulate(
        predictions, prices, Rules(n=3, horizon=5, regime_threshold=0.0), stocks=stocks, regime=regime
    )
    realized = prices.select("stock_code", "date", realized_return_5d=pl.lit(0.01, pl.Float32))
    sector = prices.select("stock_code", "date", sector=pl.lit("banks"))
    performance = evaluate(simulation, predictions, realized, None, sector, horizon=5)
    assert performance.daily["equity"].to_list() == [1.0] * performance.daily.height
    assert performance.figure("sharpe") is None
    assert performance.drawdowns.is_empty()
    assert performance.sectors.is_empty()
    assert performance.annual["year"].to_list() == [dt.date(2020, 1, 1).year]
