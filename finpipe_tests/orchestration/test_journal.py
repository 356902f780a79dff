from __future__ import annotations

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from finpipe.orchestration.journal import held_open


def write(path, value):
    """Open a connection for one row, as Dagster does for one event."""
    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(text("PRAGMA journal_mode=WAL"))
        connection.execute(text("CREATE TABLE IF NOT EXISTS events (value)"))
        connection.execute(text("INSERT INTO events VALUES (:value)"), {"value": value})
        connection.commit()
        return connection.execute(text("PRAGMA synchronous")).scalar()


def rows(path):
    with create_engine(f"sqlite:///{path}", poolclass=NullPool).connect() as connection:
        return [value for (value,) in connection.execute(text("SELECT value FROM events"))]


def test_the_log_stays_until_all_is_written_and_then_goes(tmp_path):
    path, log = tmp_path / "index.db", tmp_path / "index.db-wal"
    with held_open():
        synchronous = {write(path, number) for number in range(3)}
        inode = log.stat().st_ino
        synchronous.add(write(path, 3))
        assert log.stat().st_ino == inode
        assert log.is_file()
        assert rows(path) == [0, 1, 2, 3]
    assert synchronous == {1}
    assert not log.exists()
    assert rows(path) == [0, 1, 2, 3]


def test_connections_outside_are_as_they_were(tmp_path):
    with held_open():
        pass
    assert write(tmp_path / "index.db", 1) == 2
    assert not (tmp_path / "index.db-wal").exists()


def test_files_are_let_go_after_an_error(tmp_path):
    def fail():
        with held_open():
            write(tmp_path / "index.db", 1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not (tmp_path / "index.db-wal").exists()
    assert rows(tmp_path / "index.db") == [1]
