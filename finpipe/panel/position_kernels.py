"""The compiled loops behind ``positions``: they need no room beside what they write."""

from __future__ import annotations

import numba
import numpy as np
from numba import int32, int64, types, void
from numpy.typing import NDArray

NUMBERS = types.Array(int32, 1, "C", readonly=True)


@numba.njit([void(NUMBERS, int64, int64[::1])], cache=True, nogil=True, error_model="numpy")
def count(numbers: NDArray[np.int32], least: int, counts: NDArray[np.int64]) -> None:
    """Add up how often each number from ``least`` on comes."""
    for i in range(numbers.size):
        counts[numbers[i] - least] += 1


@numba.njit([void(NUMBERS, int64, NUMBERS, int32[::1])], cache=True, nogil=True, error_model="numpy")
def look_up(numbers: NDArray[np.int32], least: int, table: NDArray[np.int32], out: NDArray[np.int32]) -> None:
    """Write what ``table``, which begins with the number ``least``, has for each number."""
    for i in range(numbers.size):
        out[i] = table[numbers[i] - least]
