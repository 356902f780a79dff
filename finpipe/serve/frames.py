"""How the service and its workers talk: msgpack messages with their length before them; never pickle."""

from __future__ import annotations

import asyncio
from struct import Struct
from typing import Any, BinaryIO

_LENGTH = Struct("<I")
_LARGEST = 1 << 30


def packed(message: dict[str, Any]) -> bytes:
    """Return a message as it is sent."""
    import msgpack

    body: bytes = msgpack.packb(message)
    return _LENGTH.pack(len(body)) + body


def read_message(stream: BinaryIO) -> dict[str, Any] | None:
    """Return the next message of a stream; None at its end."""
    head = _exactly(stream, _LENGTH.size)
    if head is None:
        return None
    body = _exactly(stream, _length(head))
    return None if body is None else _unpacked(body)


async def next_message(stream: asyncio.StreamReader) -> dict[str, Any]:
    """Return the next message of a stream.

    Raises
    ------
    asyncio.IncompleteReadError
        The stream is over.
    """
    head = await stream.readexactly(_LENGTH.size)
    return _unpacked(await stream.readexactly(_length(head)))


def _length(head: bytes) -> int:
    length = int(_LENGTH.unpack(head)[0])
    if length > _LARGEST:
        raise ValueError(f"a message of {length} bytes is none of ours")
    return length


def _unpacked(body: bytes) -> dict[str, Any]:
    import msgpack

    message: dict[str, Any] = msgpack.unpackb(body, strict_map_key=False)
    return message


def _exactly(stream: BinaryIO, count: int) -> bytes | None:
    parts = []
    while count:
        part = stream.read(count)
        if not part:
            return None
        parts.append(part)
        count -= len(part)
    return b"".join(parts)
