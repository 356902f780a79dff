from __future__ import annotations

import pytest

from finpipe_tests.benchmarks import portfolio
from finpipe_tests.benchmarks.price_ingest import write_bars


def test_a_small_market_is_measured_on_both_sides(tmp_path, monkeypatch):
    monkeypatch.setattr(portfolio, "PERIOD", portfolio.DEMO_PERIOD)
    write_bars(tmp_path / "bars.parquet", 40)
    measured = portfolio.measure(tmp_path / "bars.parquet", repeat=1, ingest=0)
    assert measured["tickers"] == 40
    assert measured["history_bars"] > 40 * 1000
    assert measured["seconds"].keys() == measured["cpu_seconds"].keys()
    assert measured["within"].keys() == portfolio.LIMITS.keys() <= measured["seconds"].keys()
    assert measured["skfolio"]["sharpe"] == pytest.approx(measured["sharpe"], rel=1e-4)
    assert all(0 < peak < 1500 for peak in measured["peak_rss_mb"].values())
