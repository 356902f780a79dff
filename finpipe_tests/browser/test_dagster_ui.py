"""A person opens the UI, launches a backfill of two test years by clicking, and sees them turn green."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from playwright.sync_api import Locator, Page, expect

from finpipe.orchestration.home import open_instance
from finpipe_tests.demo_home import DemoHome, finpipe
from finpipe_tests.served_ui import ServedUi, serving
from finpipe_tests.waiting import until

STUDY, PRESET = "quick-h21", "quick"
FIRST_TRIED, ASKED = "2024", ("2022", "2023")
MADE = {f"{year}|{STUDY}" for year in ASKED}
ASSETS = ("yearly_ranker", "yearly_predictions")
BACKFILL_MS = 150_000
"""The daemon looks for backfills every 30 s."""


@pytest.fixture
def ui(demo_home: DemoHome, tmp_path: Path) -> Iterator[ServedUi]:
    """The UI on a home with two studies; of the second, only one test year has been tried."""
    own = demo_home.copy_with_database(tmp_path)
    with serving(own, tmp_path / "ui.log") as served:
        years = f"{FIRST_TRIED}-{FIRST_TRIED}"
        finpipe("backfill", "--preset", PRESET, "--years", years, "--home", own.home, FINPIPE_WORKERS="1")
        until(served.answers, "the UI", every=0.5)
        yield served


@pytest.mark.timeout(400)
def test_a_backfill_of_two_test_years_launched_by_hand_turns_green(browser_page, ui):
    before = _materialized(ui)
    assert all(found.isdisjoint(MADE) for found in before.values())

    browser_page.goto(ui.url)
    _select_in_graph(browser_page)
    _launch_backfill(browser_page)
    _see_green(browser_page)

    assert _materialized(ui) == {asset: found | MADE for asset, found in before.items()}
    until(lambda: {status for _, status in _backfilled(ui)} == {"SUCCESS"}, "the runs to end", every=0.5)
    assert sorted(_backfilled(ui)) == [(partition, "SUCCESS") for partition in sorted(MADE)]
    again = finpipe("backfill", "--preset", PRESET, "--years", "2022-2024", "--home", ui.own.home, "--json")
    assert json.loads(again.stdout.splitlines()[-1])["materialized"] == [], (
        "the command sees what the UI made"
    )


def _select_in_graph(page: Page) -> None:
    """Open the asset graph and select the model of a test year and its predictions in it."""
    page.get_by_role("link", name=re.compile(r"\bLineage$")).click()
    graph = page.locator("foreignObject")
    graph.get_by_text("walk_forward", exact=True).click()
    graph.get_by_text(ASSETS[0], exact=True).click()
    expect(page.get_by_text(f"krx / {ASSETS[0]}")).to_be_visible()
    page.get_by_title(ASSETS[1], exact=True).click(modifiers=["Shift"])


def _launch_backfill(page: Page) -> None:
    """Choose years and study in the dialog and launch."""
    page.get_by_role("button", name="Materialize selected (2)").click()
    dialog = page.get_by_role("dialog").filter(has_text="Launch runs to materialize 2 assets")
    for chosen in (ASKED, (STUDY,)):
        dialog.get_by_text("Select a partition").first.click()
        for partition in chosen:
            page.get_by_role("menuitem", name=partition).click()
        page.keyboard.press("Escape")
        expect(page.get_by_role("menuitem")).to_have_count(0)
    expect(dialog.get_by_text("2 partitions")).to_be_visible()
    dialog.get_by_role("button", name="Launch backfill").click()
    expect(page.get_by_text("Created backfill")).to_be_visible()


def _see_green(page: Page) -> None:
    """Watch the partitions of both assets until none is missing, and look at the two years in particular."""
    page.get_by_role("link", name="View", exact=True).click()
    backfill = page.url
    for asset in ASSETS:
        page.goto(backfill)
        page.get_by_role("link", name=f"krx / {asset}").click(timeout=BACKFILL_MS)
        page.get_by_role("tab", name="Partitions").click()
        expect(page.get_by_text("Materialized (6)")).to_be_visible(timeout=BACKFILL_MS)
        expect(page.get_by_text("Missing (0)")).to_be_visible()
        expect(page.get_by_text("Failed (0)")).to_be_visible()
        for year in ASKED:
            page.get_by_title(year, exact=True).click()
            page.get_by_title(STUDY, exact=True).click()
            expect(page.get_by_title(f"{year}|{STUDY}", exact=True)).to_be_visible()
            assert _is_green(page.get_by_text("Materialized", exact=True).first)


def _is_green(element: Locator) -> bool:
    """Whether green is the strongest of the element's colours."""
    colour = element.evaluate("element => getComputedStyle(element).color")
    red, green, blue = (float(part) for part in re.findall(r"[\d.]+", colour)[:3])
    return green > max(red, blue)


def _materialized(ui: ServedUi) -> dict[str, set[str]]:
    """Return the partitions of which there is a materialization, by asset."""
    with open_instance(ui.own.settings()) as instance:
        return {
            asset: set(instance.get_materialized_partitions(dg.AssetKey(["krx", asset]))) for asset in ASSETS
        }


def _backfilled(ui: ServedUi) -> list[tuple[str, str]]:
    """Return partition and status of every run that belongs to a backfill of the UI."""
    found = ui.ask("{runsOrError {... on Runs {results {status tags {key value}}}}}")["runsOrError"][
        "results"
    ]
    tagged = [(run["status"], {tag["key"]: tag["value"] for tag in run["tags"]}) for run in found]
    return [(tags["dagster/partition"], status) for status, tags in tagged if "dagster/backfill" in tags]
