from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finpipe.panel.formula import above, at_most, below

numbers = st.floats(-1e9, 1e9) | st.just(math.nan)


@settings(deadline=None, max_examples=200)
@given(numbers, numbers)
def test_comparisons_are_the_usual_ones_but_next_to_the_bound(value, bound):
    if not math.isnan(value + bound) and abs(value - bound) < 1e-9 * max(abs(bound), 1):
        return
    found = [compare(np.array([value]), bound).item() for compare in (above, below, at_most)]
    assert found == [value > bound, value < bound, value <= bound]


@settings(deadline=None, max_examples=200)
@given(st.lists(st.integers(1, 10**7), min_size=5, max_size=5), st.floats(1e-3, 1e3))
def test_a_price_at_its_average_is_neither_above_nor_below_it_whatever_both_are_adjusted_by(prices, factor):
    adjusted = np.array([*prices, *reversed(prices)]) * factor
    one, other = adjusted[:5].sum() / 5, adjusted.sum() / 10
    assert not above(np.array([one]), other).item()
    assert not below(np.array([one]), other).item()
    assert at_most(np.array([one]), other).item()


@pytest.mark.parametrize("factor", [1.0, 0.1, 1 / 3, 1.2007575757575757])
def test_a_fall_by_exactly_a_fifth_is_no_deeper_fall(factor):
    high = np.arange(10, 100_000, 10) * factor
    drawdown = np.arange(8, 80_000, 8) * factor / high - 1
    assert not below(drawdown, -0.2).any()
    assert at_most(drawdown, -0.2).all()
