"""A tiny ``krx_stock_data.db``, written as each test needs it."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

PRICES = (
    "stock_code TEXT, date TEXT, closing_price INTEGER, change INTEGER, change_rate REAL, "
    "opening_price INTEGER, high_price INTEGER, low_price INTEGER, volume INTEGER, value INTEGER, "
    "market_cap INTEGER, market_type TEXT, created_at TIMESTAMP"
)
NOBODY = 65_534
DAYS = ("20200102", "20200103", "20200106", "20200107")


def price(stock_code: str = "005930", date: str = "20200102", **other: object) -> dict[str, object]:
    """A sound row of ``daily_prices``, with the given columns changed."""
    return {
        "stock_code": stock_code,
        "date": date,
        "closing_price": 1000,
        "change": 0,
        "change_rate": 0.0,
        "opening_price": 990,
        "high_price": 1010,
        "low_price": 980,
        "volume": 50,
        "value": 50_000,
        "market_cap": 7_000_000,
        "market_type": "kospi",
        "created_at": "2020-01-02 18:00:00",
        **other,
    }


def sound_prices(
    stocks: Sequence[str] = ("005930", "000660"), days: Sequence[str] = DAYS
) -> list[dict[str, object]]:
    """Rows in the order in which a loader adds them: by day."""
    return [price(stock, day) for day in days for stock in stocks]


def write_prices(
    path: Path, rows: Iterable[dict[str, object]], columns: str = PRICES, *, wal: bool = False, key: str = ""
) -> Path:
    """Make a database with ``daily_prices`` alone."""
    with closing(sqlite3.connect(path)) as connection:
        if wal:
            connection.execute("PRAGMA journal_mode = WAL")
        keyed = f", PRIMARY KEY(stock_code, date)) {key}" if key else ")"
        connection.execute(f"CREATE TABLE daily_prices({columns}{keyed}")
        names = [part.split()[0] for part in columns.split(",")]
        connection.executemany(
            f"INSERT INTO daily_prices VALUES ({', '.join(f':{name}' for name in names)})", list(rows)
        )
        connection.commit()
    return path


def add_table(path: Path, name: str, columns: str, rows: Iterable[Sequence[object]] = ()) -> None:
    """Add a table with its rows."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"CREATE TABLE {name}({columns})")
        marks = ", ".join("?" for _ in columns.split(","))
        connection.executemany(f"INSERT INTO {name} VALUES ({marks})", list(rows))
        connection.commit()


def execute(path: Path, *statements: str) -> None:
    """Run statements that change the database, and commit."""
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


@contextmanager
def read_only(path: Path) -> Iterator[Path]:
    """A copy in a folder where this process may read but not write, even if it is run by root."""
    with tempfile.TemporaryDirectory() as name:
        copy = aged(Path(shutil.copy(path, name)))
        copy.chmod(0o444)
        copy.parent.chmod(0o555)
        root = os.geteuid() == 0
        if root:
            os.seteuid(NOBODY)
        try:
            yield copy
        finally:
            if root:
                os.seteuid(0)
            copy.parent.chmod(0o755)


@contextmanager
def by_the_owner(path: Path) -> Iterator[None]:
    """Let the owner of a read-only copy change something about it."""
    reader = os.geteuid()
    os.seteuid(os.getuid())
    path.parent.chmod(0o755)
    yield
    path.parent.chmod(0o555)
    os.seteuid(reader)


def aged(path: Path) -> Path:
    """Make the file one that was written long ago."""
    os.utime(path, (1_600_000_000, 1_600_000_000))
    return path


def files_beside(path: Path) -> set[str]:
    """Names in the folder of the database."""
    return {file.name for file in path.parent.iterdir()}
