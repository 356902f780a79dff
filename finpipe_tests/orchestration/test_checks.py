"""Every asset check passes what is right, fails what is wrong, and says what it found."""

from __future__ import annotations

import datetime as dt

import dagster as dg
import polars as pl
import pytest

from finpipe.backtest import tables
from finpipe.backtest.checklist import CHECKS
from finpipe.backtest.leaks import feature_leaks
from finpipe.backtest.rules import Rules
from finpipe.backtest.safety import STRESSES
from finpipe.backtest.simulate import simulate
from finpipe.orchestration import checks
from finpipe.orchestration.graph import graph
from finpipe_tests.backtest.small_market import random_market
from finpipe_tests.learning.small_market import weekdays

DAYS = weekdays(dt.date(2020, 12, 1), dt.date(2022, 1, 31))


def test_every_check_that_a_stage_declares_has_a_promise():
    declared = {
        f"{key}:{spec.name}": spec.description
        for stage in graph().stages
        for spec in stage.definition.check_specs
        for key in ["/".join(spec.asset_key.path)]
    }
    assert {
        "krx/daily_prices:base_agrees",
        "krx/daily_prices:dates_in_calendar",
        "krx/daily_prices:prices_sane",
        "portfolio/covariance:positive_definite",
        "portfolio/optimal_weights:weights_sum_to_one",
        "krx/index_levels:benchmark_present",
        "krx/macro_features:indices_present",
        "krx/financial_features:filings_cover",
        "krx/universe:members_every_year",
        "krx/training_panel:no_empty_feature",
        "krx/training_panel:no_feature_leak",
        "krx/backtest:books_balance",
        "krx/performance:information_believable",
        "krx/performance:turnover_plausible",
        *(f"krx/performance:{name}" for name in CHECKS),
        *(f"krx/safety:{stress.name}" for stress in STRESSES),
    } <= declared.keys()
    assert all(promise and promise.endswith(".") for promise in declared.values())


def specs() -> dict[str, dg.AssetCheckSpec]:
    return {
        f"{'/'.join(spec.asset_key.path)}:{spec.name}": spec
        for stage in graph().stages
        for spec in stage.definition.check_specs
    }


def test_every_table_is_checked_by_its_schema_before_it_is_stored():
    tables = {key for key, stage in graph().by_key.items() if stage.outputs[key].table}
    assert {f"{key}:schema" for key in (*tables, "krx/forward_returns", "krx/residual_returns")} == {
        name for name in specs() if name.endswith(":schema")
    }


def test_every_unpartitioned_table_is_compared_with_the_last_one():
    whole = {key for key, stage in graph().by_key.items() if not stage.dimensions and not stage.on_request}
    for check in ("rows_as_last_time", "nulls_as_last_time"):
        assert {name for name in specs() if name.endswith(check)} == {f"{key}:{check}" for key in whole}


def test_what_would_poison_everything_blocks_and_a_poor_result_does_not():
    blocking = {name for name, spec in specs().items() if spec.blocking}
    of_market = {name for name in blocking if not name.endswith(":schema")}
    assert of_market == {
        "krx/daily_prices:dates_in_calendar",
        "krx/daily_prices:prices_sane",
        "portfolio/covariance:positive_definite",
        "portfolio/optimal_weights:weights_sum_to_one",
        *(f"krx/{name}:rows_as_last_time" for name in ("daily_prices", "stocks", "index_levels", "filings")),
    }
    assert {name for name in specs() if name.endswith(":schema")} <= blocking


def figures(**values: float | None) -> pl.DataFrame:
    """The figures of all days, and others of a year that must not be taken for them."""
    rows = [(name, period, value) for name, value in values.items() for period in ("2020", "all")]
    found = pl.DataFrame(rows, schema=["figure", "period", "value"], orient="row")
    return found.with_columns(pl.when(pl.col("period") == "all").then("value").otherwise(99.0).alias("value"))


@pytest.mark.parametrize(
    ("found", "passed"),
    [(0.04, True), (-0.1, True), (0.15, True), (0.16, False), (-0.2, False), (None, False)],
)
def test_a_ranking_that_is_too_good_is_not_believed(found, passed):
    outcome = checks.information_believable(figures(mean_rank_ic=found))
    assert outcome.passed == passed
    assert ("knows what comes" in outcome.finding) == (found is not None and not passed)
    assert not outcome.blocks


@pytest.mark.parametrize(
    ("found", "passed"),
    [(12.0, True), (0.25, True), (18.0, True), (18.1, False), (0.1, False), (None, False)],
)
def test_turnover_is_judged_by_what_replacing_everything_makes(found, passed):
    outcome = checks.turnover_plausible(figures(annual_turnover=found), horizon=21)
    assert outcome.passed == passed
    assert "every 21 day(s) makes 12.0" in outcome.finding


def test_bases_that_differ_are_counted_with_an_example():
    assert checks.base_agrees(pl.DataFrame({"stock_code": []}), 7).passed
    wrong = checks.base_agrees(pl.DataFrame({"stock_code": ["000010"], "date": ["x"]}), 7)
    assert not wrong.passed
    assert "1 of 7" in wrong.finding
    assert "000010" in wrong.finding


def levels(code: str) -> pl.DataFrame:
    return pl.DataFrame(
        {"index_code": [code] * 2, "date": DAYS[:2], "close": [100.0, None]},
        schema_overrides={"index_code": pl.Categorical},
    )


def test_an_absent_benchmark_is_named_with_those_that_there_are():
    assert checks.benchmark_present(levels("KOSPI_200"), "KOSPI_200").passed
    wrong = checks.benchmark_present(levels("KOSDAQ_150"), "KOSPI_200")
    assert not wrong.passed
    assert "KOSPI_200" in wrong.finding
    assert "KOSDAQ_150" in wrong.finding
    assert not checks.benchmark_present(levels("KOSPI_200").clear(), "KOSPI_200").passed


def test_missing_indices_are_named():
    assert checks.indices_present([]).passed
    assert "USD" in checks.indices_present(["USD"]).finding
    assert not checks.indices_present(["USD"]).passed


def members(days: list[dt.date], per_day: int = 2) -> pl.DataFrame:
    return pl.DataFrame({"date": [day for day in days for _ in range(per_day)]}, schema={"date": pl.Date})


def test_a_year_without_members_is_named_unless_it_is_the_first():
    days = pl.Series(DAYS)
    of = {year: [day for day in DAYS if day.year == year] for year in (2020, 2021, 2022)}
    assert checks.members_every_year(members(DAYS), days).passed
    assert checks.members_every_year(members(of[2021] + of[2022]), days).passed
    wrong = checks.members_every_year(members(of[2020] + of[2022]), days)
    assert not wrong.passed
    assert "none in 2021" in wrong.finding
    assert not checks.members_every_year(members([]), days).passed


def panel(**features: list[float | None]) -> pl.DataFrame:
    days = [dt.date(2020, 6, 1), dt.date(2021, 6, 1)]
    return pl.DataFrame({"date": days, **features})


def test_a_feature_that_is_never_known_fails_and_one_without_a_year_is_mentioned():
    good = checks.no_empty_feature(panel(a=[1.0, 2.0], b=[1.0, 1.0]), ["a", "b"])
    assert good.passed
    partly = checks.no_empty_feature(panel(a=[1.0, None], b=[1.0, 1.0]), ["a", "b"])
    assert partly.passed
    assert "a (2021)" in partly.finding
    empty = checks.no_empty_feature(panel(a=[1.0, 2.0], b=[None, None]), ["a", "b"])
    assert not empty.passed
    assert "every row: b" in empty.finding
    assert "| b | 100.0% |" in empty.metadata["most_nulls"].md_str


def test_the_coverage_of_filings_is_that_of_the_last_year():
    schema = {"roe": pl.Float64, "accruals": pl.Float64}
    known = panel(roe=[None, 0.1], accruals=[None, None]).cast(schema)
    assert checks.filings_cover(known, ["roe", "accruals"]).passed
    lost = panel(roe=[0.1, None], accruals=[0.1, None]).cast(schema)
    wrong = checks.filings_cover(lost, ["roe", "accruals"])
    assert not wrong.passed
    assert "0% of the rows of 2021" in wrong.finding
    assert not checks.filings_cover(lost.clear(), ["roe", "accruals"]).passed


def test_tomorrows_return_as_a_feature_is_named_as_a_leak():
    prices, _, _ = random_market(3, n_stocks=12, n_days=60)
    opened = pl.col("adjusted_open")
    tomorrow = (opened.shift(-2) / opened.shift(-1) - 1).over("stock_code")
    realized = prices.select("stock_code", "date", realized_return_1d=tomorrow)
    honest = prices.select("stock_code", "date", "adjusted_close", "volume")
    fine = checks.no_feature_leak(feature_leaks(honest, realized), 1)
    assert fine.passed
    planted = honest.with_columns(tomorrow=realized["realized_return_1d"])
    caught = checks.no_feature_leak(feature_leaks(planted, realized, days=20), 1)
    assert not caught.passed
    assert "tomorrow (mean rank IC +1.000)" in caught.finding
    assert "adjusted_close" not in caught.finding


@pytest.mark.parametrize("rules", [Rules(n=4, horizon=5), Rules(n=4, horizon=5, cohorts=2, cash_rate=0.03)])
def test_an_account_adds_up_until_somebody_changes_it(rules):
    prices, stocks, predictions = random_market(21, n_stocks=14, n_days=80)
    done = simulate(predictions, prices, rules, stocks=stocks)

    def judge(daily: pl.DataFrame, trades: pl.DataFrame, holdings: pl.DataFrame) -> checks.Check:
        return checks.books_balance(
            daily, trades, holdings, capital=rules.initial_capital, cash_rate=rules.cash_rate
        )

    assert judge(done.daily, done.trades, done.holdings).passed
    for wrong in (
        judge(done.daily, done.trades[1:], done.holdings),
        judge(done.daily, done.trades, done.holdings[:-1]),
        judge(done.daily.with_columns(pl.col("equity") + 1), done.trades, done.holdings),
    ):
        assert not wrong.passed
        assert "off by" in wrong.finding


def test_each_safety_check_of_a_track_record_has_its_own_outcome():
    rows = [
        ("rank_ic", 0.05, 0.02, True, "Rule."),
        ("worst_year", None, -0.2, False, "Other rule."),
    ]
    found = checks.track_record(pl.DataFrame(rows, schema=tables.SAFETY.names, orient="row"))
    assert {name: outcome.passed for name, outcome in found.items()} == {"rank_ic": True, "worst_year": False}
    assert found["rank_ic"].metadata == {"value": 0.05, "threshold": 0.02}
    assert found["worst_year"].finding == "not measurable, compared with -0.2. Other rule."


def test_a_stress_fails_with_any_of_its_cases():
    rows = [
        ("cost_sweep", "0.1%", "annual_return", 0.1, 0.1, 0.0, "pass", "Rule.", "Why."),
        ("cost_sweep", "0.5%", "annual_return", -0.1, 0.1, 0.0, "fail", "Rule.", "Why."),
        ("purge_gap", "21", "mean_rank_ic", 0.1, 0.1, 0.0, "pass", "Rule.", "Why."),
        ("filing_lag", "90", "mean_rank_ic", None, None, None, "not run", "Rule.", "Why."),
    ]
    found = checks.stresses(pl.DataFrame(rows, schema=tables.STRESS_VERDICTS.names, orient="row"))
    assert {name: outcome.passed for name, outcome in found.items()} == {
        "cost_sweep": False,
        "purge_gap": True,
        "filing_lag": True,
    }
    assert found["cost_sweep"].finding == "0.5%: annual_return -0.100. Rule. Why."
    assert found["filing_lag"].finding == "nothing to judge. Rule. Why."
