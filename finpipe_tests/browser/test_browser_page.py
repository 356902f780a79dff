"""The watched page itself: what goes wrong in a page, or leaves this machine, is noticed."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator

import pytest

from finpipe_tests.browser.chromium import OUTSIDE

PAGE = b"""<!doctype html><title>page</title><button onclick="this.innerText = 'clicked'">click me</button>"""
BAD_PAGE = b"""<!doctype html><title>bad page</title><img src="https://outside.example/pixel.png">
<script>fetch('/').then(() => { throw new Error('went wrong') })</script>"""


class Pages(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(BAD_PAGE if self.path == "/bad" else PAGE)

    def log_message(self, *arguments):
        """Keep quiet."""


@pytest.fixture
def pages() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_page_on_loopback_is_shown_and_clicked(browser_page, pages):
    browser_page.goto(pages)
    browser_page.get_by_role("button", name="click me").click()
    assert browser_page.get_by_role("button").inner_text() == "clicked"


def test_errors_and_requests_to_the_outside_are_noticed(browser_page, pages, page_errors, outside_requests):
    with browser_page.expect_event("pageerror"):
        browser_page.goto(f"{pages}/bad")
    assert page_errors == ["went wrong"]
    assert outside_requests == ["https://outside.example/pixel.png"]
    page_errors.clear()
    outside_requests.clear()


@pytest.mark.parametrize(
    ("address", "outside"),
    [
        ("http://127.0.0.1:3000/graphql", False),
        ("ws://localhost:3000/graphql", False),
        ("http://[::1]/", False),
        ("data:image/png;base64,AAAA", False),
        ("https://127.0.0.1.example.com/", True),
        ("https://dagster.io/", True),
        ("wss://dagster.io/", True),
    ],
)
def test_what_is_outside(address, outside):
    assert bool(OUTSIDE.match(address)) is outside
