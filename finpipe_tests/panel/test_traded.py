"""Traded rows are those of the main markets with volume, whatever type the market column has."""

from __future__ import annotations

import polars as pl
import pytest

from finpipe.panel.traded import is_traded


@pytest.mark.parametrize("dtype", [pl.String, pl.Categorical])
def test_konex_and_halted_days_are_left_out(dtype):
    frame = pl.DataFrame(
        {"market": ["kospi", "kosdaq", "konex", "kospi", None], "volume": [1, 5, 5, 0, 5]},
        schema_overrides={"market": dtype},
    )
    assert frame.filter(is_traded()).rows() == [("kospi", 1), ("kosdaq", 5)]


@pytest.mark.parametrize("dtype", [pl.String, pl.Categorical])
def test_a_market_without_kosdaq_is_no_error(dtype):
    frame = pl.DataFrame({"market": ["kospi"], "volume": [1]}, schema_overrides={"market": dtype})
    assert frame.filter(is_traded()).height == 1
