from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

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
