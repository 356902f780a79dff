from __future__ import annotations

from dataclasses import replace

import dagster as dg
import polars as pl
import pytest

from finpipe.orchestration.cleaning import Cleaning, CleaningError, StudyRecord, study_records, to_remove
from finpipe.orchestration.partitions import VARIANT
from finpipe.orchestration.planner import Scope
from finpipe.orchestration.stage import stage
from finpipe_tests.orchestration.toy import STAGES, begin_with, toy_graph


def record(variant: str, last_made: float) -> StudyRecord:
    return StudyRecord(variant, "top_n", 21, (), last_made, 0, 0, "fresh")


RECORDS = [record("c-h1", 3.0), record("b-h1", 2.0), record("a-h1", 1.0)]


@pytest.mark.parametrize(
    ("keep", "variants", "gone"),
    [
        (None, (), ()),
        (3, (), ()),
        (1, (), ("b-h1", "a-h1")),
        (0, (), ("c-h1", "b-h1", "a-h1")),
        (None, ("b-h1",), ("b-h1",)),
        (1, ("c-h1",), ("c-h1", "a-h1")),
    ],
)
def test_the_studies_made_last_are_kept(keep, variants, gone):
    assert to_remove(RECORDS, keep=keep, variants=variants) == gone


def test_a_study_that_does_not_exist_is_named():
    with pytest.raises(CleaningError, match="no study d-h1 in this home; there are a-h1, b-h1, c-h1"):
        to_remove(RECORDS, keep=1, variants=["d-h1"])


@stage(group="toy", prefix="toy")
def favourites(joined: dict) -> pl.DataFrame:  # type: ignore[type-arg]
    """Something made from all studies."""
    return pl.concat(list(joined.values())).select(pl.len())


@pytest.fixture
def toy(tmp_path):
    with toy_graph(tmp_path / "home", (*STAGES, favourites)) as toy:
        begin_with(toy, _make_two_studies)
        yield toy


def _make_two_studies(toy):
    toy.instance.delete_dynamic_partition(VARIANT, "plain")
    toy.instance.add_dynamic_partitions(VARIANT, ["plain-h1", "rich-h5"])
    toy.made()


def plan(toy, *unwanted):
    statuses = toy.planner().statuses(toy.graph.stages, Scope())
    return Cleaning(toy.graph, toy.settings, toy.instance).plan(unwanted, statuses)


def test_a_study_that_a_fresh_asset_was_made_from_stays(toy):
    found = plan(toy, "rich-h5")
    assert found.needed == {"rich-h5": ("toy/favourites",)}
    assert not found


def test_a_study_goes_when_nothing_fresh_was_made_from_it(toy):
    toy.change_world(numbers=[1, 2, 3])
    toy.observe("second")
    toy.made("toy/joined")
    found = plan(toy, "rich-h5")
    assert found.studies == ("rich-h5",)
    assert {file.path.name for file in found.files} == {"rich-h5.parquet", "rich-h5.html", "rich-h5.json"}
    assert found.rows == {("toy/joined", "rich-h5"): 6}
    assert found.orphans == ()


def test_what_an_interruption_leaves_is_found_the_next_time(toy, monkeypatch):
    toy.change_world(numbers=[1, 2, 3])
    toy.observe("second")
    toy.made("toy/joined")
    wanted = plan(toy, "rich-h5")
    cleaning = Cleaning(toy.graph, toy.settings, toy.instance)
    monkeypatch.setattr(cleaning, "_remove_empty_folders", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cleaning.remove(replace(wanted, files=wanted.files[:1]))
    rest = plan(toy)
    assert {str(file.path) for file in rest.orphans} == {str(file.path) for file in wanted.files[1:]}
    assert rest.rows == wanted.rows
    Cleaning(toy.graph, toy.settings, toy.instance).remove(rest)
    assert not plan(toy)
    assert toy.made("toy/joined") == set()


def test_studies_are_fresh_stale_or_unfinished(toy):
    def states():
        statuses = toy.planner().statuses(toy.graph.stages, Scope())
        return {study.variant: study.state for study in study_records(statuses)}

    assert states() == {"plain-h1": "fresh", "rich-h5": "fresh"}
    toy.instance.add_dynamic_partitions(VARIANT, ["new-h1"])
    toy.made("toy/recipe", "toy/favourites", scope=Scope(variants=("new-h1",)))
    toy.made("toy/recipe")
    assert states()["new-h1"] == "fresh"
    toy.changes["min_price"] = 5
    assert set(states().values()) == {"stale"}
    assert isinstance(toy.instance, dg.DagsterInstance)
