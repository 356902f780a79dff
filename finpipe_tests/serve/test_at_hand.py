"""Answers given again without reading the request anew are those that the endpoints give, as long as they are right."""

from __future__ import annotations

import datetime as dt

import httpx
import msgpack
import polars as pl
import pytest

from finpipe.cache.usage.request_log import read_requests
from finpipe.portfolio.market_data import price_source
from finpipe.settings import load_settings
from finpipe_tests.serve.process import ServiceProcess

ADDRESS = "/api/analyze/MAT02?start=2023-01-03&end=2025-06-30"


def asked_for(client: httpx.Client) -> float:
    """Requests of the endpoint, as the metrics count them."""
    return sum(
        float(line.rsplit(" ", 1)[1])
        for line in client.get("/metrics").text.splitlines()
        if line.startswith("finpipe_requests_total") and "/api/analyze/{ticker}" in line
    )


def test_given_again_is_the_same_in_every_form(client: httpx.Client) -> None:
    first = client.get(ADDRESS)
    before = asked_for(client)
    again = client.get(ADDRESS)
    assert again.headers["x-cache"] == "memory"
    assert again.content == first.content
    assert again.headers["etag"] == first.headers["etag"]
    assert client.get(ADDRESS, headers={"If-None-Match": first.headers["etag"]}).status_code == 304
    packed = client.get(ADDRESS, headers={"Accept": "application/msgpack"})
    assert msgpack.unpackb(packed.content) == first.json()
    refused = client.get(ADDRESS, headers={"Accept": "image/png"})
    assert refused.status_code == 406
    assert refused.headers["content-type"] == "application/problem+json"
    assert asked_for(client) == before + 4
    assert client.get(f"{ADDRESS}&unknown=1").status_code == 422
    assert client.request("POST", ADDRESS).status_code == 405


def test_corrected_bars_end_what_was_at_hand_and_all_is_noted(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    running = ServiceProcess(tmp_path_factory.mktemp("noted") / "home", serve_warm=False).start()
    address = "/api/analyze/TEC01?start=2024-01-02"
    try:
        with running.client() as client:
            first = [client.get(address) for _ in range(3)]
            assert [answer.headers["x-cache"] for answer in first] == ["computed", "memory", "memory"]
            history = price_source(load_settings(home=running.home, provider="demo")).history
            bars = history.read(["TEC01"]).tail(1)
            history.upsert(bars.with_columns(pl.col("adjusted_close") * 1.05), dt.datetime.now(dt.UTC))
            corrected = client.get(address)
            assert corrected.headers["x-cache"] == "computed"
            assert corrected.json()["figures"] != first[0].json()["figures"]
            assert client.get(address).headers["x-cache"] == "memory"
    finally:
        running.stop()
    rows = list(read_requests(running.home / "usage" / "request_log"))
    assert [row.items for row in rows] == [("TEC01",)] * 5
