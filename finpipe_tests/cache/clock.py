"""Time that only tests move, and a pool that runs what it is given at once."""

from __future__ import annotations

from concurrent.futures import Executor, Future


class VirtualClock:
    """Seconds since 1970, set by hand."""

    def __init__(self, now: float = 1_750_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += seconds


class InlineExecutor(Executor):
    """Runs what is submitted before ``submit`` returns."""

    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 as a pool does it
            future.set_exception(error)
        return future
