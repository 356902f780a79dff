"""What a request may be: from whom, how often, how large, of which type and form; anything else ends here."""

from __future__ import annotations

import asyncio
import hmac
import json
import math
import re
import time
from collections import OrderedDict
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from finpipe.serve.page.routes import is_page
from finpipe.serve.problems import problem_response
from finpipe.settings import Settings

_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_OPEN = frozenset({"/api/health"})
_PATIENCE = 20.0
_DRAINED = 32 << 20
_DEEPEST = 24
_CLIENTS = 10_000
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]", "::1"})
_TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]')

Refusal = tuple[int, str, dict[str, str]]


class Limits:
    """Middleware: host, token, rate, size and form of a request.

    Parameters
    ----------
    settings
        Their values.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._token = settings.serve_token.get_secret_value() if settings.serve_token else None
        self._checks_host = self._token is None
        self._rates = Rates(settings.serve_rate)
        self._largest = settings.serve_body * 1024

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refused(scope, headers)
        if refusal is None and scope["method"] in _WITH_BODY:
            found = await self._body(headers, receive)
            if isinstance(found, bytes):
                receive = _again(found, receive)
            else:
                refusal = found
        if refusal is None:
            await self._app(scope, receive, send)
            return
        status, detail, more = refusal
        instance = f"urn:request:{scope.get('finpipe.request_id')}"
        await problem_response(status, detail, headers=more, instance=instance)(scope, receive, send)

    def _refused(self, scope: Scope, headers: Headers) -> Refusal | None:
        client = scope["client"][0] if scope.get("client") else ""
        wait = self._rates.wait(client, time.monotonic())
        if wait > 0:
            seconds = str(math.ceil(wait))
            return 429, f"too many requests: the next one is welcome in {seconds} s", {"Retry-After": seconds}
        if self._checks_host and _host(headers.get("host", "")) not in _LOOPBACK_NAMES:
            return 421, "this service answers to localhost only: other names could be another site's", {}
        if self._token is not None and scope["path"] not in _OPEN and not is_page(scope["path"]):
            given = headers.get("authorization", "")
            kind, _, token = given.partition(" ")
            if kind.lower() != "bearer" or not hmac.compare_digest(
                token.strip().encode(), self._token.encode()
            ):
                return (
                    401,
                    "this service needs its token: Authorization: Bearer TOKEN",
                    {"WWW-Authenticate": 'Bearer realm="finpipe"'},
                )
        return None

    async def _body(self, headers: Headers, receive: Receive) -> bytes | Refusal:
        too_large = (
            413,
            f"the body is larger than the {self._largest // 1024} KiB that a request may have",
            {"Connection": "close"},
        )
        try:
            async with asyncio.timeout(_PATIENCE):
                body = await _read(receive, self._largest)
        except TimeoutError:
            return 408, f"the body did not arrive within {_PATIENCE:.0f} s", {"Connection": "close"}
        if body is None:
            return too_large
        media = headers.get("content-type", "").partition(";")[0].strip().lower()
        if body and (
            media != "application/json" or headers.get("content-encoding", "identity") != "identity"
        ):
            return 415, "a body is JSON, as it is: Content-Type: application/json, no Content-Encoding", {}
        fault = json_fault(body) if body else None
        return body if fault is None else (400, f"the body cannot be used: {fault}", {})


class Rates:
    """How often clients ask: a bucket of tokens for each, refilled steadily, twice a second's worth deep.

    Parameters
    ----------
    per_second
        Requests of one client in the long run.
    """

    def __init__(self, per_second: float) -> None:
        self._per_second, self._depth = per_second, max(1.0, 2 * per_second)
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, client: str, now: float) -> float:
        """Take a token of a client; return 0, or the seconds until there is one."""
        left, at = self._left.pop(client, (self._depth, now))
        left = min(self._depth, left + (now - at) * self._per_second)
        taken = left >= 1
        self._left[client] = (left - taken, now)
        while len(self._left) > _CLIENTS:
            self._left.popitem(last=False)
        return 0.0 if taken else (1 - left) / self._per_second


def json_fault(body: bytes) -> str | None:
    """Return what is wrong with a text as JSON of finite numbers, not too deep; None if nothing is."""
    if body.count(b"[") + body.count(b"{") > _DEEPEST:
        depth = 0
        for found in _TOKENS.finditer(body):
            token = found[0]
            depth += (token in b"[{") - (token in b"]}")
            if depth > _DEEPEST:
                return f"it is nested deeper than {_DEEPEST} levels"
    try:
        value = json.loads(body, parse_constant=_constant, parse_float=_finite)
        if b"\\u" in body:
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return "it holds half of a surrogate pair"
    except (ValueError, RecursionError) as error:
        return f"it is no JSON ({error})"
    return None


def _constant(name: str) -> Any:  # noqa: ANN401 (never returns)
    raise ValueError(f"{name} is no JSON: use null for what is unknown")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:30]} is too large a number")
    return number


async def _read(receive: Receive, largest: int) -> bytes | None:
    """The body; None if it is too large. What is too large is read on for a while, so that the client hears of it."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b""
        part = message.get("body", b"")
        size += len(part)
        if size <= largest:
            parts.append(part)
        if not message.get("more_body") or size > _DRAINED:
            return b"".join(parts) if size <= largest else None


def _again(body: bytes, receive: Receive) -> Receive:
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def _host(header: str) -> str:
    name = header.rsplit(":", 1)[0] if re.search(r":\d*$", header) and not header.endswith("]") else header
    return name.lower()
