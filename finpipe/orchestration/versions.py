"""Code versions from syntax trees, and data versions from content.

An asset's code is its shell function, the finpipe modules that the shell imports and what those import in
turn; comments, docstrings and formatting do not count. Its settings are the ``settings.NAME`` it reads.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import xxhash

from finpipe.settings import OPERATIONAL

DECLARATIONS = frozenset({"finpipe", "finpipe.settings", "finpipe.market.schema", "finpipe.features.feature"})
"""Modules that declare but do not compute: what they declare is checked on every write instead."""


DATA_FILES = {
    "finpipe.orchestration.studies": ("presets.toml",),
    "finpipe.backtest.report.page": ("backtest/report/page.css", "backtest/report/page.js"),
}
"""Package data that belongs to the code of a module."""


@dataclass(frozen=True, slots=True)
class CodeProvenance:
    """The code and the settings that an asset's content depends on."""

    modules: dict[str, str]
    settings: tuple[str, ...]

    def version(self, values: dict[str, Any]) -> str:
        """Return the code version under the setting ``values`` (names that the asset reads are enough)."""
        parts = [f"{name}={digest}" for name, digest in sorted(self.modules.items())]
        parts += [f"{name}={values[name]!r}" for name in self.settings]
        return hashlib.blake2b("\n".join(parts).encode(), digest_size=12).hexdigest()


def code_provenance(function: Callable[..., Any]) -> CodeProvenance:
    """Return what the asset shell ``function`` is made of, read from source text without running it."""
    source = textwrap.dedent(inspect.getsource(inspect.unwrap(function)))
    tree = ast.parse(source).body[0]
    assert isinstance(tree, ast.FunctionDef)
    tree.decorator_list = []
    modules = {f"asset {tree.name}": _digest(tree)}
    for module in sorted(_closure(frozenset(_imports(tree)))):
        modules[module] = _module_digest(module)
    settings = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "settings"
    }
    return CodeProvenance(modules, tuple(sorted(settings - OPERATIONAL)))


def content_hash(frame: pl.DataFrame) -> str:
    """Return a hash of names, types and values of ``frame``, the same in every process and on every run."""
    digest = xxhash.xxh3_128()
    for column in frame.iter_columns():
        digest.update(f"{column.name}:{column.dtype}:{len(column)};".encode())
        _hash_values(column.rechunk(), digest)
    return digest.hexdigest()


def lazy_content_hash(frame: pl.LazyFrame, columns_at_a_time: int = 16) -> str:
    """Return a hash of the content of ``frame``, with only a few columns in memory at a time."""
    names = frame.collect_schema().names()
    batches = [names[start : start + columns_at_a_time] for start in range(0, len(names), columns_at_a_time)]
    return text_hash("".join(content_hash(frame.select(batch).collect()) for batch in batches))


def text_hash(text: str | bytes) -> str:
    """Return a hash of ``text``, or of the bytes of a file."""
    return xxhash.xxh3_128(text.encode() if isinstance(text, str) else text).hexdigest()


def _hash_values(column: pl.Series, digest: xxhash.xxh3_128) -> None:
    if column.null_count():
        digest.update(np.packbits(column.is_null().to_numpy()))
    if isinstance(column.dtype, (pl.Categorical, pl.Enum)):
        categories = column.unique().drop_nulls().cast(pl.String).sort()
        digest.update("\0".join(categories).encode())
        column = column.cast(pl.Enum(categories))
    if column.dtype == pl.String:
        lengths = column.str.len_bytes().fill_null(0)
        digest.update(lengths.to_numpy())
        digest.update("".join(column.drop_nulls()).encode())
        return
    physical = column.to_physical()
    if physical.dtype == pl.Boolean:
        physical = physical.cast(pl.UInt8)
    filled = physical.fill_null(0).to_numpy() if physical.null_count() else physical.to_numpy()
    digest.update(np.ascontiguousarray(filled))


@cache
def _closure(names: frozenset[str]) -> frozenset[str]:
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        module = waiting.pop()
        if module in found or module in DECLARATIONS:
            continue
        found.add(module)
        waiting.extend(_imports(_tree(module)))
    return frozenset(found)


def _imports(tree: ast.AST) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names if _is_domain(alias.name))
        elif isinstance(node, ast.ImportFrom) and node.module and _is_domain(node.module):
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                names.add(submodule if _source_path(submodule) else node.module)
    return names


def _is_domain(module: str) -> bool:
    return module.split(".", maxsplit=1)[0] == "finpipe" and not module.startswith(
        "finpipe.orchestration.assets"
    )


@cache
def _source_path(module: str) -> Path | None:
    parent, _, _ = module.rpartition(".")
    if parent and (_source_path(parent) is None or _source_path(parent).name != "__init__.py"):  # type: ignore[union-attr]
        return None
    found = find_spec("finpipe")
    assert found is not None
    assert found.origin is not None
    base = Path(found.origin).parent.joinpath(*module.split(".")[1:])
    for candidate in (base / "__init__.py", base.with_suffix(".py")):
        if candidate.is_file():
            return candidate
    return None


@cache
def _tree(module: str) -> ast.Module:
    path = _source_path(module)
    if path is None:
        raise ModuleNotFoundError(f"{module} is imported by an asset but has no source file")
    return ast.parse(path.read_bytes())


@cache
def _module_digest(module: str) -> str:
    digest = _digest(_tree(module))
    for name in DATA_FILES.get(module, ()):
        digest += text_hash(files("finpipe").joinpath(name).read_text(encoding="utf-8"))
    return digest


def _digest(tree: ast.AST) -> str:
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and _docstring(
            node
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return hashlib.blake2b(ast.dump(tree, annotate_fields=False).encode(), digest_size=8).hexdigest()


def _docstring(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    first = node.body[0] if node.body else None
    return (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    )
