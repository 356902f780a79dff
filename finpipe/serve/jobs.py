"""Optimisations under way: asked for, followed, fetched, cancelled; equal ones are computed once."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request as HttpRequest
from fastapi.responses import Response, StreamingResponse

from finpipe.cache import request as cached
from finpipe.portfolio.requests import OptimizeRequest
from finpipe.serve.answers import Answers, content_of, problem_of
from finpipe.serve.caches import Caches
from finpipe.serve.models import JobAnswer, JobState, Problem
from finpipe.serve.negotiation import Content
from finpipe.serve.plans import Plan, Plans
from finpipe.serve.problems import ProblemError, problem
from finpipe.serve.usage import Usage

log = logging.getLogger(__name__)

KIND = "optimize"
KEPT_SECONDS = 3600.0
_MOST = 1000
_MOST_OF_CLIENT = 16
_PING = 15.0
OVER = frozenset({"done", "failed", "cancelled"})

_STAGES = (("prices", 0.0, 0.3), ("estimates", 0.3, 0.3), ("forecasts", 0.3, 0.9), ("weights", 0.9, 1.0))


@dataclass(eq=False, slots=True)
class Work:
    """One computation, which several equal jobs may wait for."""

    key: str
    stage: str = "waiting for a worker"
    progress: float = 0.0
    state: JobState = "waiting"
    future: Future[bytes] | None = None
    jobs: set[str] = field(default_factory=set)
    content: Content | None = None
    problem: dict[str, Any] | None = None
    ended_at: float | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self) -> None:
        """Wake those who follow."""
        self.changed.set()
        self.changed = asyncio.Event()


@dataclass(eq=False, slots=True)
class Job:
    """What a client asked for."""

    id: str
    work: Work
    client: str
    asked_at: float
    cancelled_at: float | None = None

    @property
    def state(self) -> JobState:
        """How it stands."""
        return "cancelled" if self.cancelled_at is not None else self.work.state

    def body(self) -> bytes:
        """The job as JSON; its result as it was computed."""
        answer = self.answer(with_result=False).model_dump_json().encode()
        content = self.work.content
        if self.state != "done" or content is None or content.json is None:
            return answer
        return answer.replace(b'"result":null', b'"result":' + content.json, 1)

    def answer(self, *, with_result: bool = True) -> JobAnswer:
        """The job as a model."""
        work = self.work
        ended = self.cancelled_at or work.ended_at or time.monotonic()
        values: dict[str, Any] = {
            "id": self.id,
            "state": self.state,
            "stage": "cancelled" if self.state == "cancelled" else work.stage,
            "progress": work.progress,
            "seconds": max(0.0, ended - self.asked_at),
            "problem": Problem(**work.problem) if work.problem and self.state == "failed" else None,
        }
        if with_result and self.state == "done" and work.content is not None:
            import json

            values["result"] = json.loads(work.content.json or b"null")
        return JobAnswer(**values)


class Jobs:
    """The jobs of one service; all methods belong to its event loop."""

    def __init__(self, answers: Answers, plans: Plans, caches: Caches, usage: Usage) -> None:
        self._answers, self._plans, self._caches, self._usage = answers, plans, caches, usage
        self._jobs: dict[str, Job] = {}
        self._works: dict[str, Work] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def counts(self) -> dict[str, int]:
        """How many jobs are in each state."""
        found = dict.fromkeys(("waiting", "running", "done", "failed", "cancelled"), 0)
        for job in self._jobs.values():
            found[job.state] += 1
        return found

    async def ask(self, asked: OptimizeRequest, http: HttpRequest) -> tuple[Content, Job | None]:
        """Return the answer if it is known, else begin a job.

        Raises
        ------
        ProblemError
            The question makes no sense, or the client has too many jobs under way.
        """
        plan = await self._answers.plan(asked)
        self._usage.asked(KIND, plan, http.headers)
        answer = self._answers.found(KIND, plan)
        if answer is None:
            key = self._plans.key(KIND, plan)
            if await self._answers.in_thread(lambda: self._caches.holds(key)):
                answer = await self._answers.in_thread(lambda: self._answers.compute(KIND, plan))
        if answer is not None:
            return content_of(answer), None
        await self._answers.in_thread(lambda: _refuse_nonsense(plan))
        return Content(), self._begin(plan, http.client.host if http.client else "")

    def of(self, job_id: str) -> Job:
        """Return a job.

        Raises
        ------
        ProblemError
            404, if there is none.
        """
        self._forget_old()
        found = self._jobs.get(job_id)
        if found is None:
            raise ProblemError(
                404,
                f"there is no job {job_id}; jobs are kept for {KEPT_SECONDS / 60:.0f} minutes after their end",
            )
        return found

    def cancel(self, job_id: str) -> Job:
        """Cancel a job; the computation ends if nobody else waits for it."""
        job = self.of(job_id)
        if job.state in OVER:
            return job
        job.cancelled_at = time.monotonic()
        work = job.work
        work.jobs.discard(job.id)
        if not work.jobs:
            self._works.pop(work.key, None)
            if work.future is not None:
                work.future.cancel()
        work.tell()
        return job

    def stream(self, job: Job, http: HttpRequest) -> Response:
        """Return the events of a job until it is over."""
        del http
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(_events(job), media_type="text/event-stream", headers=headers)

    async def stop(self) -> None:
        """Cancel everything."""
        for job in list(self._jobs.values()):
            self.cancel(job.id)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self, plan: Plan, client: str) -> Job:
        self._forget_old()
        under_way = [job for job in self._jobs.values() if job.state not in OVER]
        if len([job for job in under_way if job.client == client]) >= _MOST_OF_CLIENT:
            raise ProblemError(
                429,
                f"{_MOST_OF_CLIENT} jobs of this client are under way: wait for one, or cancel it",
                headers={"Retry-After": "5"},
            )
        key = self._plans.key(KIND, plan)
        work = self._works.get(key)
        if work is None:
            work = self._works[key] = Work(key)
            task = asyncio.get_running_loop().create_task(self._do(work, plan))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        job = Job(uuid.uuid4().hex, work, client, time.monotonic())
        self._jobs[job.id] = job
        work.jobs.add(job.id)
        return job

    async def _do(self, work: Work, plan: Plan) -> None:
        loop = asyncio.get_running_loop()

        def told(stage: str, share: float) -> None:
            work.state, work.stage = "running", stage
            work.progress = max(work.progress, _overall(stage, share))
            work.tell()

        def begun(future: Future[bytes]) -> None:
            work.future = future
            if not work.jobs:
                future.cancel()

        def compute() -> cached.Answer:
            def begun_there(future: Future[bytes]) -> None:
                loop.call_soon_threadsafe(begun, future)

            return self._answers.compute(KIND, plan, told=told, begun=begun_there)

        try:
            answer = await self._answers.in_thread(compute)
            work.content = content_of(answer)
            work.state, work.stage, work.progress = "done", "done", 1.0
        except ProblemError as error:
            work.state, work.stage = "failed", "failed"
            work.problem = problem(error.status_code, str(error.detail))
        except Exception as error:
            log.exception("a job failed")
            found = problem_of(error)
            work.state, work.stage = "failed", "failed"
            work.problem = problem(500, None if found is None else str(found.detail))
        finally:
            work.ended_at = time.monotonic()
            if self._works.get(work.key) is work:
                del self._works[work.key]
            work.tell()

    def _forget_old(self) -> None:
        now = time.monotonic()
        over = [
            (ended, job.id)
            for job in self._jobs.values()
            if (ended := job.cancelled_at or job.work.ended_at) is not None
        ]
        over.sort()
        excess = len(self._jobs) - _MOST
        for place, (ended, job_id) in enumerate(over):
            if now - ended > KEPT_SECONDS or place < excess:
                del self._jobs[job_id]


async def _events(job: Job) -> AsyncIterator[bytes]:
    while True:
        changed = job.work.changed
        state = job.state
        name = state if state in OVER else "progress"
        yield b"event: " + name.encode() + b"\ndata: " + job.body() + b"\n\n"
        if state in OVER:
            return
        while not changed.is_set():
            try:
                async with asyncio.timeout(_PING):
                    await changed.wait()
            except TimeoutError:
                yield b": still there\n\n"


def _overall(stage: str, share: float) -> float:
    for name, begin, end in _STAGES:
        if stage.startswith(name):
            return min(1.0, begin + (end - begin) * min(1.0, max(0.0, share)))
    return 0.0


def _refuse_nonsense(plan: Plan) -> None:
    """Refuse at once what no prices could make sensible; costs nothing."""
    from finpipe.portfolio.optimization import problem_of as pose
    from finpipe.portfolio.problem import check_tickers

    assert isinstance(plan.asked, OptimizeRequest)  # noqa: S101 (no other is asked)
    pose(plan.asked)
    check_tickers(plan.group.tickers)
