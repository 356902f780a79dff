from __future__ import annotations

import sys

import numpy as np
import pytest

from finpipe.portfolio import prophet_forecast
from finpipe.portfolio.prophet_forecast import ProphetMissingError, prophet_growth
from finpipe.portfolio.returns import Prices
from finpipe_tests.portfolio.sample_bars import weekdays


def prices_of(*series: np.ndarray) -> Prices:
    values = np.column_stack(series)
    return Prices(tuple(f"T{i}" for i in range(values.shape[1])), weekdays(len(values)), values)


def test_a_straight_line_goes_on_for_a_year():
    pytest.importorskip("prophet", reason="the extra prophet is not installed")
    line = np.linspace(100, 160, 600)
    told: list[tuple[int, int]] = []
    short = np.append([np.nan] * 349, line[:251])
    grown, refused = prophet_growth(prices_of(line, short), progress=lambda done, of: told.append((done, of)))
    a_day = 60 / 599 * 5 / 7
    assert grown == pytest.approx(a_day * 365 / 160, rel=0.05)
    assert refused == "251 prices, 252 are needed"
    assert told == [(1, 2), (2, 2)]


def test_a_model_that_breaks_says_why(monkeypatch):
    pytest.importorskip("prophet", reason="the extra prophet is not installed")

    def broken(*_: object) -> float:
        raise RuntimeError("no luck")

    monkeypatch.setattr(prophet_forecast, "_value_in_a_year", broken)
    assert prophet_growth(prices_of(np.ones(300))) == ["RuntimeError: no luck"]


def test_without_the_package_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "prophet", None)
    with pytest.raises(ProphetMissingError, match=r"pip install 'finpipe\[prophet\]'"):
        prophet_growth(prices_of(np.ones(300)))


def test_long_lists_are_refused():
    with pytest.raises(ValueError, match="at most 50 tickers, not 51"):
        prophet_growth(prices_of(*[np.ones(300)] * 51))
