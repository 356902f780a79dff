"""What people do on the page of the service, in a real browser: by mouse, by keys alone, on a phone, in Korean."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import ConsoleMessage, Locator, Page, Route, expect

from finpipe.page.palette import DARK, LIGHT
from finpipe_tests.demo_home import VARIANT, DemoHome
from finpipe_tests.serve.process import ServiceProcess
from finpipe_tests.waiting import until

TICKER, OTHER = "ENE01", "TEC01"
KEPT = "kept-one"
PATIENCE_MS = 60_000
VIOLATIONS = """
addEventListener("securitypolicyviolation", event => {
  console.error(`refused by the policy: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}`);
});
"""
UNNAMED = """
[...document.querySelectorAll("button, a, input, select, textarea, progress, [role=img], [role=region], table")]
  .filter(found => found.checkVisibility())
  .filter(found => !(found.ariaLabel || found.labels?.length || found.textContent.trim()))
  .map(found => found.outerHTML.slice(0, 120))
"""
TWICE = """
(() => { const all = [...document.querySelectorAll("[id]")].filter(found => !found.closest("svg"));
  const ids = all.map(found => found.id);
  return ids.filter((id, at) => ids.indexOf(id) !== at); })()
"""


@pytest.fixture(scope="module")
def service(demo_home: DemoHome, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """The service on a copy of the home in which the Korean line has been run, with one saved portfolio."""
    own = demo_home.copy(tmp_path_factory.mktemp("page") / "home")
    running = ServiceProcess(own.home, serve_warm=False, serve_rate=5000)
    try:
        running.start()
        body = {"weights": {TICKER: 0.75, OTHER: 0.25}, "expected_return": 0.1}
        httpx.put(f"{running.url}/api/portfolios/{KEPT}", json=body).raise_for_status()
        yield running
    finally:
        running.stop()


@pytest.fixture
def page(browser_page: Page, service: ServiceProcess, tmp_path: Path) -> Iterator[Page]:  # noqa: ARG001 (failures are kept in it)
    """The page, open; nothing that it does may be refused by its policy."""
    refused: list[str] = []

    def heard(message: ConsoleMessage) -> None:
        if "policy" in message.text.lower():
            refused.append(message.text)

    browser_page.on("console", heard)
    browser_page.add_init_script(VIOLATIONS)
    browser_page.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    visit(browser_page, service, "stock")
    yield browser_page
    expect.set_options(timeout=None)
    assert not refused


def visit(page: Page, service: ServiceProcess, view: str) -> None:
    page.goto(f"{service.url}/#/{view}")
    page.locator("html[data-ready]").wait_for()


def shown(page: Page) -> Locator:
    """The view that is shown."""
    return page.locator("main section:not([hidden])")


def search(page: Page, ticker: str) -> None:
    page.get_by_label("Ticker", exact=True).fill(ticker)
    page.keyboard.press("Enter")


def holds(page: Page, expression: str) -> None:
    """Wait until ``expression`` is true; Playwright's own wait evaluates in the page, which its policy refuses."""
    until(lambda: page.evaluate(expression), expression)


def drawn(page: Page, says: str) -> None:
    """Wait until a chart is drawn; ``says`` is how its name begins."""
    plot = page.get_by_role("img", name=re.compile(says))
    expect(plot).to_have_attribute("data-drawn", "yes")
    expect(plot.locator("svg").first).to_be_visible()


def rows_of(page: Page, button: str) -> list[dict[str, str]]:
    """Download a table and read it."""
    with page.expect_download() as begun:
        page.get_by_role("button", name=button, exact=True).click()
    text = Path(begun.value.path()).read_text(encoding="utf-8-sig")
    return list(csv.DictReader(io.StringIO(text)))


def optimise(page: Page, *, group: str = "", tickers: str = "", **filled: str) -> None:
    page.get_by_label("Pick a group" if group else "Paste tickers").check()
    if group:
        page.get_by_label("Group", exact=True).select_option(group)
    else:
        page.get_by_label("Tickers", exact=True).fill(tickers)
    for label, value in filled.items():
        page.get_by_label(re.compile(label.replace("_", " "))).fill(value)
    page.get_by_role("button", name="Optimise").click()


def fits(page: Page) -> None:
    """Nothing is wider than the window, whatever is in it can be told apart by name."""
    wide, window = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert wide <= window
    assert page.evaluate(UNNAMED) == []
    assert page.evaluate(TWICE) == []


def test_a_ticker_is_looked_at(page: Page, service: ServiceProcess):
    expect(page.get_by_text("Type a ticker in Yahoo's spelling")).to_be_visible()
    search(page, TICKER.lower())
    expect(page.get_by_role("heading", name=TICKER)).to_be_visible()
    drawn(page, f"Chart of {TICKER}, range 1Y")
    expect(page.get_by_role("status")).to_contain_text(f"{TICKER}: ")
    assert page.url.endswith(f"#/stock/{TICKER}")

    told = httpx.get(f"{service.url}/api/analyze/{TICKER}", timeout=30).json()
    expect(page.locator("dt", has_text="Sharpe ratio").locator("+ dd")).to_have_text(
        f"{told['figures']['sharpe']:.2f}"
    )
    band = "document.querySelector('.plot').data.filter(each => each.fill === 'tonexty').length"
    assert page.evaluate(band) == 1
    page.get_by_role("button", name=re.compile("^3M")).click()
    drawn(page, "range 3M")
    expect(page.get_by_role("button", name=re.compile("^3M"))).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Candles").click()
    page.get_by_role("button", name="Averages").click()
    page.get_by_role("button", name="Forecast", exact=True).click()
    drawn(page, "range 3M")
    holds(page, "document.querySelector('.plot').data.some(each => each.type === 'candlestick')")
    assert page.evaluate("document.querySelector('.plot').data.length") == 4
    assert page.evaluate(band) == 0

    chart = rows_of(page, "Download CSV")
    assert [row["date"] for row in chart] == told["chart"]["date"]
    assert float(chart[-1]["close"]) == told["chart"]["close"][-1]
    fits(page)


def test_a_known_ticker_is_searched_when_typing_pauses_and_stale_answers_are_dropped(page: Page):
    held: list[Route] = []
    page.route(f"**/api/analyze/{OTHER}**", lambda route: held.append(route))  # noqa: PLW0108 it is marked
    holds(page, "document.querySelectorAll('datalist option').length > 100")
    search(page, OTHER)
    holds(page, "document.querySelector('.panel').ariaBusy === 'true'")
    with page.expect_event("requestfailed", lambda request: OTHER in request.url):
        page.get_by_label("Ticker", exact=True).press_sequentially("x")
        page.get_by_label("Ticker", exact=True).fill(TICKER)
    expect(page.get_by_role("heading", name=TICKER)).to_be_visible()
    assert len(held) == 1
    expect(page.get_by_role("heading", name=OTHER)).to_have_count(0)


@pytest.mark.parametrize("text", ["NOSUCH", "<img src=x onerror=alert(1)>"])
def test_a_problem_is_told_as_the_service_words_it(page: Page, text: str):
    with page.expect_response("**/api/analyze/**") as asked:
        search(page, text)
    problem = asked.value.json()
    assert problem["status"] >= 400
    card = page.locator(".problem")
    expect(card).to_contain_text(problem["detail"])
    expect(page.get_by_role("alert")).to_contain_text(problem["detail"])
    assert page.locator("main img").count() == 0
    search(page, TICKER)
    expect(page.get_by_role("heading", name=TICKER)).to_be_visible()
    expect(card).to_have_count(0)


def test_a_service_that_is_away_is_asked_again(page: Page):
    page.route("**/api/analyze/**", lambda route: route.abort(), times=1)
    search(page, TICKER)
    expect(page.locator(".problem")).to_contain_text("The service cannot be reached")
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("heading", name=TICKER)).to_be_visible()


def test_a_portfolio_is_built_compared_saved_loaded_and_deleted(page: Page, service: ServiceProcess):
    visit(page, service, "portfolio")
    expect(page.get_by_text("Paste tickers or pick a group, choose")).to_be_visible()
    with page.expect_response("**/api/optimize") as asked:
        optimise(page, group="demo", Money_to_invest="50000", Most_of_one="15")
    sent = json.loads(asked.value.request.post_data or "")
    assert (sent["group"], sent["budget"], sent["max_weight"]) == ("demo", 50000, 0.15)
    expect(page.get_by_role("heading", name="Optimal portfolio")).to_be_focused()
    drawn(page, "Weight and part of risk")
    drawn(page, "The frontier goes from")

    rows = rows_of(page, "Download allocation")
    assert sum(float(row["weight"]) for row in rows) == pytest.approx(1, abs=1e-6)
    assert sum(float(row["risk"]) for row in rows) == pytest.approx(1, abs=1e-6)
    assert max(float(row["weight"]) for row in rows) <= 0.15 + 1e-6
    assert 0 < sum(float(row["value"]) for row in rows) <= 50_000
    held = page.get_by_role("region", name="Allocation and risk").locator("tbody th")
    assert held.all_inner_texts() == [row["ticker"] for row in rows]
    assert len(rows_of(page, "Download frontier")) == 40

    page.get_by_role("button", name="Compare").click()
    drawn(page, "Portfolio .*, benchmark .*, risk-free")
    expect(page.get_by_role("table", name="Portfolio, benchmark and risk-free asset")).to_be_visible()
    assert float(rows_of(page, "Download comparison")[0]["portfolio"]) == pytest.approx(50_000, rel=0.05)
    fits(page)

    page.get_by_label("Name", exact=True).fill(KEPT)
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("dialog", name=f"There is a portfolio “{KEPT}” already").get_by_role(
        "button", name="Cancel"
    ).click()
    page.get_by_label("Name", exact=True).fill("mine")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("link", name="Look at it").click()
    expect(page.get_by_role("heading", name="mine")).to_be_focused()
    loaded = rows_of(page, "Download allocation")
    assert [row["ticker"] for row in loaded] == [row["ticker"] for row in rows]
    saved = httpx.get(f"{service.url}/api/portfolios/mine").json()
    assert saved["metadata"]["request"]["group"] == "demo"

    page.get_by_role("button", name="Delete mine").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("link", name="mine", exact=True)).to_have_count(0)
    expect(page.get_by_role("link", name=KEPT)).to_be_visible()
    assert httpx.get(f"{service.url}/api/portfolios/mine").status_code == 404


def test_a_slow_computation_is_watched_and_cancelled(page: Page, service: ServiceProcess):
    visit(page, service, "portfolio")
    page.get_by_text("Period and estimates").click()
    page.get_by_role("combobox", name="Forecast").select_option("arima")
    page.route("**/api/optimize/*/events", lambda route: route.abort(), times=1)
    optimise(page, group="demo")
    progress = page.get_by_role("progressbar", name="Computing")
    expect(progress).to_be_visible()
    expect(page.locator(".stage")).to_contain_text("Forecasting returns")
    holds(page, "document.querySelector('progress').value > 0")
    job = page.url.rsplit("/", 1)[1]
    page.reload()
    expect(progress).to_be_visible()
    page.get_by_role("button", name="Cancel the computation").click()
    expect(shown(page).get_by_text("Cancelled. Change what you like")).to_be_visible()
    expect(progress).to_have_count(0)
    expect(page.get_by_role("button", name="Optimise")).to_be_focused()
    assert httpx.get(f"{service.url}/api/optimize/{job}").json()["state"] == "cancelled"


def test_limits_that_cannot_be_met_are_told(page: Page, service: ServiceProcess):
    visit(page, service, "portfolio")
    page.get_by_role("button", name="Optimise").click()
    tickers = page.get_by_label("Tickers", exact=True)
    expect(tickers).to_be_focused()
    expect(tickers).to_have_attribute("aria-invalid", "true")
    expect(shown(page).get_by_text("Paste at least one ticker, or pick a group.")).to_be_visible()
    optimise(page, tickers=f"{TICKER}, {OTHER}", Most_of_one="10")
    expect(page.locator(".problem p").first).to_contain_text(re.compile("10|weight"))
    expect(page.get_by_role("progressbar")).to_have_count(0)
    page.get_by_label("Sector limits").fill("Energy much")
    page.get_by_role("button", name="Optimise").click()
    expect(shown(page).get_by_text("“Energy much” is no limit of a sector")).to_be_visible()
    expect(page.get_by_label("Sector limits")).to_be_focused()


def test_korean_picks_and_reports_are_read(page: Page, service: ServiceProcess):
    visit(page, service, "korea")
    expect(page.get_by_role("heading", name="Buy")).to_be_visible()
    told = httpx.get(f"{service.url}/api/picks").json()
    expect(page.get_by_label("Study")).to_have_value(told["variant"])
    bought = [
        name for name, of in zip(told["columns"]["name"], told["columns"]["list"], strict=True) if of == "buy"
    ]
    listed = page.get_by_role("region", name="Buy", exact=True).locator("tbody th")
    assert listed.all_inner_texts() == bought
    assert len(rows_of(page, "Download CSV")) == told["rows"]
    fits(page)
    with page.expect_popup() as opened:
        page.get_by_role("link", name=f"Report of {VARIANT}").click()
    opened.value.wait_for_load_state()
    assert opened.value.title()
    assert opened.value.locator("h1").first.inner_text()


def test_a_home_without_picks_says_what_to_do(page: Page, service: ServiceProcess):
    absent = {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "this home holds no picks",
    }
    page.route(
        "**/api/picks*",
        lambda route: route.fulfill(
            status=404, content_type="application/problem+json", body=json.dumps(absent)
        ),
    )
    page.route("**/api/research/reports", lambda route: route.fulfill(json={"reports": []}))
    visit(page, service, "korea")
    expect(shown(page).locator(".empty").first).to_contain_text("finpipe run")
    expect(shown(page).locator(".empty").last).to_contain_text("no report")
    assert page.locator(".problem").count() == 0


def test_the_state_of_the_cache_is_shown(page: Page, service: ServiceProcess):
    search(page, TICKER)
    expect(page.get_by_role("heading", name=TICKER)).to_be_visible()
    page.get_by_role("link", name="Cache").click()
    expect(page.get_by_role("heading", name="Cache", exact=True)).to_be_focused()
    tiers = page.get_by_role("region", name="Tiers, quickest first").locator("tbody tr")
    told = httpx.get(f"{service.url}/api/cache").json()
    expect(tiers).to_have_count(len(told["tiers"]))
    expect(page.get_by_text(f"{told['requests']} requests")).to_be_visible()
    page.get_by_role("button", name="Refresh").click()
    expect(page.get_by_role("status")).to_have_text("The figures are up to date")
    fits(page)


def test_all_is_done_with_keys_alone(page: Page, service: ServiceProcess):
    keys = page.keyboard

    def tab_to(name: str) -> None:
        for _ in range(60):
            keys.press("Tab")
            if page.evaluate(
                "name => { const at = document.activeElement;"
                " return [at.textContent.trim(), at.labels?.[0]?.textContent, at.ariaLabel].includes(name); }",
                name,
            ):
                assert page.evaluate("document.activeElement.matches(':focus-visible')")
                return
        raise AssertionError(f"Tab does not reach {name}")

    keys.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    keys.press("Enter")
    expect(page.get_by_role("heading", name="Stock")).to_be_focused()
    tab_to("Ticker")
    keys.type(TICKER)
    keys.press("Enter")
    expect(page.get_by_role("heading", name=TICKER)).to_be_visible()
    tab_to("Candles")
    keys.press("Space")
    candles = page.get_by_role("button", name="Candles")
    expect(candles).to_have_attribute("aria-pressed", "true")
    expect(candles).to_be_focused()

    visit(page, service, "portfolio")
    tab_to("Tickers")
    keys.type("COM01 COM02 ENE01 FIN01 TEC01 HEA01")
    tab_to("Optimise")
    keys.press("Enter")
    expect(page.get_by_role("heading", name="Optimal portfolio")).to_be_focused()
    tab_to("Name")
    keys.type("by-keys")
    keys.press("Enter")
    tab_to("Look at it")
    keys.press("Enter")
    expect(page.get_by_role("heading", name="by-keys")).to_be_focused()
    tab_to("Delete")
    keys.press("Enter")
    expect(page.get_by_role("dialog").get_by_role("button", name="Cancel")).to_be_focused()
    keys.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_role("button", name="Delete", exact=True).last).to_be_focused()
    keys.press("Enter")
    keys.press("Tab")
    keys.press("Enter")
    expect(page.get_by_role("heading", name="Saved portfolios")).to_be_focused()
    expect(page.get_by_role("link", name="by-keys")).to_have_count(0)


def test_on_a_narrow_screen_nothing_is_cut_off(page: Page, service: ServiceProcess):
    page.set_viewport_size({"width": 360, "height": 740})
    search(page, TICKER)
    drawn(page, f"Chart of {TICKER}")
    fits(page)
    visit(page, service, "portfolio")
    optimise(page, group="demo", Money_to_invest="9000")
    drawn(page, "The frontier goes from")
    fits(page)
    for view, heading in (("korea", "Buy"), (f"saved/{KEPT}", KEPT), ("cache", "History of prices")):
        visit(page, service, view)
        expect(page.get_by_role("heading", name=heading)).to_be_visible()
        fits(page)
        expect(page.get_by_role("navigation").get_by_role("link").first).to_be_attached()


def test_korean_is_spoken_and_remembered(page: Page, service: ServiceProcess):
    search(page, TICKER)
    expect(page.get_by_role("heading", name=TICKER)).to_be_visible()
    page.get_by_role("button", name="한국어").click()
    expect(page.get_by_role("heading", name="종목", exact=True)).to_be_visible()
    expect(page.get_by_text("샤프 지수", exact=True)).to_be_visible()
    drawn(page, f"{TICKER} 차트")
    assert page.evaluate("document.documentElement.lang") == "ko"
    assert page.title() == "종목 · finpipe"
    page.reload()
    page.get_by_role("link", name="포트폴리오", exact=True).click()
    shown(page).get_by_label("종목 코드").fill(f"{TICKER} {OTHER} FIN01 COM01 COM02")
    page.get_by_role("button", name="최적화").click()
    expect(page.get_by_role("heading", name="최적 포트폴리오")).to_be_focused()
    drawn(page, "투자선은 변동성")
    left = shown(page).locator("[data-words]")
    said = dict(left.evaluate_all("all => all.map(each => [each.dataset.words, each.textContent])"))
    assert len(said) > 40
    assert all(text != key for key, text in said.items())
    for view in ("saved", "korea", "cache"):
        visit(page, service, view)
        expect(shown(page).locator("td").first).to_be_visible()
        english = shown(page).locator(":is(h1, h2, h3, th[scope=col], button)")
        assert all(re.search("[가-힣]", text) for text in english.all_inner_texts())
    fits(page)


def test_light_and_dark(page: Page):
    ground = "getComputedStyle(document.body).backgroundColor"

    def rgb(colour: str) -> str:
        red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
        return f"rgb({red}, {green}, {blue})"

    search(page, TICKER)
    drawn(page, f"Chart of {TICKER}")
    assert page.evaluate(ground) == rgb(LIGHT.page)
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(ground) == rgb(DARK.page)
    line = "document.querySelector('.plot').data.at(-1).line.color"
    holds(page, f"{line} === '{DARK.ink}'")
    page.get_by_role("button", name="Light").click()
    assert page.evaluate(ground) == rgb(LIGHT.page)
    holds(page, f"{line} === '{LIGHT.ink}'")
    page.reload()
    page.locator("html[data-ready]").wait_for()
    assert page.evaluate(ground) == rgb(LIGHT.page)
    expect(page.get_by_role("button", name="Dark")).to_be_visible()


def test_a_token_is_asked_for_and_sent(page: Page, service: ServiceProcess):
    secret = "sixteen-letters-or-more"  # noqa: S105 a test's own
    refusal = {"type": "about:blank", "title": "Unauthorized", "status": 401, "detail": "a token is needed"}

    def guard(route: Route) -> None:
        if route.request.headers.get("authorization") == f"Bearer {secret}":
            route.continue_()
        else:
            route.fulfill(status=401, content_type="application/problem+json", body=json.dumps(refusal))

    page.route("**/api/**", guard)
    visit(page, service, "cache")
    dialog = page.get_by_role("dialog", name="Token of the service")
    dialog.get_by_label("Token", exact=True).fill(secret)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Tiers, quickest first")).to_be_visible()
    page.goto(f"{service.url}/#/korea")
    with page.expect_download() as begun:
        page.get_by_role("button", name=f"Report of {VARIANT}").click()
    assert begun.value.suggested_filename == f"{VARIANT}.html"
    assert page.evaluate("Object.values(localStorage).concat(document.cookie).join()").find(secret) < 0
