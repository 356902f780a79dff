from __future__ import annotations

import os
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from upath import UPath

from finpipe.orchestration.store import Store, StoreError

FRAME = pl.DataFrame({"stock_code": ["005930", "000020"], "close": [1.0, 2.0]})


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path / "store with spaces 저장소"))


def everything(store: Store) -> list[str]:
    return sorted(str(path.relative_to(store.root)) for path in Path(store.root).rglob("*") if path.is_file())


def test_partition_keys_become_folders(store):
    path = store.path("krx/yearly_ranker", "2018|top_n-h21", ".txt")
    assert path == UPath(store.root) / "krx" / "yearly_ranker" / "2018" / "top_n-h21.txt"
    assert store.path("krx/universe", None, ".parquet") == UPath(store.root) / "krx" / "universe.parquet"


def test_a_frame_comes_back_as_it_was_written(store):
    path = store.path("krx/universe", None, ".parquet")
    assert store.write_frame(path, FRAME) == store.size(path) > 0
    found = store.scan(path, "krx/universe")
    assert isinstance(found, pl.LazyFrame)
    assert_frame_equal(found.collect(), FRAME)
    assert everything(store) == ["krx/universe.parquet"]


def test_text_comes_back_as_it_was_written(store):
    path = store.path("krx/study", "top_n-h21", ".json")
    assert store.write_text(path, "코스피\n") == store.size(path) == len("코스피\n".encode())
    assert store.read_text(path, "krx/study") == "코스피\n"


@pytest.mark.parametrize(
    "crash", [OSError(28, "No space left on device"), ValueError("bad"), KeyboardInterrupt()]
)
def test_a_writer_that_fails_leaves_the_old_file_and_no_other(store, crash):
    path = store.path("krx/study", None, ".json")
    store.write_text(path, "old")

    def write_half(target: Path) -> None:
        target.write_text("ne", encoding="utf-8")
        raise crash

    expected = StoreError if isinstance(crash, OSError) else type(crash)
    with pytest.raises(expected):
        store.write(path, write_half)
    assert store.read_text(path, "krx/study") == "old"
    assert everything(store) == ["krx/study.json"]


def test_a_disk_that_is_full_is_named_with_what_to_do(store):
    path = store.path("krx/study", None, ".json")

    def write(_: Path) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(StoreError, match=r"study\.json cannot be written .*No space left.* untouched"):
        store.write(path, write)


def test_a_reader_of_the_old_file_is_not_disturbed_by_a_new_one(store):
    path = store.path("krx/universe", None, ".parquet")
    store.write_frame(path, FRAME)
    linked = Path(store.root) / "linked.parquet"
    os.link(path.path, linked)
    store.write_frame(path, FRAME.reverse())
    assert_frame_equal(pl.read_parquet(linked), FRAME)
    assert_frame_equal(store.scan(path, "krx/universe").collect(), FRAME.reverse())


def test_a_missing_file_is_an_error_that_says_how_to_make_it(store):
    path = store.path("krx/universe", None, ".parquet")
    assert store.size(path) is None
    for read in (store.scan, store.read_text):
        with pytest.raises(
            StoreError, match=r"krx/universe is not in the store .* `finpipe run --only krx/universe`"
        ):
            read(path, "krx/universe")


def test_an_object_store_takes_files_whole():
    store = Store("memory://finpipe-tests/bucket")
    path = store.path("krx/study", "top_n-h21", ".json")
    assert store.size(path) is None
    assert store.write_text(path, "one") == store.size(path) == 3

    def fail(target: Path) -> None:
        target.write_text("half", encoding="utf-8")
        raise ValueError("bad")

    with pytest.raises(ValueError, match="bad"):
        store.write(path, fail)
    assert store.read_text(path, "krx/study") == "one"
