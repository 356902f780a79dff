from __future__ import annotations

from finpipe_tests.benchmarks.price_ingest import price_ingest


def test_a_small_ingest_brings_every_bar_and_measures_both_sides():
    measured = price_ingest(tickers=6, latency=0.0, repeat=1)
    assert measured["bars"] == 6 * 1258, "sessions of New York in five years"
    assert measured["failures"] == 0
    assert measured["raw_s"] > 0
    assert measured["client_s"] > 0
    assert measured["peak_rss_mb"] < 1500
