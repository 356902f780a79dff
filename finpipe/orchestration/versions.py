"""Code versions from syntax trees, and data versions from content.

An asset's code is its shell function, the finpipe modules that the shell imports and what those import in
turn; comments, docstrings and formatting do not count. Its settings are the ``settings.NAME`` it reads.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import textwrap
from collections.abc import Callable, Iterable
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finpipe.orchestration import modules
from finpipe.settings import OPERATIONAL

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    import xxhash
    from numpy.typing import NDArray

DECLARATIONS = frozenset({"finpipe", "finpipe.settings", "finpipe.market.schema", "finpipe.features.feature"})
"""Modules that declare but do not compute: what they declare is checked on every write instead."""

KEPT_CODE = "modules.json"
"""File of the home that keeps what modules say."""

DATA_FILES = {
    "finpipe.orchestration.studies": ("presets.toml",),
    "finpipe.page.document": ("page/page.css", "page/page.js"),
}
"""Package data that belongs to the code of a module."""


class CodeProvenance:
    """The code and the settings that the content of an asset depends on.

    Source text is read, without running it, when somebody first asks.

    Parameters
    ----------
    function
        The asset's shell.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = inspect.unwrap(function)

    @cached_property
    def modules(self) -> dict[str, str]:
        """Digests of the shell, and of every finpipe module that it imports, directly or not, by name."""
        imported = modules.imported(modules.import_statements(self._tree))
        digests = {f"asset {self._tree.name}": modules.tree_digest(self._tree)}
        return digests | {name: _module_digest(name) for name in sorted(_closure(frozenset(imported)))}

    @cached_property
    def settings(self) -> tuple[str, ...]:
        """The settings that the shell reads and that decide what comes out."""
        read = {
            node.attr
            for node in ast.walk(self._tree)
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "settings"
        }
        return tuple(sorted(read - OPERATIONAL))

    def version(self, values: dict[str, Any]) -> str:
        """Return the code version under the setting ``values`` (names that the asset reads are enough)."""
        parts = [f"{name}={digest}" for name, digest in sorted(self.modules.items())]
        parts += [f"{name}={values[name]!r}" for name in self.settings]
        return hashlib.blake2b("\n".join(parts).encode(), digest_size=12).hexdigest()

    @cached_property
    def _tree(self) -> ast.FunctionDef:
        source = textwrap.dedent(inspect.getsource(self._function))
        tree = ast.parse(source).body[0]
        assert isinstance(tree, ast.FunctionDef)
        tree.decorator_list = []
        return tree


def code_provenance(function: Callable[..., Any]) -> CodeProvenance:
    """Return what the asset shell ``function`` is made of."""
    return CodeProvenance(function)


def read_code(codes: Iterable[CodeProvenance], kept: Path) -> None:
    """Read the source of all ``codes`` now, as it was imported; what is ``kept`` in a file need not be parsed again."""
    modules.recall(kept)
    for code in codes:
        assert code.modules
    modules.keep(kept)


def content_hash(frame: pl.DataFrame) -> str:
    """Return a hash of names, types and values of ``frame``, the same in every process and on every run."""
    import xxhash

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
    import xxhash

    return xxhash.xxh3_128(text.encode() if isinstance(text, str) else text).hexdigest()


def _hash_values(column: pl.Series, digest: xxhash.xxh3_128) -> None:
    import numpy as np
    import polars as pl

    if column.null_count():
        digest.update(_packed(column.is_null()))
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


def _packed(flags: pl.Series) -> NDArray[np.uint8]:
    """Return what ``np.packbits`` makes of ``flags``, from the bits that Arrow keeps, where the first is the lowest."""
    import numpy as np

    kept = flags.to_arrow()
    if kept.offset % 8:
        return np.packbits(flags.to_numpy())
    length = -(-len(flags) // 8)
    bits = np.frombuffer(kept.buffers()[1], np.uint8, length, kept.offset // 8)
    upwards = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")
    packed: NDArray[np.uint8] = np.packbits(upwards, axis=1)[:, 0][bits]
    packed[-1] &= 0xFF << -len(flags) % 8 & 0xFF
    return packed


@cache
def _closure(names: frozenset[str]) -> frozenset[str]:
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in found or name in DECLARATIONS:
            continue
        found.add(name)
        waiting.extend(modules.imported(modules.module(name).imports))
    return frozenset(found)


@cache
def _module_digest(name: str) -> str:
    digest = modules.module(name).tree
    for file in DATA_FILES.get(name, ()):
        digest += text_hash(files("finpipe").joinpath(file).read_text(encoding="utf-8"))
    return digest
