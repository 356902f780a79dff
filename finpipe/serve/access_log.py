"""One line of JSON for each request and each event: what, how long, how it ended; nothing about who asked."""

from __future__ import annotations

import datetime as dt
import json
import logging
import sys
import time
import uuid
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from finpipe.serve.metrics import Metrics

log = logging.getLogger("finpipe.serve.access")

_FIELDS = ("request", "method", "route", "status", "ms", "bytes", "cache")


class JsonLines(logging.Formatter):
    """Log records as lines of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        found: dict[str, Any] = {
            "time": dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        found |= {name: vars(record)[name] for name in _FIELDS if vars(record).get(name) is not None}
        if record.exc_info:
            found["error"] = self.formatException(record.exc_info)
        return json.dumps(found, ensure_ascii=True, default=str)


def log_as_json(level: str = "info") -> None:
    """Write what finpipe and the server log to standard error, as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    for name in ("finpipe", "uvicorn", "asyncio"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(level.upper() if name == "finpipe" else logging.WARNING)


class AccessLog:
    """Middleware: gives each request an identifier, measures it, and tells log and metrics."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["finpipe.request_id"] = request_id = uuid.uuid4().hex[:16]
        started = time.perf_counter()
        status, sent, cache = 500, 0, None

        async def told(message: Message) -> None:
            nonlocal status, sent, cache
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = message.setdefault("headers", [])
                cache = next((value.decode() for name, value in headers if name == b"x-cache"), None)
                headers.append((b"x-request-id", request_id.encode()))
            elif message["type"] == "http.response.body":
                sent += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, told)
        finally:
            seconds = time.perf_counter() - started
            route = getattr(scope.get("route"), "path", None) or "none"
            self._metrics.observe(scope["method"], route, status, seconds, sent)
            log.info(
                "request",
                extra={
                    "request": request_id,
                    "method": scope["method"],
                    "route": route,
                    "status": status,
                    "ms": round(seconds * 1000, 2),
                    "bytes": sent,
                    "cache": cache,
                },
            )
