"""Memory for columns as long as a market."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Scalar = TypeVar("Scalar", bound=np.generic)


def empty_column(rows: int, dtype: type[Scalar]) -> NDArray[Scalar]:
    """A column of ``rows`` values to be written, as ``numpy.empty``.

    It lies in memory of Arrow's pool, which keeps for the next column what is freed. The memory of a long array
    of numpy's own comes fresh from the system every time, and finding and clearing it takes about as long as
    computing a feature.
    """
    values: NDArray[Any] = np.frombuffer(pa.allocate_buffer(rows * np.dtype(dtype).itemsize), dtype)
    return values
