"""Endpoints about whole markets: screens, and what the Korean line made in this home."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from finpipe.serve.models import PicksAnswer, ReportList, ScreenRequest, TableAnswer
from finpipe.serve.negotiation import respond
from finpipe.serve.routes.shared import CACHED, TABULAR, ServiceOf

router = APIRouter(prefix="/api", tags=["market"])

Variant = Annotated[
    str | None,
    Query(pattern=r"^[A-Za-z0-9_.-]{1,100}$", description="study, e.g. top_n-h21; the latest if not given"),
]


@router.post(
    "/screen", response_model=TableAnswer, responses=TABULAR, summary="Stocks whose figures lie within bounds"
)
async def screen(request: Request, service: ServiceOf, asked: ScreenRequest) -> Response:
    """Price figures of all tickers of the history, or features of the Korean stocks of this home."""
    return await respond(request, await service.screen(asked, request))


@router.get("/picks", response_model=PicksAnswer, responses=TABULAR, summary="The latest Korean picks")
async def picks(request: Request, service: ServiceOf, variant: Variant = None) -> Response:
    """What to buy (with weights), to avoid, and what stands out, as ``finpipe run`` made it."""
    return await respond(request, await service.picks(variant))


@router.get(
    "/research/reports", response_model=ReportList, responses=CACHED, summary="Korean research reports"
)
async def reports(request: Request, service: ServiceOf) -> Response:
    """The reports that ``finpipe run`` made in this home."""
    return await respond(request, await service.reports())


@router.get(
    "/research/report",
    response_class=Response,
    responses={200: {"content": {"text/html": {}}}, 304: CACHED[304]},
    summary="A Korean research report",
)
async def report(request: Request, service: ServiceOf, variant: Variant = None) -> Response:
    """One report as a self-contained page."""
    return await respond(request, await service.report(variant))
