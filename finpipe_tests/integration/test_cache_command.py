"""The command ``finpipe cache`` as it is typed: what it shows, fills and forgets, with Redis and without."""

from __future__ import annotations

import json

import pytest

from finpipe.cache.entry import NEVER, Entry
from finpipe.cache.keys import request_key
from finpipe.serve.caches import Caches
from finpipe.settings import load_settings
from finpipe_tests.cache.redis_server import RedisServer

GROUP = 'few = ["TEC01", "FIN01"]'


@pytest.fixture
def cache(say, tmp_path, monkeypatch):
    """The command in a home of its own, with a small group of demo tickers."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "finpipe.toml").write_text(f'provider = "demo"\nhistory_years = 1\n[groups]\n{GROUP}\n')
    monkeypatch.setenv("FINPIPE_HOME", str(home))
    return lambda *arguments: say("cache", *arguments)


def shown(said):
    assert said.status == 0, said.err
    return json.loads(said.out.strip().splitlines()[-1])


def test_it_fills_shows_and_forgets(cache, tmp_path):
    said = cache("status")
    assert said.status == 0
    assert "nothing is cached yet: `finpipe cache warm" in said.err
    assert "no service has run on this home yet" in said.err
    said = cache("warm")
    assert said.status == 1
    assert "name one with --group" in said.err
    assert set(shown(cache("warm", "--group", "few", "--json"))["materialized"]) == {
        "prices/history[few]",
        "prices/shared_cache[few]",
        "prices/hot_set[few]",
        "usage/popularity",
        "usage/warm_list",
    }
    assert "nothing to do" in cache("warm").err
    found = shown(cache("status", "--json"))
    assert (found["wanted"], found["level"], found["service"]) == ("disk", "disk", None)
    assert {tier["name"]: tier["entries"] for tier in found["tiers"]} == {"hot_set": 3, "disk": 4}
    said = cache("status")
    assert "L1 hot set" in said.out
    assert "L2 disk" in said.out

    caches = Caches(load_settings(home=tmp_path / "home"), ())
    other = request_key("analyze", {"ticker": "TEC01"})
    caches.shared.put(other, Entry.of([1], 0.0, NEVER))
    assert shown(cache("clear", "--kind", "prices", "--json")) == {
        "kind": "prices",
        "removed": {"hot_set": 3, "shared": 4},
    }
    assert caches.shared.get(other) is not None
    caches.close()
    assert "removed 0 of hot set, 1 of shared" in cache("clear").err
    assert shown(cache("status", "--json"))["tiers"][1]["entries"] == 0
    assert set(shown(cache("warm", "--json"))["materialized"]) == {
        "prices/shared_cache[few]",
        "prices/hot_set[few]",
    }


def test_a_kind_that_does_not_exist_is_a_sentence(cache):
    said = cache("clear", "--kind", "weather")
    assert said.status == 1
    assert "choose one of prices, analyze" in said.err
    assert "Traceback" not in said.err


def test_a_redis_that_is_down_is_told(cache, monkeypatch):
    server = RedisServer()
    monkeypatch.setenv("FINPIPE_REDIS_URL", server.patient_url)
    try:
        server.start()
        found = shown(cache("status", "--json"))
        assert (found["wanted"], found["level"]) == ("redis", "redis")
        server.kill()
        said = cache("status")
        assert said.status == 0
        assert "redis does not answer: values are kept on disk" in said.err
        assert cache("clear").status == 0
    finally:
        server.close()


def test_help_has_examples(cache):
    for verb in ("status", "warm", "clear"):
        said = cache(verb, "--help")
        assert said.status == 0
        assert f"finpipe cache {verb}" in said.out
