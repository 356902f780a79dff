"""A process that computes: reads tasks from its standard input, answers on its standard output, ends with its service.

``python -m finpipe.serve.worker``; prices reach it as the memory-mapped Arrow file of the price history.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, BinaryIO

from finpipe.serve.frames import packed, read_message

_NICE = 5
_TELL_EVERY = 0.1


def main() -> None:
    """Serve tasks until the input ends."""
    with contextlib.suppress(OSError):
        os.nice(_NICE)  # the service itself goes first
    output = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # whatever prints must not get between the messages
    tasks: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    first = read_message(sys.stdin.buffer)
    if first is None:
        return
    threading.Thread(target=_listen, args=(sys.stdin.buffer, tasks), daemon=True).start()
    _work(first["settings"], tasks, lambda message: _send(output, message))


def _listen(stream: BinaryIO, tasks: queue.SimpleQueue[dict[str, Any]]) -> None:
    while (message := read_message(stream)) is not None:
        tasks.put(message)
    os._exit(0)  # the service is gone: nobody wants what is being computed


def _work(
    values: str, tasks: queue.SimpleQueue[dict[str, Any]], send: Callable[[dict[str, Any]], None]
) -> None:
    import json

    from finpipe.panel.memory import give_back_freed_memory
    from finpipe.serve import tasks as known
    from finpipe.settings import Settings

    settings = Settings(**json.loads(values))
    known.warm_up(settings)
    send({"type": "ready"})
    while True:
        message = tasks.get()
        told = _Progress(send)
        try:
            body = known.run(message["kind"], message["request"], settings, told, update=message["update"])
        except Exception as error:  # noqa: BLE001 (it goes to whoever asked)
            send({"type": "error", **known.described(error)})
        else:
            send({"type": "result", "body": body})
        give_back_freed_memory()


class _Progress:
    """Tells the service how far a task is, a few times a second."""

    def __init__(self, send: Callable[[dict[str, Any]], None]) -> None:
        self._send = send
        self._stage, self._told_at = "", 0.0

    def __call__(self, stage: str, share: float) -> None:
        now = time.monotonic()
        if stage != self._stage or now - self._told_at >= _TELL_EVERY:
            self._stage, self._told_at = stage, now
            self._send({"type": "progress", "stage": stage, "share": float(share)})


def _send(output: BinaryIO, message: dict[str, Any]) -> None:
    left = memoryview(packed(message))
    while left:
        left = left[output.write(left) :]


if __name__ == "__main__":
    main()
