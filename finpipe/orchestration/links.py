"""Links: pages and pictures of the store where the UI can fetch them, for browsers open no files from a web page.

The UI's server hands out what lies in the folder of compute logs; finpipe has no such logs to show.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from finpipe.orchestration.store import Store
from finpipe.settings import Settings

LINK = "link"
"""Metadata of a materialization: where the UI hands out the file."""
FOLDER = "finpipe"
ENDINGS = {"html": ".html", "png": ".png"}
"""Endings of the files that people look at, by storage kind."""


def address(settings: Settings, storage: str, asset: str, partition: str | None) -> str | None:
    """Return where a browser finds the file of an asset; None if nobody looks at it, or it cannot be reached.

    A file of an object store has its own address, others one on the server of the UI.
    """
    if storage not in ENDINGS:
        return None
    if "://" in settings.store_url:
        url = str(Store(settings.store_url).path(asset, partition, ENDINGS[storage]))
        return url if url.startswith(("http://", "https://")) else None
    return f"/logs/{FOLDER}/{quote(_name(asset, partition))}/{storage}"


def serve(
    settings: Settings, storage: str, asset: str, partition: str | None, *, warn: Callable[[str], object]
) -> None:
    """Let the UI hand out the file of an asset that has just been stored; linked, not copied, where possible.

    Parameters
    ----------
    warn
        Told why the file can be neither linked nor copied; the asset is stored all the same.
    """
    found = address(settings, storage, asset, partition)
    if found is None or "://" in found:
        return
    file = Path(str(Store(settings.store_url).path(asset, partition, ENDINGS[storage])))
    served = settings.dagster_home / "storage" / FOLDER / f"{_name(asset, partition)}{ENDINGS[storage]}"
    try:
        served.parent.mkdir(parents=True, exist_ok=True)
        _put(file, served)
    except OSError as error:
        warn(f"{_name(asset, partition)} is stored, but the UI cannot hand it out: {error}")


def _put(file: Path, served: Path) -> None:
    temporary = served.with_name(f".{served.name}.{os.getpid()}.tmp")
    try:
        temporary.unlink(missing_ok=True)
        try:
            os.link(file, temporary)
        except OSError:
            shutil.copyfile(file, temporary)
        temporary.replace(served)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _name(asset: str, partition: str | None) -> str:
    return asset if partition is None else f"{asset}/{partition}"
