"""How the page reaches the browser: its own files and Plotly's, under a policy that runs nothing else."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from fastapi import APIRouter, HTTPException, Request, Response

MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
"""Files of the page by suffix; others are not served."""

PLOTLY = "plotly.min.js"
COLOURS = "colours.css"

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; style-src-attr 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content security policy of the page. Plotly styles its texts by attribute; style sheets and scripts are files."""

HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
    "Vary": "Accept-Encoding",
}
COMPRESSED_FROM = 1024
"""Bytes from which a file is worth compressing."""


@dataclass(frozen=True, slots=True)
class PageFile:
    """A file of the page as it is sent.

    Parameters
    ----------
    content, compressed
        As it is, and by gzip; the latter None where that gains nothing.
    media_type, etag
        For the headers of the same meaning.
    """

    content: bytes
    compressed: bytes | None
    media_type: str
    etag: str


def page_files() -> dict[str, Callable[[], PageFile]]:
    """Return how to read each file of the page by its name, Plotly's and the colours of the reports among them.

    A file is read when it is first asked for and kept from then on.
    """
    own = {
        found.name: found
        for found in (files(__package__) / "static").iterdir()
        if "." in found.name and f".{found.name.rsplit('.', 1)[1]}" in MEDIA_TYPES
    }
    own[PLOTLY] = files("plotly") / "package_data" / PLOTLY
    made: dict[str, Callable[[], PageFile]] = {
        name: cache(lambda found=found: _file(found.name, found.read_bytes())) for name, found in own.items()
    }
    made[COLOURS] = cache(lambda: _file(COLOURS, _colours().encode()))
    return made


def is_page(path: str) -> bool:
    """Whether an address is one of the page itself, which holds no data and needs no token."""
    return path == "/" or path.startswith("/page/")


def page_routes() -> APIRouter:
    """Return the routes ``/`` and ``/page/NAME``; they are not part of the OpenAPI document."""
    router = APIRouter(include_in_schema=False)
    known = page_files()

    def answer(name: str, request: Request) -> Response:
        if name not in known:
            raise HTTPException(404, f"the page has no file {name!r}; it begins at /")
        file = known[name]()
        headers = {**HEADERS, "ETag": file.etag}
        if file.etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if file.compressed is not None and "gzip" in request.headers.get("accept-encoding", ""):
            return Response(
                file.compressed, headers={**headers, "Content-Encoding": "gzip"}, media_type=file.media_type
            )
        return Response(file.content, headers=headers, media_type=file.media_type)

    def index(request: Request) -> Response:
        return answer("index.html", request)

    def file(name: str, request: Request) -> Response:
        return answer(name, request)

    router.add_api_route("/", index, methods=["GET", "HEAD"])
    router.add_api_route("/page/{name}", file, methods=["GET", "HEAD"])
    return router


def _colours() -> str:
    """The palette of the reports: as the system has it, unless the page's own switch was used."""
    from finpipe.page.palette import DARK, LIGHT

    light = f"color-scheme:light;{LIGHT.css()}"
    dark = f"color-scheme:dark;{DARK.css()}"
    return (
        f":root{{{light}}}\n"
        f"@media (prefers-color-scheme:dark){{:root:not([data-theme=light]){{{dark}}}}}\n"
        f":root[data-theme=dark]{{{dark}}}\n"
    )


def _file(name: str, content: bytes) -> PageFile:
    compressed = gzip.compress(content, 6, mtime=0) if len(content) >= COMPRESSED_FROM else None
    digest = hashlib.blake2b(content, digest_size=12).hexdigest()
    return PageFile(content, compressed, MEDIA_TYPES[f".{name.rsplit('.', 1)[1]}"], f'W/"{digest}"')
