"""The application: endpoints, errors, limits and the page, put together on a service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI

from finpipe.serve import documentation, problems
from finpipe.serve.access_log import AccessLog
from finpipe.serve.at_hand import AtHand
from finpipe.serve.limits import Limits
from finpipe.serve.page.routes import page_routes
from finpipe.serve.routes import market, operations, optimization, portfolios, stocks
from finpipe.settings import Settings

_DESCRIPTION = """Analyses, portfolios and screens over HTTP. Answers come as JSON, as msgpack (`Accept:
application/msgpack`) and, where they are tables, as an Arrow stream (`Accept: application/vnd.apache.arrow.stream`);
errors are problem details (RFC 9457). Numbers that are unknown are null; fractions are fractions."""


def create_app(settings: Settings) -> FastAPI:
    """Return the application on the home of ``settings``; it starts and ends its workers with its lifespan."""
    from finpipe.serve.service import Service

    service = Service(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await service.start()
        try:
            yield
        finally:
            await service.stop()

    app = FastAPI(
        title="finpipe",
        version=version("finpipe"),
        description=_DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
        redirect_slashes=False,
    )
    app.state.service = service
    problems.install(app)
    for part in (stocks, optimization, portfolios, market, operations):
        app.include_router(part.router)
    app.include_router(page_routes())
    app.include_router(documentation.router)
    app.add_middleware(AtHand, answers=service.answers)
    app.add_middleware(Limits, settings=settings)
    app.add_middleware(AccessLog, metrics=service.metrics)
    generate = app.openapi

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _with_problems(generate())
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]
    return app


def _with_problems(document: dict[str, Any]) -> dict[str, Any]:
    """Describe errors as what they are: problem details, in place of the framework's own."""
    from finpipe.serve.models import Problem

    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    own = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(own.pop("$defs", {}))
    schemas["Problem"] = own
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{}, {"token": []}]
    content = {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for path in document["paths"].values():
        for operation in path.values():
            responses = operation["responses"]
            for status in [status for status in responses if status.startswith(("4", "5"))]:
                del responses[status]
            responses["4XX"] = {"description": "the request cannot be answered", "content": content}
            responses["5XX"] = {"description": "the service cannot answer now", "content": content}
    return document
