"""Daily bars from parquet files: the provider for prices that one has already."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from finpipe.market.daily_bars import (
    BAR_SCHEMA,
    BarBatch,
    BarRequest,
    Progress,
    ProviderError,
    listed,
    valid_bars,
)

OTHER_NAMES: Final = {"adj_close": "adjusted_close"}
"""Column names that other collections of bars use, and ours."""


@dataclass(frozen=True, slots=True)
class ParquetBars:
    """Provider ``parquet``: one file of bars, or a folder of such files.

    Parameters
    ----------
    path
        A ``.parquet`` file, or a folder whose ``.parquet`` files are read together. Columns are those of bars, in any
        order; ``adj_close`` passes for ``adjusted_close``, a volume may be a float, further columns are left out.
    """

    path: Path

    @property
    def name(self) -> str:
        """``parquet``."""
        return "parquet"

    def fetch(self, request: BarRequest, progress: Progress | None = None) -> BarBatch:
        """Read the bars of the request.

        Raises
        ------
        ProviderError
            If the files are missing, cannot be read or hold something else; names the file and what it lacks.
        """
        found = scan_bars(self.path)
        bars, notices = _read(
            found.filter(
                pl.col("ticker").is_in(list(request.tickers)),
                pl.col("date").is_between(request.start, request.end),
            ),
            self.path,
        )
        missing = sorted(set(request.tickers) - set(bars["ticker"].unique()))
        failures = {}
        if missing:
            held = set(_collected(found.select("ticker").unique(), self.path)["ticker"])
            failures = {
                ticker: f"{self.path} has no bars of {ticker} from {request.start} to {request.end}"
                if ticker in held
                else f"{self.path} does not have {ticker}"
                for ticker in missing
            }
        if progress:
            progress(len(request.tickers), len(request.tickers))
        return BarBatch(bars, failures, notices)


def read_bars(path: Path) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """All valid bars of a file or folder, sorted, and notices about what was dropped or is odd.

    Raises
    ------
    ProviderError
        As :meth:`ParquetBars.fetch`.
    """
    return _read(scan_bars(path), path)


def scan_bars(path: Path) -> pl.LazyFrame:
    """Bars of a file or folder, unsorted and unchecked, in the columns of bars.

    Raises
    ------
    ProviderError
        If there is no such file, it is not parquet, or its columns are not those of bars.
    """
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not files:
        raise ProviderError(f"{path} holds no .parquet files; give a file or a folder of bars")
    return pl.concat([_scan_file(file) for file in files])


def _scan_file(file: Path) -> pl.LazyFrame:
    if not file.is_file():
        raise ProviderError(f"there is no file {file}; give a parquet file or a folder of bars")
    try:
        frame = pl.scan_parquet(file)
        schema = frame.collect_schema()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise ProviderError(f"{file} is not a parquet file: {str(error).splitlines()[0]}") from error
    names = {OTHER_NAMES.get(name, name): name for name in schema.names()}
    missing = [name for name in BAR_SCHEMA if name not in names]
    if missing:
        raise ProviderError(
            f"{file} has no column {listed(missing, 10)}; bars have {listed(BAR_SCHEMA.names(), 10)} "
            f"(adj_close passes for adjusted_close), the file has {listed(schema.names(), 12)}"
        )
    wrong = [
        f"{names[name]} is {schema[names[name]]}"
        for name, kind in BAR_SCHEMA.items()
        if not _passes(schema[names[name]], kind)
    ]
    if wrong:
        raise ProviderError(f"{file}: {listed(wrong, 10)}; ticker is text, date a date, all else numbers")
    return frame.select(
        (
            pl.col(names[name]).round()
            if name == "volume" and schema[names[name]].is_float()
            else pl.col(names[name])
        )
        .cast(kind)
        .alias(name)
        for name, kind in BAR_SCHEMA.items()
    )


def _passes(kind: pl.DataType, wanted: pl.DataType) -> bool:
    if wanted == pl.String:
        return isinstance(kind, pl.String | pl.Categorical | pl.Enum)
    if wanted == pl.Date:
        return isinstance(kind, pl.Date | pl.Datetime)
    return kind.is_numeric()


def _read(frame: pl.LazyFrame, path: Path) -> tuple[pl.DataFrame, tuple[str, ...]]:
    return valid_bars(_collected(frame, path), str(path))


def _collected(frame: pl.LazyFrame, path: Path) -> pl.DataFrame:
    try:
        return frame.collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise ProviderError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error
