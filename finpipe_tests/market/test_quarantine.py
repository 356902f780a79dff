from __future__ import annotations

import datetime as dt
import threading

import pytest

from finpipe.market.daily_bars import ProviderError
from finpipe.market.quarantine import Quarantine, Sentence

NOW = dt.datetime(2024, 5, 1, 12, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


def test_a_ticker_stays_for_the_term_and_then_goes(tmp_path):
    quarantine = Quarantine(tmp_path / "home" / "q.json", term=7 * DAY)
    assert quarantine.kept(NOW) == {}
    quarantine.add({"DEAD": "not found"}, NOW)
    assert quarantine.kept(NOW) == {"DEAD": Sentence("not found", NOW + 7 * DAY)}
    assert "DEAD" in quarantine.kept(NOW + 7 * DAY - dt.timedelta(seconds=1))
    assert quarantine.kept(NOW + 7 * DAY) == {}
    quarantine.add({"OTHER": "gone"}, NOW + 8 * DAY)
    assert "DEAD" not in quarantine.path.read_text()


def test_a_ticker_can_be_released(tmp_path):
    quarantine = Quarantine(tmp_path / "q.json")
    quarantine.add({"A": "x", "B": "y"}, NOW)
    quarantine.release(["A", "C"], NOW)
    assert set(quarantine.kept(NOW)) == {"B"}


def test_writers_side_by_side_lose_nothing(tmp_path):
    quarantine = Quarantine(tmp_path / "q.json")
    threads = [threading.Thread(target=quarantine.add, args=({f"T{i}": "x"}, NOW)) for i in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(quarantine.kept(NOW)) == {f"T{i}" for i in range(12)}
    assert sorted(file.name for file in tmp_path.iterdir()) == ["q.json", "q.json.lock"]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '{"format": 1}',
        '{"format": 1, "tickers": {"A": 3}}',
        '{"format": 9, "tickers": {}}',
        '{"format": 1, "tickers": {"A": {"reason": "x", "until": "soon"}}}',
    ],
)
def test_a_damaged_file_is_told_with_its_place(tmp_path, content):
    (tmp_path / "q.json").write_text(content)
    with pytest.raises(ProviderError, match=r"q\.json .*delete it"):
        Quarantine(tmp_path / "q.json").kept(NOW)
