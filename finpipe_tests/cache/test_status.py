"""What a process writes down of its cache is what others read, and a disk that fails harms nobody."""

from __future__ import annotations

import pytest

from finpipe.cache.lookup import Lookup
from finpipe.cache.memory import MemoryCache
from finpipe.cache.request import Loaded, Request
from finpipe.cache.status import cache_status, publish_status, published_status
from finpipe_tests.cache.clock import VirtualClock


class Source:
    name = "source"

    @staticmethod
    def load(requests):
        return {request.key: Loaded([1]) for request in requests}


def test_what_is_written_down_is_read(tmp_path):
    clock = VirtualClock(100.0)
    lookup = Lookup(clock, local=[MemoryCache(clock)], sources=[Source()])
    path = tmp_path / "cache" / "status.json"
    assert published_status(path) is None
    publish_status(path, cache_status(lookup), 100.0)
    found = published_status(path)
    assert found is not None
    assert (found.hit_ratio, found.requests, found.at) == (None, 0, 100.0)
    for _ in range(4):
        lookup.get(Request("k"))
    publish_status(path, cache_status(lookup), 101.0)
    found = published_status(path)
    assert found is not None
    assert (found.hit_ratio, found.requests) == (0.75, 4)
    assert found.status == cache_status(lookup).as_json()
    assert [file.name for file in path.parent.iterdir()] == ["status.json"]


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"at": "x", "status": {}}', '{"at": 1, "status": 2}'])
def test_what_cannot_be_read_is_nothing(tmp_path, text):
    path = tmp_path / "status.json"
    path.write_text(text)
    assert published_status(path) is None


def test_a_disk_that_fails_is_logged(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    publish_status(tmp_path / "file" / "status.json", cache_status(Lookup(VirtualClock(), local=[])), 0.0)
    assert "cannot be written down" in caplog.text
