"""The promised hit ratios on the stated fortnight, beside the same traffic with less done ahead of the users."""

from __future__ import annotations

import pytest

from finpipe_tests.cache.workload import Outcome, compare


@pytest.fixture(scope="module")
def fortnight() -> dict[str, Outcome]:
    return compare(seed=1, ways=("full", "no_prefetch"))


def test_users_are_answered_at_once(fortnight):
    assert fortnight["full"].hit_ratio >= 0.97
    assert fortnight["full"].first_request_ratio >= 0.90


def test_fetching_ahead_of_the_users_is_what_does_it(fortnight):
    assert fortnight["full"].hit_ratio > fortnight["no_prefetch"].hit_ratio + 0.1
    assert fortnight["no_prefetch"].hit_ratio > fortnight["plain_lru"].hit_ratio + 0.1
    assert fortnight["full"].first_request_ratio > fortnight["plain_lru"].first_request_ratio + 0.5


def test_all_ways_saw_the_same_traffic(fortnight):
    assert len({(outcome.requests, outcome.first_requests) for outcome in fortnight.values()}) == 1
    assert fortnight["full"].requests > 30_000
