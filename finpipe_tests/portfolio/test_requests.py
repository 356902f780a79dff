from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from finpipe import settings as settings_module
from finpipe.portfolio import covariance, problem
from finpipe.portfolio import requests as asked
from finpipe.portfolio.forecast import METHODS
from finpipe.portfolio.report import header
from finpipe.portfolio.requests import (
    AnalyzeRequest,
    BenchmarkRequest,
    FrontierRequest,
    HedgeRequest,
    OptimizeRequest,
)
from finpipe.settings import Settings

TICKERS = ("AAPL", "BRK-B", "KO", "MSFT")


def test_choices_of_settings_are_those_of_requests():
    assert get_args(settings_module.PortfolioObjective) == problem.OBJECTIVES
    assert get_args(settings_module.PortfolioForecast) == get_args(asked.Forecast) == METHODS
    assert get_args(settings_module.PortfolioCovariance) == get_args(asked.CovarianceMethod)
    assert set(get_args(asked.CovarianceMethod)) == set(covariance.METHODS)
    for name in ("objective", "forecast", "covariance", "min_weight", "max_weight", "risk_free"):
        assert Settings.model_fields[name].default == OptimizeRequest.model_fields[name].default, name


@pytest.mark.parametrize("language", ["en", "ko"])
def test_the_page_and_the_report_offer_and_name_every_choice(language):
    static = Path(settings_module.__file__).parent / "serve" / "page" / "static"
    script = (static / "portfolio.js").read_text(encoding="utf-8")
    words = json.loads((static / f"{language}.json").read_text(encoding="utf-8"))
    assert set(header.OBJECTIVES) == set(problem.OBJECTIVES)
    for kind, names in (("objective", problem.OBJECTIVES), ("covariance", covariance.METHODS)):
        assert {key for key in words if key.startswith(f"{kind}.")} == {f"{kind}.{name}" for name in names}
        assert all(f'"{name}"' in script for name in names)


@given(st.permutations(TICKERS))
def test_equal_questions_have_equal_texts_in_any_order(tickers):
    request = OptimizeRequest(tickers=tickers, current_weights=dict.fromkeys(tickers, 0.25))
    assert (
        request.canonical()
        == OptimizeRequest(
            tickers=["aapl", "brk.b", "ko", "msft"], current_weights=dict.fromkeys(TICKERS, 0.25)
        ).canonical()
    )


def test_other_questions_have_other_texts():
    base = {"tickers": TICKERS}
    questions = [
        OptimizeRequest(**base),
        OptimizeRequest(**base, max_weight=0.5),
        OptimizeRequest(**base, end="2020-01-01"),
        OptimizeRequest(**base, sector_limits={"Energy": 0.1}),
        OptimizeRequest(**base, sector_limits={"Energy": (0.0, 0.1)}),
        OptimizeRequest(group="sp500"),
        FrontierRequest(**base),
        HedgeRequest(first="KO", second="PEP"),
        HedgeRequest(first="PEP", second="KO"),
    ]
    assert len({question.canonical() for question in questions}) == len(questions)


def test_a_request_survives_json():
    request = OptimizeRequest(
        tickers=TICKERS,
        start=dt.date(2020, 1, 2),
        sector_limits={"Energy": (0.05, 0.1), "Utilities": 0.2},
        current_weights={"KO": 0.5, "AAPL": 0.5},
        cost=0.001,
    )
    assert OptimizeRequest.model_validate_json(request.model_dump_json()) == request
    assert json.loads(request.canonical())["kind"] == "OptimizeRequest"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "either tickers or a group"),
        ({"tickers": TICKERS, "group": "sp500"}, "either tickers or a group"),
        ({"tickers": ("KO", "ko")}, "duplicate ticker"),
        ({"tickers": ()}, "no tickers given"),
        ({"group": "sp500", "start": "2020-01-02", "end": "2020-01-01"}, "lies before the start"),
        ({"group": "sp500", "max_weight": float("nan")}, "finite"),
        ({"group": "sp500", "max_weight": 0}, "greater than 0"),
        ({"group": "sp500", "l2": float("inf")}, "finite"),
        ({"group": "sp500", "colour": "red"}, "Extra inputs"),
        ({"group": "sp500", "objective": "best"}, "max-sharpe"),
        ({"group": "sp500", "views": {"KO": 0.1}}, "black_litterman"),
        ({"group": "sp500", "current_weights": {"KO": float("nan")}}, "finite"),
    ],
)
def test_nonsense_is_refused_in_words(values, words):
    with pytest.raises(ValidationError, match=words):
        OptimizeRequest(**values)


def test_a_ticker_does_not_hedge_itself():
    with pytest.raises(ValidationError, match="cannot hedge itself"):
        HedgeRequest(first="BRK.B", second="brk-b")


def test_requests_do_not_change():
    request = AnalyzeRequest(ticker="aapl")
    assert request.ticker == "AAPL"
    with pytest.raises(ValidationError):
        request.ticker = "KO"
    assert BenchmarkRequest(weights={"brk.b": 1.0}).weights == {"BRK-B": 1.0}
