"""Formulas computed block by block give what they give on the whole market at once."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest

from finpipe.panel import block as blocks
from finpipe.panel import rolling
from finpipe.panel.formula import clip, flag, floor
from finpipe.panel.panel import Panel

DAY = dt.date(2024, 1, 1)


@pytest.fixture
def market() -> tuple[Panel, np.ndarray]:
    days = [7, 30, 1, 90, 45, 2, 60]
    keys = [(stock, DAY + dt.timedelta(day)) for stock, size in enumerate(days) for day in range(size)]
    panel = Panel.from_frame(pl.DataFrame(keys, schema=["stock_code", "date"], orient="row"))
    return panel, np.random.default_rng(3).lognormal(size=panel.rows)


def surprise(block: blocks.Block) -> dict[str, np.ndarray]:
    return {"surprise": block["volume"] / floor(block.mean(block["volume"], 20, 10), 1)}


def change(block: blocks.Block) -> dict[str, np.ndarray]:
    return {"change": block["surprise"] - block.lag(block["surprise"])}


@pytest.mark.parametrize("rows_per_block", [1, 50, 10_000])
@pytest.mark.parametrize("threads", [1, 3])
def test_blocks_and_threads_do_not_change_a_bit(market, monkeypatch, rows_per_block, threads):
    panel, volume = market
    monkeypatch.setattr(blocks, "ROWS_PER_BLOCK", rows_per_block)
    stored, exact = blocks.compute(
        panel,
        {"volume": volume},
        [surprise, change],
        outputs=["surprise", "change"],
        exact=["surprise"],
        threads=threads,
    )
    whole = volume / np.maximum(rolling.mean(volume, panel.starts, 20, 10), 1)
    np.testing.assert_array_equal(exact["surprise"], whole)
    np.testing.assert_array_equal(stored["surprise"], whole.astype(np.float32))
    np.testing.assert_array_equal(
        stored["change"], (whole - rolling.lag(whole, panel.starts, 1)).astype(np.float32)
    )
    assert stored["change"].dtype == np.float32


def test_infinities_become_missing(market):
    panel, volume = market

    def explode(block: blocks.Block) -> dict[str, np.ndarray]:
        return {"ratio": block["volume"] / flag(block["volume"] > 1), "large": 1e200 * block["volume"]}

    stored, exact = blocks.compute(
        panel, {"volume": volume}, [explode], outputs=["large"], exact=["ratio", "large"]
    )
    np.testing.assert_array_equal(np.isnan(exact["ratio"]), volume <= 1)
    assert np.isnan(stored["large"]).all()
    assert np.isfinite(exact["large"]).all()


def test_whole_numbers_are_read_as_floats(market):
    panel, _ = market
    halves = [lambda block: {"half": block["volume"] / 2}]
    stored, _ = blocks.compute(panel, {"volume": np.full(panel.rows, 7)}, halves, outputs=["half"])
    assert set(stored["half"]) == {3.5}


def test_an_error_in_a_formula_is_raised(market):
    panel, volume = market
    with pytest.raises(KeyError, match="price"):
        blocks.compute(panel, {"volume": volume}, [lambda block: {"x": block["price"]}], outputs=["x"])


def test_an_empty_market_has_empty_columns():
    panel = Panel.from_frame(pl.DataFrame(schema={"stock_code": pl.Categorical, "date": pl.Date}))
    stored, exact = blocks.compute(
        panel, {"volume": np.empty(0)}, [surprise], outputs=["surprise"], exact=["surprise"]
    )
    assert stored["surprise"].size == exact["surprise"].size == 0


def test_null_stays_null_in_guards_but_fails_comparisons():
    values = np.array([np.nan, -1.0, 5.0])
    np.testing.assert_array_equal(floor(values, 1), [np.nan, 1.0, 5.0])
    np.testing.assert_array_equal(clip(values, 0, 2), [np.nan, 0.0, 2.0])
    np.testing.assert_array_equal(flag(values > 0), [0.0, 0.0, 1.0])
    np.testing.assert_array_equal(flag(values > 0) * values, [np.nan, 0.0, 5.0])
