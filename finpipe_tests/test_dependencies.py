"""What finpipe imports is what its own installation brings: nothing that only tests have."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

import finpipe
from finpipe.serve.caches import COMPUTING, LIBRARIES

ROOT = Path(finpipe.__file__).parent
PROJECT = tomllib.loads((ROOT.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def names(requirements: list[str]) -> set[str]:
    """The distributions that requirements name, in the form that the index compares."""
    return {normalized(re.split(r"[\s<>=!~;\[]", line, maxsplit=1)[0]) for line in requirements}


def normalized(name: str) -> str:
    """PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


RUNTIME = names(PROJECT["dependencies"])
OPTIONAL = {
    name
    for extra, lines in PROJECT["optional-dependencies"].items()
    if extra != "dev"
    for name in names(lines)
}


def imports(source: str) -> set[str]:
    """Top-level packages that a module imports anywhere in its text."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"finpipe", "_typeshed"}


def undeclared(source: str, distributions: dict[str, set[str]]) -> set[str]:
    """Imported packages of which no distribution is a dependency of finpipe or of an extra of its users."""
    return {
        package
        for package in imports(source)
        if not distributions.get(package, {normalized(package)}) & (RUNTIME | OPTIONAL)
    }


@pytest.fixture(scope="module")
def distributions() -> dict[str, set[str]]:
    """Which distributions bring a package."""
    return {
        package: {normalized(name) for name in brought}
        for package, brought in metadata.packages_distributions().items()
    }


def test_every_import_is_a_dependency_of_users(distributions):
    found = {
        str(path.relative_to(ROOT)): missing
        for path in sorted(ROOT.rglob("*.py"))
        if (missing := undeclared(path.read_text(encoding="utf-8"), distributions))
    }
    assert found == {}


def test_an_import_of_what_only_tests_have_is_found(distributions):
    assert undeclared("def f():\n    from cvxpy import Variable\n", distributions) == {"cvxpy"}


def test_the_code_version_of_the_service_stands_on_dependencies():
    assert set(LIBRARIES) <= RUNTIME
    assert all((ROOT.parent / package.replace(".", "/")).is_dir() for package in COMPUTING)
