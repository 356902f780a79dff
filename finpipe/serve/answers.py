"""Answers of functions: from the caches where they are known, else computed once by a worker, and kept."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from fastapi import Request as HttpRequest
from starlette.types import Scope

from finpipe.cache import request as cached
from finpipe.cache.entry import Value
from finpipe.market.daily_bars import ProviderError
from finpipe.portfolio.answers import requested
from finpipe.portfolio.requests import Request
from finpipe.serve.caches import Caches
from finpipe.serve.negotiation import Content
from finpipe.serve.plans import Plan, Plans
from finpipe.serve.pool import BusyError, Task, TaskError, TaskTimeoutError, Told, WorkerPool
from finpipe.serve.problems import ProblemError
from finpipe.serve.tasks import MissingError
from finpipe.serve.usage import Usage
from finpipe.settings import Settings

LONG = frozenset({"optimize", "frontier"})
"""Kinds that may take long: they never take the last worker."""

STATUS_OF = {"refused": 422, "missing": 404, "provider": 503, "failed": 500}
_RETRY = {"Retry-After": "5"}
_MOST_ADDRESSES = 4096
_LONGEST_ADDRESS = 512


@dataclass(frozen=True, slots=True)
class _Given:
    """What an address was read as: a question of a kind, by its canonical text, and the route that it took."""

    kind: str
    question: str
    route: object


class Answers:
    """Answers of one service.

    Parameters
    ----------
    threads
        In which lookups wait; a lookup that finds its value in memory does not need one.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        plans: Plans,
        caches: Caches,
        pool: WorkerPool,
        threads: ThreadPoolExecutor,
        usage: Usage,
    ) -> None:
        self._settings, self._plans, self._caches = settings, plans, caches
        self._pool, self._threads, self._usage = pool, threads, usage
        self._loop: asyncio.AbstractEventLoop | None = None
        self._given: OrderedDict[tuple[str, bytes], _Given] = OrderedDict()

    def start(self) -> None:
        """Take note of the running loop, on which workers are asked."""
        self._loop = asyncio.get_running_loop()

    async def get(self, kind: str, asked: Request, http: HttpRequest | None = None) -> Content:
        """Return the answer to a question of a kind."""
        filled = self._filled(asked)
        plan = await self._plan(filled)
        self._usage.asked(kind, plan, None if http is None else http.headers)
        answer = self.found(kind, plan)
        if answer is None:
            answer = await self.in_thread(lambda: self.compute(kind, plan))
        content = content_of(answer)
        if http is not None and http.method == "GET":
            self._remember(http, _Given(kind, filled.canonical(), http.scope.get("route")))
        return content

    def again(self, scope: Scope, headers: Mapping[str, str]) -> Content | None:
        """The answer to a GET whose address was answered before, if its plan and its value are at hand.

        The address stands for the question that it was read as; plan, version of the prices and freshness are looked
        at anew.
        """
        address = _address(scope)
        given = self._given.get(address)
        if given is None:
            return None
        plan = self._plans.known(given.question)
        if plan is None:
            return None
        answer = self.found(given.kind, plan)
        if answer is None:
            return None
        scope["route"] = given.route
        self._usage.asked(given.kind, plan, headers)
        return content_of(answer)

    async def plan(self, asked: Request) -> Plan:
        """Return the plan of a question; what it leaves open is taken from the settings."""
        return await self._plan(self._filled(asked))

    def found(self, kind: str, plan: Plan) -> cached.Answer | None:
        """The answer, if it is in memory."""
        with problems():
            key = self._plans.key(kind, plan)
        if not self._caches.at_hand(key):
            return None
        answer = self._caches.results_lookup.get(
            cached.Request(key, _gone, self._plans.policy(kind, plan, key))
        )
        return answer if answer.error is None else None

    def compute(
        self,
        kind: str,
        plan: Plan,
        *,
        told: Told | None = None,
        begun: Callable[[Future[bytes]], None] | None = None,
        background: bool = False,
    ) -> cached.Answer:
        """Return the answer from the caches or from a worker; waits, and so belongs in a thread.

        Parameters
        ----------
        told
            Progress of the worker.
        begun
            Gets what to cancel so that the worker ends.
        background
            Nobody waits for it.
        """
        request = self.request(kind, plan, told=told, begun=begun, background=background)
        answer = self._caches.results_lookup.get(request, background=background)
        if answer.error is None and answer.tier == "computed":
            self._keep_under_new_key(kind, plan, request.key, answer)
        return answer

    def request(
        self,
        kind: str,
        plan: Plan,
        *,
        told: Told | None = None,
        begun: Callable[[Future[bytes]], None] | None = None,
        background: bool = False,
        update: bool = True,
    ) -> cached.Request:
        """Return the question as the lookup takes it."""
        long = kind in LONG or background
        limit = self._settings.serve_job_seconds if told or background else self._settings.serve_seconds
        task = Task(kind, plan.asked.model_dump_json(), update=update, long=long, limit=limit)
        key = self._plans.key(kind, plan)
        policy = self._plans.policy(kind, plan, key)
        return cached.Request(key, lambda: self._worked(task, told, begun), policy)

    async def in_thread(self, function: Callable[[], Any]) -> Any:  # noqa: ANN401 (whatever it returns)
        """Run what may wait in a thread; its errors become problems."""
        with problems():
            return await asyncio.get_running_loop().run_in_executor(self._threads, function)

    def ask_worker(self, task: Task, told: Told | None = None) -> bytes:
        """Wait in a thread for a worker's answer."""
        return self._submitted(task, told).result()

    def _filled(self, asked: Request) -> Request:
        with problems():
            return requested(type(asked), self._settings, **asked.model_dump(exclude_unset=True))

    async def _plan(self, filled: Request) -> Plan:
        return self._plans.at_hand(filled) or await self.in_thread(lambda: self._plans.of(filled))

    def _remember(self, http: HttpRequest, given: _Given) -> None:
        address = _address(http.scope)
        if len(address[0]) + len(address[1]) <= _LONGEST_ADDRESS:
            self._given[address] = given
            self._given.move_to_end(address)
            while len(self._given) > _MOST_ADDRESSES:
                self._given.popitem(last=False)

    def _submitted(self, task: Task, told: Told | None) -> Future[bytes]:
        assert self._loop is not None  # noqa: S101 (it has started)
        return asyncio.run_coroutine_threadsafe(self._pool.run(task, told), self._loop)

    def _worked(self, task: Task, told: Told | None, begun: Callable[[Future[bytes]], None] | None) -> Value:
        import json

        future = self._submitted(task, told)
        if begun is not None:
            begun(future)
        value: Value = json.loads(future.result())
        return value

    def _keep_under_new_key(self, kind: str, plan: Plan, key: str, answer: cached.Answer) -> None:
        """The worker may have brought prices: then the answer belongs to their version."""
        now = self._plans.key(kind, plan)
        if now != key:
            request = cached.Request(now, lambda: answer.value, self._plans.policy(kind, plan, now))
            self._caches.results_lookup.get(request, background=True)


class problems:  # noqa: N801 (reads as a statement)
    """A context in which the errors of an answer become problems."""

    def __enter__(self) -> None:
        """Enter."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        """Raise the problem that an error is."""
        if error is not None and (found := problem_of(error)) is not None:
            raise found from error


def problem_of(error: BaseException) -> ProblemError | None:
    """Return the problem that an error of an answer is; None if it is a fault of ours."""
    found: ProblemError | None = None
    match error:
        case ProblemError():
            found = error
        case TaskError(kind=kind):
            detail = str(error) if kind != "failed" else f"the computation failed: {error}"
            found = ProblemError(STATUS_OF[kind], detail, headers=_RETRY if kind == "provider" else None)
        case BusyError() | ProviderError():
            found = ProblemError(503, str(error), headers=_RETRY)
        case TaskTimeoutError():
            found = ProblemError(504, str(error))
        case CancelledError():
            found = ProblemError(409, "the computation was cancelled")
        case MissingError():
            found = ProblemError(404, str(error))
        case ValueError() if type(error).__module__.startswith("finpipe."):
            found = ProblemError(422, str(error))
    return found


def content_of(answer: cached.Answer) -> Content:
    """Return an answer in JSON as it was kept.

    Raises
    ------
    Exception
        What the computation raised.
    """
    import json

    if answer.error is not None:
        raise problem_of(answer.error) or answer.error
    entry = answer.entry
    if entry is not None and isinstance(entry.payload, bytes):
        text = entry.payload
    else:
        text = json.dumps(answer.value, ensure_ascii=False).encode()
    return Content(json=text, headers={"X-Cache": answer.tier})


def _address(scope: Scope) -> tuple[str, bytes]:
    return scope["path"], scope.get("query_string", b"")


def _gone() -> Value:
    raise LookupError("the value has just gone from memory")
