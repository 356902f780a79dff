"""Side by side: tasks in worker processes, which end with the command whatever ends it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from typing import TypeVar

Task = TypeVar("Task")
Outcome = TypeVar("Outcome")

PRELOAD = [
    "dagster",
    "dagster._core.executor.child_process_executor",
    "dagster._core.storage.sqlite_storage",
    "finpipe.orchestration.execution",
]
"""Modules that the fork server imports once, so that a worker starts in a fraction of a second."""


def completed(
    work: Callable[[Task], Outcome],
    tasks: Sequence[Task],
    workers: int,
    started: Callable[[Task], None],
) -> Iterator[tuple[Task, Outcome | BaseException]]:
    """Yield every task with what ``work`` made of it, or why it could not be done, as it completes.

    Parameters
    ----------
    work
        A function at the top of a module; it and the tasks travel to other processes.
    started
        Told of each task when a worker takes it.
    """
    with _pool(min(workers, len(tasks))) as pool:
        queue = deque(tasks)
        waiting: dict[Future[Outcome], Task] = {}
        while queue or waiting:
            while queue and len(waiting) < workers:
                task = queue.popleft()
                try:
                    with _interrupts_held():
                        future = pool.submit(work, task)
                except BrokenProcessPool as broken:
                    yield task, broken
                    continue
                waiting[future] = task
                started(task)
            finished, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for future in finished:
                error = future.exception()
                yield waiting.pop(future), future.result() if error is None else error


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_belong_to_the_command)
    try:
        yield pool
    except BaseException:
        for worker in set(multiprocessing.active_children()) - others:
            worker.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Keep Ctrl-C, which a terminal sends to all processes, from one that starts now; it counts when that is done."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    handler = signal.signal(signal.SIGINT, lambda number, _: held.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    if held:
        signal.raise_signal(signal.SIGINT)


def _belong_to_the_command() -> None:
    """Leave it to the command to end this worker, which Dagster listens to while it works, and end with it.

    A command that is killed tells nobody. Its end of a pipe closes, and a thread waits for that: a worker that
    went on would write into a home that others have by then.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(multiprocessing.parent_process(),), daemon=True).start()


def _end_with(command: BaseProcess | None) -> None:
    if command is not None:
        command.join()
        os.kill(os.getpid(), signal.SIGKILL)
