"""The journal: Dagster's SQLite files while a command writes hundreds of events to them.

Dagster makes an engine and opens and closes a connection for every event. The last to close writes the log back into
the file and deletes it, and every commit waits for the disk: together that takes longer than many a stage. Here a
connection to each file is kept until the instance is disposed of, and a commit need not have reached the disk: every
event is still committed when it is stored, so that a killed process loses nothing by that, a power failure at most
the latest records, after which their assets are made again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from dagster._core.storage.event_log.schema import SqlEventLogStorageMetadata
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME, SqliteEventLogStorage
from dagster._core.storage.runs.sqlite.sqlite_run_storage import SqliteRunStorage
from dagster._core.storage.schedules.sqlite.sqlite_schedule_storage import SqliteScheduleStorage
from dagster._core.storage.sqlite import create_db_conn_string
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClassData
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import NullPool

PATIENCE = 60
"""Seconds to wait for another process that writes to the same file."""


class HeldEvents(SqliteEventLogStorage):
    """Logs of events, with connections to the common one and to that of the run at work kept open."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._engines: dict[str, Engine] = {}
        self._tables: set[str] = set()
        self._head = ""
        super().__init__(base_dir, inst_data)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock:
            engine = self._engine(shard)
            if shard not in self._initialized_dbs:
                self._initdb(engine)
                self._initialized_dbs.add(shard)
            with engine.begin() as connection:
                yield connection

    def _initdb(self, engine: Engine, for_index_shard: bool = False) -> None:
        if made := revision(engine):
            self._head = made
            return
        if not self._head:
            super()._initdb(engine, for_index_shard)
            self._head = revision(engine)
            return
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            SqlEventLogStorageMetadata.create_all(connection)
            connection.exec_driver_sql(
                "CREATE TABLE IF NOT EXISTS alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"
            )
            connection.exec_driver_sql("INSERT INTO alembic_version VALUES (?)", (self._head,))
            connection.commit()

    def has_table(self, table_name: str) -> bool:
        """Return whether the common log has a table; once it is there it stays."""
        if table_name not in self._tables and super().has_table(table_name):
            self._tables.add(table_name)
        return table_name in self._tables

    def delete_events(self, run_id: str) -> None:
        """Delete what a run has logged."""
        super().delete_events(run_id)
        self._let_go({run_id})

    def dispose(self) -> None:
        """Close the files."""
        super().dispose()
        self._let_go(set(self._engines))

    def _engine(self, shard: str) -> Engine:
        if shard not in self._engines:
            self._let_go(set(self._engines) - {INDEX_SHARD_NAME})
            self._engines[shard] = held(self.conn_string_for_shard(shard))
        return self._engines[shard]

    def _let_go(self, shards: set[str]) -> None:
        for shard in shards & set(self._engines):
            self._engines.pop(shard).dispose()


class HeldRuns(SqliteRunStorage):
    """Records of runs, with the connection to their file kept open."""

    def __init__(self, conn_string: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._engine = held(conn_string)
        super().__init__(conn_string, inst_data)

    @classmethod
    def from_local(cls, base_dir: str, inst_data: ConfigurableClassData | None = None) -> Self:
        """Return the storage whose file is in the folder ``base_dir``."""
        url = create_db_conn_string(base_dir, "runs")
        return cls(url, inst_data) if _is_made(base_dir, url) else super().from_local(base_dir, inst_data)

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """Open a transaction."""
        with self._engine.begin() as connection:
            yield connection

    def dispose(self) -> None:
        """Close the file."""
        super().dispose()
        self._engine.dispose()


class Schedules(SqliteScheduleStorage):
    """Records of schedules and sensors."""

    @classmethod
    def from_local(
        cls, base_dir: str, inst_data: ConfigurableClassData | None = None
    ) -> SqliteScheduleStorage:
        """Return the storage whose file is in the folder ``base_dir``."""
        url = create_db_conn_string(base_dir, "schedules")
        return cls(url, inst_data) if _is_made(base_dir, url) else super().from_local(base_dir, inst_data)


class Journal(DagsterSqliteStorage):
    """Dagster's records in SQLite, in the same files as its own storage keeps them in."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        folder = Path(base_dir)
        super(DagsterSqliteStorage, self).__init__()  # type: ignore[no-untyped-call]
        self.base_dir = base_dir
        self._run_storage = HeldRuns.from_local(str(folder / "history"))
        self._event_log_storage = HeldEvents(str(folder / "history" / "runs"))
        self._schedule_storage = Schedules.from_local(str(folder / "schedules"))
        self._inst_data = inst_data

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> Self:
        """Return the storage that an instance is configured with."""
        return cls(inst_data=inst_data, **config_value)


def configuration(folder: Path) -> dict[str, Any]:
    """Return what makes an instance whose files are in ``folder`` keep its records in a ``Journal``."""
    return {
        "storage": {
            "custom": {
                "module": Journal.__module__,
                "class": Journal.__name__,
                "config": {"base_dir": str(folder)},
            }
        }
    }


def held(url: str) -> Engine:
    """Return an engine that keeps its connections, and whose commits do not wait for the disk."""
    engine = create_engine(url, connect_args={"timeout": PATIENCE})

    def connected(connection: Any, _: object) -> None:
        connection.execute("PRAGMA synchronous=NORMAL")

    event.listen(engine, "connect", connected)
    return engine


def revision(engine: Engine) -> str:
    """Return the revision of the schema that a file says it has, nothing if it has none yet.

    Dagster compares it with its own by loading all its migrations, for every file; what matters to it is only
    whether there is one.
    """
    with engine.connect() as connection:
        has_any = "SELECT count(*) FROM sqlite_master WHERE name = 'alembic_version'"
        if not connection.exec_driver_sql(has_any).scalar():
            return ""
        return str(connection.exec_driver_sql("SELECT max(version_num) FROM alembic_version").scalar() or "")


def _is_made(folder: str, url: str) -> bool:
    if not Path(folder).is_dir():
        return False
    engine = create_engine(url, poolclass=NullPool)
    return bool(revision(engine))
