from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from finpipe_tests.benchmarks.process import SideFailedError, measure, run


class CountingSide:
    """A side whose state is the list of stages done."""

    def __init__(self) -> None:
        self.STAGES = {name: lambda state, name=name: state.append(name) for name in ("read", "work", "rest")}
        self.states: list[list[str]] = []
        self.warmed_up = False

    def start(self, database: Path, horizon: int) -> list[str]:
        self.states.append([f"{database.name} {horizon}"])
        return self.states[-1]

    def warm_up(self, folder: Path) -> None:
        self.warmed_up = folder.is_dir()

    def results(self, state: list[str]) -> dict[str, pl.DataFrame]:
        return {"done": pl.DataFrame({"stage": state})}


def test_stages_run_in_order_up_to_the_last_one_as_often_as_asked(tmp_path: Path):
    side = CountingSide()
    measurement = run(side, Path("x.db"), tmp_path, horizon=21, last="work", repeat=3)
    assert side.warmed_up
    assert side.states == [["x.db 21", "read", "work"]] * 3
    assert list(measurement.seconds) == ["read", "work"]
    assert measurement.rows == {"done": 3}
    assert pl.read_parquet(tmp_path / "done.parquet")["stage"].to_list() == ["x.db 21", "read", "work"]


HUNGRY_SIDE = """
import polars as pl

STAGES = {"eat": lambda state: state.append(b"x" * 300_000_000), "digest": lambda state: state.clear()}

def warm_up(folder): pass
def start(database, horizon): return []
def results(state): return {"left": pl.DataFrame({"meals": [len(state)]})}
"""


def test_peak_memory_is_that_of_the_hungriest_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "hungry_side.py").write_text(HUNGRY_SIDE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    measurement = measure("hungry_side", Path("x.db"), tmp_path, horizon=1, last="digest", repeat=1)
    assert 300 < measurement.peak_rss_mb["eat"] <= measurement.peak_rss_mb["digest"] < 600
    assert list(measurement.seconds) == ["eat", "digest"]


def test_a_side_that_fails_says_why(tmp_path: Path):
    with pytest.raises(SideFailedError, match="no_such_side"):
        measure("no_such_side", tmp_path / "x.db", tmp_path, horizon=1, last="read", repeat=1)
