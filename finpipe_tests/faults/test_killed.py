"""Killed at random moments: every asset is its old version or its new one, and the next run makes the rest.

``pytest finpipe_tests/faults/test_killed.py --kills 20`` does so more often than a test run has time for.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from itertools import cycle, islice

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from finpipe.orchestration.result_tables import ResultTables
from finpipe_tests.demo_home import environment, finpipe
from finpipe_tests.faults.wreck import (
    assert_each_is_old_or_new,
    assert_nothing_is_left_over,
    contents,
    has_said,
    in_flight,
    kill,
    start,
)
from finpipe_tests.waiting import until

RUN = ("run", "--preset", "quick")
BACKFILL = ("backfill", "--preset", "quick", "--years", "2021-2024")
CHANGED = {"FINPIPE_MIN_PRICE": "2000", "FINPIPE_TRAIN_YEARS": "2", "FINPIPE_WORKERS": "2"}
"""Settings that make the universe stale, and with it most of what follows; four years can be tested with them."""
FOUR_AT_ONCE = CHANGED | {"FINPIPE_WORKERS": "4"}
ROWS = 60_000
KILLS = 2
"""How often each test kills a process, unless told otherwise."""
WRITER = f"""
import sys
import polars as pl
from pathlib import Path
from finpipe.orchestration.result_tables import ResultTables
tables = ResultTables(Path(sys.argv[1]))
version = int(sys.argv[2])
while True:
    version += 1
    tables.replace("krx/backtest", "mine", pl.DataFrame({{"row": range({ROWS}), "version": [version] * {ROWS}}}))
    print(version, flush=True)
"""

pytestmark = pytest.mark.timeout(3000)


def record(arguments, home):
    done = finpipe(*arguments, "--home", home, "--json", **CHANGED)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def kills(request):
    """How often a process is killed; pytest knows the option only if this folder is named."""
    return request.config.getoption("--kills", None) or KILLS


@pytest.fixture(scope="module")
def undisturbed(demo_home, tmp_path_factory):
    """What comes of a run if nobody disturbs it."""
    home = demo_home.copy(tmp_path_factory.mktemp("undisturbed") / "home").home
    assert not record(RUN, home)["failed"]
    return contents(home)


def test_a_run_and_who_waits_for_it_goes_on(demo_home, tmp_path, undisturbed, kills):
    moments = random.Random(20_240_102)
    old = contents(demo_home.home)
    for turn in range(max(1, kills // 2)):
        home = demo_home.copy(tmp_path / str(turn)).home
        for said in (1, 4):
            process = start(*RUN, "--home", home, **CHANGED)
            has_said(process, said)
            time.sleep(moments.uniform(0.0, 1.5))
            assert kill(process), "there was nothing to kill"
            assert_each_is_old_or_new(contents(home), old, undisturbed)

        first = start(*RUN, "--home", home, **CHANGED)
        has_said(first, 1)
        os.killpg(first.pid, signal.SIGSTOP)
        second = start(*RUN, "--home", home, **CHANGED)
        assert second.stderr is not None
        assert f"process {first.pid} has been working in" in second.stderr.readline()
        kill(first)
        _, said_at_last = second.communicate(timeout=300)
        assert second.returncode == 0, said_at_last
        assert contents(home) == undisturbed
        assert_nothing_is_left_over(home)
        assert record(RUN, home)["materialized"] == []


def test_a_backfill_with_four_years_in_flight(own_home, undisturbed, kills):
    moments = random.Random(20_240_103)
    home, old = own_home.home, contents(own_home.home)
    killed = 0
    for alone in islice(cycle((False, True)), 5 * kills):
        since = time.time()
        process = start(*BACKFILL, "--force", "--home", home, **FOUR_AT_ONCE)
        until(lambda: in_flight(home, since) == 4 or process.poll() is not None, "four years")  # noqa: B023
        time.sleep(moments.uniform(0.0, 1.5))
        killed += kill(process, alone=alone)
        assert_each_is_old_or_new(contents(home), old, undisturbed)
        if killed > kills:
            break
    assert killed > kills, "it was too quick to be killed"
    assert not record(BACKFILL, home)["failed"]
    years = {name for name in undisturbed if "yearly_" in name and "quick" in name}
    found = contents(home)
    assert len(years) == 4 * 3
    assert {name: found[name] for name in years} == {name: undisturbed[name] for name in years}
    assert_nothing_is_left_over(home)


def test_the_writer_of_result_tables(tmp_path, kills):
    moments = random.Random(20_240_104)
    tables = ResultTables(tmp_path / "finpipe.duckdb", patience=5)
    rows = pl.DataFrame({"row": range(ROWS), "version": [0] * ROWS})
    tables.replace("krx/backtest", "mine", rows)
    tables.replace("krx/backtest", "other", rows)
    version = 0
    for _ in range(3 * kills):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tables.path), str(version)],
            env=environment({}),
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert writer.stdout is not None
        said = [writer.stdout.readline() for _ in range(moments.randint(1, 3))]
        time.sleep(moments.uniform(0.0, 0.1))
        os.killpg(writer.pid, signal.SIGKILL)
        said += writer.communicate()[0].splitlines()
        found = tables.read("krx/backtest", "mine")
        last, version = int(said[-1]), found["version"][0]
        assert version in {last, last + 1}, "what was committed stays, what was not is as it was or whole"
        assert_frame_equal(found, rows.with_columns(version=pl.lit(version, pl.Int64)))
        assert_frame_equal(tables.read("krx/backtest", "other"), rows)
    tables.replace("krx/backtest", "mine", rows)
    assert_frame_equal(tables.read("krx/backtest", "mine"), rows)
    assert [path.name for path in tmp_path.iterdir()] == ["finpipe.duckdb"]
