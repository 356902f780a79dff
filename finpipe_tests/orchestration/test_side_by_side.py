from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest

from finpipe.orchestration import side_by_side
from finpipe.orchestration.side_by_side import completed
from finpipe_tests.processes import living
from finpipe_tests.waiting import until

COMMAND = """
import time
from finpipe.orchestration import side_by_side
if __name__ == "__main__":
    side_by_side.PRELOAD = []
    list(side_by_side.completed(time.sleep, [900.0, 900.1], 2, lambda task: print(task, flush=True)))
"""


@pytest.fixture(autouse=True)
def _little_to_load(monkeypatch):
    monkeypatch.setattr(side_by_side, "PRELOAD", [])


def square(number: int) -> int:
    if number < 0:
        raise ValueError(f"{number} is negative")
    return number * number


def give_way(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


def die(number: int) -> int:
    if number == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.2)
    return number


def disposition(_: int) -> object:
    return str(signal.getsignal(signal.SIGINT)), signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_every_task_is_yielded_with_its_outcome():
    started: list[int] = []
    found = dict(completed(square, [1, 2, 3, 4, 5], 2, started.append))
    assert found == {1: 1, 2: 4, 3: 9, 4: 16, 5: 25}
    assert started == [1, 2, 3, 4, 5]


def test_an_error_is_the_outcome_of_its_task_alone():
    found = dict(completed(square, [2, -1, 3], 2, lambda _: None))
    assert (found[2], found[3]) == (4, 9)
    assert isinstance(found[-1], ValueError)


def test_no_more_than_the_workers_are_at_work():
    begun: list[float] = []
    pids = set()
    for _, pid in completed(give_way, [0.05] * 4, 2, lambda _: begun.append(time.monotonic())):
        pids.add(pid)
    assert len(pids) <= 2
    assert os.getpid() not in pids


def test_a_worker_that_dies_takes_no_task_unreported():
    found = list(completed(die, [0, 1, 2, 3], 2, lambda _: None))
    assert sorted(task for task, _ in found) == [0, 1, 2, 3]
    assert all(isinstance(outcome, BaseException) or outcome == task for task, outcome in found)
    assert isinstance(dict(found)[0], BaseException)


def test_ctrl_c_is_left_to_the_command():
    ((_, found),) = completed(disposition, [1], 2, lambda _: None)
    assert found == (str(signal.SIG_IGN), True)


def test_an_interrupt_ends_the_workers():
    before = set(multiprocessing.active_children())

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        list(completed(give_way, [30.0, 30.0], 2, interrupt))
    assert time.monotonic() - begun < 20
    assert set(multiprocessing.active_children()) <= before


def test_a_command_that_is_killed_takes_its_workers_with_it(tmp_path):
    script = tmp_path / "command.py"
    script.write_text(COMMAND, encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as command:
        assert command.stdout is not None
        for _ in range(2):
            command.stdout.readline()
        until(lambda: len(forked(command.pid)) == 3, "the fork server and two workers")
        command.kill()
        command.wait()
        until(lambda: not forked(command.pid), "their end")


def forked(session: int) -> list[str]:
    """Return the fork server of a session and its workers, as far as they live."""
    return [line for line in living(session) if "forkserver" in line]


def test_an_interrupt_while_a_worker_starts_counts_when_it_has_started():
    reached: list[bool] = []

    def start() -> None:
        with side_by_side._interrupts_held():
            signal.raise_signal(signal.SIGINT)
            reached.append(True)

    with pytest.raises(KeyboardInterrupt):
        start()
    assert reached
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
