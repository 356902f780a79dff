"""Compiled code is kept on disk until its own file changes, so no compiled function may call one of another file."""

from __future__ import annotations

import importlib
from pathlib import Path

import numba.core.dispatcher

import finpipe

PACKAGE = Path(finpipe.__file__).parent


def test_compiled_functions_call_none_of_other_files():
    kernels = [
        path for path in sorted(PACKAGE.rglob("*.py")) if "@numba.njit" in path.read_text(encoding="utf-8")
    ]
    assert len(kernels) >= 5
    for path in kernels:
        name = "finpipe." + ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        module = importlib.import_module(name)
        compiled = [
            value for value in vars(module).values() if isinstance(value, numba.core.dispatcher.Dispatcher)
        ]
        assert compiled
        assert {function.py_func.__module__ for function in compiled} == {name}
