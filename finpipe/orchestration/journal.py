"""The journal: Dagster's SQLite files while a command writes hundreds of events to them.

Dagster opens and closes a connection for every event. The last to close writes the log back into the file and
deletes it, and every commit waits for the disk: together that takes longer than many a stage. Here a connection
to every file is kept open meanwhile, and a commit need not have reached the disk: a killed process loses nothing
by that, a power failure at most the latest records, after which their assets are made again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def held_open() -> Iterator[None]:
    """Keep SQLite files open that are opened through SQLAlchemy, and let their commits not wait for the disk."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    kept: dict[str, sqlite3.Connection] = {}

    def connected(connection: Any, _: object) -> None:
        if not isinstance(connection, sqlite3.Connection):
            return
        connection.execute("PRAGMA synchronous=NORMAL")
        path = connection.execute("PRAGMA database_list").fetchone()[2]
        if path:
            keeper = kept.get(path) or kept.setdefault(path, sqlite3.connect(path, check_same_thread=False))
            keeper.execute("SELECT count(*) FROM sqlite_master").fetchone()  # takes part in a log begun since

    event.listen(Engine, "connect", connected)
    try:
        yield
    finally:
        event.remove(Engine, "connect", connected)
        for connection in kept.values():
            connection.close()
