"""What the Korean line made, as the service gives it: picks, reports and the screen of Korean stocks."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import polars as pl
import pyarrow as pa
import pytest

from finpipe_tests.demo_home import VARIANT, DemoHome
from finpipe_tests.serve.process import ServiceProcess


@pytest.fixture(scope="module")
def made(demo_home: DemoHome, tmp_path_factory: pytest.TempPathFactory) -> DemoHome:
    """A home in which the Korean line has been made; the service writes its caches there."""
    return demo_home.copy(tmp_path_factory.mktemp("made") / "home")


@pytest.fixture(scope="module")
def korean(made: DemoHome) -> Iterator[httpx.Client]:
    """A client of a service on that home."""
    running = ServiceProcess(made.home, serve_warm=False, serve_rate=5000)
    try:
        with running.start().client() as client:
            yield client
    finally:
        running.stop()


def test_picks_are_those_of_the_result_tables(korean: httpx.Client, made: DemoHome) -> None:
    from finpipe.orchestration.result_tables import ResultTables

    expected = ResultTables(made.settings().duckdb_path).read("krx/picks", VARIANT)
    answer = korean.get("/api/picks", params={"variant": VARIANT})
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["variant"] == VARIANT
    assert VARIANT in found["variants"]
    assert found["rows"] == expected.height > 0
    assert found["as_of"] == expected["date"].max().isoformat()  # type: ignore[union-attr]
    assert list(found["columns"]) == expected.columns
    assert found["columns"]["stock_code"] == expected["stock_code"].to_list()
    latest = korean.get("/api/picks").json()
    assert latest["variant"] == latest["variants"][0]
    stream = korean.get(
        "/api/picks", params={"variant": VARIANT}, headers={"Accept": "application/vnd.apache.arrow.stream"}
    )
    assert pa.ipc.open_stream(stream.content).read_all().num_rows == expected.height
    none = korean.get("/api/picks", params={"variant": "nothing-h21"})
    assert none.status_code == 404
    assert VARIANT in none.json()["detail"]


def test_reports_are_listed_and_come_as_pages_that_run_apart(korean: httpx.Client) -> None:
    listed = korean.get("/api/research/reports").json()["reports"]
    assert VARIANT in [entry["variant"] for entry in listed]
    for entry in listed:
        page = korean.get(entry["href"])
        assert page.status_code == 200
        assert page.headers["content-type"].startswith("text/html")
        assert len(page.content) == entry["bytes"]
        assert "sandbox" in page.headers["content-security-policy"]
    again = korean.get(
        listed[0]["href"], headers={"If-None-Match": korean.get(listed[0]["href"]).headers["etag"]}
    )
    assert again.status_code == 304


def test_korean_stocks_are_screened_by_their_latest_features(korean: httpx.Client, made: DemoHome) -> None:
    features = pl.read_parquet(f"{made.settings().store_url}/krx/financial_features.parquet")
    latest = features.filter(pl.col("date") == features["date"].max())
    everything = korean.post("/api/screen", json={"market": "krx", "limit": 1000})
    assert everything.status_code == 200, everything.text
    table = everything.json()
    assert table["of"] == table["matched"] == latest.height
    assert table["as_of"] == latest["date"][0].isoformat()
    figure = next(name for name in table["figures"] if latest[name].drop_nulls().drop_nans().n_unique() > 2)
    middle = latest[figure].median()
    asked = {
        "market": "krx",
        "conditions": [{"figure": figure, "at_least": middle}],
        "sort": figure,
        "descending": True,
        "limit": 1000,
    }
    found = korean.post("/api/screen", json=asked).json()
    values = found["columns"][figure]
    assert 0 < found["matched"] < found["of"]
    assert values == sorted(values, reverse=True)
    assert values[-1] >= middle
    unknown = korean.post("/api/screen", json={"market": "krx", "sort": "no_such_figure"})
    assert unknown.status_code == 404
