from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time

import pytest

from finpipe.orchestration.home import HomeBusyError, HomeError, exclusive, open_instance, write_atomically
from finpipe.settings import load_settings

HOLD = """
import sys, time
from finpipe.orchestration.home import exclusive
from finpipe.settings import load_settings
with exclusive(load_settings(home=sys.argv[1]), waiting=print):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


@pytest.fixture
def settings(tmp_path):
    return load_settings(home=tmp_path / "my home 홈")


def hold(settings, seconds):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(settings.home), str(seconds)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_home_is_made_on_first_use_and_opened_again(settings):
    with open_instance(settings) as instance:
        instance.add_dynamic_partitions("variant", ["top_n-h21"])
    with open_instance(settings) as instance:
        assert instance.get_dynamic_partitions("variant") == ["top_n-h21"]
    assert (settings.home / "dagster" / "dagster.yaml").is_file()
    assert os.environ["DAGSTER_HOME"] == str(settings.home / "dagster")


def test_a_changed_configuration_is_put_back(settings):
    with open_instance(settings):
        pass
    config = settings.home / "dagster" / "dagster.yaml"
    shipped = config.read_text("utf-8")
    config.write_text("telemetry: {enabled: true}\n", encoding="utf-8")
    with open_instance(settings) as instance:
        assert not instance.telemetry_enabled
    assert config.read_text("utf-8") == shipped


def test_a_home_that_cannot_be_a_folder_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(HomeError, match=r"file cannot be used as home: .*Not a directory.* --home DIR"):
        open_instance(load_settings(home=tmp_path / "file"))


@pytest.mark.parametrize("file", ["history/runs.db", "history/runs/index.db"])
def test_a_damaged_record_of_runs_is_named_with_what_to_do(settings, file):
    with open_instance(settings) as instance:
        instance.get_dynamic_partitions("variant")
    (settings.dagster_home / file).write_bytes(b"no database" * 1000)
    with pytest.raises(
        HomeError,
        match=r"dagster, where runs are recorded, cannot be read.*move it away: `finpipe run` begins a new record",
    ):
        open_instance(settings)


def test_one_run_at_a_time_works_in_a_home(settings):
    told: list[str] = []
    with hold(settings, 3.0) as holder:
        begun = time.monotonic()
        with exclusive(settings, waiting=told.append):
            assert holder.wait(timeout=200) == 0
            assert time.monotonic() - begun > 0.3
            assert json.loads((settings.home / "run.json").read_text("utf-8"))["pid"] == os.getpid()
    (sentence,) = told
    assert f"process {holder.pid} has been working in {settings.home} since " in sentence
    assert sentence.endswith("; waiting for it to finish")
    assert not (settings.home / "run.json").exists()


def test_patience_ends(settings):
    with hold(settings, 30) as holder:
        busy = rf"process {holder.pid} .* has not finished within 0 s"
        with pytest.raises(HomeBusyError, match=busy), exclusive(settings, waiting=str, patience=0.2):
            pass
        holder.kill()


def test_a_run_that_was_killed_holds_nothing(settings):
    with hold(settings, 30) as holder:
        holder.kill()
    told: list[str] = []
    with exclusive(settings, waiting=told.append):
        assert told == []


def test_homes_do_not_wait_for_each_other(settings, tmp_path):
    with (
        exclusive(settings, waiting=pytest.fail),
        exclusive(load_settings(home=tmp_path / "other"), waiting=pytest.fail),
    ):
        assert (settings.home / "run.json").is_file()


def test_a_reader_sees_the_old_file_or_the_new_one(tmp_path):
    path = tmp_path / "database.json"
    texts = {"a" * 50_000, "b" * 70_000}
    write_atomically(path, "a" * 50_000)
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            for text in texts:
                write_atomically(path, text)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        seen = {path.read_text("utf-8") for _ in range(200)}
    finally:
        stop.set()
        writer.join()
    assert seen <= texts
    assert [entry.name for entry in tmp_path.iterdir()] == ["database.json"]
