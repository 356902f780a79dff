"""The report of a portfolio as a browser reads it: whole, self-contained, and true to the portfolio."""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from finpipe.market.daily_bars import BarRequest
from finpipe.market.demo_bars import DEMO_INDEX, DemoBars, demo_group
from finpipe.portfolio.hierarchical import leaf_order
from finpipe.portfolio.moments import estimate_moments
from finpipe.portfolio.optimization import optimize_moments
from finpipe.portfolio.report import render, write_report
from finpipe.portfolio.requests import OptimizeRequest
from finpipe.portfolio.results import Moments, OptimizedPortfolio
from finpipe_tests.page.browsed import Page

START, END = dt.date(2022, 1, 3), dt.date(2024, 12, 31)
HOSTILE = "{0}%{y}</script><script>alert('x')</script><img src=x onerror=alert(1)>\"&"
BUDGET = 100_000.0


@pytest.fixture(scope="module")
def bars() -> pl.DataFrame:
    asked = (*demo_group().tickers, DEMO_INDEX)
    return DemoBars().fetch(BarRequest(asked, START, END)).bars


@pytest.fixture(scope="module")
def moments(bars: pl.DataFrame) -> Moments:
    group = demo_group()
    own = bars.filter(pl.col("ticker") != DEMO_INDEX)
    return estimate_moments(own, request(), tickers=group.tickers, sectors=group.sectors)


@pytest.fixture(scope="module")
def index(bars: pl.DataFrame) -> pl.DataFrame:
    return bars.filter(pl.col("ticker") == DEMO_INDEX).select("date", close="adjusted_close")


@pytest.fixture(scope="module")
def portfolio(moments: Moments, index: pl.DataFrame) -> OptimizedPortfolio:
    asked = request(budget=BUDGET, benchmark=DEMO_INDEX, frontier_points=20)
    return optimize_moments(moments, asked, benchmark=index)


@pytest.fixture(scope="module")
def page(portfolio: OptimizedPortfolio) -> Page:
    return Page(render(portfolio))


def request(**values: Any) -> OptimizeRequest:
    return OptimizeRequest(**{"group": "demo", "start": START, "end": END, "risk_free": 0.02} | values)


def figures(page: Page) -> dict[str, float]:
    return {row["figure"]: row["value"] for row in page.json("figures")}


def numbers(page: Page) -> set[float]:
    return {float(each["value"]) for each in page.all("data") if each["value"]}


def test_is_balanced_html_with_unique_ids(page: Page) -> None:
    assert page.source.startswith("<!doctype html>")
    assert page.unbalanced == []
    ids = Counter(attributes["id"] for _, attributes in page.elements if "id" in attributes)
    assert max(ids.values()) == 1
    assert {
        "allocation", "frontier", "risk", "backtest", "forecasts", "exclusions", "setup", "definitions"
    } <= set(ids)  # fmt: skip


def test_asks_the_network_for_nothing_and_stays_below_six_megabytes(page: Page) -> None:
    ids = {attributes.get("id") for _, attributes in page.elements}
    for tag, attributes in page.elements:
        assert tag not in {"link", "iframe", "object", "embed", "base", "img"}
        assert not {"src", "srcset", "data", "poster"} & set(attributes)
        if "href" in attributes:
            assert str(attributes["href"])[:1] == "#"
            assert str(attributes["href"])[1:] in ids
    style = page.source[page.source.index("<style>") : page.source.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    policy = [a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    assert "default-src 'none'" in str(policy[0])
    assert len(page.source.encode()) < 6_000_000


def test_carries_the_portfolio_and_its_numbers(page: Page, portfolio: OptimizedPortfolio) -> None:
    assert page.json("portfolio") == json.loads(json.dumps(portfolio.to_json()))
    shown, found = numbers(page), figures(page)
    assert set(portfolio.weights.values()) <= shown
    assert {portfolio.expected_return, portfolio.volatility, portfolio.sharpe} <= shown
    assert found["holdings"] == len(portfolio.weights)
    assert found["excluded"] == len(portfolio.excluded) > 0
    assert found["effective_holdings"] == pytest.approx(1 / sum(w**2 for w in portfolio.weights.values()))
    for ticker, reason in portfolio.excluded.items():
        assert ticker in page.text
        assert reason in page.text


def test_every_eligible_ticker_has_its_forecast(page: Page, portfolio: OptimizedPortfolio) -> None:
    expected = portfolio.moments.expected
    assert {float(value) for value in expected.values} <= numbers(page)
    headings = Counter(text for tag, text in page.texts if tag == "th")
    assert all(headings[ticker] >= 1 for ticker in expected.tickers)


def test_a_forecast_by_another_method_says_why(portfolio: OptimizedPortfolio) -> None:
    ticker = portfolio.moments.tickers[-1]
    fallen = dataclasses.replace(
        portfolio.moments.expected, fallbacks={ticker: "arima failed; ets was used."}
    )
    moments = dataclasses.replace(portfolio.moments, expected=fallen)
    page = Page(render(dataclasses.replace(portfolio, moments=moments)))
    assert "arima failed; ets was used." in page.text
    assert figures(page)["forecast_fallbacks"] == 1
    assert "1 of " in page.text


def test_shares_add_up_to_what_is_spent(page: Page, portfolio: OptimizedPortfolio) -> None:
    found = figures(page)
    assert portfolio.allocation is not None
    worth = [
        count * portfolio.moments.prices[ticker] for ticker, count in portfolio.allocation.shares.items()
    ]
    assert found["spent"] + found["left"] == pytest.approx(BUDGET)
    assert found["spent"] == pytest.approx(sum(worth))
    assert set(worth) <= numbers(page)


def test_draws_frontier_portfolio_tangency_and_every_ticker(
    page: Page, portfolio: OptimizedPortfolio
) -> None:
    traces = {trace["name"]: trace for trace in page.json("charts")["frontier-map"]["data"]}
    assert portfolio.frontier is not None
    line = portfolio.frontier.frame
    assert traces["Efficient frontier"]["y"] == pytest.approx(line["expected_return"].to_list(), rel=1e-5)
    assert traces["This portfolio"]["x"] == [portfolio.volatility]
    assert len(traces["Held"]["x"]) == len(portfolio.weights)
    assert len(traces["Held"]["x"]) + len(traces["Not held"]["x"]) == len(portfolio.moments.tickers)
    free, top = traces["Tangency line"]["y"]
    slope = (top - free) / traces["Tangency line"]["x"][1]
    assert free == pytest.approx(portfolio.request.risk_free)
    assert slope == pytest.approx(portfolio.sharpe, rel=1e-4)


def test_shares_of_risk_are_drawn_and_add_up(page: Page, portfolio: OptimizedPortfolio) -> None:
    traces = {trace["name"]: trace for trace in page.json("charts")["risk-bars"]["data"]}
    risks = dict(zip(traces["Share of risk"]["y"], traces["Share of risk"]["x"], strict=True))
    assert sum(risks.values()) == pytest.approx(1, abs=1e-4)
    for ticker, part in portfolio.risk_contributions.items():
        assert risks[ticker] == pytest.approx(part / portfolio.volatility, abs=1e-6)


def test_the_heat_map_has_the_correlations_of_the_holdings(page: Page, portfolio: OptimizedPortfolio) -> None:
    (drawn,) = page.json("charts")["correlation-map"]["data"]
    assert sorted(drawn["x"]) == sorted(portfolio.weights)
    assert drawn["x"] == drawn["y"]
    covariance = portfolio.moments.covariance
    place = {ticker: at for at, ticker in enumerate(covariance.tickers)}
    held = list(portfolio.weights)
    at = [place[ticker] for ticker in held]
    assert drawn["x"] == [held[leaf] for leaf in leaf_order(covariance.matrix[np.ix_(at, at)])]
    first, last = drawn["y"][0], drawn["x"][-1]
    assert drawn["z"][0][-1] == pytest.approx(covariance.correlation[place[first], place[last]], abs=1e-3)
    assert all(row[at] == 1 for at, row in enumerate(drawn["z"]))


def test_plotly_accepts_every_chart(page: Page) -> None:
    from plotly import graph_objects

    names = set()
    for name, chart in page.json("charts").items():
        painted = json.loads(re.sub(r"var\(--font\)", "Arial", json.dumps(chart)))
        painted = json.loads(re.sub(r"var\(--[\w-]+\)", "#123456", json.dumps(painted)))
        assert len(graph_objects.Figure(data=painted["data"], layout=painted["layout"]).data) >= 1
        names.add(name)
    assert names == {str(a["id"]).removeprefix("plot-") for a in page.all("div") if a.get("class") == "plot"}
    assert len(names) == 5


def test_every_figure_has_its_definition_on_hover_and_in_print(page: Page) -> None:
    titles = {attributes.get("title") for attributes in page.all("abbr")}
    cells = {data for tag, data in page.texts if tag == "td"}
    rows = page.json("figures")
    assert len(rows) > 25
    for row in rows:
        assert row["definition"] in titles
        assert row["definition"] in cells


def test_can_be_read_without_eyes_and_without_a_mouse(page: Page) -> None:
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in itertools.pairwise(levels))
    plots = [a for a in page.all("div") if a.get("class") == "plot"]
    assert all(a["role"] == "img" and len(str(a["aria-label"])) > 30 for a in plots)
    assert all("aria-label" in a for a in page.all("table") if a.get("class") != "stack")
    regions = [a for a in page.all("div") if a.get("class") == "scroll"]
    assert regions
    assert all(a["tabindex"] == "0" and a["aria-label"] for a in regions)
    assert all("scope" in a for a in page.all("th"))
    assert len(page.all("details")) == len(page.all("summary")) > 0


def test_without_benchmark_frontier_and_budget_the_page_makes_do(moments: Moments) -> None:
    plain = optimize_moments(moments, request(objective="hrp"))
    page = Page(render(plain))
    assert "Equal weights" in page.text
    assert "Efficient frontier" in {t["name"] for t in page.json("charts")["frontier-map"]["data"]}
    assert "spent" not in figures(page)
    assert "Drawn are the 25 largest" in page.text
    assert set(plain.weights.values()) <= numbers(page)


def test_short_positions_are_told(moments: Moments) -> None:
    page = Page(render(optimize_moments(moments, request(objective="min-volatility", min_weight=-0.1))))
    assert figures(page)["short_weight"] < 0
    assert page.unbalanced == []


def test_foreign_text_is_escaped(portfolio: OptimizedPortfolio) -> None:
    moments = dataclasses.replace(
        portfolio.moments,
        sectors=dict.fromkeys(portfolio.moments.tickers, HOSTILE),
        excluded={"EVIL": HOSTILE},
    )
    page = Page(render(dataclasses.replace(portfolio, moments=moments, notices=(HOSTILE,) * 6)))
    assert page.unbalanced == []
    assert page.all("img") == []
    assert len(page.all("script")) == 5
    assert not any(key.startswith("on") for _, attributes in page.elements for key in attributes)


def test_all_notices_are_there(portfolio: OptimizedPortfolio) -> None:
    told = tuple(f"this is notice {number}" for number in range(9))
    page = Page(render(dataclasses.replace(portfolio, notices=told)))
    assert all(f"This is notice {number}." in page.text for number in range(9))


def test_same_portfolio_gives_the_same_bytes(portfolio: OptimizedPortfolio, page: Page) -> None:
    assert render(portfolio) == page.source


def test_is_written_whole_or_not_at_all(
    portfolio: OptimizedPortfolio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_report(portfolio, tmp_path / "new" / "report.html")
    assert path.read_text("utf-8").endswith("</html>\n")
    path.write_text("old")

    def no_room(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", no_room)
    with pytest.raises(OSError, match="No space"):
        write_report(portfolio, path)
    assert path.read_text() == "old"
    assert [each.name for each in path.parent.iterdir()] == ["report.html"]
