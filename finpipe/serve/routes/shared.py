"""What the endpoints share: how they get at the service, and how their responses are described."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from finpipe.serve.service import Service

MSGPACK = "application/msgpack"
ARROW = "application/vnd.apache.arrow.stream"

CACHED: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {MSGPACK: {}},
        "headers": {"ETag": {"schema": {"type": "string"}, "description": "version of the answer"}},
    },
    304: {"description": "the version named by If-None-Match is the current one"},
}
"""Responses that carry an ETag, as JSON or msgpack."""

TABULAR: dict[int | str, dict[str, Any]] = {
    **CACHED,
    200: {**CACHED[200], "content": {MSGPACK: {}, ARROW: {}}},
}
"""The same, which an Arrow stream can carry too."""


async def service_of(request: Request) -> Service:
    """Return the service that the application runs on."""
    found: Service = request.app.state.service
    return found


ServiceOf = Annotated[Service, Depends(service_of)]

TickerPath = Annotated[
    str, Path(min_length=1, max_length=32, description="ticker in Yahoo's spelling, e.g. AAPL")
]
PortfolioId = Annotated[
    str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$", description="letters, digits, _ and -, at most 64")
]
JobId = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$", description="as the service gave it")]
TickerList = Annotated[
    str,
    Query(
        min_length=1,
        max_length=40_000,
        description="tickers in Yahoo's spelling, apart by commas, e.g. AAPL,MSFT",
    ),
]


class Period(BaseModel):
    """First and last day of a question, as query parameters."""

    model_config = ConfigDict(extra="forbid")

    start: dt.date | None = Field(
        None, description="first day, included; five years before the end if not given"
    )
    end: dt.date | None = Field(
        None, description="last day, included; the last finished session if not given"
    )
