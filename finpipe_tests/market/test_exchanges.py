from __future__ import annotations

import datetime as dt
import inspect

import numpy as np
import pytest

from finpipe.market import exchanges
from finpipe.market.exchanges import exchange_of, exchange_sessions, latest_change


def utc(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("ticker", "exchange"),
    [
        ("AAPL", "XNYS"),
        ("^GSPC", "XNYS"),
        ("005930.KS", "XKRX"),
        ("035900.KQ", "XKRX"),
        ("7203.T", "XTKS"),
        ("X.YY", "XNYS"),
        ("KS", "XNYS"),
    ],
)
def test_the_suffix_names_the_exchange(ticker, exchange):
    assert exchange_of(ticker) == exchange


def test_sessions_leave_holidays_out():
    days = exchange_sessions("XNYS", dt.date(2024, 7, 3), dt.date(2024, 7, 8))
    assert days.tolist() == [dt.date(2024, 7, 3), dt.date(2024, 7, 5), dt.date(2024, 7, 8)]
    assert exchange_sessions("XKRX", dt.date(2024, 2, 9), dt.date(2024, 2, 12)).size == 0
    assert days.dtype == np.dtype("datetime64[D]")


@pytest.mark.parametrize(
    ("now", "end", "change"),
    [
        ("2024-07-03 12:00", "2024-07-31", "2024-07-02 20:20"),  # before the open
        ("2024-07-03 14:00", "2024-07-31", "2024-07-03 14:00"),  # during the session
        ("2024-07-03 17:10", "2024-07-31", "2024-07-03 17:10"),  # just closed, early on the eve of a holiday
        ("2024-07-03 23:00", "2024-07-31", "2024-07-03 17:20"),
        ("2024-07-04 15:00", "2024-07-31", "2024-07-03 17:20"),  # holiday
        ("2024-07-05 15:00", "2024-07-03", "2024-07-03 17:20"),  # a session that is not asked for
        ("2024-07-05 15:00", "2024-06-30", "2024-06-28 20:20"),
    ],
)
def test_a_bar_may_have_changed_while_its_session_ran(now, end, change):
    assert latest_change("XNYS", dt.date.fromisoformat(end), utc(now)) == utc(change)


def test_a_calendar_is_made_once_and_again_only_for_other_years(monkeypatch):
    made = []
    make = exchanges._make
    monkeypatch.setattr(exchanges, "_made", {})
    monkeypatch.setattr(exchanges, "_make", lambda *asked: made.append(asked) or make(*asked))
    for start, end in ((2020, 2024), (2021, 2023), (2018, 2020), (2019, 2024)):
        sessions = exchange_sessions("XKRX", dt.date(start, 1, 1), np.datetime64(f"{end}-12-31"))
        assert str(sessions[0])[:4] == str(start)
        assert str(sessions[-1])[:4] == str(end)
    assert made == [("XKRX", 2019, 2025), ("XKRX", 2017, 2025)]


def test_the_depth_of_the_caller_does_not_matter(monkeypatch):
    depths = []
    monkeypatch.setattr(exchanges, "_made", {})
    monkeypatch.setattr(exchanges, "_make", lambda *_: depths.append(len(inspect.stack(0))))

    def deep(calls: int) -> None:
        if calls:
            deep(calls - 1)
        else:
            exchanges._years("XKRX", 2020, 2020 + len(depths))

    deep(0)
    deep(60)
    assert depths[0] == depths[1] < 20
