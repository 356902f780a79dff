"""Leftovers: what runs that were killed left behind, cleared by whoever has the home to itself.

A killed run leaves unfinished files under temporary names, and in Dagster's records a run that seems to be at
work and pool slots that nobody gives back: whoever wanted one would wait for ever.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import dagster as dg

from finpipe.orchestration import temporary
from finpipe.orchestration.records import DATABASES, copy_folder
from finpipe.settings import Settings

COMMAND = "finpipe/home"
"""Tag of the runs that commands make: they hold the home as long as they live."""
KILLED = "The process of this run was killed. What it had made is kept; the next run makes the rest."
UNFINISHED = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


def clear(settings: Settings, instance: dg.DagsterInstance) -> None:
    """End the records of runs that were killed, free their pool slots, and delete their temporary files.

    To be called while holding the home (``home.exclusive``): then no command can be at work, and a run of the UI
    can only be waiting.
    """
    killed = [run for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED)) if _is_dead(instance, run)]
    for run in killed:
        instance.report_run_failed(run, KILLED)
    _free_slots(instance)
    copies = copy_folder(settings)
    for folder in (settings.home, settings.dagster_home, *(copies / Path(name).parent for name in DATABASES)):
        _delete_abandoned(folder)
    _clear_store(settings, killed=bool(killed))
    for folder in Path(tempfile.gettempdir()).glob("finpipe-*"):
        found = temporary.STAGING.fullmatch(folder.name)
        if found is not None and not _lives(int(found["process"])):
            shutil.rmtree(folder, ignore_errors=True)


def _free_slots(instance: dg.DagsterInstance) -> None:
    """Give back the slots of all runs but those that may still be at work."""
    records = instance.event_log_storage
    holders = set(records.get_concurrency_run_ids())
    for pool in records.get_pool_limits():
        holders |= records.get_concurrency_info(pool.name).active_run_ids
    for run_id in holders:
        run = instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            records.free_concurrency_slots_for_run(run_id)


def _is_dead(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Tell of an unfinished run whether its process is gone; a command's is, or it would hold the home."""
    if COMMAND in run.tags:
        return True
    begun: list[tuple[int, float]] = []
    for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
        event = entry.dagster_event
        if event is not None and "pid" in event.engine_event_data.metadata:
            begun.append((int(str(event.engine_event_data.metadata["pid"].value)), entry.timestamp))
    return bool(begun) and not any(_lives(process, since=since) for process, since in begun)


def _delete_abandoned(folder: Path) -> None:
    """Delete the temporary files of processes that are gone."""
    for path in folder.glob(".*.tmp"):
        found = temporary.NAME.fullmatch(path.name)
        if found is not None and not _lives(int(found["process"])):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _clear_store(settings: Settings, *, killed: bool) -> None:
    """Delete all temporary files: whoever has the home is the only one to write; elsewhere than here, if need be."""
    if "://" not in settings.store_url:
        for folder, _, names in os.walk(settings.store_url):
            for name in filter(temporary.NAME.fullmatch, names):
                Path(folder, name).unlink(missing_ok=True)
    elif killed:
        from finpipe.orchestration.store import Store

        Store(settings.store_url).clear()


def _lives(process: int, *, since: float | None = None) -> bool:
    """Tell whether there is such a process beside this one, begun before ``since``, for numbers are used again."""
    import psutil  # type: ignore[import-untyped]

    if process == os.getpid():
        return False
    try:
        found = psutil.Process(process)
        return found.status() != psutil.STATUS_ZOMBIE and (
            since is None or found.create_time() <= since + 1.0
        )
    except psutil.NoSuchProcess:
        return False
