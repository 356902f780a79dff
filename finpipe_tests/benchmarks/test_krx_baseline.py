from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from finpipe_tests.benchmarks import krx_baseline
from finpipe_tests.benchmarks.krx_differences import known_differences

KEYS = ["stock_code", "date"]
STAGES = {"features": ("sector_features", "macro_features"), "targets": ("forward_returns",)}
VALUES = {"features": "technical_features.parquet", "targets": "targets.parquet"}


@pytest.fixture(scope="module")
def frames(golden: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, pl.DataFrame]]:
    folder = tmp_path_factory.mktemp("golden")
    return {name: baseline_frames(golden / f"{name}_krx_stock_data.db.gz", folder) for name in VALUES}


def baseline_frames(packed: Path, folder: Path) -> dict[str, pl.DataFrame]:
    database = folder / packed.name.removesuffix(".gz")
    with gzip.open(packed) as source, database.open("wb") as target:
        shutil.copyfileobj(source, target)
    state = krx_baseline.start(database, horizon=21)
    for name in ("daily_prices", "technical_features", "rolling_beta", *STAGES[packed.name.split("_")[0]]):
        krx_baseline.STAGES[name](state)
    return krx_baseline.results(state)


def expected_values(path: Path) -> pl.DataFrame:
    frame = pl.read_parquet(path).drop("__index_level_0__", strict=False)
    return frame.with_columns(pl.col("date").str.to_date("%Y%m%d"))


@pytest.mark.parametrize("name", VALUES)
def test_the_baseline_is_the_reference(golden: Path, frames, name: str):
    expected = expected_values(golden / VALUES[name])
    actual = expected.select(KEYS).join(frames[name]["rows"], on=KEYS, how="left", maintain_order="left")
    assert_frame_equal(actual.select(expected.columns), expected, rel_tol=1e-5, abs_tol=1e-6)


def test_its_macro_features_are_the_reference_too(golden: Path, frames):
    expected = expected_values(golden / "macro_features.parquet")
    actual = expected.select("date").join(frames["features"]["days"], on="date", maintain_order="left")
    assert_frame_equal(actual.select(expected.columns), expected, rel_tol=1e-5, abs_tol=1e-6)


def test_intended_differences_name_columns_that_exist(frames):
    compared = {name for side in frames.values() for frame in side.values() for name in frame.columns}
    assert set(known_differences(21)) - compared == {"equity"}
