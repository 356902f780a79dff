"""Saved portfolios come back as they were, whole or not at all, and damage is told in words."""

from __future__ import annotations

import datetime as dt
import json
import os

import pytest

from finpipe.portfolio.saved_portfolios import (
    SavedPortfolio,
    SavedPortfolioError,
    SavedPortfolios,
    read_portfolio,
)

NOON = dt.datetime(2026, 3, 2, 12, tzinfo=dt.UTC)


def portfolio(**fields):
    return SavedPortfolio(
        **{
            "id": "growth-1",
            "weights": {"AAPL": 0.6, "005930.KS": 0.4},
            "prices": {"AAPL": 190.5},
            "expected_return": 0.12,
            "volatility": 0.2,
            "sharpe": 0.45,
            "saved_at": NOON,
            "metadata": {"objective": "max-sharpe", "tickers": ["AAPL", "005930.KS"], "이름": "성장"},
            **fields,
        }
    )


@pytest.fixture
def shelf(tmp_path):
    return SavedPortfolios(tmp_path / "portfolios")


def test_a_portfolio_comes_back_as_it_was(shelf):
    path = shelf.save(portfolio())
    assert shelf.load("growth-1") == portfolio()
    assert path.name == "growth-1.json"
    assert json.loads(path.read_text(encoding="utf-8"))["schema_version"] == 1


def test_they_are_listed_latest_first_and_deleted(shelf):
    assert shelf.ids() == ()
    shelf.save(portfolio(id="old", saved_at=NOON - dt.timedelta(days=1)))
    shelf.save(portfolio(id="new"))
    found, damaged = shelf.list()
    assert [each.id for each in found] == ["new", "old"]
    assert damaged == {}
    shelf.delete("new")
    assert shelf.ids() == ("old",)
    with pytest.raises(SavedPortfolioError, match=r"no portfolio new in .*; saved there: old"):
        shelf.load("new")
    with pytest.raises(SavedPortfolioError, match="no portfolio new"):
        shelf.delete("new")


def test_an_id_is_only_taken_again_on_request(shelf):
    shelf.save(portfolio())
    with pytest.raises(SavedPortfolioError, match="there is a portfolio growth-1 already"):
        shelf.save(portfolio(sharpe=9.0))
    assert shelf.load("growth-1").sharpe == 0.45
    shelf.save(portfolio(sharpe=9.0), replace=True)
    assert shelf.load("growth-1").sharpe == 9.0


@pytest.mark.parametrize(
    "bad", ["", "..", "../up", "a/b", "a\\b", "-x", ".hidden", "x" * 65, "a b", "a\n", "ß", "a.json"]
)
def test_ids_cannot_leave_the_folder(shelf, bad):
    with pytest.raises(SavedPortfolioError, match="is no id of a portfolio"):
        portfolio(id=bad)
    for act in (shelf.load, shelf.delete):
        with pytest.raises(SavedPortfolioError, match="is no id of a portfolio"):
            act(bad)


def test_a_failed_write_leaves_the_old_file_and_no_other(shelf, monkeypatch):
    shelf.save(portfolio())

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        shelf.save(portfolio(sharpe=1.0), replace=True)
    assert shelf.load("growth-1").sharpe == 0.45
    assert [path.name for path in shelf.folder.iterdir()] == ["growth-1.json"]


def test_a_damaged_file_is_named_and_hides_no_other(shelf):
    path = shelf.save(portfolio())
    shelf.save(portfolio(id="fine"))
    path.write_text(path.read_text(encoding="utf-8")[:50], encoding="utf-8")
    found, damaged = shelf.list()
    assert [each.id for each in found] == ["fine"]
    assert "growth-1.json is not readable as JSON" in damaged["growth-1"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("[1]", "is no portfolio: it needs an object"),
        ('{"prices": {}}', "is no portfolio"),
        ('{"weights": {"A": "half"}}', "the weight of A is 'half', not a number"),
        ('{"weights": {"A": NaN}}', "the weight of A is nan"),
        ('{"weights": {"A": true}}', "the weight of A is True"),
        ('{"weights": {}}', "has no weights"),
        ('{"weights": {"A": 3}}', "weights sum to 3"),
        ('{"weights": {"A": 1}, "prices": [1]}', "its price is no object"),
        ('{"weights": {"A": 1}, "saved_at": "noon"}', "damaged"),
        ('{"weights": {"A": 1}, "saved_at": 12}', "damaged"),
        ('{"weights": {"A": 1}, "id": "../x"}', "is no id"),
        ('{"weights": {"A": 1}, "schema_version": 99}', "schema version 99, this finpipe reads up to 1"),
    ],
)
def test_files_that_are_no_portfolio_say_why(tmp_path, content, sentence):
    path = tmp_path / "mine.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(SavedPortfolioError, match=sentence) as told:
        read_portfolio(path)
    assert "mine.json" in str(told.value)


def test_a_file_written_by_hand_needs_only_weights(tmp_path):
    path = tmp_path / "my portfolio.json"
    path.write_text('{"weights": {"KO": 0.5, "PEP": 0.5}, "comment": "drinks"}', encoding="utf-8")
    read = read_portfolio(path)
    assert (read.id, read.weights, read.saved_at) == ("my-portfolio", {"KO": 0.5, "PEP": 0.5}, None)
    with pytest.raises(SavedPortfolioError, match="there is no file"):
        read_portfolio(tmp_path / "other.json")


def test_what_json_cannot_hold_is_refused_before_anything_is_written(shelf):
    with pytest.raises(SavedPortfolioError, match="cannot be written as JSON"):
        shelf.save(portfolio(metadata={"when": NOON}))
    with pytest.raises(SavedPortfolioError, match="cannot be written as JSON"):
        shelf.save(portfolio(sharpe=float("nan")))
    assert shelf.ids() == ()
