"""Fixtures of the browser tests: a page of its own for every test, watched while it is used."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, sync_playwright

from finpipe_tests.browser.chromium import ABSENT, FLAGS, OUTSIDE, find_chromium

PATIENCE_MS = 60_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A running browser, for one module: while it runs, its event loop keeps asyncio from tests of this process."""
    found = find_chromium()
    if found is None:
        pytest.skip(ABSENT)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def page_errors() -> list[str]:
    """Errors that scripts of ``browser_page`` did not catch; a test that expects some clears the list."""
    return []


@pytest.fixture
def outside_requests() -> list[str]:
    """Addresses outside this machine that ``browser_page`` asked for, in vain; they fail the test like errors."""
    return []


@pytest.fixture
def browser_page(browser: Browser, page_errors: list[str], outside_requests: list[str]) -> Iterator[Page]:
    """A fresh page without cookies; a failing test leaves screenshot and trace, in its ``tmp_path`` if it has one."""

    def refuse(route: Route) -> None:
        outside_requests.append(route.request.url)
        route.abort()

    context = browser.new_context(
        viewport={"width": 1400, "height": 900},
        locale="en-US",
        reduced_motion="reduce",
        service_workers="block",
    )
    context.set_default_timeout(PATIENCE_MS)
    context.route(OUTSIDE, refuse)
    context.tracing.start(snapshots=True)
    page = context.new_page()
    page.on("pageerror", lambda error: page_errors.append(str(error)))
    yield page
    context.close()
    assert not page_errors, "scripts of the page failed"
    assert not outside_requests, "the page asked for something outside this machine"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Keep what the page of a failing test looked like, and say where."""
    report = yield
    page = getattr(item, "funcargs", {}).get("browser_page")
    if report.when == "call" and report.failed and page is not None:
        folder = item.funcargs.get("tmp_path") or Path(tempfile.mkdtemp(prefix="finpipe-page-"))
        page.screenshot(path=folder / "page.png")
        page.context.tracing.stop(path=folder / "trace.zip")
        kept = f"{page.url}\n{folder / 'page.png'}\nplaywright show-trace {folder / 'trace.zip'}"
        report.sections.append(("The page when it failed", kept))
    return report
