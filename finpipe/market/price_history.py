"""The history of prices that finpipe keeps: daily bars in a DuckDB table, and an Arrow file beside it for readers.

DuckDB holds the truth and lets nobody read while it is written, so each change also writes the whole table, sorted, to
an Arrow file that replaces the one before. Readers map that file into memory: they never wait and never hold anything
that a writer needs. A writer that is killed leaves the old or the new bars; the next one makes the file good.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl
from filelock import FileLock, Timeout

from finpipe.market.daily_bars import (
    BAR_SCHEMA,
    BarProvider,
    BarRequest,
    Progress,
    ProviderError,
    no_bars,
    require_valid_bars,
)
from finpipe.market.tickers import canonical_tickers

if TYPE_CHECKING:
    from finpipe.market.price_summaries import Every
    from finpipe.market.price_update import UpdateReport

STORED_SCHEMA = pl.Schema({**BAR_SCHEMA, "fetched_at": pl.Datetime("us", "UTC")})
"""Bars and when each was fetched."""

COVERAGE_SCHEMA = pl.Schema(
    {
        "ticker": pl.String(),
        "first": pl.Date(),
        "last": pl.Date(),
        "bars": pl.UInt32(),
        "settled": pl.Date(),
        "asked_from": pl.Date(),
        "asked_to": pl.Date(),
        "fetched_at": pl.Datetime("us", "UTC"),
    }
)
"""What the history holds of each ticker, sorted by ticker.

``first``, ``last``, ``bars``: of its bars. ``settled``: the last bar that was fetched on a later day than its own
(UTC), null if none. ``asked_from``, ``asked_to``: the range that a source was asked for; a ticker listed later has no
bars in its beginning. ``fetched_at``: when it was asked last.
"""

_PATIENCE = 120.0
_MADE = b"finpipe"


@dataclass(frozen=True, slots=True)
class PriceHistory:
    """Daily bars of many tickers, kept.

    Parameters
    ----------
    path
        The DuckDB file, e.g. ``<home>/prices.duckdb``; made with the first bars. The Arrow file beside it has the
        suffix ``.arrow``.
    """

    path: Path

    def read(
        self, tickers: Sequence[str] | None = None, start: dt.date | None = None, end: dt.date | None = None
    ) -> pl.DataFrame:
        """Bars of ``tickers`` (None: of all) from ``start`` to ``end``, both included; sorted by ticker and date.

        A ticker that the history does not hold has no bars; :meth:`coverage` tells what it holds.

        Raises
        ------
        TickerError
            If a ticker is none or comes twice.
        """
        stored = self._mapped()[0].drop("fetched_at")
        if tickers is not None:
            stored = _of(stored, canonical_tickers(tickers))
        within = [pl.col("date") >= start] if start else []
        within += [pl.col("date") <= end] if end else []
        return stored.filter(*within) if within else stored

    def summaries(self, tickers: Sequence[str] | None = None, every: Every = "week") -> pl.DataFrame:
        """Weekly or monthly bars, see ``price_summaries``."""
        from finpipe.market.price_summaries import summaries

        return summaries(self.read(tickers), every)

    def coverage(self) -> pl.DataFrame:
        """What the history holds: :data:`COVERAGE_SCHEMA`."""
        stored, asked = self._mapped()
        settled = pl.col("date").filter(pl.col("fetched_at").dt.date() > pl.col("date")).max()
        held = (
            stored.lazy()
            .group_by("ticker")
            .agg(
                pl.col("date").min().alias("first"),
                pl.col("date").max().alias("last"),
                pl.len().alias("bars"),
                settled.alias("settled"),
            )
        )
        return (
            held.join(asked.lazy(), on="ticker", how="left")
            .sort("ticker")
            .select(COVERAGE_SCHEMA.names())
            .collect()
            .cast(COVERAGE_SCHEMA)
        )

    def upsert(
        self,
        bars: pl.DataFrame,
        fetched_at: dt.datetime,
        *,
        asked: Mapping[str, tuple[dt.date, dt.date]] | None = None,
        replaced: Collection[str] = (),
    ) -> None:
        """Put bars in the place of those of the same ticker and day, in one transaction.

        Parameters
        ----------
        bars
            In the schema of bars, valid, sorted.
        fetched_at
            With its time zone.
        asked
            The range that the source was asked for by ticker; that of its bars where none is given. Ranges grow.
        replaced
            Tickers of which all bars held so far go first.

        Raises
        ------
        ProviderError
            If the bars are not valid, ``fetched_at`` has no time zone, or another process writes for minutes.
        """
        require_valid_bars(bars, "bars for the history")
        if fetched_at.tzinfo is None:
            raise ProviderError(f"fetched_at {fetched_at} has no time zone")
        moment = fetched_at.astimezone(dt.UTC).replace(tzinfo=None)
        spans = bars.group_by("ticker").agg(
            pl.col("date").min().alias("first"), pl.col("date").max().alias("last")
        )
        ranges = {ticker: (first, last) for ticker, first, last in spans.iter_rows()} | dict(asked or {})
        rows = [(ticker, first, last, fetched_at) for ticker, (first, last) in ranges.items()]
        wanted = pl.DataFrame(rows, schema=_ASKED, orient="row").with_columns(
            pl.col("fetched_at").dt.replace_time_zone(None)
        )
        fresh = bars.with_columns(pl.lit(moment).alias("fetched_at"))
        with self._writer() as connection:
            connection.register("fresh", fresh)
            connection.register("fresh_asked", wanted)
            connection.register(
                "replaced", pl.DataFrame({"ticker": sorted(replaced)}, schema={"ticker": pl.String})
            )
            connection.execute("BEGIN")
            connection.execute("DELETE FROM bars USING replaced WHERE bars.ticker = replaced.ticker")
            connection.execute(
                "DELETE FROM bars USING fresh WHERE bars.ticker = fresh.ticker AND bars.date = fresh.date"
            )
            connection.execute("INSERT INTO bars BY NAME SELECT * FROM fresh")
            connection.execute(
                "INSERT INTO asked BY NAME SELECT * FROM fresh_asked ON CONFLICT (ticker) DO UPDATE SET "
                "asked_from = least(asked_from, excluded.asked_from), "
                "asked_to = greatest(asked_to, excluded.asked_to), fetched_at = excluded.fetched_at"
            )
            connection.execute("UPDATE state SET version = version + 1")
            connection.execute("COMMIT")
            self._publish(connection)

    def update(
        self,
        provider: BarProvider,
        request: BarRequest,
        now: dt.datetime,
        progress: Progress | None = None,
        *,
        refresh: bool = False,
    ) -> UpdateReport:
        """Fetch what is missing of ``request`` and keep it; see ``price_update``."""
        from finpipe.market.price_update import update_history

        return update_history(self, provider, request, now, progress, refresh=refresh)

    @property
    def arrow_path(self) -> Path:
        """The file that readers map."""
        return self.path.with_suffix(".arrow")

    def _mapped(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        """All bars as stored, mapped from the file, and the ranges asked for."""
        import pyarrow as pa

        if not self.arrow_path.is_file() and self.path.is_file():
            with self._writer():
                pass
        try:
            with pa.memory_map(str(self.arrow_path)) as source:
                table = pa.ipc.open_file(source).read_all()
        except FileNotFoundError:
            return pl.DataFrame(schema=STORED_SCHEMA), pl.DataFrame(schema=_ASKED)
        except pa.ArrowInvalid as error:
            raise ProviderError(
                f"{self.arrow_path} is damaged ({error}); delete it, it is made again"
            ) from error
        made = json.loads(table.schema.metadata[_MADE])
        asked = pl.DataFrame(made["asked"], schema=_ASKED_NUMBERS, orient="row").cast(_ASKED)
        frame = pl.from_arrow(table)
        assert isinstance(frame, pl.DataFrame)  # noqa: S101 (narrows the type: a table is a frame)
        return frame, asked

    @contextmanager
    def _writer(self) -> Iterator[Any]:
        """The one connection that writes, with the tables in place and the Arrow file as the last commit left it."""
        import duckdb

        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(f"{self.path}.lock", timeout=_PATIENCE):
                connection = duckdb.connect(str(self.path))
                try:
                    connection.execute(_TABLES)
                    if self._published() != _version(connection):
                        self._publish(connection)
                    yield connection
                finally:
                    connection.close()
        except Timeout as error:
            raise ProviderError(
                f"{self.path} has been written by another process for {_PATIENCE:.0f} s; try again when it is done"
            ) from error
        except duckdb.IOException as error:
            raise ProviderError(f"{self.path} cannot be opened: {str(error).splitlines()[0]}") from error

    def _publish(self, connection: Any) -> None:  # noqa: ANN401 (duckdb is loaded where it is used)
        """Write all bars, sorted, to the Arrow file and put it in the place of the last."""
        import pyarrow as pa

        bars = connection.sql("SELECT * FROM bars ORDER BY ticker, date").pl()
        bars = bars.with_columns(pl.col("fetched_at").dt.replace_time_zone("UTC")).select(
            pl.col(name).cast(kind) for name, kind in STORED_SCHEMA.items()
        )
        asked = connection.sql(
            "SELECT ticker, asked_from - DATE '1970-01-01', asked_to - DATE '1970-01-01', epoch_us(fetched_at) "
            "FROM asked ORDER BY ticker"
        )
        made = json.dumps({"version": _version(connection), "asked": asked.fetchall()}).encode()
        table = bars.rechunk().to_arrow(compat_level=pl.CompatLevel.newest())
        table = table.replace_schema_metadata({_MADE: made})
        handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.arrow_path.name}-")
        try:
            with os.fdopen(handle, "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
                writer.write_table(table)
            Path(name).replace(self.arrow_path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def _published(self) -> int | None:
        """The version of the Arrow file, None if there is none that can be read."""
        import pyarrow as pa

        try:
            with pa.memory_map(str(self.arrow_path)) as source:
                made = pa.ipc.open_file(source).schema.metadata[_MADE]
        except (FileNotFoundError, pa.ArrowInvalid, KeyError, TypeError):
            return None
        return int(json.loads(made)["version"])


_ASKED: Final = pl.Schema(
    {
        "ticker": pl.String(),
        "asked_from": pl.Date(),
        "asked_to": pl.Date(),
        "fetched_at": pl.Datetime("us", "UTC"),
    }
)
_ASKED_NUMBERS: Final = pl.Schema(
    {"ticker": pl.String(), "asked_from": pl.Int32(), "asked_to": pl.Int32(), "fetched_at": pl.Int64()}
)

_TABLES = """
CREATE TABLE IF NOT EXISTS bars (
    ticker VARCHAR NOT NULL, date DATE NOT NULL, open DOUBLE NOT NULL, high DOUBLE NOT NULL, low DOUBLE NOT NULL,
    close DOUBLE NOT NULL, volume BIGINT NOT NULL, adjusted_close DOUBLE NOT NULL, dividend DOUBLE NOT NULL,
    split_ratio DOUBLE NOT NULL, fetched_at TIMESTAMP NOT NULL
);
CREATE TABLE IF NOT EXISTS asked (
    ticker VARCHAR PRIMARY KEY, asked_from DATE NOT NULL, asked_to DATE NOT NULL, fetched_at TIMESTAMP NOT NULL
);
CREATE TABLE IF NOT EXISTS state (version BIGINT NOT NULL);
INSERT INTO state SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM state);
"""
"""``fetched_at`` is UTC. A key on the bars would slow each write; the lock and the deletes keep them unique."""


def _version(connection: Any) -> int:  # noqa: ANN401 (duckdb is loaded where it is used)
    return int(connection.sql("SELECT version FROM state").fetchall()[0][0])


def _of(stored: pl.DataFrame, tickers: tuple[str, ...]) -> pl.DataFrame:
    """The rows of some tickers of a sorted frame, without looking at the others."""
    wanted = pl.Series(sorted(tickers), dtype=pl.String)
    begin = np.asarray(stored["ticker"].search_sorted(wanted, side="left"))
    end = np.asarray(stored["ticker"].search_sorted(wanted, side="right"))
    slices: list[tuple[int, int]] = []
    for first, after in zip(begin.tolist(), end.tolist(), strict=True):
        if slices and slices[-1][1] == first:
            slices[-1] = (slices[-1][0], after)
        elif after > first:
            slices.append((first, after))
    if not slices:
        return no_bars()
    return pl.concat([stored[first:after] for first, after in slices])
