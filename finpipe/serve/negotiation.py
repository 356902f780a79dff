"""One answer in the form that the client asks for: JSON, msgpack or an Arrow stream, compressed, with an ETag."""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from threading import Lock
from typing import Any

import xxhash
from fastapi import Request, Response
from pydantic import BaseModel

from finpipe.serve.problems import ProblemError

JSON = "application/json"
MSGPACK = "application/msgpack"
ARROW = "application/vnd.apache.arrow.stream"
HTML = "text/html"
_ALIASES = {"application/x-msgpack": MSGPACK, "application/vnd.msgpack": MSGPACK}
_WORTH_COMPRESSING = 1_000
_KEPT_BYTES = 64 << 20
_HEADERS = 64
"""Spellings of Accept and Accept-Encoding whose meaning is remembered."""


@dataclass(frozen=True, slots=True)
class Content:
    """An answer in the forms that it has.

    Parameters
    ----------
    json
        As JSON text; None if it has no such form.
    table
        Makes an Arrow table of it, where it is one.
    html
        As a page.
    headers
        Of the response, e.g. which tier answered.
    """

    json: bytes | None = None
    table: Callable[[], Any] | None = None
    html: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


async def respond(request: Request, content: Content) -> Response:
    """Return ``content`` as the request accepts it, or 304 if the client has it already; see ``negotiated``."""
    return negotiated(request.method, request.headers, content)


def negotiated(method: str, asked: Mapping[str, str], content: Content) -> Response:
    """Return ``content`` as headers of a request ask for it, or 304 if the client has it already.

    Raises
    ------
    ProblemError
        406, if the client accepts none of its forms.
    """
    offered = [
        name
        for name, has in (
            (JSON, content.json is not None),
            (MSGPACK, content.json is not None),
            (ARROW, content.table is not None),
            (HTML, content.html is not None),
        )
        if has
    ]
    media = chosen_media(asked.get("accept", "*/*"), tuple(offered))
    body = _body(content, media)
    digest = xxhash.xxh3_128_hexdigest(body)
    tag = f'W/"{digest}"'
    headers = {"ETag": tag, "Vary": "Accept, Accept-Encoding", "Cache-Control": "no-cache", **content.headers}
    if method in {"GET", "HEAD"} and _matches(asked.get("if-none-match"), tag):
        return Response(status_code=304, headers=headers)
    return _encoded(asked, body, Form(media, 200, headers), digest)


async def respond_json(
    request: Request, value: BaseModel, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a model that is true of this moment only, as JSON or msgpack."""
    media = chosen_media(request.headers.get("accept", "*/*"), (JSON, MSGPACK))
    body = _body(Content(json=value.model_dump_json().encode()), media)
    found = {"Cache-Control": "no-store", "Vary": "Accept, Accept-Encoding", **(headers or {})}
    return _encoded(request.headers, body, Form(media, status, found))


@lru_cache(_HEADERS)
def chosen_media(accept: str, offered: tuple[str, ...]) -> str:
    """Return the media type of ``offered`` that ``Accept`` prefers; the first where it does not mind.

    Raises
    ------
    ProblemError
        406, if it accepts none.
    """
    ranges = {}
    for part in accept.split(",") if accept.strip() else ["*/*"]:
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        ranges[_ALIASES.get(name, name)] = _quality(parameters)
    best, best_rank = None, (0.0, 0)
    for media in offered:
        # The most precise range that covers a form speaks for it, even if it refuses it.
        names = ("*/*", f"{media.partition('/')[0]}/*", media)
        precision = max((place for place, name in enumerate(names) if name in ranges), default=None)
        if precision is None:
            continue
        rank = (ranges[names[precision]], precision)
        if rank[0] > 0 and rank > best_rank:
            best, best_rank = media, rank
    if best is None:
        raise ProblemError(406, f"this answer comes as {', '.join(offered)}; Accept names none of them")
    return best


@lru_cache(_HEADERS)
def chosen_encoding(accept: str) -> str | None:
    """Return ``zstd`` or ``gzip`` if ``Accept-Encoding`` names it, the former first; None for neither."""
    qualities = {}
    for part in accept.split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        qualities[name] = _quality(parameters)
    known = [name for name in ("zstd", "gzip") if qualities.get(name, qualities.get("*", 0.0)) > 0]
    return max(known, key=lambda name: qualities.get(name, 0.0), default=None)


def arrow_stream(table: Any) -> bytes:  # noqa: ANN401 (pyarrow carries no types)
    """Return a table as an Arrow IPC stream."""
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    found: bytes = sink.getvalue().to_pybytes()
    return found


def compressed(body: bytes, encoding: str) -> bytes:
    """Return ``body`` in a content encoding."""
    if encoding == "gzip":
        packer = zlib.compressobj(5, zlib.DEFLATED, 31)
        return packer.compress(body) + packer.flush()
    import pyarrow as pa

    found: bytes = pa.compress(body, codec="zstd", asbytes=True)
    return found


class _Kept:
    """Compressed bodies by what they were and how, least recently used out first."""

    def __init__(self, budget: int = _KEPT_BYTES) -> None:
        self._budget, self._bytes = budget, 0
        self._bodies: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._lock = Lock()

    def get(self, body: bytes, digest: str | None, encoding: str) -> bytes:
        if digest is None:
            return compressed(body, encoding)
        key = (digest, encoding)
        with self._lock:
            found = self._bodies.get(key)
            if found is not None:
                self._bodies.move_to_end(key)
                return found
        made = compressed(body, encoding)
        with self._lock:
            if key not in self._bodies:
                self._bodies[key] = made
                self._bytes += len(made)
            while self._bytes > self._budget:
                self._bytes -= len(self._bodies.popitem(last=False)[1])
        return made


_kept = _Kept()


@dataclass(frozen=True, slots=True)
class Form:
    """Media type, status and headers of a response."""

    media: str
    status: int
    headers: Mapping[str, str]


def _encoded(asked: Mapping[str, str], body: bytes, form: Form, digest: str | None = None) -> Response:
    encoding = chosen_encoding(asked.get("accept-encoding", ""))
    found = dict(form.headers)
    if encoding is not None and len(body) >= _WORTH_COMPRESSING:
        body = _kept.get(body, digest, encoding)
        found["Content-Encoding"] = encoding
    return Response(
        body, form.status, found, "text/html; charset=utf-8" if form.media == HTML else form.media
    )


def _body(content: Content, media: str) -> bytes:
    if media == JSON:
        assert content.json is not None  # noqa: S101 (it was offered)
        return content.json
    if media == MSGPACK:
        import json

        import msgpack

        packed: bytes = msgpack.packb(json.loads(content.json or b"null"))
        return packed
    if media == ARROW:
        assert content.table is not None  # noqa: S101 (it was offered)
        return arrow_stream(content.table())
    return content.html or b""


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return min(1.0, max(0.0, float(parameter[2:])))
            except ValueError:
                return 0.0
    return 1.0


def _matches(header: str | None, tag: str) -> bool:
    if header is None:
        return False
    plain = tag.removeprefix("W/")
    return header.strip() == "*" or any(
        part.strip().removeprefix("W/") == plain for part in header.split(",")
    )
