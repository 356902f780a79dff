from __future__ import annotations

import datetime as dt
import logging
import os
import subprocess
import sys
import time
from types import SimpleNamespace

import dagster as dg
import pytest
from dagster._core.events import EngineEventData
from dagster._daemon.monitoring import concurrency

from finpipe.orchestration import leftovers
from finpipe.orchestration.home import open_instance
from finpipe.settings import load_settings

POOL = "duckdb_writer"


@dg.op
def work() -> None:
    """Nothing."""


@dg.job
def job() -> None:
    """One step."""
    work()


@pytest.fixture
def settings(tmp_path):
    return load_settings(home=tmp_path / "home")


@pytest.fixture
def instance(settings):
    with open_instance(settings) as opened:
        yield opened


@pytest.fixture
def dead():
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.fixture
def alive():
    """The number of another process that is at work."""
    process = subprocess.Popen(["sleep", "60"])
    yield process.pid
    process.kill()
    process.wait()


def unfinished(instance, *, process=None, **tags):
    """Return a run that seems to be at work and holds the only slot of the pool, or waits for it."""
    run = instance.create_run_for_job(
        job,
        status=dg.DagsterRunStatus.STARTED,
        tags={name.replace("_", "/", 1): tag for name, tag in tags.items()},
    )
    if process is not None:
        instance.report_engine_event("Started process for run.", run, EngineEventData.in_process(process))
    records = instance.event_log_storage
    records.initialize_concurrency_limit_to_default(POOL)
    records.claim_concurrency_slot(POOL, run.run_id, "work")
    return run


def holders(instance):
    return instance.event_log_storage.get_concurrency_info(POOL).active_run_ids


def test_a_command_that_was_killed_is_over_and_gives_its_slot_back(settings, instance):
    run = unfinished(instance, finpipe_home=str(settings.home))
    assert holders(instance) == {run.run_id}
    leftovers.clear(settings, instance)
    assert instance.get_run_by_id(run.run_id).status is dg.DagsterRunStatus.FAILURE
    assert leftovers.KILLED in [entry.message for entry in instance.all_logs(run.run_id)]
    assert holders(instance) == set()
    assert instance.event_log_storage.get_concurrency_run_ids() == set()


def test_a_run_of_the_ui_is_over_if_its_process_is_gone(settings, instance, dead):
    run = unfinished(instance, process=dead)
    leftovers.clear(settings, instance)
    assert instance.get_run_by_id(run.run_id).status is dg.DagsterRunStatus.FAILURE
    assert holders(instance) == set()


def test_a_run_of_the_ui_that_waits_for_the_home_is_left_alone(settings, instance, alive):
    run = unfinished(instance, process=alive)
    leftovers.clear(settings, instance)
    assert instance.get_run_by_id(run.run_id).status is dg.DagsterRunStatus.STARTED
    assert holders(instance) == {run.run_id}


def test_a_younger_process_with_the_number_of_one_that_is_gone_is_not_taken_for_it(alive):
    assert leftovers._lives(alive, since=time.time())
    assert not leftovers._lives(alive, since=time.time() - 3600)


def test_slots_of_runs_that_are_over_or_deleted_are_given_back(settings, instance):
    ended, deleted = unfinished(instance, process=os.getpid()), unfinished(instance, process=os.getpid())
    instance.report_run_failed(ended)
    instance.delete_run(deleted.run_id)
    leftovers.clear(settings, instance)
    assert holders(instance) == set()
    assert instance.event_log_storage.get_concurrency_run_ids() == set()


def test_the_daemon_gives_back_slots_of_runs_that_are_over(instance, monkeypatch):
    assert instance.run_monitoring_enabled
    run = unfinished(instance, process=os.getpid())
    instance.report_run_failed(run)
    later = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=60)
    monkeypatch.setattr(concurrency, "get_current_datetime", lambda: later)
    list(
        concurrency.execute_concurrency_slots_iteration(
            SimpleNamespace(instance=instance), logging.getLogger("test")
        )
    )
    assert holders(instance) == set()


def test_unfinished_files_are_deleted_and_those_of_others_at_work_are_not(
    settings, instance, dead, alive, tmp_path, monkeypatch
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    store = settings.home / "store" / "krx" / "yearly_ranker" / "2020"
    store.mkdir(parents=True)
    abandoned = [
        store / f".top_n-h21.txt.{dead}.tmp",
        store / f".top_n-h21.json.{alive}.tmp",
        settings.home / f".fingerprints.json.{dead}.tmp",
        settings.dagster_home / f".dagster.yaml.{os.getpid()}.tmp",
        tmp_path / f"finpipe-{dead}-abc" / "study.json",
    ]
    kept = [
        settings.home / f".fingerprints.json.{alive}.tmp",
        store / "top_n-h21.txt",
        store / "notes.tmp",
        tmp_path / f"finpipe-{alive}-abc" / "study.json",
    ]
    for path in abandoned + kept:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    leftovers.clear(settings, instance)
    assert [path for path in abandoned if path.exists()] == []
    assert [path for path in kept if not path.exists()] == []
    assert not (tmp_path / f"finpipe-{dead}-abc").exists()
