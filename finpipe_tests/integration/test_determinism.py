"""The same inputs and seed give the same bits: with any number of threads, in any process, under Dagster or not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from finpipe.orchestration.provenance import latest_record, node_name
from finpipe.orchestration.workspace import Workspace
from finpipe_tests.demo_home import TEST_YEARS, VARIANT, environment
from finpipe_tests.integration.whole_graph import TESTED_YEAR, WholeGraph, run

STUDY = {"years": [TESTED_YEAR], "variants": ["qepm-h21"], "train_years": 1}
IN_ANOTHER_ORDER = """
import json, sys
from pathlib import Path

import polars as pl

labels, database, study = json.loads(sys.stdin.read())
pl.Series(labels, dtype=pl.Categorical)

from finpipe_tests.integration.whole_graph import run

print(json.dumps(run(Path(database), threads=2, **study).hashes()))
"""
"""A program that meets the labels of every category in an order of its own before it makes the whole graph."""


@pytest.fixture(scope="module")
def everything(market: Path) -> WholeGraph:
    """All usual assets, report included, made with one thread."""
    return run(market, **STUDY)


def test_two_threads_of_a_process_with_other_category_numbers_make_the_same_bits_as_one_here(
    market, everything
):
    labels = sorted(labels_of(everything), key=lambda label: label[::-1], reverse=True)
    assert len(labels) > 100
    done = subprocess.run(
        [sys.executable, "-c", IN_ANOTHER_ORDER],
        input=json.dumps([labels, str(market), STUDY]),
        env=environment({}),
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == everything.hashes()


def test_dagster_with_two_workers_makes_the_same_bits(demo_home):
    here = run(demo_home.database, years=TEST_YEARS, variants=[VARIANT])
    with Workspace(demo_home.settings()) as workspace:
        there = {
            node_name(key, partition): record.data_version
            for key, made in here.values.items()
            for partition in made
            if (record := latest_record(workspace.instance, key, partition)) is not None
        }
    assert here.hashes() == there


def labels_of(made: WholeGraph) -> set[str]:
    """Every category of every frame."""
    return {
        label
        for value in made.of_the_market().values()
        for column in value.select(pl.col(pl.Categorical)).iter_columns()
        for label in column.unique().drop_nulls().cast(pl.String)
    }
