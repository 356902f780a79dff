"""What nobody should send gets a problem of the 4xx kind, and the service goes on."""

from __future__ import annotations

import json

import pytest

PROBLEM = "application/problem+json"
JSON = {"Content-Type": "application/json"}


def refused(answer, status):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == PROBLEM
    found = answer.json()
    assert found["status"] == status
    assert found["title"]
    return found


@pytest.mark.parametrize(
    "ticker",
    [
        "..%2F..%2Fetc%2Fpasswd",
        "..%5C..%5Cwindows",
        "%00",
        "a%00b",
        "/etc/passwd",
        "~root",
        "A" * 33,
        "%F0%9F%92%A9",
        "%FF",
    ],
)
def test_tickers_that_are_paths_or_nonsense(client, ticker):
    answer = client.get(f"/api/analyze/{ticker}")
    assert answer.status_code in {404, 422}
    assert answer.headers["content-type"] == PROBLEM


@pytest.mark.parametrize("group", ["../../etc/passwd.txt", "/etc/hosts.csv", "nope", ""])
def test_groups_are_names_and_never_files(client, group):
    assert "no group" in refused(client.post("/api/optimize", json={"group": group}), 422)["detail"]
    refused(client.get("/api/prices", params={"group": group}), 422)


@pytest.mark.parametrize("name", ["..", "a.b", "a b", "%2e%2e%2fx", "x" * 65])
def test_ids_of_portfolios_are_no_paths(client, name):
    before = client.get("/api/portfolios").json()
    answer = client.put(f"/api/portfolios/{name}", json={"weights": {"TEC01": 1}})
    assert answer.status_code in {404, 405, 422}
    assert client.get("/api/portfolios").json() == before


def test_ten_megabytes_are_too_large(client):
    refused(client.post("/api/optimize", content=b"x" * 10_000_000, headers=JSON), 413)
    chunks = (b"x" * 100_000 for _ in range(100))
    refused(client.post("/api/optimize", content=chunks, headers=JSON), 413)


def test_ten_thousand_tickers_are_too_many(client):
    tickers = [f"A{number}" for number in range(10_000)]
    assert "10000 tickers" in refused(client.post("/api/optimize", json={"tickers": tickers}), 422)["detail"]
    weights = dict.fromkeys(tickers, 0.0001)
    refused(client.post("/api/benchmark", json={"weights": weights}), 422)
    refused(client.put("/api/portfolios/many", json={"weights": weights}), 422)
    refused(client.get(f"/api/prices?tickers={','.join(tickers)}"), 422)
    refused(client.get(f"/api/prices?tickers={','.join(tickers[:5000])}"), 422)


@pytest.mark.parametrize(
    "body",
    [
        b'{"group": "demo", "risk_free": NaN}',
        b'{"group": "demo", "risk_free": Infinity}',
        b'{"group": "demo", "risk_free": -Infinity}',
        b'{"group": "demo", "risk_free": 1e999}',
        b'{"group": "demo", "sector_limits": {"Energy": 1e999}}',
        b'{"group": "\\ud800"}',
        b'{"group": "demo"',
        b"\xff\xfe\x00",
        b"[" * 50_000,
        b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
        b'{"group": ' + b"9" * 10_000 + b"}",
    ],
)
def test_what_is_no_plain_json(client, body):
    refused(client.post("/api/optimize", content=body, headers=JSON), 400)


@pytest.mark.parametrize(
    "body",
    [
        [],
        "text",
        5,
        None,
        {"tickers": 5},
        {"tickers": [None]},
        {"tickers": [["A"]]},
        {"group": "demo", "tickers": ["A"]},
        {},
        {"tickers": []},
        {"group": "demo", "unknown": 1},
        {"tickers": ["TEC01", "tec01"]},
        {"group": "demo", "start": "2030-01-01"},
        {"group": "demo", "end": "0001-01-01"},
        {"group": "demo", "start": "2024-01-02", "end": "2023-01-02"},
        {"group": "demo", "objective": "target-return"},
        {"group": "demo", "current_weights": {"TEC01": "x"}},
        {"group": "demo", "sector_limits": {"Energy": [0.5, 0.1]}},
    ],
)
def test_questions_that_make_no_sense(client, body):
    assert refused(client.post("/api/optimize", json=body), 422)["detail"]


@pytest.mark.parametrize("media", ["text/plain", "application/x-www-form-urlencoded", "application/xml", ""])
def test_wrong_content_types(client, media):
    refused(client.post("/api/optimize", content=b'{"group": "demo"}', headers={"Content-Type": media}), 415)
    packed = {**JSON, "Content-Encoding": "gzip"}
    refused(client.post("/api/optimize", content=b'{"group": "demo"}', headers=packed), 415)


def test_addresses_methods_hosts_and_forms_that_there_are_not(client):
    refused(client.get("/nope"), 404)
    assert refused(client.delete("/api/health"), 405)["detail"].startswith("DELETE")
    assert "GET" in client.delete("/api/health").headers["allow"]
    refused(client.get("/api/health", headers={"Host": "evil.example"}), 421)
    refused(client.get("/api/health", headers={"Accept": "image/png"}), 406)
    refused(client.get("/api/optimize/" + "0" * 32), 404)
    refused(client.get("/api/optimize/../../etc/passwd"), 404)
    refused(client.get("/api/research/report", params={"variant": "../../x"}), 422)
    refused(client.get("/api/cache", params={"window": "NaN"}), 422)
    refused(client.get("/api/analyze/TEC01", params={"risk_free": "Infinity"}), 422)
    refused(client.get("/api/analyze/TEC01", params={"nope": "1"}), 422)


def test_other_sites_may_not_read(client):
    answer = client.get("/api/health", headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in answer.headers
    preflight = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    assert client.options("/api/optimize", headers=preflight).status_code == 405


def test_deep_metadata_is_refused_and_shallow_is_kept(client):
    deep = json.loads('{"a":' * 30 + "1" + "}" * 30)
    refused(client.put("/api/portfolios/deep", json={"weights": {"A": 1}, "metadata": deep}), 400)


def test_it_goes_on_and_nothing_failed(client, service):
    assert client.get("/api/health").json()["status"] == "ok"
    assert not [event for event in service.events() if event["level"] == "error"]
