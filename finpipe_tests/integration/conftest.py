"""Fixtures of the tests that run on the whole graph."""

from __future__ import annotations

from pathlib import Path

import pytest

from finpipe.market.demo import write_demo_market
from finpipe_tests.demo_home import make_once
from finpipe_tests.integration.altered_market import scarred
from finpipe_tests.integration.whole_graph import STUDY, WholeGraph, run

STOCKS, YEARS = 60, 4


@pytest.fixture(scope="session")
def market(shared_folder: Path) -> Path:
    """The database of a small demo market with the scars of a real one; not to be changed."""

    def make(folder: Path) -> None:
        clean = write_demo_market(folder / "clean.db", stocks=STOCKS, years=YEARS).path
        scarred(clean, folder / "krx_stock_data.db")
        clean.unlink()

    return make_once(shared_folder / "scarred_market", make) / "krx_stock_data.db"


@pytest.fixture(scope="session")
def whole(market: Path) -> WholeGraph:
    """Everything that comes out of ``market``, up to the portfolio of ``STUDY``; not to be changed."""
    return run(market, ["backtest"], **STUDY)
