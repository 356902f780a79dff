from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finpipe.learning import training_panel as module
from finpipe.learning.rows import AlignmentError
from finpipe.learning.training_panel import TRAINING_PANEL, PanelError, training_panel

FIRST = dt.date(2020, 1, 1)
LABELS = "krx/forward_returns"


def traded_rows(stocks: int = 4, days: int = 6) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "stock_code": pl.Series([f"{i:05d}0" for i in range(stocks)], dtype=pl.Categorical).gather(
                np.repeat(np.arange(stocks), days)
            ),
            "date": [FIRST + dt.timedelta(days=i) for i in range(days)] * stocks,
        }
    )


def frame(rows: pl.DataFrame, *names: str, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    return rows.with_columns(pl.Series(name, rng.random(rows.height), dtype=pl.Float32) for name in names)


def members(rows: pl.DataFrame, keep: list[bool] | None = None) -> pl.DataFrame:
    chosen = rows if keep is None else rows.filter(pl.Series(keep, dtype=pl.Boolean))
    return chosen.with_columns(close=pl.lit(1), market_cap=pl.lit(2), value=pl.lit(3)).cast(
        {"close": pl.Int64, "market_cap": pl.Int64, "value": pl.Int64}
    )


MACRO = pl.DataFrame(
    {"date": [FIRST, FIRST + dt.timedelta(days=1)], "market_regime_score": [0.1, -0.3]},
    schema_overrides={"market_regime_score": pl.Float32},
)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.booleans(), min_size=24, max_size=24), st.booleans())
def test_equals_a_join_by_key_for_any_universe(keep, lazy):
    rows = traded_rows()
    a, b, labels = (
        frame(rows, *(f"a{i}" for i in range(11))),
        frame(rows, "b", seed=1),
        frame(rows, "y", seed=2),
    )
    universe = members(rows, keep)
    sources = {"a": a.lazy() if lazy else a, "b": b}
    panel = training_panel(universe, sources, {LABELS: labels})
    keys = ["stock_code", "date"]
    assert panel.equals(universe.join(a, on=keys).join(b, on=keys).join(labels, on=keys).sort(keys))
    assert TRAINING_PANEL.validate(panel).height == sum(keep)


@pytest.mark.parametrize("fill", ["none", "date_median"])
def test_the_pieces_that_rows_are_read_in_do_not_matter(monkeypatch, fill):
    rows = traded_rows()
    a = frame(rows, *(f"a{i}" for i in range(20))).with_columns(
        pl.when(pl.col("a0") > 0.3).then(pl.col("a0")), label=pl.col("stock_code")
    )
    universe, labels = members(rows, [i % 3 > 0 for i in range(rows.height)]), frame(rows, "y")
    whole = training_panel(universe, {"a": a.lazy()}, {LABELS: labels.lazy()}, fill=fill)
    for size in (1, 5, rows.height):
        monkeypatch.setattr(module, "_ROWS_AT_A_TIME", size)
        assert training_panel(universe, {"a": a.lazy()}, {LABELS: labels.lazy()}, fill=fill).equals(whole)


def test_macro_features_are_joined_by_date_with_their_composite():
    rows = traded_rows(2, 3)
    a = rows.with_columns(mom_20d=pl.lit(0.2, dtype=pl.Float32))
    panel = training_panel(members(rows), {"a": a}, {LABELS: frame(rows, "y")}, MACRO)
    assert panel["market_regime_score"].fill_null(9).to_list() == pytest.approx([0.1, -0.3, 9] * 2)
    assert panel["regime_momentum_interaction"].is_null().to_list() == [False, False, True] * 2
    assert panel["regime_momentum_interaction"][:2].to_list() == pytest.approx([0.02, -0.04], abs=1e-6)
    assert panel.columns[-1] == "y"


def test_missing_features_stay_null_unless_the_date_median_is_asked_for():
    rows = traded_rows(4, 2)
    values = [1.0, 5.0, 2.0, None, 9.0, None, None, None]
    a = rows.with_columns(x=pl.Series(values, dtype=pl.Float32), name=pl.lit("s"))
    labels = frame(rows, "y").with_columns(y=pl.lit(None, dtype=pl.Float32))
    universe = members(rows, [False, False, False, True, True, True, True, True])
    assert training_panel(universe, {"a": a}, {LABELS: labels})["x"].to_list() == [
        None,
        9.0,
        None,
        None,
        None,
    ]
    filled = training_panel(universe, {"a": a.lazy()}, {LABELS: labels}, fill="date_median")
    assert filled["x"].to_list() == [5.0, 9.0, 5.0, 2.0, 5.0]
    assert filled["y"].null_count() == 5
    assert filled.schema["x"] == pl.Float32


def test_a_frame_with_other_rows_is_named():
    rows = traded_rows()
    a, labels = frame(rows, "a"), frame(rows, "y")
    with pytest.raises(AlignmentError, match="krx/late has 23 rows, but krx/forward_returns has 24"):
        training_panel(members(rows), {"krx/fine": a, "krx/late": frame(rows[:-1], "b")}, {LABELS: labels})
    shuffled = frame(rows.sort("date", "stock_code"), "b").lazy()
    with pytest.raises(AlignmentError, match="krx/mixed and krx/forward_returns must have the same rows"):
        training_panel(members(rows), {"krx/mixed": shuffled}, {LABELS: labels})
    with pytest.raises(AlignmentError, match="every row of krx/universe"):
        training_panel(members(rows), {"krx/fine": a[1:]}, {LABELS: labels[1:]})


def test_a_required_column_that_no_frame_has_is_named():
    rows = traded_rows()
    with pytest.raises(PanelError, match=r"lacks the required column\(s\) gp_over_assets, roe;"):
        training_panel(
            members(rows),
            {"a": frame(rows, "x")},
            {LABELS: frame(rows, "y")},
            require=["x", "roe", "gp_over_assets"],
        )
    with pytest.raises(PanelError, match="mom_20d"):
        training_panel(members(rows), {"a": frame(rows, "x")}, {LABELS: frame(rows, "y")}, MACRO)


def test_a_column_that_comes_twice_is_named():
    rows = traded_rows()
    with pytest.raises(PanelError, match="column x comes from both krx/a and krx/b"):
        training_panel(
            members(rows), {"krx/a": frame(rows, "x"), "krx/b": frame(rows, "x")}, {LABELS: frame(rows, "y")}
        )
