"""The store: files of materialized assets, one per partition, written atomically to a folder or object store."""

from __future__ import annotations

import contextlib
import functools
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import polars as pl
import xxhash
from upath import UPath

from finpipe.orchestration import temporary

ATOMIC = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl"})
"""Object stores in which a file appears when all of it is there."""
ROW_GROUP = 1 << 19
CHUNK = 1 << 22


class StoreError(RuntimeError):
    """A stored file is missing or cannot be read or written; the message says which and what to do."""


@dataclass(frozen=True, slots=True)
class Store:
    """Files under ``root``, addressed by asset key, partition and ending.

    Parameters
    ----------
    root
        A folder or an object-store URL such as ``s3://bucket/prefix``.
    """

    root: str

    def path(self, asset: str, partition: str | None, ending: str) -> UPath:
        """Return where ``asset`` (slash form) keeps ``partition``; parts of a partition key become folders."""
        name = asset if partition is None else f"{asset}/{partition.replace('|', '/')}"
        return UPath(self.root) / f"{name}{ending}"

    def write(self, path: UPath, write: Callable[[Path], None]) -> int:
        """Let ``write`` fill a temporary file, then put it in the place of ``path``; return its size in bytes.

        A crash at any moment leaves either the old file or the new one.
        """
        try:
            if _is_local(path):
                return _write_local(Path(path.path), write)
            with tempfile.TemporaryDirectory(prefix=temporary.staging()) as folder:
                staged = Path(folder) / path.name
                write(staged)
                _send(staged, path)
                return staged.stat().st_size
        except (OSError, pl.exceptions.PolarsError) as error:
            reason = str(error).rpartition("underlying IO error: ")[2]
            raise StoreError(
                f"{path} cannot be written ({reason}); the version stored before is untouched. "
                f"Check free space and permissions of {self.root}"
            ) from error

    def write_frame(self, path: UPath, frame: pl.DataFrame) -> int:
        """Write ``frame`` as parquet; return its size in bytes.

        Measured features hardly compress: LZ4 makes files a tenth larger than zstd, in half of the time to write and
        to read them.
        """
        return self.write(
            path,
            lambda target: frame.write_parquet(
                target, compression="lz4", row_group_size=ROW_GROUP, statistics=True
            ),
        )

    def write_text(self, path: UPath, text: str) -> int:
        """Write ``text`` as UTF-8; return its size in bytes."""
        return self.write(path, lambda target: _fill(target, text))

    def read_text(self, path: UPath, asset: str) -> str:
        """Return the text of ``path``, which belongs to ``asset``."""
        self.require(path, asset)
        return path.read_text(encoding="utf-8")

    def scan(self, path: UPath, asset: str) -> pl.LazyFrame:
        """Return the frame of ``path``, which belongs to ``asset``, without reading it yet."""
        self.require(path, asset)
        return pl.scan_parquet(path.path if _is_local(path) else str(path))

    def size(self, path: UPath) -> int | None:
        """Return the size of ``path`` in bytes, None if it is not there."""
        return path.stat().st_size if path.exists() else None

    def ends_with(self, path: UPath, mark: bytes) -> bool:
        """Return whether the last bytes of a file are ``mark``; true in an object store, which keeps files whole."""
        if not _is_local(path):
            return True
        with Path(path.path).open("rb") as file:
            file.seek(-len(mark), 2)
            return file.read() == mark

    def digest(self, *paths: UPath) -> str:
        """Return a hash of the bytes of files; empty for an object store, which watches over its own.

        A file that has not been written to since it was last asked for is not read again.
        """
        if not all(_is_local(path) for path in paths):
            return ""
        stats = [(path.path, path.stat()) for path in paths]
        return "-".join(_digest(name, stat.st_ino, stat.st_size, stat.st_mtime_ns) for name, stat in stats)

    def clear(self) -> None:
        """Delete all temporary files, which nobody must be writing."""
        root = UPath(self.root)
        for found in root.fs.find(root.path):
            if temporary.NAME.fullmatch(PurePosixPath(found).name):
                root.fs.rm_file(found)

    def require(self, path: UPath, asset: str) -> None:
        """Raise a StoreError that says how to make ``asset`` if ``path`` is not there."""
        if not path.exists():
            raise StoreError(
                f"{asset} is not in the store ({path} does not exist); run `finpipe run --only {asset}`"
            )


def _is_local(path: UPath) -> bool:
    return path.protocol in ("", "file")


@functools.lru_cache(maxsize=4096)
def _digest(name: str, *_: int) -> str:
    found = xxhash.xxh3_64()
    with Path(name).open("rb") as file:
        while part := file.read(CHUNK):
            found.update(part)
    return found.hexdigest()


def _write_local(path: Path, write: Callable[[Path], None]) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = temporary.beside(path)
    try:
        write(unfinished)
        size = unfinished.stat().st_size
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return size


def _send(staged: Path, path: UPath) -> None:
    """Put a file in the place of ``path`` elsewhere; what was there stays until all of it has arrived."""
    if path.protocol in ATOMIC:
        path.fs.put_file(str(staged), path.path)
        return
    unfinished = temporary.beside(PurePosixPath(path.path))
    try:
        path.fs.makedirs(str(unfinished.parent), exist_ok=True)
        path.fs.put_file(str(staged), str(unfinished))
        path.fs.mv(str(unfinished), path.path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            path.fs.rm_file(str(unfinished))


def _fill(target: Path, text: str) -> None:
    target.write_text(text, encoding="utf-8")
