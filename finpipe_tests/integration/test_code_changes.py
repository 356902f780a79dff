"""What follows from an edit of finpipe's own code, as the command of an edited copy of the package sees it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import finpipe
from finpipe_tests.benchmarks.little import COMMAND, Place
from finpipe_tests.demo_home import environment


@pytest.fixture
def edited(tmp_path):
    """A copy of the package that the test may edit."""
    package = Path(finpipe.__file__).parent
    shutil.copytree(package, tmp_path / "finpipe")
    shutil.copy2(package.parent / "dagster.yaml", tmp_path)
    return Place(tmp_path, ())


def reasons(edited, home) -> dict[str, list[str]]:
    """Why each asset that is not fresh is not, as the edited package says."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", COMMAND, "status", "--home", str(home.home), "--json"],
        env=environment({"PYTHONPATH": str(edited.folder)}),
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    return {entry["asset"]: entry["reasons"] for entry in found if entry["state"] != "fresh"}


def test_a_comment_makes_nothing_stale_and_code_exactly_what_uses_it(own_home, edited):
    edited.edit("features/beta.py", "WINDOWS = ", "# the windows of both betas\nWINDOWS = ")
    edited.edit("features/technical.py", '"""', '"""In other words: ', count=1)
    assert reasons(edited, own_home) == {}
    edited.edit("features/beta.py", "(252, 60)", "(252, 61)")
    found = reasons(edited, own_home)
    changed = ["code of features/beta.py changed"]
    assert found["krx/rolling_beta"] == changed
    assert set(map(tuple, found.values())) == {tuple(changed)}
    untouched = {
        "daily_prices",
        "technical_features",
        "sector_features",
        "financial_features",
        "yearly_ranker",
    }
    assert not {f"krx/{name}" for name in untouched} & found.keys()
