from __future__ import annotations

import ast
import json
from types import SimpleNamespace

import pytest

from finpipe.orchestration import modules

NAME = "finpipe.market.schema"


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """The file in which this process keeps what it finds; nothing has been found yet."""
    monkeypatch.setattr(modules, "_found", {})
    modules.forget()
    yield tmp_path / "modules.json"
    modules.forget()


def again(path):
    """Keep what has been found, and begin like another process."""
    modules.keep(path)
    modules.forget()
    modules.recall(path)
    return path


def test_what_was_found_is_read_and_not_found_again(kept, monkeypatch):
    found = modules.module(NAME)
    again(kept)
    monkeypatch.setattr(modules, "tree_digest", lambda _: "found again")
    assert modules.module(NAME) == found
    assert modules.module("finpipe.market.calendar").tree == "found again"


def test_another_text_is_looked_at_again(kept, tmp_path, monkeypatch):
    source = tmp_path / "finpipe" / "market" / "schema.py"
    source.parent.mkdir(parents=True)
    for package in (source.parent, source.parents[1]):
        (package / "__init__.py").touch()
    found = SimpleNamespace(origin=str(source.parents[1] / "__init__.py"))
    monkeypatch.setattr(modules, "find_spec", lambda _: found)
    source.write_text("A = 1\n")
    first = modules.module(NAME)
    again(kept)
    source.write_text("A = 1  # one\n")
    commented = modules.module(NAME)
    again(kept)
    source.write_text("A = 2\n")
    changed = modules.module(NAME)
    assert commented.tree == first.tree != changed.tree
    assert len({first.source, commented.source, changed.source}) == 3


def test_digests_of_another_python_or_of_other_code_are_not_believed(kept):
    found = modules.module(NAME)
    record = json.loads(again(kept).read_text())
    record["modules"][NAME]["tree"] = "of another Python"
    kept.write_text(json.dumps(record))
    modules.forget()
    modules.recall(kept)
    assert modules.module(NAME).tree == "of another Python"
    record["made_by"] = "3.11.0"
    kept.write_text(json.dumps(record))
    modules.forget()
    modules.recall(kept)
    assert modules.module(NAME) == found


@pytest.mark.parametrize("content", ["", "{", '{"modules": {}}'])
def test_a_damaged_file_is_made_anew(kept, content):
    kept.write_text(content)
    modules.recall(kept)
    found = modules.module(NAME)
    assert json.loads(again(kept).read_text())["modules"][NAME]["tree"] == found.tree


@pytest.mark.usefixtures("kept")
def test_it_is_done_without_where_nothing_can_be_kept(tmp_path):
    (tmp_path / "file").touch()
    found = modules.module(NAME)
    again(tmp_path / "file" / "modules.json")
    assert modules.module(NAME) == found
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_it_is_kept_only_when_something_was_found(kept):
    modules.module(NAME)
    before = again(kept).stat().st_ino
    modules.module(NAME)
    assert again(kept).stat().st_ino == before


def test_kept_digests_are_those_of_the_text(kept):
    """Whatever was kept beside the bytecode by earlier processes agrees with the text of today."""
    fresh = {name: modules.module(name) for name in (NAME, "finpipe.features.beta", "finpipe.panel.rolling")}
    again(kept)
    assert {name: modules.module(name) for name in fresh} == fresh


def test_imports_for_type_checkers_are_none():
    tree = ast.parse(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from finpipe.market import schema\n"
        "else:\n    from finpipe.market import calendar\n"
        "def shell():\n    if slow:\n        import finpipe.panel.rolling\n"
    )
    assert modules.import_statements(tree) == [
        ("finpipe.market", "calendar"),
        ("finpipe.panel.rolling", None),
    ]
