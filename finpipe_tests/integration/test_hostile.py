"""Interrupted, elsewhere, under odd names, twice at once: the home stays right and the next run finishes the work."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from finpipe_tests.demo_home import OWN_PRESETS, TEST_YEARS, command, environment, finpipe
from finpipe_tests.processes import living
from finpipe_tests.waiting import until

BACKFILL = ("backfill", "--years", "2022-2024", "--preset", "quick", "--json")


def start(*arguments, **variables):
    """Start the command in a session of its own, as a terminal does."""
    return subprocess.Popen(
        command(*arguments),
        env=environment({"FINPIPE_WORKERS": "2", **variables}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        start_new_session=True,
    )


def leftovers(home: Path) -> list[str]:
    return [str(path) for path in home.rglob("*") if path.name.endswith(".tmp")]


@pytest.mark.parametrize(
    "after", ["krx/study", "krx/yearly_predictions"], ids=["at once", "with years in flight"]
)
def test_ctrl_c_ends_everything_with_a_sentence_and_the_next_run_finishes(own_home, after):
    with start(*BACKFILL, "--home", own_home.home) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if after in line:
                break
        os.killpg(process.pid, signal.SIGINT)
        text = "".join(said) + process.stderr.read()
        assert process.wait(timeout=60) == 130
        assert process.stdout.read() == ""
    assert "Traceback" not in text, text
    assert text.splitlines()[-1].startswith("interrupted; what was made is kept")
    assert leftovers(own_home.home) == []
    assert not (own_home.home / "run.json").exists()
    until(lambda: not living(process.pid), "the end of the workers")

    made_before = set(re.findall(r"✓ (\S+)", text))
    record = json.loads(finpipe(*BACKFILL, "--home", own_home.home).stdout.splitlines()[-1])
    variant = "quick-h21"
    every = {
        f"{key}[{year}|{variant}]"
        for key in ("krx/yearly_ranker", "krx/yearly_predictions")
        for year in TEST_YEARS
    }
    assert every <= set(record["materialized"]) | set(record["skipped"])
    assert made_before & every <= set(record["skipped"])


def test_two_runs_at_once_wait_for_each_other_and_are_right(own_home):
    arguments = (
        "run",
        "--home",
        own_home.home,
        "--only",
        "krx/yearly_predictions",
        "--preset",
        "quick",
        "--json",
    )
    both = [start(*arguments, FINPIPE_WORKERS="1") for _ in range(2)]
    ended = [process.communicate(timeout=280) for process in both]
    assert [process.returncode for process in both] == [0, 0], ended
    records = [json.loads(out.splitlines()[-1]) for out, _ in ended]
    made = [set(record["materialized"]) for record in records]
    assert made[0].isdisjoint(made[1])
    assert {f"krx/yearly_predictions[{year}|quick-h21]" for year in TEST_YEARS} <= made[0] | made[1]
    waited = [err for _, err in ended if "waiting for it to finish" in err]
    assert len(waited) == 1
    assert re.search(
        rf"process {both[0].pid}|{both[1].pid} has been working in .* since \d\d:\d\d:\d\d", waited[0]
    )
    assert json.loads(finpipe(*arguments).stdout.splitlines()[-1])["materialized"] == []


def test_a_home_with_spaces_and_korean_letters_given_relatively(demo_home, tmp_path):
    folder = tmp_path / "내 연구 folder"
    folder.mkdir()
    demo_home.copy(folder / "집 home")
    done = finpipe("run", "--home", "집 home", "--json", cwd=folder)
    assert json.loads(done.stdout.splitlines()[-1])["materialized"] == []
    done = finpipe("report", "--home", "./집 home", "--out", "보고서 2024.html", cwd=folder)
    assert done.stderr == "report: 보고서 2024.html\n"
    assert (folder / "보고서 2024.html").stat().st_size > 100_000


def test_a_database_with_spaces_and_korean_letters_in_its_path(demo_home, tmp_path, say):
    database = tmp_path / "한국 market's" / "krx stock 데이터#1?.db"
    database.parent.mkdir()
    os.link(demo_home.database, database)
    said = say("run", "--database", database, "--home", tmp_path / "home", "--only", "krx/stocks", "--json")
    assert said.status == 0, said.err
    assert said.record["materialized"] == ["krx/stocks"]


def test_the_store_may_be_elsewhere(demo_home, say, tmp_path, monkeypatch):
    monkeypatch.setenv("FINPIPE_STORE", str(tmp_path / "큰 disk"))
    home = tmp_path / "home"
    said = say("run", "--database", demo_home.database, "--home", home, "--only", "krx/stocks", "--json")
    assert said.status == 0, said.err
    assert pl.read_parquet(tmp_path / "큰 disk" / "krx" / "stocks.parquet").height > 80
    assert not (home / "store").exists()
    assert say("run", "--home", home, "--only", "krx/stocks", "--json").record["skipped"] == ["krx/stocks"]


def test_a_store_that_moved_without_a_word_is_made_again(own_home, say, tmp_path, monkeypatch):
    monkeypatch.setenv("FINPIPE_STORE", str(tmp_path / "new"))
    record = say("run", "--home", own_home.home, "--only", "krx/stocks", "--json").record
    assert record["materialized"] == ["krx/stocks"]


def test_a_demo_is_made_once_and_run_again_for_nothing(say, tmp_path):
    (tmp_path / "demo").mkdir()
    own = "min_market_cap = 0\nmin_value = 0\n" + OWN_PRESETS
    (tmp_path / "demo" / "finpipe.toml").write_text(own, encoding="utf-8")
    small = ("demo", "--home", tmp_path, "--stocks", "40", "--years", "4", "--preset", "quick")
    first = say(*small)
    assert first.status == 0, first.err
    assert "daily prices of" in first.err
    assert "2024" in first.out
    page = tmp_path / "store" / "krx" / "performance_report" / "quick-h21.html"
    assert f"report: {page}" in first.err
    second = say(*small)
    assert second.status == 0
    assert "nothing to do" in second.err
    assert "daily prices of" not in second.err
    assert second.out == first.out


def test_a_full_disk_keeps_the_old_version(own_home, say, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    before = (own_home.home / "store" / "krx" / "universe.parquet").read_bytes()
    monkeypatch.setattr(pl.DataFrame, "write_parquet", fail)
    monkeypatch.setenv("FINPIPE_MIN_PRICE", "2000")
    said = say("run", "--home", own_home.home, "--only", "krx/universe")
    assert said.status == 1
    assert "universe.parquet cannot be written" in said.err
    assert "No space left on device" in said.err
    assert "the version stored before is untouched" in said.err
    assert (own_home.home / "store" / "krx" / "universe.parquet").read_bytes() == before
    assert leftovers(own_home.home) == []


def test_a_program_that_forgets_its_main_guard_is_told(own_home, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from finpipe.orchestration.workspace import Workspace\n"
        "from finpipe.settings import load_settings\n"
        "with Workspace(load_settings(home=r'" + str(own_home.home) + "', workers=2)) as workspace:\n"
        "    print(workspace.run(preset='quick', assets=['krx/yearly_predictions']).failed)\n",
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, str(script)],
        env=environment({}),
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert '`if __name__ == "__main__":`' in done.stderr
    assert "the worker process died" in done.stdout
