from __future__ import annotations

from typing import Any

import pytest

from finpipe.orchestration.partitions import TEST_YEAR, VARIANT
from finpipe.orchestration.planner import Scope
from finpipe.orchestration.provenance import node_name
from finpipe_tests.orchestration import toy as toys
from finpipe_tests.orchestration.toy import Toy, begin_with

JOINED = "toy/joined[plain]"
RECIPE = "toy/recipe[plain]"
SCORES = {f"toy/{name}[{year}|plain]" for name in ("scores", "notes") for year in (2020, 2021)}


@pytest.fixture
def finished(toy: Toy) -> Toy:
    """The toy graph with everything made."""
    begin_with(toy, _make_everything)
    return toy


def _make_everything(toy: Toy) -> None:
    assert toy.made() == toy.nodes()


def test_everything_is_missing_at_first(toy):
    statuses = toy.planner().statuses(toy.graph.stages, Scope())
    assert {name for status in statuses for name in status.names} == toy.nodes()
    assert {(status.state, status.reasons) for status in statuses} == {("missing", ("never made",))}


def test_nothing_is_made_when_nothing_changed(finished):
    outcome = finished.run()
    assert outcome.materialized == []
    assert set(outcome.skipped) == finished.nodes()
    assert {event.kind for event in finished.events[-len(outcome.skipped) :]} == {"fresh"}


def test_inputs_that_come_out_unchanged_stop_the_work(finished):
    finished.change_world(numbers=[-1, 0, 5])
    finished.observe("second")
    assert finished.made() == {"toy/numbers", "toy/signs", "toy/raised", JOINED}


def test_a_source_with_the_same_content_stops_at_what_reads_it(finished):
    finished.observe("second")
    assert finished.made() == {"toy/numbers"}


def test_changed_content_reaches_everything_that_depends_on_it(finished):
    finished.change_world(numbers=[1, 2, 3])
    finished.observe("second")
    assert finished.made() == finished.nodes() - {RECIPE}


def test_a_setting_makes_stale_exactly_what_reads_it(finished):
    readers: dict[str, tuple[object, set[str]]] = {
        "min_price": (5, {"toy/raised", JOINED}),
        "fill": ("date_median", {RECIPE, JOINED} | SCORES),
        "delisting_return": (-0.5, set()),
        "threads": (2, set()),
        "workers": (2, set()),
    }
    for setting, (value, made) in readers.items():
        finished.changes[setting] = value
        assert finished.made() == made


def test_code_makes_stale_what_it_makes_and_no_more(finished, monkeypatch):
    monkeypatch.setitem(toys.signs.code.modules, "asset signs", "another digest")
    assert finished.status("toy/signs").reasons == ("code of asset signs changed",)
    assert finished.made() == {"toy/signs"}


def test_code_used_anew_and_no_longer_is_named(finished, monkeypatch):
    monkeypatch.setitem(toys.signs.code.modules, "finpipe.panel.rolling", "a digest")
    monkeypatch.delitem(toys.signs.code.modules, "asset signs")
    assert finished.status("toy/signs").own == (
        "code of panel/rolling.py is used now",
        "code of asset signs is no longer used",
    )


def test_reasons_name_the_setting_and_its_values(finished):
    finished.changes["min_price"] = 5
    status = finished.status("toy/raised")
    assert (status.state, status.reasons) == ("stale", ("setting min_price: 1000.0 → 5.0",))


def test_reasons_name_the_source_and_the_upstream_that_changed(finished):
    finished.change_world(numbers=[1])
    finished.observe("second")
    assert finished.status("toy/numbers").reasons == ("toy/source changed",)
    assert finished.status("toy/signs").state == "fresh"
    finished.made("toy/numbers")
    assert finished.status("toy/signs").reasons == ("upstream toy/numbers was materialized with other data",)


@pytest.mark.parametrize("damage", ["missing", "truncated", "longer"])
def test_files_that_are_not_as_they_were_stored_are_made_again(finished, damage):
    files = {
        "raised.parquet": ("toy/raised", None),
        "yearly/2020.parquet": ("toy/yearly", "2020"),
        "recipe/plain.json": ("toy/recipe", "plain"),
        "notes/2021/plain.html": ("toy/notes", "2021|plain"),
    }
    before = {name: finished.file(name).read_bytes() for name in files}
    for name, content in before.items():
        finished.file(name).unlink()
        if damage != "missing":
            finished.file(name).write_bytes(content[:-1] if damage == "truncated" else content + b" ")
    for key, partition in files.values():
        status = finished.status(key, partition)
        assert status.state == "missing"
        what = "is missing" if damage == "missing" else "does not hold its"
        name = f"{node_name(key, partition)} is not as it was stored: "
        (reason,) = [why for why in status.reasons if why.startswith(name)]
        assert what in reason
        assert [file for file in files if f"/{file} " in reason]
    made = {node_name(key, partition) for key, partition in files.values()} | {"toy/scores[2021|plain]"}
    assert finished.made() == made
    assert {name: finished.file(name).read_bytes() for name in files} == before


def test_rows_that_are_gone_from_a_result_table_are_made_again(finished):
    from finpipe.orchestration.result_tables import ResultTables

    tables = ResultTables(finished.settings.duckdb_path)
    tables.remove("toy/joined", "plain")
    assert finished.made() == {JOINED}
    finished.settings.duckdb_path.unlink()
    assert finished.made() == {"toy/counts", JOINED}


def test_files_altered_in_place_are_found_by_reading_them(finished):
    altered = {
        "raised.parquet": ("toy/raised", None),
        "recipe/plain.json": ("toy/recipe", "plain"),
        "notes/2021/plain.html": ("toy/notes", "2021|plain"),
    }
    before = {name: finished.file(name).read_bytes() for name in altered}
    for name, content in before.items():
        finished.file(name).write_bytes(content[:20] + bytes([content[20] ^ 1]) + content[21:])
    nodes = {node_name(*node): name for name, node in altered.items()}
    assert finished.made() == set()
    statuses = finished.planner(verify=True).statuses(finished.graph.stages, Scope())
    reasons = {status.names[-1]: status.reasons for status in statuses if status.state != "fresh"}
    assert reasons == {
        node: (f"{node} is not as it was stored: {finished.file(name)} was altered",)
        for node, name in nodes.items()
    }
    assert finished.made(verify=True) == set(nodes) | {"toy/scores[2021|plain]"}
    assert {name: finished.file(name).read_bytes() for name in altered} == before
    assert finished.made(verify=True) == set()


def test_rows_altered_in_place_are_found_by_reading_them(finished):
    import duckdb

    with duckdb.connect(str(finished.settings.duckdb_path)) as tables:
        tables.execute("UPDATE toy.counts SET len = len + 1")
    assert finished.made() == set()
    assert finished.made(verify=True) == {"toy/counts"}


def test_a_parquet_file_that_ends_otherwise_is_seen_without_reading_it(finished):
    path = finished.file("raised.parquet")
    path.write_bytes(path.read_bytes()[:-4] + bytes(4))
    assert finished.made() == {"toy/raised"}


def test_what_nobody_hashed_when_it_was_stored_is_compared_by_its_content(finished, monkeypatch):
    """As in an object store, and in homes of before."""
    from finpipe.orchestration import verification

    monkeypatch.setattr(verification, "DIGEST", "finpipe/none")
    assert finished.made(verify=True) == set()
    path = finished.file("raised.parquet")
    content = path.read_bytes()
    path.write_bytes(content[:20] + bytes([content[20] ^ 255]) + content[21:])
    finished.file("recipe/plain.json").write_text(
        finished.file("recipe/plain.json").read_text().replace("none", "nune")
    )
    assert finished.made(verify=True) == {"toy/raised", RECIPE}


def test_a_failure_blocks_only_what_depends_on_it(toy):
    toy.change_world(fails=True)
    outcome = toy.run()
    assert outcome.failed == {"toy/raised": "the world is not in order"}
    assert {name.partition("[")[0] for name in outcome.blocked} == {"toy/joined"}
    assert set(outcome.materialized) == toy.nodes() - {"toy/raised"} - {JOINED}
    toy.change_world(fails=False)
    assert toy.made() == {"toy/raised"} | {JOINED}


def test_a_failure_in_one_partition_leaves_the_others_alone(toy):
    toy.change_world(failing_years=[2020])
    outcome = toy.run()
    lost = {node for node in SCORES if "[2020" in node} | {JOINED}
    assert outcome.failed == {"toy/yearly[2020]": "nothing is known of 2020"}
    assert set(outcome.blocked) == lost
    assert set(outcome.materialized) == toy.nodes() - lost - {"toy/yearly[2020]"}
    toy.change_world(failing_years=[])
    assert toy.made() == {"toy/yearly[2020]"} | lost


def test_a_failed_remake_keeps_the_old_version(finished):
    before = finished.file("raised.parquet").read_bytes()
    finished.changes["min_price"] = 5
    finished.change_world(fails=True)
    assert set(finished.run().failed) == {"toy/raised"}
    assert finished.file("raised.parquet").read_bytes() == before
    assert finished.status("toy/raised").state == "stale"


def test_forced_stages_are_made_although_they_are_fresh(finished):
    assert finished.made(force=("signs",)) == {"toy/signs"}
    assert finished.made(force=("yearly",), scope=Scope(years=("2021",))) == {"toy/yearly[2021]"}
    assert finished.made(force=("scores",)) == SCORES


def test_only_what_is_asked_for_and_what_it_needs_is_made(toy):
    assert toy.made("toy/raised") == {"toy/numbers", "toy/raised"}
    assert toy.made("toy/recipe", scope=Scope(variants=("plain",))) == {"toy/recipe[plain]"}


def test_a_scope_of_years_leaves_the_others_out(toy):
    made = toy.made("toy/scores", scope=Scope(years=("2021",), variants=("plain",)))
    assert made == {
        "toy/numbers",
        "toy/signs",
        "toy/yearly[2021]",
        "toy/recipe[plain]",
        "toy/scores[2021|plain]",
        "toy/notes[2021|plain]",
    }


def test_a_new_year_is_made_with_all_that_joins_it(finished):
    finished.instance.add_dynamic_partitions(TEST_YEAR, ["2022"])
    new = {"toy/yearly[2022]", "toy/scores[2022|plain]", "toy/notes[2022|plain]"}
    assert finished.made() == new | {JOINED}


def test_a_new_variant_shares_what_it_can(finished):
    finished.instance.add_dynamic_partitions(VARIANT, ["rich"])
    assert finished.made() == {node.replace("plain", "rich") for node in finished.nodes() if "plain]" in node}


def test_a_year_that_is_gone_makes_stale_what_joined_it(finished):
    finished.instance.delete_dynamic_partition(TEST_YEAR, "2020")
    assert finished.status("toy/joined", "plain").reasons == ("upstream toy/scores[2020|plain] is gone",)
    assert finished.made() == {JOINED}


def test_partitioned_stages_wait_for_what_may_bring_partitions(toy):
    now = toy.planner().next_round(toy.graph.stages, Scope())
    assert {name for status in now.batches[None] for name in status.names} == {
        "toy/numbers",
        "toy/signs",
        "toy/counts",
        "toy/raised",
    }
    assert [stage.name for stage in now.waiting] == ["yearly", "scores", "joined"]
    assert set(now.batches) == {None, "plain"}


def test_watchers_are_told_when_a_node_starts_and_how_it_ends(toy):
    toy.run()
    kinds: dict[str, list[Any]] = {}
    for event in toy.events:
        kinds.setdefault(event.node, []).append((event.kind, event.rows))
    assert kinds["toy/signs"] == [("started", None), ("made", 3)]
    assert kinds[RECIPE] == [("started", None), ("made", None)]
    assert set(kinds) == toy.nodes()
