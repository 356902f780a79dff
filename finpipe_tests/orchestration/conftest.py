from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from finpipe_tests.orchestration.toy import Toy, toy_graph


@pytest.fixture
def toy(tmp_path: Path) -> Iterator[Toy]:
    with toy_graph(tmp_path / "home") as toy:
        yield toy
