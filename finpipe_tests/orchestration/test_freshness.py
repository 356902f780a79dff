"""How old assets may grow: long enough for every closure of the exchange, and not much longer."""

from __future__ import annotations

import asyncio
import datetime as dt
import time

import dagster as dg
import pytest
from dagster._core.definitions import freshness_evaluator
from dagster._core.definitions.freshness import FreshnessState
from dagster._core.definitions.freshness_evaluator import TimeWindowFreshnessPolicyEvaluator
from dagster._core.loader import LoadingContextForTest

from finpipe.orchestration.build import build_definitions
from finpipe.orchestration.freshness import DAILY, LOADING, LONGEST_CLOSURE, USUAL_CLOSURE, policy
from finpipe.orchestration.graph import graph
from finpipe.settings import load_settings


@pytest.fixture(scope="module")
def closures() -> list[dt.timedelta]:
    """From each close of the exchange to the next."""
    import exchange_calendars

    calendar = exchange_calendars.get_calendar("XKRX", start="2001-02-01", end="2026-12-30")
    return [gap.to_pytimedelta() for gap in calendar.closes.diff().dropna()]


def test_no_closure_of_the_exchange_makes_an_asset_too_old(closures):
    assert max(closures) == LONGEST_CLOSURE


def test_only_rare_closures_make_it_suspicious(closures):
    longer = sum(gap > USUAL_CLOSURE + LOADING for gap in closures)
    assert 0 < longer < 0.02 * len(closures)
    assert sorted(closures)[len(closures) * 95 // 100] < USUAL_CLOSURE


def test_the_tables_read_the_picks_and_the_report_have_a_policy_and_models_have_none(tmp_path):
    definitions = build_definitions(load_settings(home=tmp_path))
    specs = {"/".join(spec.key.path): spec for spec in definitions.resolve_all_asset_specs()}
    assert specs.keys() >= DAILY, "every name is an asset's"
    assert {key for key, spec in specs.items() if spec.freshness_policy is not None} == DAILY
    assert policy("krx/yearly_ranker") is None
    read_daily = {
        key
        for key, stage in graph().by_key.items()
        if {"krx/source/daily_prices", "krx/source/indices"} & set(stage.upstream)
    }
    assert read_daily <= DAILY


def test_dagster_judges_by_the_windows(monkeypatch):
    @dg.asset(key=["krx", "picks"], freshness_policy=policy("krx/picks"))
    def picks() -> None:
        """Stands for the picks."""

    node = dg.Definitions([picks]).get_repository_def().asset_graph.get(picks.key)
    with dg.DagsterInstance.ephemeral() as instance:
        made = time.time()

        def judged_after(age: dt.timedelta) -> FreshnessState:
            monkeypatch.setattr(
                freshness_evaluator, "get_current_timestamp", lambda: made + age.total_seconds()
            )
            context = LoadingContextForTest(instance)
            return asyncio.run(TimeWindowFreshnessPolicyEvaluator().evaluate_freshness(context, node))

        assert judged_after(dt.timedelta(0)) is FreshnessState.UNKNOWN
        dg.materialize([picks], instance=instance)
        assert judged_after(dt.timedelta(days=3, hours=20)) is FreshnessState.PASS, "over a weekend"
        assert judged_after(dt.timedelta(days=8)) is FreshnessState.WARN, "over a long holiday"
        assert judged_after(dt.timedelta(days=12)) is FreshnessState.FAIL
