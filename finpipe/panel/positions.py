"""The positions of integers among their distinct values, by a table of their span instead of a sort."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def positions(numbers: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Distinct ``numbers``, ascending, and the position of each number among them.

    Meant for codes and days, whose span is small: memory grows with largest - smallest.
    """
    if not numbers.size:
        return numbers, numbers
    from finpipe.panel.position_kernels import count, look_up

    least = int(numbers.min())
    counts = np.zeros(int(numbers.max()) - least + 1, np.int64)
    count(numbers, least, counts)
    found = np.flatnonzero(counts).astype(np.int32)
    position = np.zeros(counts.size, np.int32)
    position[found] = np.arange(found.size, dtype=np.int32)
    out = np.empty(numbers.size, np.int32)
    look_up(numbers, least, position, out)
    return found + np.int32(least), out
