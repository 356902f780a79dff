from __future__ import annotations

import sys

import numpy as np
import pytest

from finpipe.portfolio import prophet_forecast
from finpipe.portfolio.prophet_forecast import (
    ProphetMissingError,
    model_key,
    models_kept_in,
    prophet_growth,
    prophet_models,
)
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


class Shelf(dict[str, str]):
    """A store of models in memory."""

    find = dict.get
    keep = dict.__setitem__
    forget = dict.__delitem__


@pytest.fixture
def walk() -> np.ndarray:
    return 100 * np.exp(np.cumsum(np.random.default_rng(3).normal(0.0003, 0.015, 500)))


def test_a_kept_model_forecasts_what_a_new_one_does_to_the_last_bit(fits, walk):
    alone = prophet_growth(prices_of(walk))
    shelf = Shelf()
    with models_kept_in(shelf):
        assert prophet_growth(prices_of(walk)) == alone
        assert (len(fits), len(shelf)) == (2, 1)
        assert prophet_growth(prices_of(walk)) == alone
        gaps = np.append(np.full(9, np.nan), walk)
        late = Prices(("X",), weekdays(509), gaps[:, None])
        known = Prices(("Y",), late.dates[9:], walk[:, None])
        assert prophet_growth(late) == prophet_growth(known), "days without a price do not count"
        assert len(fits) == 3
    prophet_growth(prices_of(walk[1:]))
    assert len(shelf) == 2, "nothing is kept outside of the block"


def test_the_models_of_the_asset_are_those_that_forecasts_find(fits, walk):
    shelf = Shelf()
    with models_kept_in(shelf):
        made = prophet_models(prices_of(walk))
        prophet_growth(prices_of(walk))
        assert prophet_models(prices_of(walk)) == made
    assert fits == [500]
    assert list(shelf.values()) == [made.models["T0"]]
    assert prophet_models(prices_of(walk)) == made


def test_other_prices_days_options_or_versions_are_another_model(fits, walk, monkeypatch):
    days = weekdays(500)
    corrected = walk.copy()
    corrected[7] = np.nextafter(corrected[7], np.inf)
    keys = {
        model_key(days, walk),
        model_key(days[1:], walk[1:]),
        model_key(days + 1, walk),
        model_key(days, corrected),
    }
    monkeypatch.setattr(sys.modules["prophet"], "__version__", "0")
    keys.add(model_key(days, walk))
    monkeypatch.setitem(prophet_forecast.OPTIONS, "yearly_seasonality", False)
    keys.add(model_key(days, walk))
    assert len(keys) == 6
    with models_kept_in(Shelf()):
        prophet_growth(prices_of(walk[:-1]))
        prophet_growth(prices_of(walk))
    assert fits == [499, 500]


@pytest.mark.parametrize("text", ["", "{", "null", "[]", "{}", '{"growth": "linear"}'])
def test_a_damaged_model_is_fitted_anew(fits, walk, text):
    shelf = Shelf()
    with models_kept_in(shelf):
        whole = prophet_growth(prices_of(walk))
        (key, good), *_ = shelf.items()
        shelf[key] = text
        assert prophet_growth(prices_of(walk)) == whole
        assert prophet_growth(prices_of(walk)) == whole
    assert (fits, shelf) == ([500, 500], {key: good})


def test_a_store_is_not_asked_without_the_package_or_enough_prices(monkeypatch, walk):
    class Unasked(Shelf):
        def find(self, key):
            raise AssertionError(key)

    with models_kept_in(Unasked()):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, "prophet", None)
            with pytest.raises(ProphetMissingError):
                prophet_growth(prices_of(walk))
        pytest.importorskip("prophet", reason="the extra prophet is not installed")
        assert prophet_growth(prices_of(walk[:251])) == ["251 prices, 252 are needed"]
