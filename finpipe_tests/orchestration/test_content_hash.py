from __future__ import annotations

import datetime as dt
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
import xxhash
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from finpipe.orchestration.versions import content_hash, lazy_content_hash, text_hash

TYPES: dict[str, tuple[pl.DataType | type[pl.DataType], st.SearchStrategy]] = {
    "int": (pl.Int64, st.integers(-(2**62), 2**62)),
    "small": (pl.Int32, st.integers(-(2**31), 2**31 - 1)),
    "float": (pl.Float64, st.floats(allow_nan=False, allow_infinity=True)),
    "single": (pl.Float32, st.floats(width=32, allow_nan=False, allow_infinity=False)),
    "flag": (pl.Boolean, st.booleans()),
    "text": (pl.String, st.text("aäb\0가 ", max_size=4)),
    "day": (pl.Date, st.dates(dt.date(1990, 1, 1), dt.date(2030, 1, 1))),
    "code": (pl.Categorical, st.sampled_from(["000020", "005930", "035720", "A"])),
}


@st.composite
def frames(draw: st.DrawFn) -> pl.DataFrame:
    height = draw(st.integers(1, 8))
    names = draw(st.lists(st.sampled_from(sorted(TYPES)), min_size=1, max_size=4, unique=True))
    return pl.DataFrame(
        [
            pl.Series(name, draw(st.lists(st.none() | values, min_size=height, max_size=height)), dtype)
            for name in names
            for dtype, values in [TYPES[name]]
        ]
    )


@given(frames(), st.integers(0, 8))
@settings(deadline=None, max_examples=60)
def test_chunks_do_not_matter(frame, cut):
    parts = pl.concat([frame[:cut], frame[cut:]], rechunk=False)
    assert content_hash(parts) == content_hash(frame) == content_hash(frame.rechunk())


@given(st.lists(st.none() | st.integers(0, 9), min_size=1, max_size=40), st.integers(0, 20))
@settings(deadline=None, max_examples=100)
def test_nulls_are_hashed_as_bits_wherever_a_column_begins(values, first):
    column = pl.Series("n", [1, None] * 10 + values, pl.Int64)[min(first, 20) :]
    digest = xxhash.xxh3_128(f"n:Int64:{len(column)};".encode())
    if column.null_count():
        digest.update(np.packbits(column.is_null().to_numpy()))
    digest.update(column.fill_null(0).to_numpy().copy())
    assert content_hash(column.to_frame()) == digest.hexdigest()


@given(frames(), st.data())
@settings(deadline=None, max_examples=80)
def test_every_value_matters(frame, data):
    name = data.draw(st.sampled_from(frame.columns))
    row = data.draw(st.integers(0, frame.height - 1))
    dtype, values = TYPES[name]
    old, new = frame[name][row], data.draw(st.none() | values)
    assume(old != new)
    changed = [*frame[name][:row], new, *frame[name][row + 1 :]]
    assert content_hash(frame.with_columns(pl.Series(name, changed, dtype))) != content_hash(frame)


@given(frames())
@settings(deadline=None, max_examples=40)
def test_names_order_and_number_matter(frame):
    hashed = content_hash(frame)
    assert content_hash(frame.rename({frame.columns[0]: "other"})) != hashed
    assert content_hash(frame[:-1]) != hashed
    assert content_hash(frame.with_columns(more=pl.lit(1))) != hashed
    if frame.width > 1:
        assert content_hash(frame.select(reversed(frame.columns))) != hashed
    if not frame.equals(frame.reverse()):
        assert content_hash(frame.reverse()) != hashed


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pl.Series("x", [1, 2], pl.Int64), pl.Series("x", [1, 2], pl.Int32)),
        (pl.Series("x", [1, 2], pl.Int64), pl.Series("x", [1.0, 2.0], pl.Float64)),
        (pl.Series("x", ["a", "b"], pl.String), pl.Series("x", ["a", "b"], pl.Categorical)),
        (pl.Series("x", [0, 1], pl.Int32), pl.Series("x", [0, 1], pl.Int32).cast(pl.Date)),
        (pl.Series("x", [0], pl.Int64), pl.Series("x", [None], pl.Int64)),
        (pl.Series("x", ["", "a"]), pl.Series("x", [None, "a"], pl.String)),
        (pl.Series("x", ["ab", "c"]), pl.Series("x", ["a", "bc"])),
        (pl.Series("x", [None, 1.0]), pl.Series("x", [float("nan"), 1.0])),
        (pl.Series("x", ["a", "b"], pl.Categorical), pl.Series("x", ["b", "c"], pl.Categorical)),
    ],
)
def test_what_looks_alike_is_told_apart(one, other):
    assert content_hash(one.to_frame()) != content_hash(other.to_frame())


def test_the_hash_is_the_same_in_another_process_that_met_the_categories_in_another_order():
    codes = ["005930", None, "000020", "035720", "005930"]
    program = f"""
import datetime as dt, polars as pl
from finpipe.orchestration.versions import content_hash
pl.Series(["zz", "035720", "000020", "005930"], dtype=pl.Categorical)
codes = pl.Series({codes!r}, dtype=pl.Categorical)
frame = pl.DataFrame({{"stock_code": codes, "close": [1.5, None, 2.0, float("nan"), 0.0]}})
print(content_hash(frame))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    frame = pl.DataFrame(
        {
            "stock_code": pl.Series(codes, dtype=pl.Categorical),
            "close": [1.5, None, 2.0, float("nan"), 0.0],
        }
    )
    assert done.stdout.strip() == content_hash(frame)


def test_unused_categories_do_not_matter():
    codes = pl.Series("stock_code", ["005930", "000020", "035720"], pl.Categorical).to_frame()
    kept = codes.filter(pl.col("stock_code") != "000020")
    anew = pl.Series("stock_code", ["005930", "035720"], pl.Categorical).to_frame()
    assert content_hash(kept) == content_hash(anew)


@given(frames())
@settings(deadline=None, max_examples=20)
def test_a_lazy_frame_is_hashed_in_batches_of_columns(frame):
    hashed = lazy_content_hash(frame.lazy(), columns_at_a_time=2)
    assert hashed == lazy_content_hash(pl.concat([frame[:1], frame[1:]]).lazy(), columns_at_a_time=2)
    assert hashed != lazy_content_hash(frame.with_columns(more=pl.lit(1)).lazy(), columns_at_a_time=2)
    assert hashed != lazy_content_hash(frame[:-1].lazy(), columns_at_a_time=2)


def test_texts_are_hashed_by_content():
    assert text_hash("삼성전자") == text_hash("삼성" + "전자") != text_hash("삼성전기")
