"""Column lineage: which columns of other assets a feature is made of, read out of the formula that it declares.

Formulas in the catalogue are complete enough to rebuild the column, so they name all that goes into it: other
features by name, and the columns of tables in the words below. The tests change one column of the market after
the other and compare the features that move with what is read here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    from finpipe.features.feature import Feature
    from finpipe.orchestration.recording import Lineage

Source = tuple[str, str]
"""An asset key and the name of a column."""

PRICES, FILINGS, INDICES, STOCKS = "krx/daily_prices", "krx/filings", "krx/index_levels", "krx/stocks"
WORDS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    PRICES: {
        r"closes?": ("adjusted_close",),
        r"ma_\d+": ("adjusted_close",),
        r"high": ("adjusted_high",),
        r"low": ("adjusted_low",),
        r"volumes?": ("adjusted_volume",),
        r"amounts?": ("value",),
        r"market cap": ("market_cap",),
    },
    INDICES: {
        r"[A-Z]+_\w+": ("index_code", "close"),
        r"KOSPI and KOSDAQ indices": ("index_class", "index_code", "close"),
        r"close": ("close",),
    },
    STOCKS: {r"sector label": ("listed_sector",)},
    FILINGS: {r"industry": ("industry",)},
}
"""What formulas call the columns of tables, as patterns, beside the columns' own names with spaces."""
BEFORE: Mapping[str, int] = {r"three years before": 12, r"year before": 4, r"quarter before": 1}
"""What formulas say of earlier periods, in quarters."""
AGO: Mapping[int, str] = {
    0: "",
    1: "_quarter_ago",
    4: "_year_ago",
    5: "_five_quarters_ago",
    12: "_three_years_ago",
}
"""Endings of the columns of earlier periods in filings, by quarters."""


def lineage_of(asset: str) -> Lineage:
    """Return what tells the lineage of the columns of ``asset``, a table of features or of features and labels."""

    def lineage(columns: Sequence[str]) -> dg.TableColumnLineage:
        return dg.TableColumnLineage(
            {
                column: [
                    dg.TableColumnDep(dg.AssetKey(key.split("/")), name)
                    for key, name in sorted(sources_of(asset, column))
                ]
                for column in columns
            }
        )

    return lineage


@cache
def sources_of(asset: str, column: str) -> frozenset[Source]:
    """Return the columns of the assets upstream of ``asset`` that ``column`` is made of.

    Keys and columns that are passed on come from the first upstream that has them, labels of whatever horizon too.
    """
    declared = _declared().get(column)
    if declared is not None and declared[0] == asset:
        return _read(asset, declared[1])
    return frozenset(_passed_on(asset, column))


def _read(asset: str, feature: Feature) -> frozenset[Source]:
    text = re.sub(r"(\w+) \+ (\w+) cash flow", r"\1 cash flow + \2 cash flow", feature.formula)
    upstream = _upstream(asset)
    found: set[Source] = set()
    words = set(re.findall(r"\w+", text))
    named = words | {word.removesuffix("s") for word in words}
    for name in named & _declared().keys() - {feature.name}:
        home, other = _declared()[name]
        found |= {(home, name)} if home in upstream else _read(home, other)
    for key in upstream:
        for phrase, columns in _phrases(key):
            text, times = re.subn(rf"(?<!\w){phrase}(?!\w)", " ", text)
            found |= {(key, column) for column in columns if times}
    for phrase, quarters in BEFORE.items():
        text, times = re.subn(phrase, " ", text)
        found |= _earlier(found, quarters) if times else set()
    return frozenset(found)


def _earlier(sources: Iterable[Source], quarters: int) -> set[Source]:
    """Return the same columns of filings so many quarters before, as far as filings have them."""
    columns = {name for key, name in _columns(FILINGS)}
    earlier = set()
    for key, name in sources:
        for before, ending in AGO.items():
            base = name.removesuffix(ending) if ending else name
            shifted = base + AGO.get(before + quarters, " none")
            if key == FILINGS and name == base + ending and shifted in columns:
                earlier.add((key, shifted))
    return earlier


@cache
def _phrases(asset: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return the patterns of what formulas call the columns of ``asset``, the longest first."""
    known = dict(WORDS.get(asset, {}))
    if asset == FILINGS:
        known |= {name.replace("_", " "): (name,) for _, name in _columns(asset) if name != "industry"}
    return tuple(sorted(known.items(), key=lambda item: -len(item[0])))


def _passed_on(asset: str, column: str) -> list[Source]:
    """Return the first upstream that has the column, or nothing."""
    horizon = re.search(r"_(\d+)d$", column)
    labels = _labels(int(horizon[1])) if horizon else {}
    has_it = [
        key for key in _upstream(asset) if (key, column) in _columns(key) or column in labels.get(key, ())
    ]
    return [(key, column) for key in has_it[:1]]


def _labels(horizon: int) -> Mapping[str, Sequence[str]]:
    """Return the columns of the tables of labels, which have them for the horizons of the settings."""
    from finpipe.learning.targets import forward_returns_table, residual_returns_table

    return {
        table.name: table.names
        for table in (forward_returns_table([horizon]), residual_returns_table([horizon]))
    }


def _columns(asset: str) -> frozenset[Source]:
    from finpipe.orchestration.graph import graph

    table = graph().table(asset)
    return frozenset((asset, name) for name in table.names) if table else frozenset()


def _upstream(asset: str) -> tuple[str, ...]:
    from finpipe.orchestration.graph import graph

    return graph().stage(asset).upstream


@cache
def _declared() -> Mapping[str, tuple[str, Feature]]:
    """Return each declared feature by name, with the asset that brings it."""
    from finpipe.features.catalogue import FEATURES

    return {feature.name: (asset, feature) for asset, family in FEATURES.items() for feature in family}
