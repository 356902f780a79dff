"""Studies side by side: which there are, and that what goes with one leaves the others as they are."""

from __future__ import annotations

import json

import pytest

from finpipe.orchestration.result_tables import ResultTables
from finpipe.orchestration.workspace import Workspace
from finpipe_tests.demo_home import TEST_YEARS, VARIANT, finpipe

OTHER = "quick-h5"


@pytest.fixture(scope="module")
def made(demo_home, tmp_path_factory):
    """A home with the study of every test, and after it another at one test year; not to be changed."""
    own = demo_home.copy(tmp_path_factory.mktemp("studies") / "home")
    arguments = ("--preset", "quick", "--horizon", "5", "--years", "2024", "--only", "krx/predictions")
    finpipe("run", "--home", own.home, *arguments, FINPIPE_WORKERS="1")
    return own


@pytest.fixture
def two_studies(made, tmp_path):
    """A copy of that home which the test may change."""
    return made.copy(tmp_path / "home")


@pytest.fixture
def studies(say):
    def run(home):
        return {
            entry["variant"]: entry
            for entry in json.loads(say("variants", "--home", home.home, "--json").out)
        }

    return run


def files(home):
    return {path.relative_to(home.home) for path in (home.home / "store").rglob("*") if path.is_file()}


def test_studies_are_listed_with_years_size_and_state(two_studies, studies, say):
    found = studies(two_studies)
    assert list(found) == [OTHER, VARIANT]
    whole, part = found[VARIANT], found[OTHER]
    assert (part["preset"], part["horizon"], part["years"]) == ("quick", 5, ["2024"])
    assert whole["years"] == [str(year) for year in TEST_YEARS]
    assert (whole["state"], part["state"]) == ("fresh", "unfinished")
    own = [path for path in (two_studies.home / "store").rglob(f"*{VARIANT}*") if path.is_file()]
    assert whole["size"] == sum(path.stat().st_size for path in own) > 0
    tables = ResultTables(two_studies.settings().duckdb_path)
    assert part["rows"] == tables.rows("krx/predictions", OTHER) > 0
    assert part["last_made"] > whole["last_made"]
    shown = say("variants", "--home", two_studies.home).out
    assert "2022-2024" in shown
    assert OTHER in shown


def test_a_study_is_stale_when_something_that_it_needs_is(two_studies, studies, monkeypatch):
    monkeypatch.setenv("FINPIPE_MIN_PRICE", "2000")
    assert {entry["state"] for entry in studies(two_studies).values()} == {"stale"}


def test_nothing_of_the_kept_studies_has_to_be_made_again(two_studies, studies, say):
    before = files(two_studies)
    said = say("clean", "--home", two_studies.home, "--variant", OTHER, "--yes", "--json").record
    assert (said["studies"], said["removed"], said["orphans"]) == ([OTHER], True, [])
    gone = before - files(two_studies)
    assert gone
    assert all(OTHER in path.name for path in gone)
    assert said["size"] == sum(file["size"] for file in said["files"]) > 0
    assert list(studies(two_studies)) == [VARIANT]
    record = say("run", "--home", two_studies.home, "--json").record
    assert record["materialized"] == []
    statuses = json.loads(say("status", "--home", two_studies.home, "--verify", "--json").out)
    assert {entry["state"] for entry in statuses} == {"fresh"}


def test_nothing_of_what_went_is_left(two_studies, say):
    say("clean", "--home", two_studies.home, "--keep", 1, "--yes")
    assert not list(two_studies.home.rglob(f"*{VARIANT}*"))
    assert ResultTables(two_studies.settings().duckdb_path).rows("krx/predictions", VARIANT) == 0
    with Workspace(two_studies.settings()) as workspace:
        assert workspace.variants() == [OTHER]
        assert not [run for run in workspace.instance.get_runs() if VARIANT in str(run.tags)]
        assert workspace.partitions("krx/predictions") == [OTHER]
    again = say("clean", "--home", two_studies.home, "--keep", 1, "--yes", "--json").record
    assert (again["studies"], again["size"], again["removed"]) == ([], 0, False)


def test_a_study_that_went_can_be_made_again(two_studies, say):
    chosen = ("--preset", "quick", "--horizon", "5", "--years", "2024", "--only", "krx/predictions")
    say("clean", "--home", two_studies.home, "--variant", OTHER, "--yes")
    made = say("run", "--home", two_studies.home, *chosen, "--json").record["materialized"]
    assert f"krx/predictions[{OTHER}]" in made
    assert all(OTHER in name for name in made)


def test_looking_removes_nothing_and_a_person_is_asked(two_studies, say, monkeypatch):
    before = files(two_studies)
    said = say("clean", "--home", two_studies.home, "--keep", 0, "--dry-run")
    assert said.status == 0
    assert f"study {VARIANT}" in said.out
    assert "MB in all" in said.out or "kB in all" in said.out
    assert files(two_studies) == before
    asked = []
    monkeypatch.setattr("typer.confirm", lambda question: asked.append(question) or False)
    assert say("clean", "--home", two_studies.home, "--keep", 0).status == 1
    assert len(asked) == 1
    assert say("clean", "--home", two_studies.home, "--keep", 0, "--json").status == 1
    assert files(two_studies) == before


def test_files_that_belong_to_nothing_go_and_others_stay(own_home, say):
    store = own_home.home / "store" / "krx"
    orphan = store / "yearly_ranker" / "1999" / f"{VARIANT}.txt"
    renamed = store / "old_features.parquet"
    foreign = store / "notes of a person.md"
    orphan.parent.mkdir()
    for path in (orphan, renamed, foreign):
        path.write_bytes(b"x" * 100)
    said = say("clean", "--home", own_home.home, "--yes", "--json").record
    assert {file["path"] for file in said["orphans"]} == {str(orphan), str(renamed)}
    assert said["size"] == 200
    assert not orphan.parent.exists()
    assert not renamed.exists()
    assert foreign.exists()
    assert say("run", "--home", own_home.home, "--json").record["materialized"] == []


def test_a_finished_home_has_nothing_to_clean(demo_home, say):
    said = say("clean", "--home", demo_home.home)
    assert (said.status, said.out) == (0, "")
    assert "nothing to remove" in said.err


def test_a_study_that_does_not_exist_is_named_with_those_that_do(demo_home, say):
    said = say("clean", "--home", demo_home.home, "--variant", "v43-h63", "--yes")
    assert said.status == 1
    assert f"no study v43-h63 in this home; there are {VARIANT}" in said.err
