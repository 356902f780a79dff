"""Sorting rows by a small number that each of them carries, in linear time."""

from __future__ import annotations

import numba
import numpy as np
from numba import int32, int64, types, void
from numpy.typing import NDArray


@numba.njit(
    [void(types.Array(int32, 1, "C", readonly=True), int64[::1], int64[::1])],
    cache=True,
    nogil=True,
    error_model="numpy",
)
def counting_sort(numbers: NDArray[np.int32], places: NDArray[np.int64], out: NDArray[np.int64]) -> None:
    """Write the positions of ``numbers`` into ``out``, in order of number, then of position.

    ``places[n]`` is where the first position of number ``n`` belongs; it is moved on as they are written.
    """
    for i in range(numbers.size):
        number = numbers[i]
        out[places[number]] = i
        places[number] += 1
