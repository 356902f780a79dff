"""Memory: what the allocators beneath polars and numpy do with columns that are done with."""

from __future__ import annotations

import ctypes
import os
import sys

ALLOCATORS = {
    "_RJEM_MALLOC_CONF": "oversize_threshold:0,dirty_decay_ms:15000",
    "MIMALLOC_PURGE_DELAY": "15000",
    "MIMALLOC_ALLOW_THP": "0",
    "MALLOC_MMAP_THRESHOLD_": str(2**24),
    "MALLOC_TRIM_THRESHOLD_": str(2**28),
    "NUMPY_MADVISE_HUGEPAGE": "0",
}
"""Variables that allocators read when they are loaded: polars' jemalloc, Arrow's mimalloc, glibc's, and numpy's."""

_MALLOPT = {"MALLOC_TRIM_THRESHOLD_": -1, "MALLOC_MMAP_THRESHOLD_": -3}  # M_..., as in malloc.h


def keep_freed_memory() -> None:
    """Let this process, and those that it starts, use the memory of freed columns again.

    As they come, all of these allocators give long arrays back to the system as soon as they are freed, and Arrow's
    and numpy's ask for huge pages, which are hardly ever found among what was freed just now. The next column then
    gets fresh memory, and a system that has to find it and fill it with zeros takes longer over that than the column
    takes to compute, on a virtual machine above all. With these settings freed memory is given back when nobody has
    used it for some seconds; glibc's, which numpy uses, with :func:`give_back_freed_memory`.

    It has an effect only before polars, pyarrow and numpy are loaded. Variables that are set already stay as they are.
    """
    choose = getattr(ctypes.CDLL(None), "mallopt", None)
    for name, value in ALLOCATORS.items():
        if os.environ.setdefault(name, value) == value and name in _MALLOPT and choose is not None:
            choose(_MALLOPT[name], int(value))  # glibc has started already


def spare_memory() -> None:
    """Let this process, and those that it starts, give freed memory back soon: for one that lives long.

    polars gives freed arrays back after half a second, but only while it works: what a busy moment took stays taken
    in a process that then waits. As :func:`keep_freed_memory`, it has an effect only before polars is loaded.
    """
    os.environ.setdefault("_RJEM_MALLOC_CONF", "dirty_decay_ms:100,muzzy_decay_ms:0")


def give_back_freed_memory() -> None:
    """Give what numpy and Arrow have freed in this process back to the system now.

    Where the C library is not glibc, that is up to it.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    if "pyarrow" in sys.modules:
        sys.modules["pyarrow"].default_memory_pool().release_unused()
