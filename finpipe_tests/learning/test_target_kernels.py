from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from finpipe.learning.target_kernels import ascend

numbers = st.floats(allow_nan=False) | st.sampled_from([0.0, -0.0, 0.5, -0.5])


@given(st.lists(numbers, max_size=600), st.integers(0, 3))
def test_positions_ascend_as_a_plain_sort_does(values, unused):
    given_values = np.array([*values, *[np.nan] * unused], np.float64)
    order, spare = np.empty((2, given_values.size), np.int64)
    keys, spare_keys = np.empty((2, given_values.size), np.uint64)
    ascend(given_values, len(values), order, spare, keys, spare_keys)
    found = order[: len(values)]
    assert sorted(found.tolist()) == list(range(len(values)))
    np.testing.assert_array_equal(given_values[found], np.sort(given_values[: len(values)]))
