"""What was put into a tier ahead of requests, as a record, and whether the tier still has it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from finpipe.cache.keys import request_key
from finpipe.serve.caches import Caches
from finpipe.settings import Settings

HOT, SHARED = "hot_set", "shared_cache"
MARK = "prices.filled"
"""Kind of the entries that say what a group's part of the shared cache is."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,100}")


def still_holds(settings: Settings, record: Mapping[str, Any]) -> bool:
    """Return whether a tier still has what ``record`` says was put there; single entries may have gone from it.

    Parameters
    ----------
    record
        ``tier`` and ``group``; of the hot set its ``bytes``, of the shared cache its ``version``.
    """
    caches = Caches(settings, ())
    try:
        if record["tier"] == HOT:
            path = caches.hot.folder / f"{file_name(record['group'])}.arrow"
            return path.is_file() and path.stat().st_size == record["bytes"]
        mark = caches.shared.get(mark_key(record["group"], record["version"]))
        return mark is not None and mark.value == record["version"]
    finally:
        caches.close()


def mark_key(group: str, version: str) -> str:
    """Return the key of the entry that says that these bars of a group were put into the shared cache.

    Homes that share a Redis have each their own, unless they put the same bars there.
    """
    return request_key(MARK, {"group": group, "version": version})


def file_name(group: str) -> str:
    """Return what the hot set of a group is called: by its name, if that can name a file."""
    import xxhash

    return group if _NAME.fullmatch(group) else f"group-{xxhash.xxh3_64_hexdigest(group.encode())}"
