"""Equal requests have equal keys; anything that means something else has another."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta, timezone
from enum import Enum

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finpipe.cache.entry import UncacheableError
from finpipe.cache.keys import canonical, key_prefix, request_key

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
    | st.dates()
)
requests = st.dictionaries(
    st.text(st.characters(codec="ascii"), max_size=5),
    st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner)
    ),
    max_size=5,
)


@settings(deadline=None)
@given(requests, st.randoms())
def test_order_of_names_does_not_matter(parameters, random):
    names = list(parameters)
    random.shuffle(names)
    assert request_key("x", parameters) == request_key("x", {name: parameters[name] for name in names})


@settings(deadline=None)
@given(requests, requests)
def test_keys_are_equal_exactly_when_the_canonical_requests_are(one, other):
    same = repr(_sorted(canonical(one))) == repr(_sorted(canonical(other)))
    assert (request_key("x", one) == request_key("x", other)) == same


def _sorted(value):
    if isinstance(value, dict):
        return sorted((name, _sorted(item)) for name, item in value.items())
    return [_sorted(item) for item in value] if isinstance(value, list) else value


@settings(deadline=None)
@given(st.lists(st.text(max_size=4), max_size=6), st.randoms())
def test_a_set_has_no_order_and_a_list_has(tickers, random):
    shuffled = random.sample(tickers, len(tickers))
    assert request_key("x", {"t": set(tickers)}) == request_key("x", {"t": frozenset(shuffled)})
    assert (request_key("x", {"t": tickers}) == request_key("x", {"t": shuffled})) == (tickers == shuffled)


class Method(Enum):
    ETS = "ets"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 1.0),
        (0.0, -0.0),
        (np.float64(0.25), 0.25),
        (np.int64(3), 3),
        (date(2025, 1, 2), "2025-01-02"),
        ((1, 2), [1, 2]),
        (Method.ETS, "ets"),
        ("é", "e\u0301"),
        (datetime(2025, 1, 2, 15, tzinfo=UTC), datetime(2025, 1, 2, 16, tzinfo=timezone(timedelta(hours=1)))),
    ],
)
def test_the_same_thing_written_in_two_ways_has_one_key(one, other):
    assert request_key("x", {"a": one}) == request_key("x", {"a": other})


@pytest.mark.parametrize(
    ("one", "other"),
    [(1, "1"), (1, True), (0, False), (None, "null"), ([], {}), (0.1, 0.1 + 1e-16), ("a", ["a"])],
)
def test_different_things_have_different_keys(one, other):
    if one == other and type(one) is type(other):
        pytest.skip("the same float")
    assert request_key("x", {"a": one}) != request_key("x", {"a": other})


def test_code_data_and_kind_are_part_of_the_key():
    keys = {
        request_key("x", {}),
        request_key("y", {}),
        request_key("x", {}, code_version="1"),
        request_key("x", {}, data_version="1"),
        request_key("x", {"code": "1"}),
    }
    assert len(keys) == 5
    assert all(key.startswith((key_prefix("x"), key_prefix("y"))) for key in keys)
    assert not request_key("xy", {}).startswith(key_prefix("x"))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"progress": print}, "parameters.progress is a builtin_function_or_method"),
        ({"a": [1, object()]}, r"parameters.a\[1\] is a object"),
        ({"a": {"b": float("nan")}}, "parameters.a.b is nan"),
        ({"a": float("inf")}, "finite"),
        ({"a": {1: 2}}, "has the name 1"),
        ({"a": np.zeros(2)}, "ndarray"),
        ({"a": b"x"}, "bytes"),
        ({"a": datetime(2025, 1, 1)}, "time zone"),  # noqa: DTZ001 that is the point
        ({"é": 1, "e\u0301": 2}, "twice"),
    ],
)
def test_what_has_no_canonical_form_is_refused_by_name(parameters, message):
    with pytest.raises(UncacheableError, match=message):
        request_key("x", parameters)


def test_a_kind_cannot_reach_into_another():
    with pytest.raises(UncacheableError, match="no kind"):
        request_key("prices:1", {})


def test_keys_are_the_same_in_every_process():
    code = "from finpipe.cache.keys import request_key as k; print(k('x', {'t': {'B', 'A', 'C'}, 'r': 0.5}))"
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert said == request_key("x", {"r": 0.5, "t": {"A", "B", "C"}})
