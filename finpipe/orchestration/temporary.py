"""Temporary names: under which files are written until they are whole, and by which leftovers are known."""

from __future__ import annotations

import os
import re
from pathlib import PurePath
from typing import TypeVar

AnyPath = TypeVar("AnyPath", bound=PurePath)

NAME = re.compile(r"\..+\.(?P<process>\d+)\.tmp")
"""A temporary name, and the number of the process that writes under it."""
STAGING = re.compile(r"finpipe-(?P<process>\d+)-.*")
"""A folder in which files wait to be sent to an object store."""


def beside(path: AnyPath) -> AnyPath:
    """Return the name under which this process writes what will take the place of ``path``."""
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def staging() -> str:
    """Return how the names of this process's staging folders begin."""
    return f"finpipe-{os.getpid()}-"
