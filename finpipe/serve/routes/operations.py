"""Endpoints about the service itself: health, cache, metrics."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from finpipe.serve.models import CacheAnswer, HealthAnswer
from finpipe.serve.negotiation import respond_json
from finpipe.serve.routes.shared import ServiceOf

router = APIRouter(tags=["service"])


@router.get("/api/health", response_model=HealthAnswer, summary="Does the service work?")
async def health(request: Request, service: ServiceOf) -> Response:
    """Answer at once, whatever else is under way; needs no token."""
    return await respond_json(request, service.health())


@router.get("/api/cache", response_model=CacheAnswer, summary="Where the cache stands")
async def cache(
    request: Request,
    service: ServiceOf,
    window: Annotated[
        float | None,
        Query(gt=0, le=31 * 86_400, allow_inf_nan=False, description="seconds that the hit ratio looks back"),
    ] = None,
) -> Response:
    """Tiers, counts, hit ratio, prefetch, and the history of prices."""
    return await respond_json(request, await service.cache_state(window))


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    summary="Metrics for Prometheus",
)
async def metrics(service: ServiceOf) -> Response:
    """Requests, latencies, jobs, workers and caches in Prometheus' text format."""
    text = await service.metrics_text()
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")
