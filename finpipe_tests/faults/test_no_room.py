"""A full disk, a read-only home, a store that fails halfway: said in a sentence, nothing good is overwritten."""

from __future__ import annotations

import re
import shutil
import subprocess
import uuid
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from upath import UPath

from finpipe.orchestration.store import Store, StoreError
from finpipe_tests.demo_home import DemoHome, command, environment
from finpipe_tests.faults.wreck import assert_each_is_old_or_new, assert_nothing_is_left_over, contents

SIZE_MB = 160
FULL = r"No space left|disk is full"


class SmallDisk:
    """A home on a file system of its own in memory, which can be filled up and made read-only."""

    def __init__(self, folder: Path, demo: DemoHome) -> None:
        self.folder = folder
        self.home = folder / "home"
        shutil.copytree(demo.home, self.home)
        self._ballast = folder / "ballast"

    def leave(self, free: int) -> None:
        """Fill the disk but for so many bytes."""
        self._ballast.unlink(missing_ok=True)
        with self._ballast.open("wb") as file:
            file.write(bytes(max(0, shutil.disk_usage(self.folder).free - free)))

    def make_room(self) -> None:
        """Make the disk large enough again."""
        self._ballast.unlink()

    def remount(self, how: str) -> None:
        """Mount it as ``ro`` or ``rw``."""
        subprocess.run(["mount", "-o", f"remount,{how}", str(self.folder)], check=True)


def mount(folder: Path) -> str:
    """Mount a small disk on ``folder``; return why that is not possible, or nothing."""
    wanted = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m", "finpipe-test", str(folder)]
    try:
        mounted = subprocess.run(wanted, capture_output=True, text=True, check=False)
    except OSError as error:
        return str(error)
    return mounted.stderr.strip() if mounted.returncode else ""


def unmount(folder: Path) -> None:
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def disk(demo_home, tmp_path):
    if problem := mount(tmp_path):
        pytest.skip(f"a small disk cannot be mounted here: {problem}")
    try:
        yield SmallDisk(tmp_path, demo_home)
    finally:
        unmount(tmp_path)


def assert_sentence(said, pattern: str) -> None:
    assert said.status == 1, said.err
    assert "Traceback" not in said.err, said.err
    assert re.search(pattern, said.err), said.err


def test_a_disk_that_gets_full_while_a_large_file_is_written(disk, say, monkeypatch):
    monkeypatch.setenv("FINPIPE_DELISTING_RETURN", "-0.25")
    before = contents(disk.home)
    disk.leave(6_000_000)
    said = say("run", "--home", disk.home, "--only", "krx/forward_returns")
    assert_sentence(
        said, r"forward_returns\.parquet cannot be written \(No space left.*stored before is untouched"
    )
    assert contents(disk.home) == before
    disk.make_room()
    said = say("run", "--home", disk.home, "--only", "krx/forward_returns", "--json")
    assert said.record["materialized"] == ["krx/forward_returns"]
    assert_nothing_is_left_over(disk.home)


def test_a_disk_that_gets_full_anywhere(disk, say, monkeypatch):
    monkeypatch.setenv("FINPIPE_RISK_FREE", "0.02")
    only = ("--only", "krx/performance_report")
    before = contents(disk.home)
    seen = []
    for free in (0, 60_000, 200_000, 500_000):
        disk.leave(free)
        said = say("run", "--home", disk.home, *only)
        disk.make_room()
        if said.status:
            assert_sentence(said, FULL)
        seen.append((said.status, contents(disk.home)))
    assert [status for status, _ in seen].count(1) >= 2, "there was room enough"
    assert say("run", "--home", disk.home, *only).status == 0
    after = contents(disk.home)
    assert after != before
    for _, found in seen:
        assert_each_is_old_or_new(found, before, after)
    assert_nothing_is_left_over(disk.home)


def test_a_read_only_home(disk, say):
    before = contents(disk.home)
    disk.remount("ro")
    said = [say(verb, "--home", disk.home) for verb in ("run", "status", "report")]
    disk.remount("rw")
    for sentence in said:
        assert_sentence(sentence, r"/home.* is read-only, .*--home DIR")
    assert contents(disk.home) == before
    assert say("run", "--home", disk.home, "--json").record["materialized"] == []


def test_a_file_larger_than_allowed(own_home, tmp_path):
    """Where nothing can be mounted: a limit on the size of files fails in the middle of writing, too."""
    (tmp_path / "disk").mkdir()
    if not mount(tmp_path / "disk"):
        unmount(tmp_path / "disk")
        pytest.skip("a small disk can be mounted here, and has been filled up")
    before, only = contents(own_home.home), ("--only", "krx/forward_returns")
    done = subprocess.run(
        [
            "bash",
            "-c",
            'ulimit -f 8000 && exec "$@"',
            "limited",
            *command("run", "--home", own_home.home, *only),
        ],
        env=environment({"FINPIPE_DELISTING_RETURN": "-0.25", "FINPIPE_WORKERS": "1"}),
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    assert re.search(r"forward_returns\.parquet cannot be written \(File too large", done.stderr), done.stderr
    assert contents(own_home.home) == before
    assert_nothing_is_left_over(own_home.home)


@pytest.fixture
def failing(monkeypatch):
    """A store in memory, and a function after which its connection is lost when so many bytes have arrived."""

    def fail_after(room: int) -> None:
        def put_file(files, lpath, rpath, **_):
            content = Path(lpath).read_bytes()
            with files.open(rpath, "wb") as file:
                file.write(content[:room])
            if len(content) > room:
                raise OSError(5, "the connection was lost")

        monkeypatch.setattr(MemoryFileSystem, "put_file", put_file)

    store = Store(f"memory://faults-{uuid.uuid4()}/bucket")
    return store, fail_after


def everything(store: Store) -> list[str]:
    root = UPath(store.root)
    return [name.rpartition("bucket/")[2] for name in root.fs.find(root.path)]


@pytest.mark.parametrize("room", [0, 1, 500, 999])
def test_a_store_that_fails_halfway_keeps_what_it_had(failing, room):
    store, fail_after = failing
    path = store.path("krx/study", "top_n-h21", ".json")
    store.write_text(path, "old" * 500)
    fail_after(room)
    with pytest.raises(
        StoreError, match=r"study/top_n-h21\.json cannot be written .*connection was lost.* untouched"
    ):
        store.write_text(path, "new!" * 250)
    assert path.read_text(encoding="utf-8") == "old" * 500
    assert everything(store) == ["krx/study/top_n-h21.json"]
    fail_after(1000)
    store.write_text(path, "new!" * 250)
    assert path.read_text(encoding="utf-8") == "new!" * 250
    assert everything(store) == ["krx/study/top_n-h21.json"]


def test_what_a_killed_run_left_in_a_store_elsewhere_is_cleared(failing):
    store, _ = failing
    store.write_text(store.path("krx/study", None, ".json"), "whole")
    store.path("krx/.study.json.4711", None, ".tmp").write_text("half")
    assert len(everything(store)) == 2
    store.clear()
    assert everything(store) == ["krx/study.json"]


def test_no_staging_folder_is_left(failing, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    store, fail_after = failing
    fail_after(3)
    with pytest.raises(StoreError):
        store.write_text(store.path("krx/study", None, ".json"), "whole")
    assert list(tmp_path.iterdir()) == []
