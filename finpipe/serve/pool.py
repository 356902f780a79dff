"""The processes that compute: started warm, one task at a time each, ended and replaced when a task must stop."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from finpipe.serve.frames import next_message, packed
from finpipe.settings import Settings

log = logging.getLogger(__name__)

_SECRET = {"serve_token"}
_PATIENCE = 60.0
_MOST_WAITING = 256
_PAUSE = 1.0

Told = Callable[[str, float], None]


class TaskError(ValueError):
    """A task cannot be answered; ``kind`` says in what way, the message why and what would work."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind


class BusyError(RuntimeError):
    """More wait for a worker than is of use; try again later."""


class TaskTimeoutError(RuntimeError):
    """A task took longer than it may."""


@dataclass(frozen=True, slots=True)
class Task:
    """What a worker is asked.

    Parameters
    ----------
    kind
        Of ``tasks.KINDS``.
    request
        As JSON text.
    update
        Whether the provider of prices may be asked.
    long
        It may take long: one worker is kept free of such.
    limit
        Seconds that it may take, waiting included.
    """

    kind: str
    request: str
    update: bool = True
    long: bool = False
    limit: float = 60.0


@dataclass(eq=False, slots=True)
class _Worker:
    process: asyncio.subprocess.Process
    ready: asyncio.Task[None] | None = None
    told: Told | None = field(default=None)

    @property
    def streams(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        assert self.process.stdout is not None  # noqa: S101 (it was started with pipes)
        assert self.process.stdin is not None  # noqa: S101
        return self.process.stdout, self.process.stdin


class WorkerPool:
    """Workers of one service; all methods belong to its event loop.

    Parameters
    ----------
    settings
        Of the home; the token stays here.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.processes = settings.serve_workers
        self._workers: set[_Worker] = set()
        self._idle: asyncio.Queue[_Worker] = asyncio.Queue()
        self._long = asyncio.Semaphore(max(1, self.processes - 1))
        self._waiting = self._busy = 0
        self.replaced = self.finished = 0
        self._starting: set[asyncio.Task[None]] = set()
        self._under_way: set[asyncio.Task[Any]] = set()
        self._closed = False

    @property
    def busy(self) -> int:
        """Workers that compute."""
        return self._busy

    @property
    def waiting(self) -> int:
        """Tasks that wait for a worker."""
        return self._waiting

    @property
    def is_warm(self) -> bool:
        """Whether any worker is there to take tasks."""
        return bool(self._workers)

    def start(self) -> None:
        """Start all workers; tasks wait until one is warm."""
        for _ in range(self.processes):
            self._begin()

    async def stop(self) -> None:
        """End all workers and cancel what waits for one; nobody waits any longer, and no task is taken any more."""
        self._closed = True
        waiting = [*self._starting, *self._under_way]
        for task in waiting:
            task.cancel()
        ended = list(self._workers)
        for worker in ended:
            self._end(worker)
        await asyncio.gather(*waiting, return_exceptions=True)
        for worker in ended:
            await worker.process.wait()

    async def run(self, task: Task, told: Told | None = None) -> bytes:
        """Return the answer to a task. Cancelling the call ends the worker that computes it.

        Raises
        ------
        TaskError
            The task itself cannot be answered.
        BusyError, TaskTimeoutError
            There are too many tasks or the service ends, or this one took too long.
        """
        if self._closed:
            raise BusyError("the service is ending: ask again when it has started")
        if self._waiting >= _MOST_WAITING:
            raise BusyError(f"{self._waiting} computations wait already: try again in a few seconds")
        call = asyncio.current_task()
        assert call is not None  # noqa: S101 (a coroutine runs in a task)
        self._under_way.add(call)
        try:
            async with asyncio.timeout(task.limit):
                return await self._run(task, told)
        except TimeoutError as error:
            raise TaskTimeoutError(
                f"this took longer than the {task.limit:.0f} s that it may take: ask for less at once"
            ) from error
        finally:
            self._under_way.discard(call)

    async def _run(self, task: Task, told: Told | None) -> bytes:
        lane: Any = self._long if task.long else contextlib.nullcontext()
        self._waiting += 1
        waits = True
        try:
            async with lane:
                for attempt in (1, 2):
                    worker = await self._idle.get()
                    if waits:
                        self._waiting -= 1
                        waits = False
                    try:
                        return await self._on(worker, task, told)
                    except (OSError, EOFError) as error:
                        log.warning("a worker ended at a task %s (attempt %d): %s", task.kind, attempt, error)
        finally:
            if waits:
                self._waiting -= 1
        raise RuntimeError(f"workers ended twice at a task {task.kind}; is there enough memory?")

    async def _on(self, worker: _Worker, task: Task, told: Told | None) -> bytes:
        reader, writer = worker.streams
        self._busy += 1
        whole = False
        try:
            writer.write(packed({"kind": task.kind, "request": task.request, "update": task.update}))
            await writer.drain()
            while (message := await next_message(reader))["type"] == "progress":
                if told is not None:
                    told(message["stage"], message["share"])
            whole = True
        finally:
            self._busy -= 1
            if whole:
                self._idle.put_nowait(worker)
                self.finished += 1
            else:
                self._replace(worker)
        if message["type"] == "error":
            raise TaskError(message["kind"], message["detail"])
        body: bytes = message["body"]
        return body

    def _replace(self, worker: _Worker) -> None:
        self._end(worker)
        if not self._closed:
            self.replaced += 1
            self._begin()

    def _end(self, worker: _Worker) -> None:
        self._workers.discard(worker)
        with contextlib.suppress(ProcessLookupError):
            worker.process.kill()

    def _begin(self) -> None:
        task = asyncio.get_running_loop().create_task(self._started())
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)

    async def _started(self) -> None:
        while not self._closed:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "finpipe.serve.worker"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env={**os.environ, **_threads(self._settings.threads, self.processes)},
                start_new_session=True,
            )
            worker = _Worker(process)
            try:
                async with asyncio.timeout(_PATIENCE):
                    reader, writer = worker.streams
                    writer.write(packed({"settings": self._values()}))
                    await writer.drain()
                    await next_message(reader)
            except (OSError, EOFError) as error:  # TimeoutError is an OSError
                self._end(worker)
                log.warning("a worker does not start, trying again: %s", error)
                await asyncio.sleep(_PAUSE)
            except BaseException:
                self._end(worker)
                raise
            else:
                self._workers.add(worker)
                self._idle.put_nowait(worker)
                return

    def _values(self) -> str:
        return json.dumps(self._settings.model_dump(mode="json", exclude=_SECRET))


def _threads(threads: int, processes: int) -> dict[str, str]:
    each = str(max(1, threads // max(1, processes - 1)))
    names = ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
    return {name: os.environ.get(name, each) for name in names}
