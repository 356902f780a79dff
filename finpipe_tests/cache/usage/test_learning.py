"""Popularity, association, neighbours and the warm list, against their formulas."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finpipe.cache.usage.association import Association
from finpipe.cache.usage.neighbours import Neighbours
from finpipe.cache.usage.popularity import DAY, Popularity
from finpipe.cache.usage.request_log import Asked
from finpipe.cache.usage.warm_list import warm_list

rows = st.lists(
    st.builds(
        Asked,
        st.floats(0, 30 * DAY),
        st.just("prices"),
        st.lists(st.sampled_from("ABCDEF"), min_size=1, max_size=4, unique=True).map(tuple),
    ),
    max_size=30,
)


@settings(deadline=None)
@given(rows, st.floats(0.1, 10))
def test_popularity_is_the_decayed_sum_in_any_order(asked, days):
    now = 31 * DAY
    popularity = Popularity.of(asked, days * DAY)
    for item in "ABCDEF":
        plain = math.fsum(2 ** (-(now - row.at) / (days * DAY)) for row in asked if item in row.items)
        assert popularity.score(item, now) == pytest.approx(plain, rel=1e-9, abs=1e-300)
    backwards = Popularity.of(reversed(asked), days * DAY).scores(now)
    assert popularity.scores(now) == pytest.approx(backwards, rel=1e-9, abs=1e-300)


def test_what_is_recent_beats_what_was_frequent_long_ago():
    popularity = Popularity(DAY)
    for _ in range(10):
        popularity.add("OLD", 0.0)
    popularity.add("NEW", 5 * DAY)
    assert popularity.top(1, 5 * DAY) == ["NEW"]
    assert popularity.scores(5 * DAY) == {"NEW": 1.0, "OLD": 10 / 32}
    assert popularity.score("NEVER", DAY) == 0
    with pytest.raises(ValueError, match="positive"):
        Popularity(0)


@settings(deadline=None)
@given(rows)
def test_lift_is_that_of_the_formula(asked):
    association = Association(least=1, smoothing=1e-12)
    for row in asked:
        association.add(row.items)
    for one, other in combinations("ABCDEF", 2):
        of_one = sum(one in row.items for row in asked)
        of_other = sum(other in row.items for row in asked)
        both = sum({one, other} <= set(row.items) for row in asked)
        assert association.lift(one, other) == association.lift(other, one)
        if of_one and of_other:
            plain = (both / len(asked)) / (of_one / len(asked) * of_other / len(asked))
            assert association.lift(one, other) == pytest.approx(plain, rel=1e-6, abs=1e-9)


def test_pairs_are_found_among_independent_requests():
    rng = np.random.default_rng(0)
    association = Association()
    for _ in range(4000):
        items = {f"T{number}" for number in rng.choice(40, rng.integers(1, 5))}
        if rng.random() < 0.05:
            items |= {"T0", "T1"}
        association.add(items)
    assert [neighbour.item for neighbour in association.neighbours("T0", 1)] == ["T1"]
    assert association.neighbours("T1", 1)[0].lift > 2
    others = [association.lift("T5", f"T{number}") for number in range(6, 40)]
    assert 0.8 < np.mean(others) < 1.2


def test_a_coincidence_is_no_neighbour_and_a_whole_group_says_nothing():
    association = Association()
    association.add(["A", "B"])
    association.add([f"T{number}" for number in range(100)])
    assert association.neighbours("A", 5) == []
    assert association.neighbours("T1", 5) == []
    assert association.lift("T1", "T2") == 1.0


def test_neighbours_are_co_requested_ones_first_then_the_popular_of_the_label():
    popularity, association = Popularity(), Association()
    labels = {"A": "tech", "B": "tech", "C": "tech", "D": "tech", "X": "oil"}
    for item, times in {"B": 1, "C": 3, "D": 2, "A": 5, "X": 9}.items():
        for _ in range(times):
            popularity.add(item, 0.0)
    for _ in range(5):
        association.add(["A", "X"])
        association.add(["B"])
    neighbours = Neighbours(labels, popularity, association)
    assert neighbours.of("A", 3) == ["X", "C", "D"]
    assert neighbours.of("A", 10) == ["X", "C", "D", "B"]
    assert neighbours.of("C", 2) == ["A", "D"]
    assert neighbours.of("NEW", 3) == []


def test_the_warm_list_says_why():
    popularity = Popularity()
    for item, times in {"A": 3, "B": 1}.items():
        for _ in range(times):
            popularity.add(item, 0.0)
    neighbours = Neighbours({"A": "tech", "C": "tech"}, popularity, Association())
    groups = {"dow30": ["D", "A"], "sp500": ["E", "D"]}
    found = warm_list(popularity, neighbours, groups, size=10, now=0.0)
    assert [(item.item, item.score, item.reason) for item in found] == [
        ("A", 3.0, "asked for"),
        ("B", 1.0, "asked for"),
        ("C", 0.0, "neighbour of A"),
        ("D", 0.0, "in dow30"),
        ("E", 0.0, "in sp500"),
    ]
    assert [item.item for item in warm_list(popularity, neighbours, groups, size=2, now=0.0)] == ["A", "B"]
