"""Answers that were given a moment ago, given again before the request is read once more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from finpipe.serve.negotiation import negotiated
from finpipe.serve.problems import ProblemError

if TYPE_CHECKING:
    from finpipe.serve.answers import Answers


class AtHand:
    """Middleware, behind limits and log: a GET whose answer is in memory needs neither routing nor validation.

    Whatever is not plain is left to the endpoints: an address not answered before, an answer no longer fresh, a form
    that cannot be had.

    Parameters
    ----------
    answers
        Which remember what addresses were read as.
    """

    def __init__(self, app: ASGIApp, answers: Answers) -> None:
        self._app, self._answers = app, answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] == "http" and scope["method"] == "GET":
            headers = Headers(raw=scope["headers"])
            try:
                content = self._answers.again(scope, headers)
                response = None if content is None else negotiated("GET", headers, content)
            except ProblemError:
                response = None
            if response is not None:
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)
