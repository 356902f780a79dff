"""Errors as problem details (RFC 9457): every response of 400 and above is one, whoever raised it."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import ValidationError
from starlette.exceptions import HTTPException

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
_LONGEST = 2_000


class ProblemError(HTTPException):
    """A request that gets a problem for an answer.

    Parameters
    ----------
    status
        Of the response.
    detail
        What is wrong, where, and what would work.
    headers
        Of the response.
    errors
        Pairs of ``pointer`` and ``detail`` of the fields that cannot be used.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        errors: Sequence[Mapping[str, str]] | None = None,
    ) -> None:
        super().__init__(status, detail, dict(headers or {}))
        self.errors = errors


def problem(
    status: int,
    detail: str | None = None,
    *,
    errors: Sequence[Mapping[str, str]] | None = None,
    instance: str | None = None,
) -> dict[str, Any]:
    """Return problem details as plain values."""
    found: dict[str, Any] = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status}
    if detail is not None:
        found["detail"] = detail[:_LONGEST]
    if instance is not None:
        found["instance"] = instance
    if errors is not None:
        found["errors"] = [dict(error) for error in errors]
    return found


def problem_response(
    status: int,
    detail: str | None = None,
    *,
    headers: Mapping[str, str] | None = None,
    errors: Sequence[Mapping[str, str]] | None = None,
    instance: str | None = None,
) -> Response:
    """Return a response of problem details."""
    content = problem(status, detail, errors=errors, instance=instance)
    body = json.dumps(content, ensure_ascii=True, allow_nan=False).encode("ascii")
    return Response(body, status, {"Cache-Control": "no-store", **(headers or {})}, MEDIA_TYPE)


def field_problems(error: ValidationError | RequestValidationError, prefix: str = "") -> list[dict[str, str]]:
    """Return where and what is wrong, for each field that cannot be used."""
    found = []
    for item in error.errors()[:50]:
        where = "/".join(str(part) for part in item["loc"]) or "body"
        message = str(item["msg"]).removeprefix("Value error, ")
        found.append({"pointer": f"{prefix}{where}"[:200], "detail": message[:_LONGEST]})
    return found


def install(app: FastAPI) -> None:
    """Let ``app`` answer every error with a problem."""

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        errors = error.errors if isinstance(error, ProblemError) else None
        detail = str(error.detail) if error.detail else None
        if not isinstance(error, ProblemError):
            detail = _usual(request, error.status_code) or detail
        return problem_response(
            error.status_code, detail, headers=error.headers, errors=errors, instance=_instance(request)
        )

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> Response:
        return _fields(request, field_problems(error))

    @app.exception_handler(ValidationError)
    async def _invalid_model(request: Request, error: ValidationError) -> Response:
        return _fields(request, field_problems(error))

    @app.exception_handler(Exception)
    async def _unexpected(request: Request, error: Exception) -> Response:
        log.error("a request failed", exc_info=error, extra={"request": _instance(request)})
        return problem_response(
            500,
            "the service failed at this; its log says more under the instance",
            instance=_instance(request),
        )


def _fields(request: Request, errors: list[dict[str, str]]) -> Response:
    if any("JSON decode error" in error["detail"] for error in errors):
        return problem_response(400, "the body is no JSON", errors=errors, instance=_instance(request))
    first = errors[0] if errors else {"pointer": "request", "detail": "cannot be used"}
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    detail = f"{first['pointer']}: {first['detail']}{more}"
    return problem_response(422, detail, errors=errors, instance=_instance(request))


def _usual(request: Request, status: int) -> str | None:
    if status == 404:
        return f"there is nothing at {request.url.path}; /api/docs lists what there is"
    if status == 405:
        return f"{request.method} is not possible at {request.url.path}; Allow names what is"
    return None


def _instance(request: Request) -> str | None:
    found = request.scope.get("finpipe.request_id")
    return f"urn:request:{found}" if found else None
