"""The compiled loop behind ``rows``: one walk along two lists of keys that are in the same order."""

from __future__ import annotations

import numba
import numpy as np
from numba import int64, types
from numpy.typing import NDArray

KEYS = types.Array(int64, 1, "C", readonly=True)


@numba.njit([int64(KEYS, KEYS, int64[::1])], cache=True, nogil=True, error_model="numpy")
def find_in_order(wanted: NDArray[np.int64], within: NDArray[np.int64], out: NDArray[np.int64]) -> int:
    """Write where each of ``wanted`` lies in ``within`` into ``out``; return how many were found before one was not."""
    found = 0
    for i in range(within.size):
        if found == wanted.size:
            break
        if within[i] == wanted[found]:
            out[found] = i
            found += 1
    return found
