"""Computing a value once, however many threads ask for it at the same time (single flight)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from threading import Lock, get_ident
from typing import Generic, TypeVar

_Result = TypeVar("_Result")


class Flights(Generic[_Result]):
    """The keys that are being computed, and who waits for them."""

    def __init__(self) -> None:
        self._under_way: dict[str, tuple[int, Future[_Result]]] = {}
        self._lock = Lock()

    def board(self, keys: Iterable[str]) -> tuple[list[str], dict[str, Future[_Result]]]:
        """Return the keys that the caller must compute, and those that another thread computes already.

        The caller has to ``land`` all of the former, whatever happens.

        Raises
        ------
        RecursionError
            A key is being computed by this very thread: its value asks for itself.
        """
        ours: list[str] = []
        theirs: dict[str, Future[_Result]] = {}
        with self._lock:
            for key in keys:
                pilot, future = self._under_way.get(key, (None, None))
                if future is None:
                    ours.append(key)
                elif pilot == get_ident():
                    for begun in ours:
                        del self._under_way[begun]
                    raise RecursionError(f"the value of {key} asks for itself")
                else:
                    theirs[key] = future
                    continue
                self._under_way[key] = (get_ident(), Future())
        return ours, theirs

    def land(self, keys: Iterable[str], results: Mapping[str, _Result], error: BaseException | None) -> None:
        """Give those who wait for ``keys`` their result, or ``error`` where there is none."""
        with self._lock:
            landed = {key: self._under_way.pop(key)[1] for key in keys}
        for key, future in landed.items():
            if key in results:
                future.set_result(results[key])
            else:
                future.set_exception(error or RuntimeError(f"{key} was left without a result"))

    def __contains__(self, key: str) -> bool:
        return key in self._under_way
