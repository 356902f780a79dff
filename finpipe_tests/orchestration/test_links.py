from __future__ import annotations

import errno
import os

import pytest

from finpipe.orchestration import links
from finpipe.orchestration.links import address, serve
from finpipe.orchestration.provenance import latest_materialization
from finpipe.settings import load_settings

PAGE = ("html", "toy/notes", "2020|plain")


def served(toy):
    return toy.settings.dagster_home / "storage" / "finpipe" / "toy" / "notes" / "2020|plain.html"


def test_a_page_has_an_address_and_its_file_lies_there(toy):
    toy.run()
    made = latest_materialization(toy.instance, "toy/notes", "2020|plain")
    assert made.metadata["link"].url == "/logs/finpipe/toy/notes/2020%7Cplain/html"
    assert served(toy).read_bytes() == toy.file("notes/2020/plain.html").read_bytes()
    assert "link" not in latest_materialization(toy.instance, "toy/scores", "2020|plain").metadata


def test_a_new_page_takes_its_place_and_leaves_nothing_behind(toy):
    toy.run()
    toy.changes["fill"] = "date_median"
    toy.run()
    assert b"date_median" in served(toy).read_bytes()
    assert [path.name for path in served(toy).parent.iterdir() if "tmp" in path.name] == []


def test_where_files_cannot_be_linked_they_are_copied(toy, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(links.os, "link", refuse)
    toy.run()
    assert served(toy).read_bytes() == toy.file("notes/2020/plain.html").read_bytes()
    assert served(toy).stat().st_nlink == 1


def test_a_page_that_cannot_be_handed_out_is_said(toy):
    toy.run()
    served(toy).unlink()
    served(toy).mkdir()
    said: list[str] = []
    serve(toy.settings, *PAGE, warn=said.append)
    assert len(said) == 1
    assert "notes/2020|plain is stored" in said[0]


@pytest.mark.parametrize(
    ("store", "found"),
    [("s3://bucket/store", None), ("https://host/store", "https://host/store/toy/notes/2020/plain.html")],
)
def test_a_file_of_an_object_store_has_its_own_address_or_none(store, found, tmp_path):
    pytest.importorskip("fsspec")
    settings = load_settings(home=tmp_path, store=store)
    try:
        assert address(settings, *PAGE) == found
    except ImportError as absent:
        pytest.skip(f"no client for {store}: {absent}")


def test_what_nobody_looks_at_has_no_address(tmp_path):
    assert address(load_settings(home=tmp_path), "parquet", "toy/scores", None) is None
