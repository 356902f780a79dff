"""The feature page of the documentation is the catalogue."""

from __future__ import annotations

from finpipe.features.catalogue import markdown
from finpipe_tests.conftest import PROJECT


def test_the_documented_catalogue_is_the_one_in_the_code():
    page = (PROJECT / "docs" / "features.md").read_text(encoding="utf-8")
    assert page == markdown(), "write it again: finpipe features --out docs/features.md"
