from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import dagster as dg
import pytest

from finpipe.market import table_counters
from finpipe.orchestration import sensors, sources
from finpipe.orchestration.home import exclusive, open_instance
from finpipe.orchestration.partitions import TEST_YEAR, VARIANT
from finpipe_tests.market.sample_database import aged, execute
from finpipe_tests.orchestration.daemon import Daemon, nodes
from finpipe_tests.orchestration.toy import Toy, begin_with, toy_graph

pytestmark = pytest.mark.filterwarnings("ignore:Non-compliant tag keys:DeprecationWarning")  # Dagster's own

UNPARTITIONED = {"toy/numbers", "toy/signs", "toy/counts", "toy/raised"}


class Watched:
    """The toy graph over a table of an SQLite database, and a daemon."""

    def __init__(self, toy: Toy, database: Path) -> None:
        self.toy, self.database = toy, database
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("CREATE TABLE world (number INTEGER)")
            connection.execute("CREATE TABLE news (text TEXT)")
            connection.commit()
        self.write(-2, 0, 3)
        toy.changes["database"] = database
        self.daemon = Daemon(toy.settings, toy.instance)

    def write(self, *numbers: int) -> None:
        """Make these the numbers of the world."""
        self.toy.change_world(numbers=list(numbers))
        self.execute("DELETE FROM world", *(f"INSERT INTO world VALUES ({number})" for number in numbers))

    def execute(self, *statements: str) -> None:
        """Run statements, and commit."""
        with closing(sqlite3.connect(self.database)) as connection:
            for statement in statements:
                connection.execute(statement)
            connection.commit()
        aged(self.database)

    def versions(self) -> dict[str, str]:
        """Return the data version of every node that has been made."""
        found = {}
        for node in self.toy.nodes():
            key, _, partition = node.rstrip("]").partition("[")
            record = self.toy.status(key, partition or None).records[key]
            if record is not None:
                found[node] = record.data_version
        return found


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    with toy_graph(tmp_path / "home") as toy:
        yield Watched(toy, tmp_path / "world.db")


@pytest.fixture
def settled(watched: Watched) -> Watched:
    """A command has made everything, so that the first tick finds nothing to do."""
    sources.observe(watched.toy.settings, watched.toy.instance)
    begin_with(watched.toy, Toy.run)
    assert "up to date" in watched.daemon.rest()
    return watched


@pytest.fixture
def settled_versions(tmp_path: Path) -> dict[str, str]:
    """Data versions of what the command makes."""
    with toy_graph(tmp_path / "other") as toy:
        found = Watched(toy, tmp_path / "other.db")
        toy.run()
        return found.versions()


def test_the_first_tick_requests_all_that_was_never_made_in_rounds(watched):
    first = watched.daemon.tick()
    assert nodes(first.run_requests) == UNPARTITIONED | {"toy/recipe[plain]"}
    assert {request.job_name for request in first.run_requests} == {"research", "report"}
    watched.daemon.launch(first.run_requests)
    second = watched.daemon.tick()
    assert nodes(second.run_requests) == {"toy/yearly[2020]", "toy/yearly[2021]"}
    watched.daemon.launch(second.run_requests)
    third = watched.daemon.tick()
    years = {"2020|plain", "2021|plain"}
    assert {request.partition_key for request in third.run_requests} == years
    assert all(request.tags["finpipe/side_by_side"] == "true" for request in third.run_requests)
    watched.daemon.launch(third.run_requests)
    assert nodes(watched.daemon.tick().run_requests) == {"toy/joined[plain]"}


def test_the_sensor_and_the_command_make_the_same(watched, settled_versions):
    watched.daemon.rest()
    assert watched.versions() == settled_versions
    assert not watched.toy.made(), "the command finds everything fresh"


def test_every_idle_tick_says_why(settled):
    assert "nobody has written" in settled.daemon.tick().skip_reason.skip_message
    settled.execute("INSERT INTO news VALUES ('none that matter')")
    assert "no table that finpipe reads has changed" in settled.daemon.tick().skip_reason.skip_message
    assert "nobody has written" in settled.daemon.tick().skip_reason.skip_message


def test_only_what_really_changes_is_made_and_years_that_do_not_are_not_even_requested(settled):
    settled.write(-5, 0, 7)
    before = settled.versions()
    requested = set()
    while requests := settled.daemon.tick().run_requests:
        requested |= nodes(requests)
        settled.daemon.launch(requests)
    assert requested == UNPARTITIONED | {"toy/joined[plain]"}
    after = settled.versions()
    assert {node for node in after if after[node] != before[node]} == {
        "toy/numbers",
        "toy/raised",
        "toy/joined[plain]",
    }, "the signs came out as they were"


def test_a_new_year_and_a_new_variant_are_followed(settled):
    settled.toy.instance.add_dynamic_partitions(TEST_YEAR, ["2022"])
    settled.toy.instance.add_dynamic_partitions(VARIANT, ["fancy"])
    settled.write(-4, 0, 3)
    settled.daemon.rest()
    assert set(settled.versions()) == settled.toy.nodes()
    assert "toy/scores[2022|fancy]" in settled.versions()


def test_a_commit_that_leaves_the_time_of_writing_as_it_was_is_followed(settled):
    before = settled.database.stat()
    with closing(sqlite3.connect(settled.database)) as writer:
        writer.execute("INSERT INTO world VALUES (4)")
        writer.commit()
        os.utime(settled.database, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert nodes(settled.daemon.tick().run_requests) == UNPARTITIONED


def test_a_database_that_returns_to_an_earlier_state_is_followed_each_time(settled):
    run_keys = []
    for numbers in [(1, 1), (-2, 0, 3), (1, 1), (-2, 0, 3)]:
        settled.write(*numbers)
        run_keys += [request.run_key for request in settled.daemon.tick().run_requests]
    settled.daemon.cursor = None
    settled.write(1, 1)
    run_keys += [request.run_key for request in settled.daemon.tick().run_requests]
    assert len(set(run_keys)) == len(run_keys) == 5, "run keys are remembered for ever"


def test_a_database_that_is_absent_for_a_while_is_waited_for(settled):
    away = settled.database.with_name("away.db")
    cursor = settled.daemon.cursor
    settled.database.rename(away)
    result = settled.daemon.tick()
    assert "no such database file" in result.skip_reason.skip_message
    assert settled.daemon.cursor == cursor
    away.rename(settled.database)
    assert not settled.daemon.tick().run_requests
    settled.write(5)
    assert nodes(settled.daemon.tick().run_requests) == UNPARTITIONED


def test_a_locked_database_is_left_to_the_next_tick(settled, monkeypatch):
    monkeypatch.setattr(sensors, "LOCK_TIMEOUT_S", 0.05)
    settled.execute("PRAGMA journal_mode = DELETE")
    cursor = settled.daemon.cursor
    with closing(sqlite3.connect(settled.database, isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        writer.execute("INSERT INTO world VALUES (9)")
        assert "locked" in settled.daemon.tick().skip_reason.skip_message
        assert settled.daemon.cursor == cursor
        writer.execute("COMMIT")
    assert nodes(settled.daemon.tick().run_requests) == UNPARTITIONED


def test_a_database_that_is_replaced_by_a_copy_changes_nothing(settled):
    settled.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    copy = settled.database.with_name("copy.db")
    shutil.copyfile(settled.database, copy)
    copy.replace(settled.database)
    assert "no table that finpipe reads has changed" in settled.daemon.tick().skip_reason.skip_message


def test_a_database_that_is_replaced_by_another_is_followed(settled):
    other = settled.database.with_name("other.db")
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE world (number INTEGER)")
        connection.execute("INSERT INTO world VALUES (8)")
        connection.commit()
    other.replace(settled.database)
    assert nodes(settled.daemon.tick().run_requests) == UNPARTITIONED


def test_only_what_depends_on_the_changed_table_is_requested(demo_home, tmp_path):
    own = demo_home.copy_with_database(tmp_path)
    with open_instance(own.settings()) as instance:
        daemon = Daemon(own.settings(), instance)
        sources.observe(own.settings(), instance)
        assert "up to date" in daemon.tick().skip_reason.skip_message
        execute(
            own.database, "UPDATE index_daily_prices SET closing_index = closing_index + 1 WHERE rowid = 7"
        )
        requested = nodes(daemon.tick().run_requests)
    assert requested == {"krx/index_levels", "krx/macro_features", "krx/training_panel"}


def test_a_database_that_was_written_to_a_moment_before_it_was_observed_is_not_taken_for_changed(settled):
    settled.execute("INSERT INTO world VALUES (4)")
    settled.database.touch()
    sources.observe(settled.toy.settings, settled.toy.instance)
    settled.toy.run()
    assert "up to date" in settled.daemon.tick().skip_reason.skip_message


def test_the_next_round_waits_for_the_runs_of_the_last(settled):
    settled.write(5)
    requests = settled.daemon.tick().run_requests
    run = settled.toy.instance.create_run_for_job(
        settled.daemon.definitions.resolve_job_def("research"),
        tags=dict(requests[0].tags),
        status=dg.DagsterRunStatus.STARTED,
    )
    assert run.run_id[:8] in settled.daemon.tick().skip_reason.skip_message
    settled.write(6)
    assert not settled.daemon.tick().run_requests, "a later change waits too"
    settled.toy.instance.report_run_canceled(run)
    assert nodes(settled.daemon.tick().run_requests) == UNPARTITIONED, "and is followed from the beginning"


def test_runs_that_fail_are_named_and_not_tried_again_until_the_next_change(settled):
    settled.write(5)
    settled.toy.change_world(fails=True)
    (failed,) = settled.daemon.launch(settled.daemon.tick().run_requests)
    assert not failed.success
    assert failed.run_id[:8] in settled.daemon.tick().skip_reason.skip_message
    assert "nobody has written" in settled.daemon.tick().skip_reason.skip_message
    settled.toy.change_world(fails=False)
    settled.write(6)
    assert "up to date" in settled.daemon.rest()
    assert not settled.toy.made()


def test_nothing_is_requested_while_a_command_works_in_the_home(settled):
    settled.write(5)
    with exclusive(settled.toy.settings, waiting=print):
        assert "process" in settled.daemon.tick().skip_reason.skip_message
    assert nodes(settled.daemon.tick().run_requests) == UNPARTITIONED


def test_no_node_is_requested_twice_for_one_change(settled):
    settled.write(5)
    settled.daemon.tick()
    assert "up to date" in settled.daemon.tick().skip_reason.skip_message, "as if the run had made nothing"


def test_without_a_database_the_sensor_says_how_to_name_one(toy):
    assert "--database" in Daemon(toy.settings, toy.instance).tick().skip_reason.skip_message


def test_the_cursor_survives_a_round_trip(settled):
    settled.write(5)
    settled.daemon.tick()
    watch = sensors.Watch.parse(settled.daemon.cursor)
    assert json.loads(watch.to_json()) == json.loads(settled.daemon.cursor)
    assert sensors.Watch.parse(watch.to_json()) == watch


def test_a_tick_opens_no_database_while_nobody_writes(settled, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the database is opened")

    monkeypatch.setattr(table_counters, "connect", refuse)
    monkeypatch.setattr(table_counters, "table_fingerprints", refuse)
    assert "nobody has written" in settled.daemon.tick().skip_reason.skip_message


def test_a_file_that_is_no_database_for_a_while_is_waited_for(settled):
    settled.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    whole = settled.database.read_bytes()
    settled.database.write_bytes(b"still being copied" * 100)
    assert "the next tick looks again" in settled.daemon.tick().skip_reason.skip_message
    settled.database.write_bytes(whole)
    assert not settled.daemon.tick().run_requests


def test_every_tick_requests_runs_or_says_why_not(settled):
    """Whatever happens between the ticks, in whatever order; at the end all is as the command would have it."""
    away = settled.database.with_name("away.db")

    def vanish() -> None:
        if settled.database.exists():
            settled.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            settled.database.rename(away)

    def appear() -> None:
        if away.exists():
            away.rename(settled.database)

    def write(number: int) -> None:
        appear()
        settled.write(number, 0)

    def mention() -> None:
        appear()
        settled.execute("INSERT INTO news VALUES ('none that matter')")

    chance = random.Random(20)
    happenings = [vanish, appear, mention, lambda: write(3), lambda: write(-3), lambda: None]
    for _ in range(24):
        chance.choice(happenings)()
        result = settled.daemon.tick()
        assert bool(result.run_requests) != bool(result.skip_reason)
        assert result.skip_reason is None or result.skip_reason.skip_message.strip()
        if chance.random() < 0.7:
            settled.daemon.launch(result.run_requests or [])
    write(8)
    assert "up to date" in settled.daemon.rest()
    assert not settled.toy.made()
