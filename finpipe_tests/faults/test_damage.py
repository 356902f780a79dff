"""Damaged files: each is named in a sentence, nothing is made of it, and what to do about it works."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from finpipe.orchestration import records
from finpipe_tests.demo_home import VARIANT
from finpipe_tests.faults.wreck import contents

PERFORMANCE = [
    f"krx/{name}[{VARIANT}]" for name in ("performance", "performance_report", "performance_picture")
]


def flip(path: Path, first: float, last: float) -> None:
    """Flip bits between two places of a file, given as shares of its length; the file gets an inode of its own."""
    content = bytearray(path.read_bytes())
    for place in range(int(first * len(content)), int(last * len(content))):
        content[place] ^= 0x5A
    path.unlink()
    path.write_bytes(content)


def assert_sentence(said, pattern: str) -> None:
    assert said.status == 1, said.err
    assert "Traceback" not in said.err, said.err
    assert re.search(pattern, said.err), said.err


@pytest.mark.parametrize("how", ["cut off", "its end is flipped"])
def test_a_parquet_file_that_is_seen_to_be_damaged_is_made_again(own_home, say, how):
    before = contents(own_home.home)
    universe = own_home.home / "store" / "krx" / "universe.parquet"
    if how == "cut off":
        content = universe.read_bytes()
        universe.unlink()
        universe.write_bytes(content[: len(content) // 2])
    else:
        flip(universe, 0.9995, 1.0)
    said = say("run", "--home", own_home.home, "--json")
    assert said.status == 0, said.err
    assert said.record["materialized"] == ["krx/universe"], "it came out as it was, so the rest is fresh"
    assert contents(own_home.home) == before


def test_a_parquet_file_with_flipped_bits_is_named_and_nothing_is_made_of_it(own_home, say):
    before = contents(own_home.home)
    universe = own_home.home / "store" / "krx" / "universe.parquet"
    flip(universe, 0.5, 0.51)
    panel = own_home.home / "store" / "krx" / "training_panel.parquet"
    panel.unlink()
    said = say("run", "--home", own_home.home, "--only", "krx/training_panel")
    assert_sentence(
        said, r"krx/universe is damaged: \S+universe\.parquet does not hold what was stored there"
    )
    assert not panel.exists()
    universe.unlink()
    said = say("run", "--home", own_home.home, "--json")
    assert set(said.record["materialized"]) == {"krx/universe", "krx/training_panel"}
    assert contents(own_home.home) == before


def test_a_damaged_file_cannot_be_exported(own_home, say, tmp_path):
    flip(own_home.home / "store" / "krx" / "universe.parquet", 0.9995, 1.0)
    said = say("export", "krx/universe", "--home", own_home.home, "--out", tmp_path / "universe.csv")
    assert_sentence(said, r"krx/universe is damaged .*`finpipe run` makes it again")
    assert list(tmp_path.glob("*universe*")) == []


def test_damaged_result_tables_are_named_and_made_again(own_home, say):
    before = contents(own_home.home)
    tables = own_home.home / "finpipe.duckdb"
    sound = tables.read_bytes()
    for first, last in ((0.0, 0.002), (0.005, 1.0)):
        flip(tables, first, last)
        damaged = tables.read_bytes()
        said = say("run", "--home", own_home.home)
        assert_sentence(said, r"finpipe\.duckdb cannot be (opened|read): .*move it away")
        assert tables.read_bytes() == damaged
        tables.write_bytes(sound)
    tables.rename(tables.with_name("damaged.duckdb"))
    said = say("run", "--home", own_home.home, "--json")
    assert said.status == 0, said.err
    assert not [name for name in said.record["materialized"] if "ranker" in name or "panel" in name]
    assert contents(own_home.home) == before


@pytest.mark.parametrize("file", ["history/runs/index.db", "history/runs.db"])
@pytest.mark.parametrize(("first", "last"), [(0.0, 0.01), (0.1, 1.0)], ids=["header", "pages"])
def test_damaged_records_are_named_and_the_copy_takes_their_place(own_home, say, file, first, last):
    before = contents(own_home.home)
    folder = own_home.home / "dagster"
    flip(folder / file, first, last)
    said = say("run", "--home", own_home.home)
    assert_sentence(
        said, r"dagster, where runs are recorded, cannot be read: .*goes on with the copy .*dagster\.copy"
    )
    folder.rename(own_home.home / "dagster.damaged")
    said = say("run", "--home", own_home.home, "--json")
    assert said.status == 0, said.err
    assert said.record["materialized"] == [], "nothing is made needlessly"
    assert contents(own_home.home) == before


def test_the_copy_follows_the_records_and_what_was_made_since_is_made_again(
    own_home, say, monkeypatch, tmp_path
):
    only = ("--only", "krx/performance", "--json")
    first = contents(own_home.home)
    folder, copy = own_home.home / "dagster", own_home.home / "dagster.copy"
    shutil.copytree(copy, tmp_path / "older")
    monkeypatch.setenv("FINPIPE_RISK_FREE", "0.02")
    assert say("run", "--home", own_home.home, *only).record["materialized"] == PERFORMANCE
    second = contents(own_home.home)
    assert second != first
    shutil.rmtree(folder)
    assert say("run", "--home", own_home.home, *only).record["materialized"] == [], "the copy knows of it"
    shutil.rmtree(folder)
    shutil.rmtree(copy)
    shutil.copytree(tmp_path / "older", copy)
    assert say("run", "--home", own_home.home, *only).record["materialized"] == PERFORMANCE, (
        "an older one does not"
    )
    assert contents(own_home.home) == second


def test_damaged_records_never_take_the_place_of_their_copy(own_home):
    copy = own_home.home / "dagster.copy" / "history" / "runs" / "index.db"
    sound = copy.read_bytes()
    flip(own_home.home / "dagster" / "history" / "runs" / "index.db", 0.1, 1.0)
    records.keep_copy(own_home.settings())
    assert copy.read_bytes() == sound
    assert list(own_home.home.rglob("*.tmp")) == []
