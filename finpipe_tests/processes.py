"""Processes that a test has started: which of them live."""

from __future__ import annotations

import os

import psutil


def living(session: int) -> list[str]:
    """Return the command lines of the processes of a session that are not mere zombies."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline()))
        except (psutil.Error, ProcessLookupError):  # ended meanwhile
            continue
    return found
