"""The training panel: the members of the universe with all their features and labels side by side."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np
import polars as pl

from finpipe.features.macro import join_macro_features
from finpipe.learning.rows import KEYS, packed_keys, require_same_rows, row_positions
from finpipe.market import schema

Frame = pl.DataFrame | pl.LazyFrame
Fill = Literal["none", "date_median"]

TRAINING_PANEL = schema.Table(
    "krx/training_panel",
    "Members of the universe with every feature and label; a null feature is not known, a null label not there.",
    schema.UNIVERSE.columns,
    extra=True,
)


class PanelError(ValueError):
    """The panel lacks a column that it must have, or two inputs bring the same one."""


def training_panel(
    universe: pl.DataFrame,
    features: Mapping[str, Frame],
    labels: Mapping[str, Frame],
    macro: pl.DataFrame | None = None,
    *,
    require: Collection[str] = (),
    fill: Fill = "none",
) -> pl.DataFrame:
    """Return the universe's rows with all features and labels.

    The frames of features and of labels have one row per traded row of the market, in the same order. That is
    checked; the rows of the universe are then looked up once, and their values kept column by column, so
    that of a lazy frame only a few columns are in memory at a time.

    Parameters
    ----------
    universe
        ``krx/universe``.
    features
        Feature frames by asset name, each with the keys of the traded rows, in order.
    labels
        Frames of labels by asset name, with the same rows.
    macro
        ``krx/macro_features``, one row per date; joined by date, with the composite that also needs a
        stock's momentum. Without it the panel has no macro columns.
    require
        Columns that must be there, the features of the studies for example.
    fill
        ``"none"`` leaves a missing feature null, which LightGBM treats as its own case. ``"date_median"``
        gives it the median of the date over all traded rows (null where none of them has it).

    Returns
    -------
    DataFrame
        ``TRAINING_PANEL``: the universe's columns, the features in the order of their frames, macro
        features, labels. A null feature is not known; a null label means none (see ``krx/forward_returns``).

    Raises
    ------
    AlignmentError
        Names the frame whose rows do not fit.
    PanelError
        A required column is missing, or a column comes twice.
    """
    sources: dict[str, Frame] = {"krx/universe": universe, **features, **labels}
    composites: tuple[str, ...] = ()
    if macro is not None:
        sources["krx/macro_features"] = macro
        composites, require = ("regime_momentum_interaction",), {*require, "mom_20d"}
    _check_columns(sources, composites, require)
    (first, labelled), *others = {**labels, **features}.items()
    traded = packed_keys(_collect(labelled, KEYS))
    members = np.zeros(len(traded), dtype=np.bool_)
    members[row_positions("krx/universe", universe, traded, first)] = True
    chosen = pl.Series(members)
    for name, frame in others:
        require_same_rows(name, _collect(frame, KEYS), traded, first)

    panel = universe
    for frame in features.values():
        panel = panel.with_columns(_pick(frame, chosen, fill))
    if macro is not None:
        panel = join_macro_features(panel, macro)
    for frame in labels.values():
        panel = panel.with_columns(_pick(frame, chosen, "none"))
    return panel


_COLUMNS_AT_A_TIME = 16
_ROWS_AT_A_TIME = 1 << 19
_PIECES_AT_A_TIME = 2  # one is read while the rows of the other are chosen


def _pick(frame: Frame, chosen: pl.Series, fill: Fill) -> Iterator[pl.Series]:
    """Yield the frame's columns but its keys, of the chosen rows."""
    names = [name for name in _names(frame) if name not in KEYS]
    for start in range(0, len(names), _COLUMNS_AT_A_TIME):
        batch = names[start : start + _COLUMNS_AT_A_TIME]
        picked = _picked(frame, batch, chosen)
        yield from picked if fill == "none" else _filled(picked, frame, chosen)


def _picked(frame: Frame, names: Collection[str], chosen: pl.Series) -> pl.DataFrame:
    """Return columns of the chosen rows; of the others only a few are in memory at a time."""
    columns = frame.lazy().select(names)

    def piece(start: int) -> pl.DataFrame:
        return columns.slice(start, _ROWS_AT_A_TIME).collect().filter(chosen.slice(start, _ROWS_AT_A_TIME))

    with ThreadPoolExecutor(_PIECES_AT_A_TIME) as pool:
        pieces = pool.map(piece, range(0, max(len(chosen), 1), _ROWS_AT_A_TIME))
        return pl.concat(pieces, rechunk=True)


def _filled(picked: pl.DataFrame, frame: Frame, chosen: pl.Series) -> pl.DataFrame:
    """Replace nulls in number columns of ``picked`` by the date's median over all rows of ``frame``."""
    gaps = [name for name, kind in picked.schema.items() if kind.is_float() and picked[name].null_count()]
    if not gaps:
        return picked
    medians = frame.lazy().group_by("date").agg(pl.col(gaps).median()).collect()
    dates = _picked(frame, ["date"], chosen)
    substitutes = dates.join(medians, on="date", how="left", maintain_order="left")
    return picked.with_columns(picked[name].fill_null(substitutes[name]) for name in gaps)


def _check_columns(
    sources: Mapping[str, Frame], composites: Collection[str], require: Collection[str]
) -> None:
    owner: dict[str, str] = dict.fromkeys(composites, "the composites of krx/macro_features")
    for name, frame in sources.items():
        for column in _names(frame):
            if column in owner and column not in KEYS:
                raise PanelError(f"column {column} comes from both {owner[column]} and {name}: rename one")
            owner[column] = name
    absent = sorted(set(require) - set(owner))
    if absent:
        raise PanelError(
            f"the training panel lacks the required column(s) {', '.join(absent)}; "
            f"none of {', '.join(sources)} has them"
        )


def _names(frame: Frame) -> list[str]:
    return frame.collect_schema().names()


def _collect(frame: Frame, names: Collection[str]) -> pl.DataFrame:
    return frame.lazy().select(names).collect()
