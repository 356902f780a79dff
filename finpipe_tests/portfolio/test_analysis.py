from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest

from finpipe.portfolio.analysis import AVERAGES, RANGES, analyze
from finpipe.portfolio.ensemble import ensemble
from finpipe.portfolio.returns import adjusted_prices
from finpipe_tests.portfolio.sample_bars import bars_of, random_prices, real_bars

DAYS = 1400


@pytest.fixture(scope="module")
def bars() -> pl.DataFrame:
    return bars_of(random_prices(["INDEX", "STOCK"], DAYS))


@pytest.fixture(scope="module")
def series(bars) -> np.ndarray:
    return bars.filter(pl.col("ticker") == "STOCK")["adjusted_close"].to_numpy()


def test_figures_are_their_formulas(bars, series):
    made = analyze(bars, "STOCK", benchmark="INDEX", risk_free=0.02)
    index = bars.filter(pl.col("ticker") == "INDEX")["adjusted_close"].to_numpy()
    r, b = series[1:] / series[:-1] - 1, index[1:] / index[:-1] - 1
    figures = made.figures
    assert figures.growth == pytest.approx((series[-1] / series[0]) ** (252 / 1399) - 1)
    assert figures.total_return == pytest.approx(series[-1] / series[0] - 1)
    assert figures.volatility == pytest.approx(r.std(ddof=1) * np.sqrt(252))
    assert figures.sharpe == pytest.approx((r.mean() * 252 - 0.02) / (r.std(ddof=1) * np.sqrt(252)))
    assert figures.max_drawdown == pytest.approx(
        min(series[j] / series[: j + 1].max() - 1 for j in range(DAYS))
    )
    assert figures.value_at_risk == pytest.approx(np.quantile(r, 0.05))
    assert figures.expected_shortfall == pytest.approx(np.sort(r)[:70].mean())
    assert figures.beta == pytest.approx(np.polyfit(b, r, 1)[0])
    assert figures.correlation == pytest.approx(np.corrcoef(r, b)[0, 1])
    assert figures.averages == {n: pytest.approx(series[-n:].mean()) for n in AVERAGES}
    assert made.notices == ()


def test_figures_agree_with_the_backtest_of_holding_it(bars, series):
    from finpipe.backtest import metrics

    figures = analyze(bars, "STOCK", benchmark="INDEX", risk_free=0.02).figures
    r = series[1:] / series[:-1] - 1
    assert figures.growth == pytest.approx(metrics.annual_return(r))
    assert figures.sharpe == pytest.approx(metrics.sharpe(r, 0.02))
    assert figures.max_drawdown == pytest.approx(metrics.max_drawdown(r))
    assert figures.expected_shortfall == pytest.approx(metrics.expected_shortfall(r))


def test_the_chart_is_adjusted_and_a_split_makes_no_cliff(bars):
    split = pl.col("date") < dt.date(2020, 5, 1)
    raw = [
        pl.when(split).then(pl.col(name) * 4).otherwise(name).alias(name)
        for name in ("open", "high", "low", "close")
    ]
    made = analyze(bars.with_columns(raw), "STOCK")
    whole = analyze(bars, "STOCK")
    for name in ("open", "high", "low", "close", "average_50"):
        np.testing.assert_allclose(made.chart[name], whole.chart[name], rtol=1e-12)
    assert made.figures.high_52_weeks == pytest.approx(whole.figures.high_52_weeks)
    assert made.chart["average_200"].null_count() == 199


def test_52_weeks_are_the_last_364_days(bars, series):
    made = analyze(bars, "STOCK")
    year = bars.filter(pl.col("ticker") == "STOCK", pl.col("date") > made.end - dt.timedelta(days=364))[
        "adjusted_close"
    ]
    assert (made.figures.low_52_weeks, made.figures.high_52_weeks) == (year.min(), year.max())
    assert made.last_price == series[-1]


def test_ranges_begin_at_the_last_bar_before_them(bars, series):
    made = analyze(bars, "STOCK")
    assert tuple(made.ranges["range"]) == RANGES
    assert made.end == dt.date(2020, 5, 13)
    starts = dict(made.ranges.select("range", "start").iter_rows())
    assert starts["1M"] == dt.date(2020, 4, 13)
    assert starts["YTD"] == dt.date(2019, 12, 31)
    assert starts["2Y"] == dt.date(2018, 5, 11)  # 13 May 2018 was a Sunday
    assert starts["MAX"] == made.start
    dates = bars.filter(pl.col("ticker") == "STOCK")["date"].to_list()
    for name, start, grown in made.ranges.iter_rows():
        assert grown == pytest.approx(series[-1] / series[dates.index(start)] - 1)
        assert made.chart_of(name)["date"][0] == start


def test_ranges_longer_than_the_bars_are_not_offered(bars):
    made = analyze(bars.filter(pl.col("date") > dt.date(2020, 1, 15)), "STOCK")
    assert tuple(made.ranges["range"]) == ("1M", "3M", "MAX")
    with pytest.raises(ValueError, match="no range '5Y' of STOCK; there are 1M, 3M, MAX"):
        made.chart_of("5Y")


def test_the_forecast_is_the_ensembles_and_its_band_the_prices_noise(bars, series):
    made = analyze(bars, "STOCK", level=0.9).forecast
    whole = ensemble(adjusted_prices(bars.filter(pl.col("ticker") == "STOCK")))
    assert made.annual_return == whole.values[0]
    assert made.parts["trend"] == whole.trend[0]
    assert (made.method, made.method_used, made.fallback, made.level) == ("ensemble", "ensemble", None, 0.9)
    path = made.path
    assert path.height == 252
    assert path["date"][0] == dt.date(2020, 5, 14)
    assert path["date"].dt.weekday().max() <= 5
    assert path["date"].is_unique().all()
    assert path["value"][-1] == pytest.approx(series[-1] * (1 + made.annual_return))
    noise = np.diff(np.log(series)).std(ddof=1)
    high = path["value"].to_numpy() * np.exp(1.6448536 * noise * np.sqrt(np.arange(1, 253)))
    np.testing.assert_allclose(path["high"], high, rtol=1e-6)
    np.testing.assert_allclose(path["low"] * path["high"], path["value"] ** 2, rtol=1e-12)


def test_another_method_and_its_fallback_are_told(bars):
    assert analyze(bars, "STOCK", method="theta").forecast.method_used == "theta"
    made = analyze(bars.filter(pl.col("date") > dt.date(2019, 1, 1)), "STOCK", method="theta").forecast
    assert (made.method, made.method_used) == ("theta", "ensemble")
    assert made.fallback.startswith("theta failed (17 monthly prices")


def test_few_bars_leave_figures_open(bars):
    made = analyze(bars.filter(pl.col("date") > dt.date(2020, 4, 1)), "STOCK")
    assert np.isnan(made.figures.growth)
    assert np.isnan(made.figures.beta)
    assert np.isnan(made.figures.averages[200])
    assert made.figures.averages[20] > 0


def test_a_price_that_never_moves_has_no_sharpe():
    made = analyze(
        bars_of({"CASH": np.ones(300), "INDEX": np.linspace(1, 2, 300)}), "CASH", benchmark="INDEX"
    )
    assert np.isnan(made.figures.sharpe)
    assert np.isnan(made.figures.beta)
    assert made.notices == ("too few common days with INDEX that move, so there is no beta",)


def test_nonsense_is_refused(bars):
    with pytest.raises(ValueError, match="there are 0 bars of KO; an analysis needs 20"):
        analyze(bars, "KO")
    with pytest.raises(ValueError, match="no bars of the benchmark SPY"):
        analyze(bars, "STOCK", benchmark="SPY")
    with pytest.raises(
        ValueError, match="'equilibrium' is no forecast of a single ticker; there are prophet"
    ):
        analyze(bars, "STOCK", method="equilibrium")
    with pytest.raises(ValueError, match="the level of the band is 95"):
        analyze(bars, "STOCK", level=95)
    broken = bars.with_columns(
        pl.when(pl.col("date") == dt.date(2015, 1, 6))
        .then(-1.0)
        .otherwise("adjusted_close")
        .alias("adjusted_close")
    )
    with pytest.raises(ValueError, match="price of STOCK on 2015-01-06 is not a positive number"):
        analyze(broken, "STOCK")


def test_apple(shared_data):
    made = analyze(
        real_bars(shared_data, dt.date(2012, 1, 1), dt.date(2016, 12, 31)), "AAPL", benchmark="MSFT"
    )
    assert made.bars == 1258
    assert 0.1 < made.figures.growth < 0.25
    assert 0.2 < made.figures.volatility < 0.35
    assert made.chart["close"].is_between(made.chart["low"] * 0.99, made.chart["high"] * 1.01).all()
