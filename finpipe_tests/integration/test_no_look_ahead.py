"""What is known at the close of a day depends on nothing that comes later, nor on what is long past.

Each test makes the whole graph up to the training panel twice, from a market and from an altered copy of it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

import numpy as np
import polars as pl
import pytest

from finpipe.features import relative, sector
from finpipe.features.catalogue import FEATURES
from finpipe.features.feature import Feature
from finpipe.learning.window import LABEL
from finpipe.orchestration.graph import graph
from finpipe.orchestration.versions import content_hash
from finpipe_tests.integration.altered_market import poisoned, started, truncated
from finpipe_tests.integration.whole_graph import WholeGraph, assert_same_bits, run, usual_of_the_database

KNOWN_FROM = {
    "daily_prices": "date",
    "index_levels": "date",
    "filings": "available_date",
    "technical_features": "date",
    "rolling_beta": "date",
    "sector_features": "date",
    "financial_features": "date",
    "macro_features": "date",
    "universe": "date",
}
"""Assets whose rows are known from a day on, and the column that says so."""

JUDGED_OTHERWISE = {
    "stocks": "the latest state of every stock; that nothing before depends on it, the others show",
    "forward_returns": "labels look ahead, by as much as they say",
    "residual_returns": "labels, as well",
    "training_panel": "features, which are known, beside labels, which look ahead",
}
"""Other assets; those of a test year or a study are the business of ``test_replay``."""

ACROSS_STOCKS = {feature.name for feature in (*relative.FEATURES, *sector.FEATURES)}
"""Features of a row that also depend on the windows of the other stocks of its date."""

IN_WON = {"rsi_14": 0.1}
"""Features with a floor in adjusted won, which other anchors of adjustment move: by how much at most."""


def test_every_asset_of_the_market_has_its_place():
    shared = {key for key in usual_of_the_database() if not graph().dimensions(key)}
    placed = {f"krx/{asset}" for asset in (*KNOWN_FROM, *JUDGED_OTHERWISE)}
    assert placed == shared, (
        "say for each asset whether its rows are known from a day on, and which column says so"
    )


@pytest.mark.parametrize(
    "moment",
    ["eve of a split", "inside a halt", "eve of the last day", "filings over the weekend", "missing rows"],
)
def test_deleting_what_comes_later_changes_no_bit(market, whole, tmp_path, moment):
    last = telling_days(whole)[moment]
    assert_known_alike(run(truncated(market, tmp_path / "copy.db", last), ["training_panel"]), whole, last)


@pytest.mark.parametrize("moment", ["eve of a split", "filings over the weekend"])
def test_poisoning_what_comes_later_changes_no_bit(market, whole, tmp_path, moment):
    last = telling_days(whole)[moment]
    found = run(poisoned(market, tmp_path / "copy.db", last), ["training_panel"])
    assert_known_alike(found, whole, last)
    assert_settled_labels_alike(found, whole, last)
    assert_poisoned(found, whole, last)


def test_older_rows_than_the_declared_window_change_nothing(market, whole, tmp_path):
    first = calm_day(whole, dt.date(2022, 3, 1))
    found = run(started(market, tmp_path / "copy.db", first), ["training_panel"])
    before = whole["daily_prices"].filter(pl.col("date") < first)
    assert (before["adjustment_factor"] != 1).any(), "the anchor of no stock moves"

    history = rows_of_history(whole["technical_features"], first)
    for asset, features in FEATURES.items():
        known, late = whole[asset[4:]].filter(pl.col("date") >= first), found[asset[4:]]
        if asset == "krx/training_panel":
            # Members lack required features at first, so there are fewer of them.
            known = known.join(late, on=["stock_code", "date"], how="semi", maintain_order="left")
        if asset == "krx/macro_features":
            rows = late.select("date", own=pl.int_range(1, pl.len() + 1)).with_columns(least="own")
        else:
            rows = late.select("stock_code", "date").join(
                history, on=["stock_code", "date"], how="left", maintain_order="left"
            )
        assert known.height == late.height > 500, asset
        for feature in features:
            complete = rows["least" if feature.name in ACROSS_STOCKS else "own"] >= feature.window
            assert complete.sum() > 500, f"{feature.name}: nothing to compare"
            assert_alike(feature, known.filter(complete), late.filter(complete), whole, found)


def assert_known_alike(found: WholeGraph, expected: WholeGraph, last: dt.date) -> None:
    """Compare the bits of everything that is known at the close of ``last``."""
    for asset, column in KNOWN_FROM.items():
        known = pl.col(column) <= last
        assert_same_bits(asset, found[asset].filter(known), expected[asset].filter(known))
    no_labels = pl.exclude(LABEL)
    one, other = (made["training_panel"].filter(pl.col("date") <= last) for made in (found, expected))
    assert_same_bits("training_panel", one.select(no_labels), other.select(no_labels))


def assert_settled_labels_alike(found: WholeGraph, expected: WholeGraph, last: dt.date) -> None:
    """Compare the bits of labels whose horizon is over by ``last``, and that later ones differ."""
    calendar = expected["daily_prices"]["date"].unique().sort()
    end = calendar.index_of(last)
    for horizon in (1, 5, 21, 63, 126):
        labels = pl.col("stock_code", "date", f"^(forward|realized|target)_.*_{horizon}d$")
        for asset in ("forward_returns", "residual_returns", "training_panel"):
            one, other = found[asset].select(labels), expected[asset].select(labels)
            settled = pl.col("date") <= calendar[end - horizon - 1]
            assert_same_bits(asset, one.filter(settled), other.filter(settled))
        eve = pl.col("date") == calendar[end - horizon]
        realized = f"realized_return_{horizon}d"
        one, other = (made["forward_returns"].filter(eve)[realized] for made in (found, expected))
        assert not one.equals(other), f"{realized}: the poison does not reach the labels"


def assert_poisoned(found: WholeGraph, expected: WholeGraph, last: dt.date) -> None:
    """Check that the poison reaches every table that feeds features."""
    for asset, column in KNOWN_FROM.items():
        later = pl.col(column) > last
        one, other = found[asset].filter(later), expected[asset].filter(later)
        assert content_hash(one) != content_hash(other), f"{asset}: the poison does not reach it"


def assert_alike(
    feature: Feature, known: pl.DataFrame, late: pl.DataFrame, whole: WholeGraph, started_late: WholeGraph
) -> None:
    """Compare a feature's values up to rounding: sums begin elsewhere, and adjusted prices have another anchor."""
    if feature.dtype == pl.Categorical:
        assert late[feature.name].equals(known[feature.name]), feature.name
        return
    one, other = late[feature.name].to_numpy(), known[feature.name].to_numpy()
    if feature.unit == "shares":
        one = one * rebased(known, whole, started_late)
    np.testing.assert_allclose(
        one, other, rtol=1e-6, atol=IN_WON.get(feature.name, 1e-9), err_msg=feature.name
    )


def rebased(rows: pl.DataFrame, whole: WholeGraph, started_late: WholeGraph) -> np.ndarray:
    """Shares on the day on which the short history is anchored, per share on which the long one is."""
    factors = [
        made["daily_prices"].select("stock_code", "date", "adjustment_factor")
        for made in (started_late, whole)
    ]
    both = rows.select("stock_code", "date")
    for frame in factors:
        both = both.join(frame, on=["stock_code", "date"], how="left", maintain_order="left", suffix="_long")
    return (both["adjustment_factor"] / both["adjustment_factor_long"]).to_numpy()


def rows_of_history(traded: pl.DataFrame, first: dt.date) -> pl.DataFrame:
    """Count each row's traded rows since ``first``: its own, and the fewest of any stock that trades on its date.

    A stock that is listed later has all its history.
    """
    begin = traded.group_by("stock_code").agg(listed=pl.col("date").min())
    rows = (
        traded.select("stock_code", "date")
        .filter(pl.col("date") >= first)
        .join(begin, on="stock_code", how="left", maintain_order="left")
        .with_columns(since=pl.int_range(1, pl.len() + 1).over("stock_code"))
        .with_columns(own=pl.when(pl.col("listed") >= first).then(10_000).otherwise("since"))
    )
    return rows.select("stock_code", "date", "own", least=pl.col("own").min().over("date"))


def calm_day(whole: WholeGraph, earliest: dt.date) -> dt.date:
    """The first day from ``earliest`` on without a halt: all stocks begin on it, so all have a return on the next."""
    halted = whole["daily_prices"].filter(pl.col("volume") == 0)["date"].unique()
    days = whole["daily_prices"]["date"].unique().sort()
    return days.filter((days >= earliest) & ~days.is_in(halted.implode()))[0]


def telling_days(whole: WholeGraph) -> Mapping[str, dt.date]:
    """Days after which something happens that must not show before."""
    prices = whole["daily_prices"]
    days = prices["date"].unique().sort()
    inner = days[len(days) // 3 : -60]

    def eve(of: dt.date) -> dt.date:
        return days[days.index_of(of) - 1]

    factor = pl.col("adjustment_factor")
    splits = prices.filter(
        (factor != factor.shift()).over("stock_code") & pl.col("date").is_in(inner.implode())
    )
    halts = prices.filter((pl.col("volume") == 0) & pl.col("date").is_in(inner.implode()))
    members = whole["universe"].group_by("stock_code").agg(last=pl.col("date").max())
    gone = members.filter(pl.col("last").is_in(inner.implode()) & (pl.col("last") < days[-60]))
    filings = whole["filings"].filter(
        (pl.col("available_date") > pl.col("filed_date")) & pl.col("available_date").is_in(inner.implode())
    )
    weekend = filings.group_by("available_date").len().sort("len", "available_date")["available_date"][-1]
    return {
        "eve of a split": eve(splits["date"].min()),
        "inside a halt": halts.group_by("date").len().sort("len", "date")["date"][-1],
        "eve of the last day": eve(gone["last"].max()),
        "filings over the weekend": eve(weekend),
        "missing rows": days[len(days) // 2 + 2],
    }
