"""The files of the page: what they may hold, what languages say, and how they are sent."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from dataclasses import fields
from importlib.resources import files
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from finpipe.page.palette import DARK, LIGHT, Palette
from finpipe.serve.page.routes import POLICY, is_page, page_files, page_routes

STATIC = Path(str(files("finpipe.serve.page") / "static"))
SCRIPTS = {path.name: path.read_text(encoding="utf-8") for path in sorted(STATIC.glob("*.js"))}
INDEX = (STATIC / "index.html").read_text(encoding="utf-8")
WORDS = {name: json.loads((STATIC / f"{name}.json").read_text(encoding="utf-8")) for name in ("en", "ko")}
KEY = re.compile(r'"([a-z]+(?:\.[A-Za-z0-9_ -]+)+)"')
FILES = {"portfolio.csv"}
FAMILY = re.compile(r"`([a-z]+\.(?:[a-z_]+\.?)*)\$\{")
"""Beginnings of keys that are put together."""


class Client:
    """Asks the page's routes, without a server."""

    def __init__(self) -> None:
        self._app = FastAPI()
        self._app.include_router(page_routes())

    def get(self, path: str, **headers: str) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(transport=transport, base_url="http://page") as client:
                return await client.get(
                    path, headers={name.replace("_", "-"): value for name, value in headers.items()}
                )

        return asyncio.run(ask())


@pytest.fixture(scope="module")
def client():
    return Client()


def used_keys() -> set[str]:
    """Keys that scripts and document name in full."""
    beginnings = {key.split(".")[0] for key in WORDS["en"]}
    named = {key for text in (*SCRIPTS.values(), INDEX) for key in KEY.findall(text)}
    return {key for key in named if key.split(".")[0] in beginnings and key not in FILES}


def test_both_languages_say_the_same_things():
    assert list(WORDS["en"]) == list(WORDS["ko"])
    for key, text in WORDS["en"].items():
        assert text.strip(), key
        assert WORDS["ko"][key].strip(), key
        named = set(re.findall(r"\{(\w+)\}", text))
        assert set(re.findall(r"\{(\w+)\}", WORDS["ko"][key])) == named, f"values in {key}"


def test_korean_is_korean():
    same = {key for key, text in WORDS["en"].items() if WORDS["ko"][key] == text}
    assert same == {
        "level.redis",
        "method.arima",
        "portfolio.sectors.hint",
        "portfolio.tickers.hint",
        "save.hint",
        "tier.redis",
    }


def test_every_key_is_known_and_every_text_used():
    used = used_keys()
    assert len(used) > 150
    assert used <= set(WORDS["en"])
    families = {prefix for text in SCRIPTS.values() for prefix in FAMILY.findall(text)}
    unused = {
        key for key in set(WORDS["en"]) - used if not any(key.startswith(family) for family in families)
    }
    assert unused == set()


def test_no_text_becomes_markup_or_code():
    for name, text in SCRIPTS.items():
        for forbidden in (
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
            "DOMParser",
        ):
            assert forbidden not in text, f"{forbidden} in {name}"
        assert not re.search(r"https?://", text), f"{name} names an address"
    assert not re.search(r"<script(?![^>]*\bsrc=)", INDEX)
    assert not re.search(r"\son\w+=|style=|https?://", INDEX)


def test_the_document_loads_only_files_that_are_sent(client):
    named = re.findall(r'(?:href|src)="page/([^"]+)"', INDEX)
    imported = {name for text in SCRIPTS.values() for name in re.findall(r'from "\./([^"]+)"', text)}
    wanted = {*named, *imported, "en.json", "ko.json", "plotly.min.js"}
    assert {"main.js", "page.css", "colours.css"} <= wanted
    for name in sorted(wanted):
        answer = client.get(f"/page/{name}")
        assert answer.status_code == 200, name
        assert answer.headers["content-security-policy"] == POLICY
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert set(page_files()) >= wanted
    assert client.get("/page/main.js").headers["content-type"].startswith("text/javascript")
    assert client.get("/").text == INDEX


def test_the_policy_lets_nothing_inline_run():
    rules = dict(rule.split(" ", 1) for rule in POLICY.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == rules["connect-src"] == rules["style-src"] == "'self'"
    assert rules["frame-ancestors"] == rules["base-uri"] == rules["form-action"] == "'none'"


@pytest.mark.parametrize(
    "name", ["", "absent.js", "..%2froutes.py", "%2e%2e/routes.py", "__init__.py", "main.js/x"]
)
def test_other_files_are_not_sent(client, name):
    assert client.get(f"/page/{name}").status_code == 404


def test_a_file_that_the_browser_has_is_not_sent_again(client):
    first = client.get("/page/plotly.min.js", accept_encoding="gzip")
    assert first.headers["content-encoding"] == "gzip"
    assert int(first.headers["content-length"]) < len(first.content) / 2
    again = client.get("/page/plotly.min.js", if_none_match=first.headers["etag"])
    assert (again.status_code, again.content) == (304, b"")
    plain = client.get("/page/plotly.min.js", accept_encoding="identity")
    assert "content-encoding" not in plain.headers
    assert plain.content == first.content
    file = page_files()["page.css"]()
    assert file.compressed is not None
    assert gzip.decompress(file.compressed) == file.content


@pytest.mark.parametrize(
    ("path", "own"),
    [("/", True), ("/page/main.js", True), ("/api/health", False), ("/pages", False), ("/metrics", False)],
)
def test_what_needs_no_token(path, own):
    assert is_page(path) is own


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_colours_are_those_of_the_reports_and_can_be_read(client, palette: Palette):
    sheet = client.get("/page/colours.css").text
    assert palette.css() in sheet
    known = {field.name for field in fields(palette)}
    styles = (STATIC / "page.css").read_text(encoding="utf-8")
    own = set(re.findall(r"--([a-z0-9-]+):", styles))
    for role in re.findall(r"var\(--([a-z0-9-]+)\)", styles):
        assert role in own or role.replace("-", "_") in known, role
    for text in (palette.ink, palette.muted, palette.portfolio, palette.loss):
        for ground in (palette.page, palette.surface):
            assert contrast(text, ground) >= 4.5, (text, ground)
    assert contrast(palette.page, palette.portfolio) >= 4.5, "text of the primary button"
    field = re.search(r"--field:(#[0-9a-f]{6})", styles)
    assert field is not None
    assert contrast(field[1], palette.page) >= 3, "edges of fields"


def contrast(one: str, other: str) -> float:
    """Ratio of two colours as WCAG 2.2 defines it."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    """Relative luminance of an sRGB colour as WCAG 2.2 defines it."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
