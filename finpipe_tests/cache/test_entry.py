"""Entries are immutable and survive being written down; damaged bytes are found out."""

from __future__ import annotations

import math

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finpipe.cache.encoding import DecodeError, decode, encode
from finpipe.cache.entry import NEVER, Entry, Expiry, UncacheableError
from finpipe_tests.cache.values import entry, table

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@settings(deadline=None)
@given(json_values, st.floats(0, 1e10), st.floats(0, 1e10), st.floats(0, 1e10) | st.just(math.inf))
def test_json_survives(value, stored_at, fresh_until, further):
    written = Entry.of(value, stored_at, Expiry(fresh_until, fresh_until + further))
    read = decode(encode(written))
    assert read == written
    assert read.value == value


@pytest.mark.parametrize(
    "value",
    [
        table(1000),
        table(0),
        pa.table({}),
        table(100).slice(17, 5),
        pa.concat_tables([table(3), table(4, seed=1)]),
        pl.DataFrame({"t": ["A", None, "B"], "x": [1.5, float("nan"), None]}).to_arrow(),
        pl.DataFrame({"c": ["A", "B", "A"]}, schema={"c": pl.Categorical}).to_arrow(),
        pa.table({"l": [[1, 2], None, []], "s": [{"a": 1}, {"a": None}, None]}),
    ],
)
def test_tables_survive(value):
    read = decode(encode(entry(value)))
    assert read.payload.schema == value.schema
    assert repr(read.payload.to_pylist()) == repr(value.to_pylist())
    assert read.expiry == NEVER


def test_long_tables_are_compressed():
    assert len(encode(entry(pa.table({"x": [1.0] * 10_000})))) < 5_000
    assert len(encode(entry("a" * 100_000))) < 1_000


@settings(deadline=None)
@given(st.data())
def test_any_damage_is_found(data):
    whole = encode(entry(data.draw(st.sampled_from([[1, 2, {"a": "b"}], table(20)]), label="value")))
    place = data.draw(st.integers(0, len(whole) - 1))
    flipped = bytearray(whole)
    flipped[place] ^= 1 << data.draw(st.integers(0, 7))
    for damaged in (bytes(flipped), whole[:place], whole + b"x"):
        with pytest.raises(DecodeError):
            decode(damaged)


def test_pickles_are_not_read():
    import pickle

    with pytest.raises(DecodeError, match="no cache entry"):
        decode(pickle.dumps({"a": [1] * 100}))


@pytest.mark.parametrize("value", [object(), {"a": float("nan")}, [float("inf")], {1, 2}, b"x", {("a",): 1}])
def test_what_is_neither_table_nor_json_is_refused(value):
    with pytest.raises(UncacheableError, match="Arrow table or JSON"):
        entry(value)


def test_nobody_can_change_what_others_get():
    kept = entry({"weights": [0.5, 0.5]})
    kept.value["weights"].clear()
    assert kept.value == {"weights": [0.5, 0.5]}


def test_fresh_stale_gone():
    kept = entry([], expiry=Expiry(10.0, 20.0))
    assert [(kept.is_fresh(now), kept.is_usable(now)) for now in (9, 10, 19, 20)] == [
        (True, True),
        (False, True),
        (False, True),
        (False, False),
    ]
