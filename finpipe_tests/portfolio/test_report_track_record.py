"""The weights over the period that they were made from, against a plain loop."""

from __future__ import annotations

import dataclasses
import datetime as dt

import numpy as np
import polars as pl
import pytest

from finpipe.portfolio.moments import estimate_moments
from finpipe.portfolio.optimization import optimize_moments
from finpipe.portfolio.report.track_record import EQUAL_WEIGHT, track_record
from finpipe.portfolio.requests import OptimizeRequest
from finpipe.portfolio.results import OptimizedPortfolio
from finpipe_tests.portfolio.sample_bars import bars_of

DAYS = 300
LISTED_AT = 60


@pytest.fixture(scope="module")
def portfolio() -> OptimizedPortfolio:
    random = np.random.default_rng(4)
    steps = random.normal(0.0006, 0.012, (DAYS, 4))
    prices = 100 * np.cumprod(1 + steps, axis=0)
    series: dict[str, list[float | None]] = {f"T{at}": list(prices[:, at]) for at in range(4)}
    series["T3"][:LISTED_AT] = [None] * LISTED_AT
    request = OptimizeRequest(
        tickers=tuple(series), objective="risk-parity", risk_free=0.01, max_weight=1.0, covariance="sample"
    )
    return optimize_moments(estimate_moments(bars_of(series), request, tickers=tuple(series)), request)


def test_the_weights_are_restored_every_day(portfolio: OptimizedPortfolio) -> None:
    record = track_record(portfolio)
    assert record is not None
    returns = portfolio.moments.returns
    value, values = 1.0, [1.0]
    for day in range(1, len(returns.dates)):
        change = 0.0
        for ticker, weight in portfolio.weights.items():
            own = returns.values[day, returns.tickers.index(ticker)]
            change += weight * (0.0 if np.isnan(own) else own)
        value *= 1 + change
        values.append(value)
    daily = record.daily
    assert daily["equity"].to_list() == pytest.approx(values)
    drawdown = [value / max(values[: at + 1]) - 1 for at, value in enumerate(values)]
    assert daily["drawdown"].to_list() == pytest.approx(drawdown)
    assert record.result.summary["portfolio"].max_drawdown == pytest.approx(min(drawdown))


def test_days_before_a_listing_are_counted(portfolio: OptimizedPortfolio) -> None:
    record = track_record(portfolio)
    assert record is not None
    assert any(
        notice.startswith(f"{LISTED_AT} of {4 * (DAYS - 1):,} daily returns") for notice in record.notices
    )


def test_equal_weights_stand_in_for_a_missing_benchmark(portfolio: OptimizedPortfolio) -> None:
    record = track_record(portfolio)
    assert record is not None
    assert record.benchmark_name == EQUAL_WEIGHT
    mean = np.nanmean(portfolio.moments.returns.values, axis=1)
    level = np.cumprod(np.concatenate([[1.0], 1 + mean[1:]]))
    assert record.daily["benchmark_equity"].to_list() == pytest.approx(list(level))


def test_a_benchmark_is_laid_on_the_days_of_the_returns(portfolio: OptimizedPortfolio) -> None:
    dates = portfolio.moments.returns.dates
    frame = pl.DataFrame({"date": dates, "close": np.linspace(50, 75, len(dates))}).with_columns(
        pl.col("date").cast(pl.Date)
    )
    record = track_record(
        dataclasses.replace(portfolio, benchmark=frame.sample(fraction=1, shuffle=True, seed=1))
    )
    assert record is not None
    assert record.benchmark_name == "Benchmark"
    assert record.daily["benchmark_equity"][-1] == pytest.approx(1.5)
    elsewhere = frame.with_columns(pl.col("date").dt.offset_by("-50y"))
    record = track_record(dataclasses.replace(portfolio, benchmark=elsewhere))
    assert record is not None
    assert record.benchmark_name == EQUAL_WEIGHT
    assert any("equal weights stand in" in notice for notice in record.notices)


def test_years_compound_to_the_whole(portfolio: OptimizedPortfolio) -> None:
    record = track_record(portfolio)
    assert record is not None
    annual = record.annual
    assert annual["year"].to_list() == [2015, 2016]
    assert annual["days"].sum() == DAYS - 1
    for line in ("portfolio", "benchmark", "risk_free"):
        whole = float((annual[line] + 1).product()) - 1
        assert whole == pytest.approx(record.result.summary[line].total_return)


def test_a_few_days_are_no_track_record(portfolio: OptimizedPortfolio) -> None:
    returns = portfolio.moments.returns
    short = dataclasses.replace(returns, dates=returns.dates[-10:], values=returns.values[-10:])
    moments = dataclasses.replace(portfolio.moments, returns=short, as_of=dt.date(2016, 2, 1))
    assert track_record(dataclasses.replace(portfolio, moments=moments)) is None
