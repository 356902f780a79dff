"""Endpoints about tickers: one, a pair, their prices, their groups."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from finpipe.portfolio.requests import AnalyzeRequest, Forecast, HedgeRequest
from finpipe.serve.models import AnalysisAnswer, GroupList, HedgeAnswer, PricesAnswer
from finpipe.serve.negotiation import respond
from finpipe.serve.routes.shared import CACHED, TABULAR, Period, ServiceOf, TickerPath

router = APIRouter(prefix="/api", tags=["stocks"])


class AnalyzeQuery(Period):
    """What is asked about one ticker."""

    forecast: Forecast = Field("ensemble", description="method of the forecast")
    benchmark: str | None = Field(
        None, max_length=32, description="ticker that beta and correlation refer to"
    )
    risk_free: float = Field(0.0, gt=-0.5, lt=1, allow_inf_nan=False, description="fraction a year")


class HedgeQuery(Period):
    """What is asked about a pair."""

    first: str = Field(min_length=1, max_length=32, description="ticker that is held")
    second: str = Field(min_length=1, max_length=32, description="ticker that may hedge it")


class PricesQuery(Period):
    """Which bars are asked for."""

    tickers: str | None = Field(
        None, min_length=1, max_length=40_000, description="tickers in Yahoo's spelling, apart by commas"
    )
    group: str | None = Field(None, max_length=64, description="name of a group, in place of tickers")
    every: Literal["day", "week", "month"] = Field("day", description="length of a bar")


@router.get(
    "/analyze/{ticker}", response_model=AnalysisAnswer, responses=CACHED, summary="Analysis of one ticker"
)
async def analyze(
    request: Request, service: ServiceOf, ticker: TickerPath, query: Annotated[AnalyzeQuery, Query()]
) -> Response:
    """Chart data, return and risk figures, ranges, and a forecast with its band."""
    asked = AnalyzeRequest(ticker=ticker, **query.model_dump(exclude_unset=True))
    return await respond(request, await service.answers.get("analyze", asked, request))


@router.get("/hedge", response_model=HedgeAnswer, responses=CACHED, summary="Does one ticker hedge another?")
async def hedge(request: Request, service: ServiceOf, query: Annotated[HedgeQuery, Query()]) -> Response:
    """Correlation and its significance, hedge ratio, minimum-variance pair."""
    asked = HedgeRequest(**query.model_dump(exclude_unset=True))
    return await respond(request, await service.answers.get("hedge", asked, request))


@router.get(
    "/prices", response_model=PricesAnswer, responses=TABULAR, summary="Daily, weekly or monthly bars"
)
async def prices(request: Request, service: ServiceOf, query: Annotated[PricesQuery, Query()]) -> Response:
    """Bars of several tickers, or of a group; as an Arrow stream in one table."""
    return await respond(request, await service.prices.get(query, request))


@router.get("/groups", response_model=GroupList, responses=CACHED, summary="Groups of tickers")
async def groups(request: Request, service: ServiceOf) -> Response:
    """The shipped groups and those of the settings, with sectors where known."""
    return await respond(
        request,
        await service.groups(),
    )
