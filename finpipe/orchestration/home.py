"""The home: the folder with the Dagster instance, the store and the result tables, and who works in it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import IO, Any

import dagster as dg
import filelock
from dagster._core.instance.ref import InstanceRef

from finpipe.orchestration import records, temporary
from finpipe.orchestration.partitions import VARIANT
from finpipe.settings import Settings


class HomeBusyError(RuntimeError):
    """Another run works in the same home; the message says which."""


QUIET: dict[str, Any] = {
    "compute_logs": {
        "module": "dagster._core.storage.noop_compute_log_manager",
        "class": "NoOpComputeLogManager",
    }
}
"""Steps print nothing: runs of the command start no processes that watch for it."""


class HomeError(RuntimeError):
    """The home cannot be used; the message says why and what to do."""


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """Return the Dagster instance of the home, made on first use; the UI opens the same one.

    Raises
    ------
    HomeError
        The home cannot be made or read.
    """
    from sqlalchemy.exc import DBAPIError

    from finpipe.orchestration import journal

    try:
        folder = prepare(settings)
        os.environ["DAGSTER_HOME"] = str(folder)
        overrides = {**QUIET, **journal.configuration(folder)}
        instance = dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(folder), overrides=overrides))
        instance.get_runs_count()
        instance.get_dynamic_partitions(VARIANT)
    except OSError as error:
        raise HomeError(
            f"{settings.home} cannot be used as home: {error}; name another with --home DIR"
        ) from error
    except DBAPIError as error:
        raise HomeError(records.explain(settings, error)) from error
    return instance


def prepare(settings: Settings) -> Path:
    """Make the instance folder with finpipe's ``dagster.yaml`` in it; return the folder.

    If it was moved away, the copy of its records is put in its place.
    """
    folder = settings.dagster_home
    if not folder.exists():
        records.restore(settings)
    folder.mkdir(parents=True, exist_ok=True)
    wanted = _instance_config().read_text(encoding="utf-8")
    config = folder / "dagster.yaml"
    if not config.is_file() or config.read_text(encoding="utf-8") != wanted:
        write_atomically(config, wanted)
    return folder


def write_atomically(path: Path, text: str) -> None:
    """Put ``text`` in the place of ``path``: a crash leaves either the old file or the new one."""
    unfinished = temporary.beside(path)
    try:
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


@contextlib.contextmanager
def exclusive(
    settings: Settings, *, waiting: Callable[[str], None], patience: float = 3600.0
) -> Iterator[None]:
    """Hold the home for one run; another run waits for it.

    Parameters
    ----------
    waiting
        Called once with a sentence that says who holds the home, before waiting for it.
    patience
        Seconds to wait.

    Raises
    ------
    HomeBusyError
        The other run is still at work after ``patience`` seconds.
    """
    settings.home.mkdir(parents=True, exist_ok=True)
    holder = settings.home / "run.json"
    lock = filelock.FileLock(settings.home / "run.lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        who = _describe(holder)
        waiting(f"{who}; waiting for it to finish")
        try:
            lock.acquire(timeout=patience)
        except filelock.Timeout as error:
            raise HomeBusyError(f"{who} and has not finished within {patience:.0f} s") from error
    try:
        holder.write_text(json.dumps({"pid": os.getpid(), "since": time.time()}), encoding="utf-8")
        yield
        records.keep_copy(settings)
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


@contextlib.contextmanager
def shared(settings: Settings, *, waiting: Callable[[str], None], patience: float = 3600.0) -> Iterator[None]:
    """Hold the home together with other runs of the UI and the daemon; a command waits for the last of them.

    Parameters
    ----------
    waiting
        Called once with a sentence that says who holds the home, before waiting for it.
    patience
        Seconds to wait for a command that holds the home.

    Raises
    ------
    HomeBusyError
        The command is still at work after ``patience`` seconds.
    """
    settings.home.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + patience
    told = False
    with (settings.home / "run.lock").open("a") as lock:
        while not _locked(lock, fcntl.LOCK_SH):
            who = who_holds(settings) or _describe(settings.home / "run.json")
            if time.monotonic() > deadline:
                raise HomeBusyError(f"{who} and has not finished within {patience:.0f} s")
            if not told:
                waiting(f"{who}; waiting for it to finish")
                told = True
            time.sleep(0.1)
        yield


def who_holds(settings: Settings) -> str | None:
    """Return who keeps runs of the UI out of the home at the moment, in words; None if nobody does."""
    path = settings.home / "run.lock"
    if not path.exists():
        return None
    with path.open("a") as lock:
        return None if _locked(lock, fcntl.LOCK_SH) else _describe(settings.home / "run.json")


def serve_ui(settings: Settings, port: int) -> int:
    """Run the Dagster UI and daemon on the home until interrupted; return the exit status."""
    from finpipe.orchestration.ticker_groups import offer_groups

    _clear_leftovers(settings)
    with open_instance(settings) as instance:
        offer_groups(settings, instance)
    environment = {**os.environ, "DAGSTER_HOME": str(prepare(settings)), "FINPIPE_HOME": str(settings.home)}
    if settings.database is not None:
        environment["FINPIPE_DATABASE"] = str(settings.database)
    command = [
        sys.executable,
        "-m",
        "dagster",
        "dev",
        "-m",
        "finpipe.definitions",
        "-h",
        "127.0.0.1",
        "-p",
        str(port),
    ]
    return subprocess.run(command, env=environment, check=False).returncode  # noqa: S603 our own interpreter


def _clear_leftovers(settings: Settings) -> None:
    """End what runs of an earlier UI left unfinished, unless somebody is at work in the home."""
    from finpipe.orchestration import leftovers

    with open_instance(settings) as instance, (settings.home / "run.lock").open("a") as lock:
        if _locked(lock, fcntl.LOCK_EX):
            leftovers.clear(settings, instance)


def _locked(lock: IO[str], kind: int) -> bool:
    """Try to lock a file for as long as it stays open."""
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _describe(holder: Path) -> str:
    try:
        found = json.loads(holder.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return f"a run of the UI or the daemon works in {holder.parent}"
    since = time.strftime("%H:%M:%S", time.localtime(found["since"]))
    return f"process {found['pid']} has been working in {holder.parent} since {since}"


def _instance_config() -> Path:
    packaged = Path(str(files("finpipe").joinpath("dagster.yaml")))
    return packaged if packaged.is_file() else packaged.parents[1] / "dagster.yaml"
