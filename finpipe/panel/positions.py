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
    least = numbers.min()
    offsets = numbers - least
    seen = np.bincount(offsets) > 0
    position = (np.cumsum(seen) - 1).astype(np.int32)
    return np.flatnonzero(seen).astype(np.int32) + least, position.take(offsets)
