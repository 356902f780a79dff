"""The browser that the tests drive: Debian's Chromium, headless, which can reach nothing but loopback."""

from __future__ import annotations

import os
import re
import shutil

NAMED = os.environ.get("FINPIPE_CHROMIUM")
"""Another browser to use; read at import, before the tests forget the settings of whoever runs them."""
NAMES = ("chromium", "chromium-browser", "google-chrome")
ABSENT = "no Chromium is installed, so nothing is clicked: `apt-get install chromium`, or name one in FINPIPE_CHROMIUM"
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)
OUTSIDE = re.compile(r"^(?!(https?|wss?)://(127\.0\.0\.1|localhost|\[::1\])[:/])(https?|wss?|ftp):")
"""Addresses that are not on this machine."""


def find_chromium() -> str | None:
    """Return the path of a browser; None if there is none."""
    return NAMED or next(filter(None, map(shutil.which, NAMES)), None)
