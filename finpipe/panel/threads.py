"""Running one function over many pieces in threads; the kernels release the interpreter lock."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Piece = TypeVar("Piece")


def run(function: Callable[[Piece], None], pieces: Iterable[Piece], threads: int | None = None) -> None:
    """Call ``function`` on every piece, on ``threads`` threads (None: one per processor).

    The pieces write to places of their own, so that the result does not depend on ``threads``.
    The first error of any piece is raised.

    Raises
    ------
    ValueError
        If ``threads`` is less than 1.
    """
    threads = threads if threads is not None else os.cpu_count() or 1
    if threads < 1:
        raise ValueError(f"threads is {threads}; give 1 or more, or None for one per processor")
    if threads == 1:
        for piece in pieces:
            function(piece)
        return
    with ThreadPoolExecutor(threads, thread_name_prefix="panel") as pool:
        for _ in pool.map(function, pieces):
            pass
