from __future__ import annotations

import dataclasses
import doctest
import itertools
import json
import re
from collections import Counter
from typing import Any

import polars as pl
import pytest

from finpipe.backtest.performance import Performance
from finpipe.backtest.report import render_report
from finpipe_tests.backtest import report_sample as sample
from finpipe_tests.page.browsed import Page

HOSTILE = "{0}%{y}</script><script>alert('x')</script><img src=x onerror=alert(1)>\"&"


def render(performance: Performance, **changes: Any) -> Page:
    given: dict[str, Any] = {
        "title": "Top 20, monthly",
        "study": sample.STUDY,
        "data": sample.DATA,
        "notes": ["Synthetic demo market."],
        "picks": sample.picks(),
        "benchmark_name": "KOSPI 200",
    }
    return Page(render_report(performance, **given | changes))


@pytest.fixture(scope="module")
def performance() -> Performance:
    return sample.performance()


@pytest.fixture(scope="module")
def page(performance: Performance) -> Page:
    return render(performance)


def test_is_balanced_html_with_unique_ids(page: Page) -> None:
    assert page.source.startswith("<!doctype html>")
    assert page.unbalanced == []
    ids = Counter(attributes["id"] for _, attributes in page.elements if "id" in attributes)
    assert max(ids.values()) == 1
    assert {"figures", "charts", "growth", "definitions"} <= set(ids)


def test_loads_nothing(page: Page) -> None:
    ids = {attributes.get("id") for _, attributes in page.elements}
    for tag, attributes in page.elements:
        assert tag not in {"link", "iframe", "object", "embed", "base"}
        assert "src" not in attributes
        assert "srcset" not in attributes
        if "href" in attributes:
            assert str(attributes["href"]).startswith("#")
            assert str(attributes["href"])[1:] in ids
    style = page.source[page.source.index("<style>") : page.source.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    policy = [a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    assert "default-src 'none'" in str(policy[0])


def test_json_block_holds_the_figures_exactly(page: Page, performance: Performance) -> None:
    rows = page.json("figures")
    assert rows == performance.figures.to_dicts()
    assert list(rows[0]) == ["section", "figure", "period", "value", "unit", "definition"]


def test_tiles_show_the_numbers_of_the_figures(page: Page, performance: Performance) -> None:
    tiles = re.findall(r'<div class="tile" data-figure="(\w+)">.*?<data value="([^"]*)">', page.source)
    assert {name for name, _ in tiles} == {
        "annual_return", "sharpe", "max_drawdown", "deflated_sharpe", "mean_rank_ic", "annual_turnover", "cost_drag",
    }  # fmt: skip
    for name, value in tiles:
        assert float(value) == performance.figure(name)
    annual_return = performance.figure("annual_return")
    assert f"{annual_return:.1%}".replace("-", "−") in page.text
    assert "4 of 6" in page.text


def test_tables_carry_the_values_of_their_frames(page: Page, performance: Performance) -> None:
    shown = {float(a["value"]) for a in page.all("data") if a["value"]}
    frames = performance.frames()
    for frame, column in [
        ("annual", "portfolio_return"),
        ("annual", "sharpe"),
        ("annual", "mean_rank_ic"),
        ("monthly", "portfolio_return"),
        ("drawdowns", "depth"),
        ("sectors", "contribution"),
        ("safety", "value"),
    ]:
        assert set(frames[frame][column].drop_nulls()) <= shown, (frame, column)


def test_charts_draw_the_frames(page: Page, performance: Performance) -> None:
    charts = page.json("charts")
    growth = {trace["name"]: trace for trace in charts["growth"]["data"]}
    assert growth["Portfolio"]["y"] == pytest.approx(performance.daily["equity"].to_list(), rel=1e-5)
    assert growth["KOSPI 200"]["y"] == pytest.approx(
        performance.daily["benchmark_equity"].to_list(), rel=1e-5
    )
    rank_ic = charts["information"]["data"]
    assert rank_ic[2]["y"][-1] == pytest.approx(performance.ic["rank_ic"].sum(), rel=1e-5)
    turnover = charts["trading"]["data"][0]
    assert sum(turnover["y"]) == pytest.approx(performance.daily["turnover"].sum(), rel=1e-5)
    months = charts["capture"]["data"][1]
    assert months["y"] == pytest.approx(performance.monthly["portfolio_return"].to_list(), rel=1e-5)


def test_plotly_accepts_every_chart(page: Page) -> None:
    from plotly import graph_objects

    names = set()
    for name, chart in page.json("charts").items():
        painted = json.loads(re.sub(r"var\(--font\)", "Arial", json.dumps(chart)))
        painted = json.loads(re.sub(r"var\(--[\w-]+\)", "#123456", json.dumps(painted)))
        figure = graph_objects.Figure(data=painted["data"], layout=painted["layout"])
        assert len(figure.data) >= 1
        names.add(name)
    places = {str(a["id"]).removeprefix("plot-") for a in page.all("div") if a.get("class") == "plot"}
    assert names == places


def test_every_colour_of_a_chart_is_defined_in_both_modes(page: Page) -> None:
    used = set(re.findall(r"var\((--[\w-]+)\)", page.scripts["charts"])) - {"--font"}
    style = page.source[page.source.index("<style>") : page.source.index("</style>")]
    light, dark = style.split("@media screen and (prefers-color-scheme:dark)")
    for name in used:
        assert f"{name}:#" in light
        assert f"{name}:#" in dark.split("}}")[0]


def test_has_dark_mode_print_style_and_narrow_screens(page: Page) -> None:
    assert "(prefers-color-scheme:dark)" in page.source
    assert "@media print" in page.source
    assert "@media (max-width:560px)" in page.source
    assert {"viewport", "color-scheme"} <= {a.get("name") for a in page.all("meta")}


def test_every_figure_has_its_definition_on_hover_and_in_print(page: Page, performance: Performance) -> None:
    titles = {a.get("title") for a in page.all("abbr")}
    cells = {data for tag, data in page.texts if tag == "td"}
    whole = performance.figures.filter(pl.col("period") == "all")
    assert whole.height > 20
    for definition in whole["definition"]:
        assert definition in titles
        assert definition in cells


def test_headings_are_in_order_and_charts_have_words(page: Page) -> None:
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(later <= earlier + 1 for earlier, later in itertools.pairwise(levels))
    plots = [a for a in page.all("div") if a.get("class") == "plot"]
    assert len(plots) == 10
    assert all(a["role"] == "img" and len(str(a["aria-label"])) > 30 for a in plots)
    assert all("aria-labelledby" in a for a in page.all("section"))


def test_foreign_text_is_escaped_everywhere() -> None:
    plain = sample.performance(2023, 2024)
    frames = plain.frames()
    hostile = dataclasses.replace(
        plain,
        sectors=frames["sectors"].with_columns(pl.lit(HOSTILE).alias("sector")),
        importance=frames["importance"].with_columns((pl.lit(HOSTILE) + pl.col("feature")).alias("feature")),
        safety=frames["safety"].with_columns(pl.lit(HOSTILE).alias("why")),
        figures=frames["figures"].with_columns(pl.lit(HOSTILE).alias("definition")),
    )
    page = render(
        hostile,
        title=HOSTILE,
        notes=[HOSTILE],
        study={HOSTILE: HOSTILE, "preset": HOSTILE, "rules": {HOSTILE: (HOSTILE, HOSTILE)}},
        data={HOSTILE: HOSTILE},
        benchmark_name=HOSTILE,
        picks=sample.picks().with_columns(pl.lit(HOSTILE).alias("name"), pl.lit(HOSTILE).alias("list")),
    )
    assert page.unbalanced == []
    assert page.all("img") == []
    assert len(page.all("script")) == 4
    assert not any(key.startswith("on") for _, attributes in page.elements for key in attributes)
    assert page.json("figures")[0]["definition"] == HOSTILE
    assert page.text.count("alert('x')") >= 10
    legend = page.json("charts")["growth"]["data"][1]["name"]
    assert "<" not in legend


@pytest.mark.parametrize(
    "poor",
    [
        sample.performance(2024, 2024, benchmark=False),
        dataclasses.replace(
            sample.performance(2023, 2024),
            importance=Performance.TABLES["importance"].empty(),
            sectors=Performance.TABLES["sectors"].empty(),
            drawdowns=Performance.TABLES["drawdowns"].empty(),
            safety=Performance.TABLES["safety"].empty(),
        ),
        sample.three_days(),
    ],
    ids=["one year without a benchmark", "empty tables", "three days"],
)
def test_what_is_not_known_is_a_dash_or_left_out(poor: Performance) -> None:
    page = render(poor, picks=None, notes=[])
    assert page.unbalanced == []
    assert not re.search(r"\b(nan|None|inf|NaN)\b", page.text)
    assert "KOSPI 200" not in page.text or poor.daily["benchmark_return"].is_not_null().any()
    assert page.json("charts")["growth"]["data"]


def test_nan_and_infinity_become_dashes_and_null() -> None:
    plain = sample.performance(2024, 2024)
    broken = dataclasses.replace(
        plain,
        figures=plain.figures.with_columns(pl.lit(float("nan")).alias("value")),
        annual=plain.annual.with_columns(pl.lit(float("inf")).alias("sharpe")),
        rolling=plain.rolling.with_columns(pl.lit(float("nan")).alias("sharpe_252d")),
        monthly=plain.monthly.with_columns(pl.lit(float("nan")).alias("portfolio_return")),
        ic=plain.ic.with_columns(pl.lit(float("nan")).alias("rank_ic")),
        sectors=plain.sectors.with_columns(pl.lit(float("nan")).alias("contribution")),
    )
    page = render(broken)
    assert not re.search(r"\b(nan|inf|NaN|Infinity)\b", page.text)
    assert all(row["value"] is None for row in page.json("figures"))
    assert page.text.count("–") > 20


def test_twelve_years_fit_into_two_megabytes_beside_plotly() -> None:
    from plotly.offline import get_plotlyjs

    source = render_report(
        sample.performance(2013, 2024), title="Twelve years", study=sample.STUDY, data=sample.DATA
    )
    assert source.count("plotly.js v") == 1
    assert len(source.encode()) - len(get_plotlyjs().encode()) < 2_000_000


def test_same_input_gives_the_same_bytes(performance: Performance, page: Page) -> None:
    assert render(performance).source == page.source


def test_each_list_of_picks_is_a_table_without_its_empty_columns(page: Page) -> None:
    headings = [data for tag, data in page.texts if tag == "h3"]
    assert {"Buy", "Avoid"} <= set(headings)
    assert "Fallen angels" not in headings
    buy = page.source.split('<table aria-label="Buy">')[1].split("</table>")[0]
    avoid = page.source.split('<table aria-label="Avoid">')[1].split("</table>")[0]
    assert ">Weight<" in buy
    assert ">Weight<" not in avoid
    assert "삼성전자" in buy
    assert "468.6 tn" in buy
    assert "As of the close of 30 Dec 2024" in page.text


def test_a_day_on_which_nothing_is_bought_says_so(page: Page) -> None:
    cash = sample.picks().filter(pl.col("list") != "buy")
    found = render(sample.performance(2024, 2024), picks=cash)
    assert "all money stays in cash on this day" in found.text
    assert "Buy" in [data for tag, data in found.texts if tag == "h3"]
    assert "all money stays in cash on this day" not in page.text


def test_importance_shows_shap_and_stability_where_they_are_known(page: Page) -> None:
    def headings(shown: Page) -> list[str]:
        section = shown.source.split('<section id="importance"')[1].split("</section>")[0]
        return re.findall(r"<th[^>]*>(?:<abbr[^>]*>)?([^<]*)", section)

    assert "SHAP" in headings(page)
    assert "correlates 0.80 from one test year to the next" in page.text
    plain = sample.performance(2023, 2024)
    nothing = {name: pl.lit(None, pl.Float64) for name in ("shap_share", "stability")}
    unknown = plain.importance.with_columns(**nothing)
    without = render(dataclasses.replace(plain, importance=unknown))
    assert "SHAP" not in headings(without)
    assert "from one test year to the next" not in without.text


def test_a_plain_ranked_list_is_shown_too() -> None:
    plain = pl.DataFrame({"rank": [1, 2], "stock_code": ["005930", "000660"], "score": [0.2, 0.1]})
    page = render(sample.performance(2024, 2024), picks=plain)
    table = page.source.split('<table aria-label="Ranked stocks">')[1].split("</table>")[0]
    assert table.count("<tr>") == 3
    assert "000660" in table


def test_examples_in_docstrings_hold() -> None:
    from finpipe.backtest.report import parameters

    result = doctest.testmod(parameters)
    assert result.attempted > 0
    assert result.failed == 0


def test_a_dataclass_documents_its_own_parameters() -> None:
    from finpipe.backtest.report.parameters import documented
    from finpipe.backtest.rules import Rules
    from finpipe.learning.ranker_config import RankerConfig

    rules = documented(Rules(n=10))
    assert rules["n"] == (10, "Number of stocks of top_n.")
    assert all(text for _, text in rules.values())
    ranker = documented(RankerConfig())
    assert ranker["num_leaves"] == (31, "As LightGBM names them.")
    assert ranker["extra"][1] == "Further LightGBM parameters."


def test_parameters_show_values_groups_and_descriptions(page: Page) -> None:
    assert "Broker's fee per side, as a fraction of the traded value." in {
        a.get("title") for a in page.all("abbr")
    }
    definitions = [data for tag, data in page.texts if tag == "dd"]
    assert {"top_n", "0.00015", "none", "612,345", "2 Jan 2012", "312 stocks a day"} <= set(definitions)
    assert {"Study", "Rules", "Training", "Data"} <= {data for tag, data in page.texts if tag == "h3"}


def test_renders_what_an_evaluation_returns() -> None:
    from finpipe.backtest.performance import evaluate
    from finpipe.backtest.report.parameters import documented
    from finpipe.backtest.rules import Rules
    from finpipe.backtest.simulate import simulate
    from finpipe_tests.backtest.small_market import random_market

    prices, stocks, predictions = random_market(21, n_stocks=14, n_days=80)
    simulation = simulate(predictions, prices, Rules(n=4, horizon=5), stocks=stocks)
    opened = pl.col("adjusted_open")
    gained = ((opened.shift(-6) / opened.shift(-1)).over("stock_code") - 1).cast(pl.Float32)
    realized = prices.select("stock_code", "date", gained.alias("realized_return_5d"))
    found = evaluate(simulation, predictions, realized, horizon=5)
    page = render(found, study={"rules": documented(simulation.rules)}, picks=None)
    assert page.unbalanced == []
    assert page.json("figures") == found.figures.to_dicts()
    assert not re.search(r"\b(nan|inf|NaN)\b", page.text)
