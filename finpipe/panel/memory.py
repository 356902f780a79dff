"""Memory: what the allocators beneath polars and numpy do with columns that are done with."""

from __future__ import annotations

import ctypes
import os

ALLOCATORS = {
    "_RJEM_MALLOC_CONF": "oversize_threshold:0,dirty_decay_ms:15000",
    "NUMPY_MADVISE_HUGEPAGE": "0",
}
"""Variables that the allocators of polars (jemalloc) and of numpy read when they are loaded."""


def keep_freed_memory() -> None:
    """Let this process, and those that it starts, use the memory of freed columns again.

    As they come, polars gives every array above 8 MB back to the system as soon as it is freed, and numpy asks for
    huge pages, which are hardly ever found among what was freed just now. The next column then gets fresh memory,
    and a system that has to find it and fill it with zeros takes longer over that than the column takes to compute,
    on a virtual machine above all. Freed memory is given back when nobody has used it for some seconds.

    It has an effect only before polars and numpy are loaded. Variables that are set already stay as they are.
    """
    for name, value in ALLOCATORS.items():
        os.environ.setdefault(name, value)


def give_back_freed_memory() -> None:
    """Give what this process has freed back to the system now; numpy's allocator (glibc) keeps much of it otherwise.

    Where the C library cannot do so, nothing happens.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
