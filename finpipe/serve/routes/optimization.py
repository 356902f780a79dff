"""Endpoints about weights: optimal portfolios as jobs, the frontier, and the past of given weights."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from finpipe.portfolio.requests import BenchmarkRequest, FrontierRequest, OptimizeRequest
from finpipe.serve.models import BenchmarkAnswer, FrontierAnswer, JobAnswer, PortfolioAnswer
from finpipe.serve.negotiation import respond, respond_json
from finpipe.serve.routes.shared import CACHED, JobId, ServiceOf

router = APIRouter(prefix="/api", tags=["portfolios"])

_STARTED: dict[int | str, dict[str, Any]] = {
    **CACHED,
    202: {
        "model": JobAnswer,
        "description": "the computation has begun; Location names the job",
        "headers": {"Location": {"schema": {"type": "string"}, "description": "address of the job"}},
    },
}
_EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": (
            "server-sent events: `progress` (a job), then one of `done`, `failed`, `cancelled` (a job), "
            "after which the stream ends; comments in between keep it open"
        ),
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}


@router.post("/optimize", response_model=PortfolioAnswer, responses=_STARTED, summary="Optimal weights")
async def optimize(request: Request, service: ServiceOf, asked: OptimizeRequest) -> Response:
    """Answer at once what is known already (200); else begin a job (202), to be followed, fetched or cancelled."""
    found, job = await service.jobs.ask(asked, request)
    if job is None:
        return await respond(request, found)
    return await respond_json(
        request, job.answer(), status=202, headers={"Location": f"/api/optimize/{job.id}"}
    )


@router.get("/optimize/{job_id}", response_model=JobAnswer, summary="A job and its result")
async def job(request: Request, service: ServiceOf, job_id: JobId) -> Response:
    """Tell how far a job is; with the result when it is done. Jobs are kept for an hour after their end."""
    return await respond_json(request, service.jobs.of(job_id).answer())


@router.get(
    "/optimize/{job_id}/events", response_class=Response, responses=_EVENTS, summary="Progress of a job"
)
async def events(request: Request, service: ServiceOf, job_id: JobId) -> Response:
    """Follow a job by server-sent events."""
    return service.jobs.stream(service.jobs.of(job_id), request)


@router.delete("/optimize/{job_id}", response_model=JobAnswer, summary="Cancel a job")
async def cancel(request: Request, service: ServiceOf, job_id: JobId) -> Response:
    """Stop a job; its process is ended. A job that is over stays as it is."""
    return await respond_json(request, service.jobs.cancel(job_id).answer())


@router.post("/frontier", response_model=FrontierAnswer, responses=CACHED, summary="Efficient frontier")
async def frontier(request: Request, service: ServiceOf, asked: FrontierRequest) -> Response:
    """Portfolios from the least volatility to the highest return, the tangency portfolio among them."""
    return await respond(request, await service.answers.get("frontier", asked, request))


@router.post(
    "/benchmark", response_model=BenchmarkAnswer, responses=CACHED, summary="The past of a portfolio"
)
async def benchmark(request: Request, service: ServiceOf, asked: BenchmarkRequest) -> Response:
    """Compare weights, bought and held, with an index and the risk-free rate."""
    return await respond(request, await service.answers.get("benchmark", asked, request))
