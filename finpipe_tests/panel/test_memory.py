from __future__ import annotations

import os
import subprocess
import sys

from finpipe.panel.memory import ALLOCATORS, keep_freed_memory

BEFORE_A_HOME_IS_OPENED = """
import sys
import finpipe.cli, finpipe.panel.memory

print({"numpy", "polars"} & set(sys.modules))
"""


def test_variables_that_are_set_stay_as_they_are(monkeypatch):
    first, *others = ALLOCATORS
    monkeypatch.setenv(first, "dirty_decay_ms:0")
    for name in others:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    keep_freed_memory()
    assert os.environ[first] == "dirty_decay_ms:0"
    assert all(os.environ[name] == ALLOCATORS[name] for name in others)


def test_the_command_loads_no_allocator_before_it_says_how_they_are_to_work():
    done = subprocess.run(
        [sys.executable, "-c", BEFORE_A_HOME_IS_OPENED], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
