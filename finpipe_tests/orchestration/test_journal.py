from __future__ import annotations

import sqlite3
from contextlib import closing

import dagster as dg
import pytest

from finpipe.orchestration.home import open_instance
from finpipe.orchestration.journal import HeldEvents, HeldRuns, held
from finpipe.settings import Settings

KEY = dg.AssetKey("told")


@dg.asset
def told():
    return None


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path / "home")


def observe(instance, version):
    instance.report_runless_asset_event(
        dg.AssetObservation(KEY, tags={"dagster/data_version": version}),
    )


def versions(instance):
    found = instance.fetch_observations(KEY, limit=100).records
    return [record.asset_observation.tags["dagster/data_version"] for record in found]


def stored(home):
    """Return how many events another process would find."""
    with closing(sqlite3.connect(home / "dagster" / "history" / "runs" / "index.db")) as connection:
        return connection.execute("SELECT count(*) FROM event_logs").fetchone()[0]


def test_every_event_is_there_for_others_as_soon_as_it_is_stored(settings):
    with open_instance(settings) as instance:
        for number in range(3):
            observe(instance, str(number))
            assert stored(settings.home) == number + 1
        assert versions(instance) == ["2", "1", "0"]


def test_the_log_stays_until_the_instance_goes(settings):
    log = settings.home / "dagster" / "history" / "runs" / "index.db-wal"
    with open_instance(settings) as instance:
        observe(instance, "1")
        inode = log.stat().st_ino
        observe(instance, "2")
        assert log.stat().st_ino == inode
    assert not log.exists()
    assert stored(settings.home) == 2


def test_files_are_let_go_after_an_error(settings):
    def fail():
        with open_instance(settings) as instance:
            observe(instance, "1")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not list(settings.home.rglob("*.db-wal"))
    assert stored(settings.home) == 1


def test_dagsters_own_storage_reads_what_was_written(settings):
    with open_instance(settings) as instance:
        assert isinstance(instance.event_log_storage, HeldEvents)
        assert isinstance(instance.run_storage, HeldRuns)
        observe(instance, "1")
        run = dg.materialize([told], instance=instance)
    with dg.DagsterInstance.from_config(str(settings.dagster_home)) as plain:
        assert type(plain.event_log_storage) is not HeldEvents
        assert versions(plain) == ["1"]
        assert plain.get_run_by_id(run.run_id) is not None
        observe(plain, "2")
    with open_instance(settings) as instance:
        assert versions(instance) == ["2", "1"]


def test_commits_do_not_wait_for_the_disk(tmp_path):
    engine = held(f"sqlite:///{tmp_path / 'events.db'}")
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 1
    engine.dispose()


def test_only_the_log_of_the_run_at_work_is_held(settings):
    with open_instance(settings) as instance:
        events = instance.event_log_storage
        observe(instance, "1")
        for run_id in ("first", "second"):
            assert not list(events.get_logs_for_run(run_id))
        assert set(events._engines) == {"index", "second"}
        events.delete_events("second")
        assert set(events._engines) == {"index"}
