from __future__ import annotations

import ast
import importlib.util
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import finpipe
from finpipe.orchestration import modules, versions
from finpipe.orchestration.versions import CodeProvenance, code_provenance
from finpipe.settings import OPERATIONAL, Settings

SHELL = """
def beta(prices, settings):
    from finpipe.features.beta import rolling_beta

    return rolling_beta(prices, settings.threads, settings.fill)
"""
MODULES = {
    "finpipe/__init__.py": "",
    "finpipe/settings.py": "DEFAULT = 1\n",
    "finpipe/features/__init__.py": "",
    "finpipe/features/beta.py": (
        '"""Betas."""\n\nimport numpy as np\n\nfrom finpipe.panel import rolling\n'
        "from finpipe.settings import DEFAULT\n\n\ndef rolling_beta(prices, threads, fill):\n"
        '    """Return betas."""\n    # plain\n    return rolling.mean(prices) * 2\n'
    ),
    "finpipe/features/technical.py": "def momentum(prices):\n    return prices\n",
    "finpipe/panel/__init__.py": "",
    "finpipe/panel/rolling.py": (
        "def mean(values):\n    from finpipe.panel.windows import WINDOW\n\n    return values / WINDOW\n"
    ),
    "finpipe/panel/windows.py": "from finpipe.panel import rolling\n\nWINDOW = 20\n",
}


@dataclass
class House:
    """A small package named finpipe on disk, and shells that import from it."""

    folder: Path
    shells: Any

    def write(self, file: str, text: str) -> None:
        path = self.folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def edit(self, file: str, old: str, new: str) -> None:
        text = (self.folder / file).read_text(encoding="utf-8")
        assert old in text
        self.write(file, text.replace(old, new))

    def code(self, shell: str = SHELL) -> CodeProvenance:
        forget()
        code = code_provenance(self._function(shell))
        assert code.modules
        return code

    def _function(self, shell: str) -> Callable[..., Any]:
        path = self.folder / f"shell_{next(self.shells)}.py"
        path.write_text(shell, encoding="utf-8")
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        (function,) = [value for value in vars(module).values() if callable(value)]
        return function


@pytest.fixture
def house(tmp_path, monkeypatch):
    found = SimpleNamespace(origin=str(tmp_path / "finpipe" / "__init__.py"))
    monkeypatch.setattr(modules, "find_spec", lambda _: found)
    monkeypatch.setattr(versions, "files", lambda _: tmp_path / "finpipe")
    house = House(tmp_path, itertools.count())
    for file, text in MODULES.items():
        house.write(file, text)
    yield house
    monkeypatch.undo()
    forget()


def forget() -> None:
    modules.forget()
    for cached in (versions._closure, versions._module_digest):
        cached.cache_clear()


def changed(before: CodeProvenance, after: CodeProvenance) -> set[str]:
    names = before.modules.keys() | after.modules.keys()
    return {name for name in names if before.modules.get(name) != after.modules.get(name)}


def test_the_shell_and_what_it_imports_in_turn_count_and_nothing_else(house):
    assert set(house.code().modules) == {
        "asset beta",
        "finpipe.features.beta",
        "finpipe.panel.rolling",
        "finpipe.panel.windows",
    }


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# plain", "# a plain average\n    # of the window"),
        ('"""Return betas."""', '"""Return the betas of each stock."""'),
        ('    """Return betas."""\n', ""),
        ('"""Betas."""\n', ""),
        ("rolling.mean(prices) * 2", "(\n        rolling.mean(\n            prices\n        ) * 2\n    )"),
    ],
)
def test_comments_docstrings_and_layout_do_not_count(house, old, new):
    before = house.code()
    house.edit("finpipe/features/beta.py", old, new)
    assert not changed(before, house.code())


def test_comments_and_docstrings_of_the_shell_do_not_count(house):
    before = house.code()
    documented = SHELL.replace("):\n", '):\n    """Betas of each stock."""\n    # as published\n', 1)
    assert not changed(before, house.code(documented))


@pytest.mark.parametrize(
    ("file", "old", "new", "module"),
    [
        ("features/beta.py", "* 2", "* 3", "finpipe.features.beta"),
        ("features/beta.py", "prices, threads", "prices, workers", "finpipe.features.beta"),
        ("panel/windows.py", "20", "21", "finpipe.panel.windows"),
    ],
)
def test_code_that_computes_counts(house, file, old, new, module):
    before = house.code()
    house.edit(f"finpipe/{file}", old, new)
    assert changed(before, house.code()) == {module}


def test_code_that_is_not_imported_does_not_count(house):
    before = house.code()
    house.edit("finpipe/features/technical.py", "prices\n", "prices * 2\n")
    house.edit("finpipe/settings.py", "1", "2")
    assert not changed(before, house.code())


def test_the_shell_itself_counts(house):
    edited = SHELL.replace("settings.fill)", "settings.fill) + 1")
    assert changed(house.code(), house.code(edited)) == {"asset beta"}


def test_a_new_import_brings_what_it_imports(house):
    before = house.code()
    house.edit("finpipe/features/beta.py", "import numpy", "import finpipe.features.technical\nimport numpy")
    assert changed(before, house.code()) == {"finpipe.features.beta", "finpipe.features.technical"}


def test_settings_that_are_read_count_unless_they_are_operational(house):
    assert "threads" in OPERATIONAL
    code = house.code()
    assert code.settings == ("fill",)
    version = code.version({"fill": "none", "threads": 1, "min_price": 1000.0})
    assert version == code.version({"fill": "none", "threads": 2, "min_price": 5.0})
    assert version != code.version({"fill": "date_median"})


def test_package_data_counts_as_code_of_its_module(house, monkeypatch):
    monkeypatch.setattr(versions, "DATA_FILES", {"finpipe.features.beta": ("windows.toml",)})
    house.write("finpipe/windows.toml", "window = 60\n")
    before = house.code()
    house.write("finpipe/windows.toml", "window = 61\n")
    assert changed(before, house.code()) == {"finpipe.features.beta"}


def test_an_import_without_source_is_named(house):
    with pytest.raises(ModuleNotFoundError, match=r"finpipe\.features\.gamma"):
        house.code("def gamma():\n    import finpipe.features.gamma\n")


def test_data_files_that_are_declared_exist():
    folder = Path(finpipe.__file__).parent
    for module, names in versions.DATA_FILES.items():
        assert (folder.parent / module.replace(".", "/")).with_suffix(".py").is_file()
        assert all((folder / name).is_file() for name in names)


def test_no_module_hides_an_import_from_the_versions():
    """Relative and dynamic imports would not be seen."""
    for path in Path(finpipe.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_bytes())):
            assert not (isinstance(node, ast.ImportFrom) and node.level), f"relative import in {path}"
            assert not (isinstance(node, ast.Name) and node.id in {"importlib", "__import__"}), path


SPOKEN_FOR = {"prices.py", "cache.py", "usage.py"}
"""Shells that hand settings on: the version of their source says provider, members and file; the rest is a place."""


def test_shells_read_settings_openly():
    """A shell that handed all settings on would depend on more than can be seen."""
    folder = Path(finpipe.__file__).parent / "orchestration" / "assets"
    shells = 0
    for path in sorted(folder.glob("*.py")):
        if path.name in SPOKEN_FOR:
            continue
        for shell in [
            node for node in ast.parse(path.read_bytes()).body if isinstance(node, ast.FunctionDef)
        ]:
            if "settings" not in [argument.arg for argument in shell.args.args]:
                continue
            shells += 1
            read = [node for node in ast.walk(shell) if isinstance(node, ast.Attribute)]
            owners = {id(node.value) for node in read}
            names = {node.attr for node in read if getattr(node.value, "id", "") == "settings"}
            uses = [node for node in ast.walk(shell) if isinstance(node, ast.Name) and node.id == "settings"]
            assert all(id(use) in owners for use in uses), f"{path.name}: {shell.name} hands settings on"
            assert names <= set(Settings.model_fields), f"{path.name}: {shell.name}"
    assert shells > 5
