"""Entries as bytes: zstd-compressed Arrow or JSON behind a header with a checksum; never pickle.

Layout, little-endian: magic ``FPC1``, kind (``A`` or ``J``), instants stored, fresh until, expires as
doubles, length of the uncompressed body, xxh3-64 of all the rest, body. An Arrow body is an IPC stream
whose buffers are compressed; a JSON body is compressed as a whole.
"""

from __future__ import annotations

from struct import Struct
from typing import Any

from finpipe.cache.entry import Entry, Expiry, UncacheableError

_MAGIC = b"FPC1"
_HEADER = Struct("<4sc3dQ")
_CHECKSUM = Struct("<Q")
_START = _HEADER.size + _CHECKSUM.size
_LARGEST = 1 << 32


class DecodeError(ValueError):
    """The bytes are not an entry of this format, or were damaged: says in what way."""


def encode(entry: Entry) -> bytes:
    """Return ``entry`` as bytes that ``decode`` takes.

    Raises
    ------
    UncacheableError
        Arrow's file format does not know a type of the table.
    """
    import pyarrow as pa

    if isinstance(entry.payload, bytes):
        kind, length = b"J", len(entry.payload)
        body = pa.compress(entry.payload, codec="zstd", asbytes=True)
    else:
        kind, body = b"A", _table_bytes(entry.payload)
        length = entry.payload.nbytes
    header = _HEADER.pack(
        _MAGIC, kind, entry.stored_at, entry.expiry.fresh_until, entry.expiry.expires_at, length
    )
    return b"".join((header, _CHECKSUM.pack(_digest(header, body)), body))


def decode(data: bytes) -> Entry:
    """Return the entry in ``data``.

    Raises
    ------
    DecodeError
        Truncated, altered, of another format, or not what the header says.
    """
    import pyarrow as pa

    if len(data) < _START or data[:4] != _MAGIC:
        raise DecodeError(f"{len(data)} bytes that are no cache entry")
    header, body = data[: _HEADER.size], memoryview(data)[_START:]
    if _CHECKSUM.unpack_from(data, _HEADER.size)[0] != _digest(header, body):
        raise DecodeError("damaged: the checksum does not match")
    _, kind, stored_at, fresh_until, expires_at, length = _HEADER.unpack(header)
    if kind not in {b"A", b"J"} or length > _LARGEST:
        raise DecodeError(f"kind {kind!r} of {length} bytes is not known")
    try:
        if kind == b"J":
            payload = pa.decompress(pa.py_buffer(body), length, codec="zstd", asbytes=True)
        else:
            payload = pa.ipc.open_stream(pa.py_buffer(body)).read_all()
            payload.validate(full=True)
        return Entry(payload, stored_at, Expiry(fresh_until, expires_at))
    except (pa.ArrowException, ValueError, OSError) as error:
        raise DecodeError(f"does not decode: {error}") from error


def _table_bytes(table: Any) -> bytes:  # noqa: ANN401 pyarrow carries no types
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="zstd", unify_dictionaries=False)
    try:
        with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
            writer.write_table(table)
    except pa.ArrowException as error:
        raise UncacheableError(f"the table cannot be written as Arrow: {error}") from error
    return bytes(sink.getvalue())


def _digest(header: bytes, body: bytes | memoryview) -> int:
    import xxhash

    state = xxhash.xxh3_64(header)
    state.update(body)
    return state.intdigest()
