from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finpipe.market.daily_bars import (
    BAR_SCHEMA,
    BarRequest,
    ProviderError,
    adjusted_closes,
    as_traded,
    bar_faults,
    require_valid_bars,
    valid_bars,
)

DAY = dt.date(2024, 3, 4)


def make_bars(count: int = 5, name: str = "AAA", **columns: list[object]) -> pl.DataFrame:
    """``count`` quiet days of a stock at 10, with some columns replaced."""
    quiet = {
        "ticker": [name] * count,
        "date": [DAY + dt.timedelta(days=i) for i in range(count)],
        "open": [10.0] * count,
        "high": [11.0] * count,
        "low": [9.0] * count,
        "close": [10.0] * count,
        "volume": [100] * count,
        "adjusted_close": [10.0] * count,
        "dividend": [0.0] * count,
        "split_ratio": [1.0] * count,
    }
    return pl.DataFrame(quiet | columns, schema=BAR_SCHEMA)


def test_good_bars_have_no_faults():
    bars = make_bars()
    assert bar_faults(bars).is_empty()
    require_valid_bars(bars, "here")
    kept, notices = valid_bars(bars, "here")
    assert kept.equals(bars)
    assert notices == ()


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("close", 0.0, "close is 0.0"),
        ("close", -1.0, "close is -1.0"),
        ("open", None, "open is None"),
        ("low", float("nan"), "low is nan"),
        ("adjusted_close", float("inf"), "adjusted_close is inf"),
        ("volume", -5, "volume is -5"),
        ("volume", None, "volume is None"),
        ("dividend", -0.1, "dividend is -0.1"),
        ("split_ratio", 0.0, "split_ratio is 0.0"),
        ("date", dt.date(1700, 1, 1), "date 1700-01-01 is not possible"),
    ],
)
def test_a_faulty_bar_is_told_by_place_and_value_and_dropped(column, value, words):
    values = make_bars()[column].to_list()
    values[0 if column == "date" else 2] = value
    bars = make_bars(**{column: values})
    faults = bar_faults(bars)
    assert faults["fault"].to_list() == [words]
    assert faults["fatal"].to_list() == [True]
    with pytest.raises(ProviderError, match="here: 1 bar: AAA"):
        require_valid_bars(bars, "here")
    kept, notices = valid_bars(bars, "here")
    assert kept.height == 4
    assert "dropped: 1 bar" in notices[0]
    assert words in notices[0]


def test_a_range_out_of_order_is_told_but_leaves_a_good_close():
    bars = make_bars(open=[10.0, 12.0, 10.0, 10.0, 10.0])
    faults = bar_faults(bars)
    assert faults.select("date", "fatal").rows() == [(DAY + dt.timedelta(days=1), False)]
    kept, notices = valid_bars(bars, "here")
    assert kept.equals(bars)
    assert "kept as they are: 1 bar: AAA 2024-03-05: open 12.0, high 11.0" in notices[0]


def test_days_in_the_future_and_missing_keys_are_faults():
    bars = make_bars(date=[DAY, None, *[DAY + dt.timedelta(days=i) for i in (2, 3, 9)]])
    faults = bar_faults(bars, today=DAY + dt.timedelta(days=5))
    assert sorted(faults["fault"]) == ["date 2024-03-13 is not possible", "no ticker or no date"]
    assert valid_bars(bars, "here", DAY + dt.timedelta(days=5))[0].height == 3


def test_the_same_bar_twice_is_kept_once_and_two_that_differ_not_at_all():
    bars = make_bars()
    twice = pl.concat([bars, bars[:2]])
    kept, notices = valid_bars(twice, "here")
    assert kept.equals(bars)
    assert notices == ("here: 2 bars came twice and are kept once",)
    other = pl.concat([bars, bars[:1].with_columns(close=pl.lit(10.5))])
    kept, notices = valid_bars(other, "here")
    assert kept.equals(bars[1:])
    assert "more than one bar of the day" in notices[0]


def test_order_is_made_and_wrong_columns_are_named():
    bars = pl.concat([make_bars(name="BBB"), make_bars(name="AAA")])
    assert valid_bars(bars, "here")[0]["ticker"].to_list() == ["AAA"] * 5 + ["BBB"] * 5
    with pytest.raises(ProviderError, match="not sorted"):
        require_valid_bars(bars, "here")
    with pytest.raises(ProviderError, match="here: no column close; unknown column last"):
        valid_bars(bars.rename({"close": "last"}), "here")
    with pytest.raises(ProviderError, match="volume is Float64 instead of Int64"):
        valid_bars(bars.with_columns(pl.col("volume").cast(pl.Float64)), "here")


def test_a_request_is_canonical_and_sensible():
    assert BarRequest(("brk.b", "KO"), DAY, DAY).tickers == ("BRK-B", "KO")
    with pytest.raises(ProviderError, match="lies before the start"):
        BarRequest(("KO",), DAY, DAY - dt.timedelta(days=1))
    with pytest.raises(ProviderError, match="twice"):
        BarRequest(("KO", "KO"), DAY, DAY)
    with pytest.raises(ProviderError, match="no tickers"):
        BarRequest((), DAY, DAY)


def test_adjusted_closes_follow_the_crsp_formula_by_hand():
    bars = make_bars(
        4, close=[100.0, 50.0, 48.0, 49.0], split_ratio=[1.0, 2.0, 1.0, 1.0], dividend=[0, 0, 1.0, 0.0]
    )
    # 1 - 1/50 for the dividend; a half for the split.
    assert adjusted_closes(bars).to_list() == pytest.approx([100 / 2 * 0.98, 50 * 0.98, 48.0, 49.0])
    with pytest.raises(ProviderError, match="AAA: a dividend is as large"):
        adjusted_closes(bars.with_columns(dividend=pl.lit(60.0)))


@settings(max_examples=50)
@given(
    st.lists(st.sampled_from([1.0, 1.0, 1.0, 2.0, 3.0, 0.1, 7.0]), min_size=1, max_size=12),
    st.integers(0, 2**32),
)
def test_as_traded_undoes_what_a_source_does_for_splits(ratios, seed):
    count = len(ratios)
    random = np.random.default_rng(seed)
    close = random.uniform(1, 500, count).round(2)
    traded = make_bars(
        count,
        open=close.tolist(),
        high=close.tolist(),
        low=close.tolist(),
        close=close.tolist(),
        volume=(random.integers(0, 1000, count) * 210_000_000).tolist(),
        dividend=random.uniform(0, 1, count).tolist(),
        split_ratio=ratios,
    )
    both = pl.concat([traded, traded.with_columns(ticker=pl.lit("BBB"))])
    restated = []
    for bars in both.partition_by("ticker", maintain_order=True):
        rows = bars.to_dicts()
        for day, row in enumerate(rows):
            for later in rows[day + 1 :]:
                for name in ("open", "high", "low", "close", "dividend"):
                    row[name] /= later["split_ratio"]
                row["volume"] *= later["split_ratio"]
            row["volume"] = round(row["volume"])
        restated.append(pl.DataFrame(rows, schema=BAR_SCHEMA))
    back = as_traded(pl.concat(restated))
    assert back.drop("close", "open", "high", "low", "dividend").equals(
        both.drop("close", "open", "high", "low", "dividend")
    )
    for name in ("open", "high", "low", "close", "dividend"):
        np.testing.assert_allclose(back[name], both[name], rtol=1e-12)
