"""Every endpoint of a running service on demo prices: what it answers, in which forms, and from where."""

from __future__ import annotations

import gzip
import io
import json
import threading

import msgpack
import pyarrow as pa
import pytest

from finpipe.portfolio import analyze, benchmark, frontier, hedge, optimize
from finpipe.serve import models
from finpipe_tests.waiting import PATIENCE_S, until

DAYS = {"start": "2023-01-03", "end": "2025-06-30"}
ARROW = "application/vnd.apache.arrow.stream"


def place(service):
    return {**DAYS, "provider": "demo", "home": service.home}


def result_of(client, asked):
    """The result of a job that has to be computed, and the events on the way."""
    answer = client.post("/api/optimize", json=asked)
    assert answer.status_code == 202, answer.text
    address = answer.headers["location"]
    names, last = [], None
    with client.stream("GET", f"{address}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        for line in stream.iter_lines():
            if line.startswith("event: "):
                names.append(line[7:])
            if line.startswith("data: "):
                last = json.loads(line[6:])
    assert last["state"] == "done", last
    return last["result"], names, address


def test_analysis_is_the_librarys_and_comes_from_memory_the_second_time(client, service):
    first = client.get("/api/analyze/tec01", params={**DAYS, "risk_free": 0.01})
    again = client.get("/api/analyze/TEC01", params={**DAYS, "risk_free": 0.01})
    assert first.headers["x-cache"] == "computed"
    assert again.headers["x-cache"] == "memory"
    assert first.content == again.content
    found = models.AnalysisAnswer.model_validate_json(first.content)
    expected = analyze("TEC01", risk_free=0.01, **place(service))
    assert found.figures.sharpe == pytest.approx(expected.figures.sharpe)
    assert found.chart.close == pytest.approx(expected.chart["close"].to_list())
    assert found.forecast.annual_return == pytest.approx(expected.forecast.annual_return)


def test_hedge_benchmark_and_frontier_are_the_librarys(client, service):
    found = client.get("/api/hedge", params={"first": "TEC01", "second": "UTI01", **DAYS}).json()
    assert models.HedgeAnswer.model_validate(found).correlation == pytest.approx(
        hedge("TEC01", "UTI01", **place(service)).correlation
    )
    weights = {"TEC01": 0.6, "UTI01": 0.4}
    found = client.post("/api/benchmark", json={"weights": weights, "budget": 1000, **DAYS}).json()
    expected = benchmark(weights, budget=1000, **place(service))
    answer = models.BenchmarkAnswer.model_validate(found)
    assert answer.summary.portfolio.final_value == pytest.approx(expected.summary["portfolio"].final_value)
    asked = {"tickers": ["TEC01", "UTI01", "FIN01", "HEA01", "MAT01", "STA01"], "points": 5}
    found = client.post("/api/frontier", json={**asked, **DAYS}).json()
    line = models.FrontierAnswer.model_validate(found).frontier
    expected = frontier(asked["tickers"], points=5, **place(service)).frontier.frame
    assert line.volatility == pytest.approx(expected["volatility"].to_list())
    assert all(sum(weights.values()) == pytest.approx(1) for weights in found["weights"])


def test_an_optimisation_is_a_job_with_progress_and_then_an_answer_at_once(client, service):
    asked = {"group": "demo", "objective": "min-volatility", "budget": 50_000, "frontier_points": 3, **DAYS}
    found, events, address = result_of(client, asked)
    assert events[0] == "progress"
    assert events[-1] == "done"
    expected = optimize(group="demo", objective="min-volatility", budget=50_000, **place(service))
    assert found["weights"] == pytest.approx(dict(expected.weights), abs=1e-9)
    assert found["volatility"] == pytest.approx(expected.volatility)
    assert found["allocation"]["shares"] == dict(expected.allocation.shares)
    kept = client.get(address).json()
    assert kept["result"] == found
    at_once = client.post("/api/optimize", json=asked)
    assert at_once.status_code == 200
    assert at_once.headers["x-cache"] == "memory"
    assert at_once.json() == found
    assert client.delete(address).json()["state"] == "done"  # what is over stays as it is


def test_equal_jobs_are_computed_once_and_each_is_cancelled_alone(client):
    asked = {"group": "demo", "forecast": "arima", "start": "2015-01-02", "end": "2025-06-30"}
    first, second = (client.post("/api/optimize", json=asked).json()["id"] for _ in range(2))
    assert first != second
    assert client.delete(f"/api/optimize/{first}").json()["state"] == "cancelled"
    assert client.get(f"/api/optimize/{second}").json()["state"] in {"waiting", "running"}
    replaced = client.get("/api/health").json()["workers"]["replaced"]
    assert client.delete(f"/api/optimize/{second}").json()["state"] == "cancelled"

    def workers():
        return client.get("/api/health").json()["workers"]

    until(lambda: workers()["replaced"] > replaced and workers()["busy"] == 0, "a new worker")
    assert workers()["replaced"] == replaced + 1  # the process was ended, not waited for
    assert client.post("/api/optimize", json=asked).status_code == 202  # nothing of it was kept
    under_way = client.post("/api/optimize", json=asked).json()["id"]
    client.delete(f"/api/optimize/{under_way}")


def test_events_of_a_cancelled_job_end(client, service):
    asked = {"group": "demo", "forecast": "theta", "start": "2015-01-02", "end": "2025-06-27"}
    address = client.post("/api/optimize", json=asked).headers["location"]
    seen = []

    def follow():
        with service.client() as other, other.stream("GET", f"{address}/events") as stream:
            seen.extend(line[7:] for line in stream.iter_lines() if line.startswith("event: "))

    thread = threading.Thread(target=follow)
    thread.start()
    until(lambda: seen, "the first event")
    client.delete(address)
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    assert seen[-1] == "cancelled"


def test_an_infeasible_problem_fails_with_a_sentence(client):
    asked = {"tickers": ["TEC01", "TEC02", "TEC03"], "max_weight": 0.1, **DAYS}
    answer = client.post("/api/optimize", json=asked)
    assert answer.status_code == 202

    def job():
        return client.get(answer.headers["location"]).json()

    until(lambda: job()["state"] not in {"waiting", "running"}, "the job's end")
    assert job()["state"] == "failed"
    assert job()["problem"]["status"] == 422
    assert "weight" in job()["problem"]["detail"]


def test_prices_come_as_json_msgpack_and_arrow_and_the_same(client):
    asked = {"tickers": "TEC01,uti01", "start": "2024-01-02", "end": "2024-02-29"}
    plain = client.get("/api/prices", params=asked)
    found = models.PricesAnswer.model_validate_json(plain.content)
    assert set(found.bars) == {"TEC01", "UTI01"}
    packed = client.get("/api/prices", params=asked, headers={"Accept": "application/msgpack"})
    assert msgpack.unpackb(packed.content) == plain.json()
    stream = client.get("/api/prices", params=asked, headers={"Accept": ARROW})
    table = pa.ipc.open_stream(io.BytesIO(stream.content)).read_all()
    closes = table.filter(pa.compute.equal(table["ticker"], "UTI01"))["close"].to_pylist()
    assert closes == found.bars["UTI01"].close
    months = client.get("/api/prices", params={**asked, "every": "month"}).json()["bars"]["TEC01"]
    assert months["date"] == ["2024-01-31", "2024-02-29"]


def test_prices_of_unknown_tickers_are_told_beside_the_others(client):
    found = client.get("/api/prices", params={"tickers": "TEC01,NOPE", **DAYS})
    assert "NOPE" in found.json()["failures"]
    assert client.get("/api/prices", params={"tickers": "NOPE", **DAYS}).status_code == 404


def test_etag_gives_304_and_compression_is_negotiated(client):
    whole = client.get("/api/analyze/FIN01", params=DAYS, headers={"Accept-Encoding": "identity"})
    tag = whole.headers["etag"]
    assert client.get("/api/analyze/FIN01", params=DAYS, headers={"If-None-Match": tag}).status_code == 304
    assert client.get("/api/analyze/FIN02", params=DAYS, headers={"If-None-Match": tag}).status_code == 200
    for encoding in ("gzip", "zstd"):
        headers = {"Accept-Encoding": encoding}
        with client.stream("GET", "/api/analyze/FIN01", params=DAYS, headers=headers) as answer:
            raw = b"".join(answer.iter_raw())
        assert answer.headers["content-encoding"] == encoding
        assert len(raw) < len(whole.content) / 2
        unpacked = (
            gzip.decompress(raw)
            if encoding == "gzip"
            else pa.decompress(raw, len(whole.content), codec="zstd", asbytes=True)
        )
        assert unpacked == whole.content


def test_portfolios_are_saved_listed_loaded_replaced_and_deleted(client):
    content = {"weights": {"TEC01": 0.5, "UTI01": 0.25}, "sharpe": 1.5, "metadata": {"group": "demo"}}
    assert client.put("/api/portfolios/mine", json=content).status_code == 201
    assert client.put("/api/portfolios/mine", json={**content, "sharpe": 2.0}).status_code == 200
    refused = client.put("/api/portfolios/mine", json=content, headers={"If-None-Match": "*"})
    assert refused.status_code == 412
    loaded = client.get("/api/portfolios/mine").json()
    assert loaded["sharpe"] == 2.0
    assert loaded["metadata"] == {"group": "demo"}
    assert client.get("/api/portfolios").json()["portfolios"][0] == loaded
    assert client.delete("/api/portfolios/mine").status_code == 204
    assert client.get("/api/portfolios/mine").status_code == 404
    assert client.delete("/api/portfolios/mine").status_code == 404


def test_a_screen_finds_what_lies_within_bounds(client):
    client.get("/api/prices", params={"group": "demo", "start": "2024-01-02"})
    bounds = [{"figure": "return_1y", "at_least": 0.0}, {"figure": "volatility_1y", "at_most": 0.5}]
    asked = {"conditions": bounds, "group": "demo", "sort": "return_1y", "limit": 3}
    found = models.TableAnswer.model_validate(client.post("/api/screen", json=asked).json())
    assert found.rows == len(found.columns["ticker"]) == min(3, found.matched)
    assert found.columns["return_1y"] == sorted(found.columns["return_1y"], reverse=True)
    assert all(value >= 0 for value in found.columns["return_1y"])
    every = client.post("/api/screen", json={"limit": 5000}).json()
    assert every["matched"] == every["of"] >= found.matched
    unknown = client.post("/api/screen", json={"conditions": [{"figure": "per"}]})
    assert unknown.status_code == 404
    assert "return_1y" in unknown.json()["detail"]


def test_groups_cache_health_metrics_and_documentation(client, service):
    groups = {each["name"]: each for each in client.get("/api/groups").json()["groups"]}
    assert "TEC01" in groups["demo"]["tickers"]
    client.get("/api/analyze/TEC02", params=DAYS)
    client.get("/api/analyze/TEC02", params=DAYS)
    cache = models.CacheAnswer.model_validate(client.get("/api/cache").json())
    assert cache.level == "disk"
    assert cache.counts["memory"].hits > 0
    assert cache.history.provider == "demo"
    assert cache.history.tickers > 0
    assert client.get("/api/health").json()["status"] == "ok"
    text = client.get("/metrics").text
    assert 'finpipe_requests_total{method="GET",route="/api/analyze/{ticker}",status="200"}' in text
    assert 'finpipe_request_seconds_bucket{route="/api/analyze/{ticker}",le="+Inf"}' in text
    page = client.get("/api/docs")
    assert "/api/optimize/{job_id}/events" in page.text
    assert "<script" not in page.text
    logged = [event for event in service.events() if event["event"] == "request"]
    assert {"method", "route", "status", "ms"} <= logged[-1].keys()
    assert not any("127.0.0.1" in json.dumps(event) for event in logged)


def test_a_home_without_the_korean_line_says_so(client):
    for address in ("/api/picks", "/api/research/report"):
        answer = client.get(address)
        assert answer.status_code == 404
        assert "finpipe run" in answer.json()["detail"]
    assert client.get("/api/research/reports").json() == {"reports": []}
    assert client.post("/api/screen", json={"market": "krx"}).status_code == 404


def test_health_is_quick_while_workers_compute(client):
    asked = {"group": "demo", "forecast": "ets", "start": "2015-01-02", "end": "2025-05-30"}
    address = client.post("/api/optimize", json=asked).headers["location"]
    assert client.get("/api/health").json()["status"] == "ok"
    assert client.get("/api/analyze/TEC01", params=DAYS).status_code == 200  # one worker is kept free
    assert client.get(address).json()["state"] in {"waiting", "running"}
    client.delete(address)
