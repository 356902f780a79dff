"""Models of Prophet that are fitted once for all processes of a home: by a worker, or ahead of requests."""

from __future__ import annotations

import json

import pytest

from finpipe.cache.entry import NEVER, Entry
from finpipe.portfolio.answers import answer_analyze
from finpipe.portfolio.market_data import price_source
from finpipe.portfolio.prophet_forecast import model_key, prophet_models
from finpipe.portfolio.requests import AnalyzeRequest, OptimizeRequest
from finpipe.portfolio.returns import adjusted_prices
from finpipe.serve import fitted_models, tasks
from finpipe.serve.cache_state import KINDS, clear_caches
from finpipe.serve.caches import Caches
from finpipe.serve.fitted_models import FittedModels, models_of
from finpipe.settings import Settings, load_settings
from finpipe_tests.serve.process import ServiceProcess

pytest.importorskip("prophet", reason="prophet is an extra")

DAYS = {"start": "2023-01-02", "end": "2024-12-30"}
TICKERS = ("FIN01", "TEC01", "UTI01")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home with prices."""
    settings = load_settings(home=tmp_path_factory.mktemp("models") / "home", provider="demo", threads=1)
    for ticker in TICKERS:
        grown(settings, ticker, method="ensemble", update=True)
    return settings


@pytest.fixture
def home(filled: Settings) -> Settings:
    """That home with an empty cache."""
    clear_caches(filled)
    return filled


def question(ticker: str, method: str = "prophet", **days: str) -> AnalyzeRequest:
    return AnalyzeRequest.model_validate({"ticker": ticker, "forecast": method, **DAYS, **days})


def grown(
    settings: Settings, ticker: str, *, method: str = "prophet", update: bool = False, **days: str
) -> float:
    """The yearly return that a worker forecasts."""
    asked = question(ticker, method, **days).model_dump_json()
    found = json.loads(tasks.run("analyze", asked, settings, lambda *_: None, update=update))["forecast"]
    assert found["method_used"] == method
    return float(found["annual_return"])


def prices_of(settings: Settings, *tickers: str):
    asked = question(tickers[0])
    return adjusted_prices(price_source(settings).history.read(tickers, asked.start, asked.end))


def test_a_second_question_fits_nothing_and_says_the_same_to_the_last_bit(home, fits):
    alone = answer_analyze(question("TEC01"), home, update=False).forecast.annual_return
    assert grown(home, "TEC01") == alone
    assert len(fits) == 2
    assert grown(home, "TEC01") == alone
    assert len(fits) == 2
    asked = OptimizeRequest.model_validate(
        {"tickers": TICKERS, "forecast": "prophet", "objective": "min-volatility", **DAYS}
    )
    told = json.loads(tasks.run("optimize", asked.model_dump_json(), home, lambda *_: None, update=False))
    expected = {asset["ticker"]: asset["expected_return"] for asset in told["assets"]}
    assert expected["TEC01"] == alone
    assert len(fits) == 4, "an optimisation fits those alone that nobody has asked for"


def test_models_made_ahead_serve_and_new_bars_are_fitted(home, fits):
    with models_of(home):
        made = prophet_models(prices_of(home, *TICKERS))
    assert (len(made.models), len(fits)) == (3, 3)
    for ticker in TICKERS:
        grown(home, ticker)
    assert len(fits) == 3
    grown(home, "TEC01", end="2024-12-27")
    assert len(fits) == 4


@pytest.mark.parametrize("value", ["{", "null", {"growth": "linear"}, 7])
def test_a_model_that_does_not_load_is_fitted_anew(home, fits, value):
    alone = grown(home, "TEC01")
    prices = prices_of(home, "TEC01")
    key = fitted_models._cache_key(model_key(prices.dates, prices.values[:, 0]))
    assert key.startswith("finpipe:1:prophet-model:")
    caches = Caches(home, ())
    try:
        good = caches.shared.get(key)
        assert good is not None
        caches.shared.put(key, Entry.of(value, 0.0, NEVER))
        assert grown(home, "TEC01") == alone
        assert len(fits) == 2
        assert caches.shared.get(key).value == good.value
    finally:
        caches.close()
    assert grown(home, "TEC01") == alone
    assert len(fits) == 2


def test_they_are_cleared_by_their_kind_and_nothing_is_opened_in_vain(home, tmp_path):
    assert fitted_models.KIND in KINDS
    grown(home, "TEC01")
    assert clear_caches(home, fitted_models.KIND) == {"hot_set": 0, "shared": 1}
    other = home.model_copy(update={"home": tmp_path / "other"})
    with models_of(other):
        pass
    assert not other.home.exists()


def test_a_worker_of_the_service_takes_a_model_from_the_cache(home):
    """The one kept under TEC01's key is of other prices, so that an answer from it is no fit of its own."""
    prices = prices_of(home, "FIN01", "TEC01")
    other = prophet_models(prices.pick(["FIN01"])).models["FIN01"]
    own = answer_analyze(question("TEC01"), home, update=False).forecast.annual_return
    store = FittedModels(home)
    store.keep(model_key(prices.dates, prices.values[:, 1]), other)
    store.close()
    service = ServiceProcess(home.home, serve_warm=False)
    service.start()
    try:
        with service.client() as client:
            asked = {"forecast": "prophet", **DAYS}
            found = client.get("/api/analyze/TEC01", params=asked).json()["forecast"]
    finally:
        service.stop()
    assert found["method_used"] == "prophet"
    assert abs(found["annual_return"] - own) > 1e-3
