"""Endpoints about saved portfolios."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Request, Response

from finpipe.serve.models import NewPortfolio, PortfolioList, SavedAnswer
from finpipe.serve.negotiation import respond_json
from finpipe.serve.routes.shared import PortfolioId, ServiceOf

router = APIRouter(prefix="/api/portfolios", tags=["saved portfolios"])


@router.get("", response_model=PortfolioList, summary="List portfolios")
async def list_portfolios(request: Request, service: ServiceOf) -> Response:
    """All saved portfolios, latest first; damaged files are named."""
    return await respond_json(request, await service.saved.list())


@router.get("/{portfolio_id}", response_model=SavedAnswer, summary="Load a portfolio")
async def load_portfolio(request: Request, service: ServiceOf, portfolio_id: PortfolioId) -> Response:
    """One saved portfolio."""
    return await respond_json(request, await service.saved.load(portfolio_id))


@router.put(
    "/{portfolio_id}",
    response_model=SavedAnswer,
    responses={201: {"model": SavedAnswer}},
    summary="Save a portfolio",
)
async def save_portfolio(
    request: Request,
    service: ServiceOf,
    portfolio_id: PortfolioId,
    portfolio: NewPortfolio,
    if_none_match: Annotated[
        str | None, Header(max_length=100, description="* refuses to replace one")
    ] = None,
) -> Response:
    """Save a portfolio in place of the one there; with ``If-None-Match: *`` only if there is none (412)."""
    made, saved = await service.saved.save(portfolio_id, portfolio, only_new=if_none_match == "*")
    return await respond_json(request, saved, status=201 if made else 200)


@router.delete("/{portfolio_id}", status_code=204, summary="Delete a portfolio")
async def delete_portfolio(service: ServiceOf, portfolio_id: PortfolioId) -> Response:
    """Remove a saved portfolio."""
    await service.saved.delete(portfolio_id)
    return Response(status_code=204)
