"""How much memory Arrow values hold: each allocation counted once, however many values look into it."""

from __future__ import annotations

from typing import Any

from finpipe.cache.entry import Payload

_WORTH_COPYING = 4096


def held_buffers(payload: Payload) -> dict[int, int]:
    """Return the size in bytes of each allocation that ``payload`` keeps alive, by its address.

    A slice keeps alive all of what it was cut from, so the whole counts.
    """
    import pyarrow as pa

    if isinstance(payload, bytes):
        return {pa.py_buffer(payload).address: len(payload)}
    held: dict[int, int] = {}
    for column in payload.columns:
        for chunk in column.chunks:
            for buffer in _buffers(chunk):
                root = buffer
                while (parent := root.parent) is not None:
                    root = parent
                held[root.address] = max(root.size, held.get(root.address, 0))
    return held


def compact(table: Any) -> Any:  # noqa: ANN401 pyarrow carries no types
    """Return ``table`` in an allocation of its own, which holds its rows and nothing else."""
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return pa.ipc.open_stream(sink.getvalue()).read_all()


class BufferLedger:
    """The allocations that a collection of values keeps alive, and how many of the values hold each."""

    def __init__(self) -> None:
        self._held: dict[int, list[int]] = {}
        self.bytes = 0

    def added_bytes(self, held: dict[int, int]) -> int:
        """Return by how much the total would grow."""
        return sum(size for address, size in held.items() if address not in self._held)

    def add(self, held: dict[int, int]) -> None:
        """Count what a value holds, see ``held_buffers``."""
        for address, size in held.items():
            known = self._held.setdefault(address, [size, 0])
            if known[1] == 0:
                self.bytes += size
            known[1] += 1

    def release(self, held: dict[int, int]) -> None:
        """Take back an ``add`` of the same ``held``."""
        for address in held:
            known = self._held[address]
            known[1] -= 1
            if known[1] == 0:
                self.bytes -= known[0]
                del self._held[address]


def admissible(payload: Payload, ledger: BufferLedger) -> tuple[Payload, dict[int, int]]:
    """Return ``payload`` without foreign weight, and what it holds (see ``held_buffers``).

    A small slice of an allocation that the ledger does not know is copied; else it would cost the whole.
    """
    held = held_buffers(payload)
    if isinstance(payload, bytes) or ledger.added_bytes(held) <= 2 * payload.nbytes + _WORTH_COPYING:
        return payload, held
    copied = compact(payload)
    return copied, held_buffers(copied)


def _buffers(array: Any) -> list[Any]:  # noqa: ANN401 pyarrow carries no types
    import pyarrow as pa

    found = [buffer for buffer in array.buffers() if buffer is not None]
    if array.type.num_fields == 0 and array.type.id != pa.lib.Type_DICTIONARY:
        return found
    if pa.types.is_dictionary(array.type):
        found += _buffers(array.dictionary)
    elif pa.types.is_struct(array.type):
        for place in range(array.type.num_fields):
            found += _buffers(array.field(place))
    elif pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        found += _buffers(array.values)
    return found
