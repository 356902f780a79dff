"""Result tables: small frames that people query with SQL, in one DuckDB file, replaced partition by partition."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import polars as pl

if TYPE_CHECKING:
    import duckdb

PARTITION = "variant"
"""Column of the partition, unless the tables are told of another."""
FileState: TypeAlias = tuple[tuple[int, int, int], ...]
"""Inode, size and time of change of the file and of its log."""
Counts: TypeAlias = dict[tuple[str, str], dict[str | None, int]]
"""Rows by partition, by schema and table."""


class ResultTablesError(RuntimeError):
    """The DuckDB file is held, damaged or lacks a table; the message says which and what to do."""


@dataclass(frozen=True, slots=True)
class ResultTables:
    """Tables of the DuckDB file at ``path``; ``krx/backtest`` is table ``krx.backtest``.

    A connection is open only while a table is written or read: an open writer blocks every other process.

    Parameters
    ----------
    path
        The DuckDB file; made on the first write.
    patience
        Seconds to wait while another process holds the file.
    columns
        The column of the partition by the first part of an asset key, where it is not ``variant``.
    """

    path: Path
    patience: float = 60.0
    columns: Mapping[str, str] = field(default_factory=dict)
    _counts: dict[FileState, Counts] = field(default_factory=dict, init=False, repr=False, compare=False)

    def replace(self, asset: str, partition: str | None, frame: pl.DataFrame) -> None:
        """Put ``frame`` in the place of ``partition`` of ``asset`` (of the whole table if None), in one transaction.

        A frame with other columns than the table has replaces all of it: other partitions have to be made again.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        schema, table = _names(asset)
        column = self._column(asset)
        plain = _without_categories(frame)
        if partition is not None:
            plain = plain.with_columns(pl.lit(partition).alias(column))
        with self._connect(read_only=False) as connection:
            connection.register("incoming", plain.to_arrow())
            connection.begin()
            connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
            if partition is None or not self._has_columns_of(connection, schema, table, "incoming"):
                connection.execute(f'CREATE OR REPLACE TABLE "{schema}"."{table}" AS SELECT * FROM incoming')
            else:
                connection.execute(f'DELETE FROM "{schema}"."{table}" WHERE {column} = ?', [partition])
                connection.execute(f'INSERT INTO "{schema}"."{table}" SELECT * FROM incoming')
            connection.commit()

    def read(self, asset: str, partition: str | None) -> pl.DataFrame:
        """Return ``partition`` of ``asset``, or every partition with a column that names it if None."""
        if not self.path.is_file():
            raise ResultTablesError(
                f"{asset} has never been made ({self.path} does not exist); run `finpipe run`"
            )
        schema, table = _names(asset)
        with self._connect(read_only=True) as connection:
            if not self._columns(connection, schema, table):
                raise ResultTablesError(f"{asset} is not in {self.path}; run `finpipe run --only {asset}`")
            query = f'SELECT * FROM "{schema}"."{table}"'
            if partition is None:
                return connection.sql(query).pl()
            column = self._column(asset)
            return connection.sql(f"{query} WHERE {column} = ?", params=[partition]).pl().drop(column)

    def rows(self, asset: str, partition: str | None) -> int | None:
        """Return the number of rows of ``partition`` of ``asset``, None if there is no such table."""
        found = self._counted().get(_names(asset))
        if found is None:
            return None
        return sum(found.values()) if partition is None else found.get(partition, 0)

    def remove(self, asset: str, partition: str) -> None:
        """Delete ``partition`` of ``asset``, if it is there."""
        if not self.path.is_file():
            return
        schema, table = _names(asset)
        with self._connect(read_only=False) as connection:
            if self._columns(connection, schema, table):
                connection.execute(
                    f'DELETE FROM "{schema}"."{table}" WHERE {self._column(asset)} = ?', [partition]
                )

    def _counted(self) -> Counts:
        """Return the rows of all tables, counted anew when the file has changed: to open it takes longest."""
        if not self.path.is_file():
            return {}
        state = self._state()
        if state not in self._counts:
            counts = self._count()
            self._counts.clear()
            self._counts[state] = counts
        return self._counts[state]

    def _count(self) -> Counts:
        counts: Counts = {}
        with self._connect(read_only=True) as connection:
            described = connection.execute(
                "SELECT schema_name, table_name, list(column_name) FROM duckdb_columns() "
                "SEMI JOIN duckdb_tables() USING (schema_name, table_name) GROUP BY ALL"
            ).fetchall()
            for schema, table, columns in described:
                column = self._column(schema)
                by = f'"{column}"' if column in columns else "NULL"
                found = connection.execute(
                    f'SELECT {by}, count(*) FROM "{schema}"."{table}" GROUP BY ALL'
                ).fetchall()
                counts[schema, table] = dict(found)
        return counts

    def _state(self) -> FileState:
        """Return what differs once somebody has written to the file."""
        found = []
        for path in (self.path, self.path.with_name(f"{self.path.name}.wal")):
            with contextlib.suppress(FileNotFoundError):
                status = path.stat()
                found.append((status.st_ino, status.st_size, status.st_mtime_ns))
        return tuple(found)

    def _column(self, asset: str) -> str:
        return self.columns.get(asset.partition("/")[0], PARTITION)

    @contextlib.contextmanager
    def _connect(self, *, read_only: bool) -> Iterator[duckdb.DuckDBPyConnection]:
        import duckdb

        connection = self._open(read_only=read_only)
        try:
            yield connection
            connection.close()  # writes the log into the file, which may fail too
        except duckdb.Error as error:
            if not _speaks_of_the_file(error):
                raise
            raise self._error("cannot be written" if not read_only else "cannot be read", error) from error
        finally:
            with contextlib.suppress(duckdb.Error):
                connection.close()

    def _open(self, *, read_only: bool) -> duckdb.DuckDBPyConnection:
        import duckdb

        deadline = time.monotonic() + self.patience
        while True:
            try:
                return duckdb.connect(str(self.path), read_only=read_only, config={"threads": 2})
            except duckdb.Error as error:
                if (
                    not isinstance(error, duckdb.IOException)
                    or "lock" not in str(error).lower()
                    or time.monotonic() > deadline
                ):
                    raise self._error("cannot be opened", error) from error
                time.sleep(0.05)

    def _error(self, what: str, error: duckdb.Error) -> ResultTablesError:
        said = str(error)
        if "No space left" in said or "disk is full" in said:
            return ResultTablesError(
                f"{self.path} {what} ({said}); the tables are as they were. Make room on the disk and run again"
            )
        if not os.access(self.path if self.path.exists() else self.path.parent, os.W_OK):
            return ResultTablesError(f"{self.path} {what}: it is read-only for this user ({said})")
        return ResultTablesError(
            f"{self.path} {what}: {said}. If a program has it open, close it there; "
            "if it is damaged, move it away: `finpipe run` makes the tables again from the store"
        )

    @staticmethod
    def _columns(connection: duckdb.DuckDBPyConnection, schema: str, table: str) -> list[str]:
        rows = connection.execute(
            "SELECT column_name FROM duckdb_columns() "
            "WHERE schema_name = ? AND table_name = ? ORDER BY column_index",
            [schema, table],
        ).fetchall()
        return [name for (name,) in rows]

    def _has_columns_of(
        self, connection: duckdb.DuckDBPyConnection, schema: str, table: str, view: str
    ) -> bool:
        """Compare names and types: other types would be converted without a word."""
        if not self._columns(connection, schema, table):
            return False
        stored, given = (
            connection.execute(f"DESCRIBE {name}").fetchall() for name in (f'"{schema}"."{table}"', view)
        )
        return [column[:2] for column in stored] == [column[:2] for column in given]


def _speaks_of_the_file(error: duckdb.Error) -> bool:
    """Return whether an error is about the file, not about what is asked of it."""
    import duckdb

    unusable = (
        duckdb.IOException,
        duckdb.FatalException,
        duckdb.InternalException,
        duckdb.SerializationException,
        duckdb.OutOfMemoryException,
    )
    return isinstance(error, unusable) or "Corrupt" in str(error)


def _names(asset: str) -> tuple[str, str]:
    schema, _, table = asset.partition("/")
    return schema, table.replace("/", "_")


def _without_categories(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.cast({pl.Categorical: pl.String})
