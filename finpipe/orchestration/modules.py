"""Modules: what the source text of finpipe's modules says: a digest of the syntax tree, and what it imports.

What has been found is kept in the home: parsing every module takes longer than to find out that nothing is to be
done.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import json
import os
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Module:
    """What the text of a module says.

    Parameters
    ----------
    source
        Digest of the text itself.
    tree
        Digest of the syntax tree, to which comments, docstrings and layout do not count.
    imports
        Import statements of finpipe's own modules anywhere in it: the module, and the name taken from it if
        there is one.
    """

    source: str
    tree: str
    imports: tuple[tuple[str, str | None], ...]


@cache
def module(name: str) -> Module:
    """Return what the source of the module ``name`` says.

    Raises
    ------
    ModuleNotFoundError
        It has no source file.
    """
    path = source_path(name)
    if path is None:
        raise ModuleNotFoundError(f"{name} is imported by an asset but has no source file")
    text = path.read_bytes()
    source = _hash(text)
    if name not in _found or _found[name].source != source:
        tree = ast.parse(text)
        imports = tuple(import_statements(tree))
        _found[name] = Module(source, tree_digest(tree), imports)
    return _found[name]


def imported(statements: Iterable[tuple[str, str | None]]) -> set[str]:
    """Return the modules that import statements load: ``from finpipe.panel import rolling`` loads a submodule."""
    names: set[str] = set()
    for parent, name in statements:
        submodule = f"{parent}.{name}"
        names.add(submodule if name is not None and source_path(submodule) else parent)
    return names


def import_statements(tree: ast.AST) -> list[tuple[str, str | None]]:
    """Return the imports of finpipe's own modules in ``tree``, wherever they stand but for those of type checkers."""
    found: list[tuple[str, str | None]] = []
    for node in _executed(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, None) for alias in node.names if _counts(alias.name)]
        elif isinstance(node, ast.ImportFrom) and node.module and _counts(node.module):
            found += [(node.module, alias.name) for alias in node.names]
    return list(dict.fromkeys(found))


def _executed(tree: ast.AST) -> Iterator[ast.AST]:
    """Walk ``tree``, leaving out what stands under ``if TYPE_CHECKING``: it never runs."""
    left: deque[ast.AST] = deque([tree])
    while left:
        node = left.popleft()
        yield node
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            left.extend(node.orelse)
        else:
            left.extend(ast.iter_child_nodes(node))


def tree_digest(tree: ast.AST) -> str:
    """Return a digest of what ``tree`` does; its docstrings are taken out of it."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and _docstring(
            node
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return hashlib.blake2b(ast.dump(tree, annotate_fields=False).encode(), digest_size=8).hexdigest()


@cache
def source_path(name: str) -> Path | None:
    """Return the file of the module ``name``, None if it is no module of finpipe."""
    parent, _, _ = name.rpartition(".")
    if parent and ((package := source_path(parent)) is None or package.name != "__init__.py"):
        return None
    found = find_spec("finpipe")
    assert found is not None
    assert found.origin is not None
    base = Path(found.origin).parent.joinpath(*name.split(".")[1:])
    for candidate in (base / "__init__.py", base.with_suffix(".py")):
        if candidate.is_file():
            return candidate
    return None


def recall(path: Path) -> None:
    """Believe what an earlier process has kept in ``path``, as far as it is of the same text and the same Python."""
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    if record.get("made_by") == _maker():
        for name, said in record["modules"].items():
            imports = tuple((parent, part) for parent, part in said["imports"])
            _found.setdefault(name, Module(said["source"], said["tree"], imports))


def keep(path: Path) -> None:
    """Keep what has been found for the next process; do without if ``path`` cannot be written."""
    found = {name: asdict(said) for name, said in sorted(_found.items())}
    text = json.dumps({"made_by": _maker(), "modules": found})
    with contextlib.suppress(OSError):
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(path)


def forget() -> None:
    """Forget what has been found in this process."""
    _found.clear()
    module.cache_clear()
    source_path.cache_clear()


_found: dict[str, Module] = {}


@cache
def _maker() -> str:
    """Return what the kept digests depend on beside the modules: this code, and how Python parses."""
    return f"{sys.version} {_hash(Path(__file__).read_bytes())}"


def _hash(text: bytes) -> str:
    return hashlib.blake2b(text, digest_size=16).hexdigest()


def _counts(name: str) -> bool:
    """Leave the shells' own modules out: of them, the shell of the asset counts and no other."""
    return name.split(".", maxsplit=1)[0] == "finpipe" and not name.startswith("finpipe.orchestration.assets")


def _docstring(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    first = node.body[0] if node.body else None
    return (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    )
