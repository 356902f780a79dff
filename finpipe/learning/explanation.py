"""Why a model ranks as it does: gain importance and its stability over the years, SHAP contributions, reasons."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from finpipe.learning.ranker import TrainedRanker, feature_matrix
from finpipe.market.schema import DATE, STOCK_CODE, Column, Table

_YEAR = Column("test_year", pl.Int32, "calendar year whose model is explained")
_FEATURE = Column("feature", pl.String, "name of the feature")
_SHARE = "share of the year's sum over all features"

IMPORTANCE = Table(
    "learning/importance",
    "What each feature contributed to the fit of each year's model, most important first.",
    (
        _YEAR,
        _FEATURE,
        Column("gain", pl.Float64, "loss that the feature's splits took away, summed over all trees", "loss"),
        Column("share", pl.Float64, _SHARE, "fraction", null="no tree has a split"),
        Column("rank", pl.Int32, "1 is the most important feature of the year", "rank"),
    ),
    key=(),
)

STABILITY = Table(
    "learning/importance_stability",
    "How alike the importances of two consecutive test years are.",
    (
        _YEAR,
        Column("previous_year", pl.Int32, "test year before it"),
        Column(
            "rank_correlation",
            pl.Float64,
            "Spearman correlation of the gains of the features that both models have",
            "ratio",
            null="fewer than two features in common, or all gains equal",
        ),
        Column("common_features", pl.Int32, "features that both models have", "features"),
    ),
    key=("test_year",),
)

SHAP_IMPORTANCE = Table(
    "learning/shap_importance",
    "How far each feature moved the scores of each year's test rows, on average, largest first.",
    (
        _YEAR,
        _FEATURE,
        Column(
            "mean_absolute_contribution", pl.Float64, "mean of |SHAP contribution| over the rows", "score"
        ),
        Column("share", pl.Float64, _SHARE, "fraction", null="no feature moves the score"),
        Column("rank", pl.Int32, "1 is the feature that moves scores most", "rank"),
    ),
    key=(),
)

FEATURE_IMPORTANCE = Table(
    "krx/feature_importance",
    "What each year's model made of each feature: in its fit (gain) and in its scores (SHAP); by gain.",
    (
        _YEAR,
        _FEATURE,
        IMPORTANCE.columns[2],
        Column("gain_share", pl.Float64, _SHARE, "fraction", null="no tree has a split"),
        Column("gain_rank", pl.Int32, "1 is the feature with the most gain in the year", "rank"),
        Column("shap", pl.Float64, "mean of |SHAP contribution| over a sample of the year's rows", "score"),
        Column("shap_share", pl.Float64, _SHARE, "fraction", null="no feature moves the score"),
        Column("shap_rank", pl.Int32, "1 is the feature that moves the year's scores most", "rank"),
        Column(
            "stability",
            pl.Float64,
            "Spearman correlation of the year's gains with those of the test year before, over all features",
            "ratio",
            null="first test year",
        ),
    ),
    key=(),
)

REASONS = Table(
    "learning/reasons",
    "The features that moved a row's score most, strongest first.",
    (
        STOCK_CODE,
        DATE,
        Column("position", pl.Int32, "1 is the strongest reason", "rank"),
        _FEATURE,
        Column("value", pl.Float64, "value of the feature", null="not known"),
        Column(
            "contribution",
            pl.Float64,
            "SHAP contribution to the score; positive speaks for the stock",
            "score",
        ),
    ),
    key=("stock_code", "date", "position"),
)


def gain_importance(rankers: Iterable[TrainedRanker]) -> pl.DataFrame:
    """Return the gain importance of every feature in every model.

    Returns
    -------
    DataFrame
        ``IMPORTANCE``, by test year and rank; features without a split have gain 0.
    """
    frames = []
    for ranker in rankers:
        gain = np.asarray(ranker.booster().feature_importance("gain"), dtype=np.float64)
        frames.append(_ranked(ranker, gain, "gain"))
    return pl.concat([IMPORTANCE.empty(), *frames]).sort("test_year", "rank")


def importance_stability(importance: pl.DataFrame) -> pl.DataFrame:
    """Return how far consecutive test years agree on the order of the features.

    Parameters
    ----------
    importance
        ``IMPORTANCE`` of several years.

    Returns
    -------
    DataFrame
        ``STABILITY``: a row per test year but the first.
    """
    years = importance["test_year"].unique().sort()
    pairs = pl.DataFrame({"test_year": years[1:], "previous_year": years[: max(len(years) - 1, 0)]})
    gains = importance.select("test_year", "feature", "gain")
    earlier = gains.rename({"test_year": "previous_year", "gain": "previous_gain"})
    both = pairs.join(gains, on="test_year", maintain_order="left_right").join(
        earlier, on=["previous_year", "feature"], maintain_order="left"
    )
    correlation = pl.corr(pl.col("gain").rank(), pl.col("previous_gain").rank())
    agreement = both.group_by("test_year").agg(
        rank_correlation=correlation.fill_nan(None), common_features=pl.len().cast(pl.Int32)
    )
    return (
        pairs.join(agreement, on="test_year", how="left")
        .with_columns(pl.col("common_features").fill_null(0))
        .select(STABILITY.names)
        .sort("test_year")
    )


def shap_contributions(ranker: TrainedRanker, rows: pl.DataFrame, *, threads: int = 1) -> NDArray[np.float64]:
    """Return what each feature adds to the score of each row (tree SHAP).

    A row's contributions and the base value, which is the last column, add up to its score.

    Returns
    -------
    ndarray of float64, shape (rows, features + 1)

    Notes
    -----
    Lundberg et al. 2020, "From local explanations to global understanding with explainable AI for trees", as
    LightGBM computes it.
    """
    if not rows.height:
        return np.empty((0, len(ranker.features) + 1))
    matrix = feature_matrix(rows, ranker.features)
    contributions = ranker.booster().predict(matrix, pred_contrib=True, num_threads=threads)
    return np.asarray(contributions, dtype=np.float64)


def shap_importance(
    ranker: TrainedRanker, frame: pl.DataFrame, *, sample: int = 2_000, seed: int = 42, threads: int = 1
) -> pl.DataFrame:
    """Return how far each feature moves the scores of the fold's test rows, on average.

    Parameters
    ----------
    ranker
        A year's model.
    frame
        ``krx/training_panel``, or the part of it that covers the test days.
    sample
        Rows to look at, drawn without replacement; all of them if there are fewer.
    seed
        Of the draw. The same frame and seed give the same rows, whatever the order of the frame.

    Returns
    -------
    DataFrame
        ``SHAP_IMPORTANCE``, by rank.
    """
    rows = ranker.fold.test_rows(frame).sort("date", "stock_code")
    drawn = np.random.default_rng(seed).choice(rows.height, size=min(sample, rows.height), replace=False)
    contributions = shap_contributions(ranker, rows[np.sort(drawn)], threads=threads)[:, :-1]
    return _ranked(ranker, np.abs(contributions).mean(axis=0), "mean_absolute_contribution")


def feature_importance(
    rankers: Sequence[TrainedRanker], panel: pl.LazyFrame, *, sample: int = 500, threads: int = 1
) -> pl.DataFrame:
    """Return gain and SHAP importance of every feature in every year's model, and how stable the gains are.

    Parameters
    ----------
    rankers
        The models of a study, one per test year.
    panel
        ``krx/training_panel``; of it, all rows of the test year are looked at.
    sample, threads
        As for :func:`shap_importance`.

    Returns
    -------
    DataFrame
        ``FEATURE_IMPORTANCE``, by test year and rank of the gain.
    """
    gains = gain_importance(rankers)
    contributions = [SHAP_IMPORTANCE.empty()]
    for ranker in rankers:
        fold = replace(ranker.fold, test_last=dt.date(ranker.fold.test_year, 12, 31))
        days = pl.col("date").is_between(fold.test_first, fold.test_last)
        rows = panel.filter(days).select("stock_code", "date", *ranker.features).collect()
        own = shap_importance(replace(ranker, fold=fold), rows, sample=sample, threads=threads)
        contributions.append(own)
    shap = pl.concat(contributions).rename(
        {"mean_absolute_contribution": "shap", "share": "shap_share", "rank": "shap_rank"}
    )
    stability = importance_stability(gains).select("test_year", stability="rank_correlation")
    return FEATURE_IMPORTANCE.validate(
        gains.rename({"share": "gain_share", "rank": "gain_rank"})
        .join(shap, on=["test_year", "feature"], how="left", maintain_order="left")
        .join(stability, on="test_year", how="left", maintain_order="left")
        .select(FEATURE_IMPORTANCE.names)
    )


def reasons(ranker: TrainedRanker, rows: pl.DataFrame, *, top: int = 3, threads: int = 1) -> pl.DataFrame:
    """Return, for each row, the features that moved its score most in either direction.

    Parameters
    ----------
    ranker
        The model that scored the rows.
    rows
        Rows of ``krx/training_panel`` with unique keys, a day's picks for example.
    top
        Reasons per row.

    Returns
    -------
    DataFrame
        ``REASONS``, by (stock_code, date, position).
    """
    features = np.array(ranker.features)
    contributions = shap_contributions(ranker, rows, threads=threads)[:, :-1]
    strongest = np.argsort(-np.abs(contributions), axis=1, kind="stable")[:, :top]
    values = feature_matrix(rows, ranker.features).astype(np.float64)
    per_row = strongest.shape[1]
    table = rows.select("stock_code", "date")[np.repeat(np.arange(rows.height), per_row)]
    return table.with_columns(
        pl.Series("position", np.tile(np.arange(1, per_row + 1, dtype=np.int32), rows.height)),
        pl.Series("feature", features[strongest].ravel().tolist(), dtype=pl.String),
        pl.Series("value", np.take_along_axis(values, strongest, axis=1).ravel(), nan_to_null=True),
        pl.Series("contribution", np.take_along_axis(contributions, strongest, axis=1).ravel()),
    ).sort("stock_code", "date", "position")


def reasons_in_words(
    ranker: TrainedRanker, rows: pl.DataFrame, *, top: int = 3, threads: int = 1
) -> pl.DataFrame:
    """Return the reasons of each stock of one date as a line of text.

    Parameters
    ----------
    ranker, rows, top, threads
        As for :func:`reasons`; the rows are of one date.

    Returns
    -------
    DataFrame
        ``stock_code`` and ``reasons``, e.g. ``mom_60d +0.021, rsi_14 −0.013``. The numbers are the
        contributions of :func:`reasons`, in units of the score.
    """
    amount = pl.col("contribution").abs().round(3).cast(pl.String)
    sign = pl.when(pl.col("contribution") < 0).then(pl.lit("−")).otherwise(pl.lit("+"))
    return (
        reasons(ranker, rows, top=top, threads=threads)
        .with_columns(pl.concat_str("feature", pl.lit(" "), sign, amount).alias("reasons"))
        .group_by("stock_code", maintain_order=True)
        .agg(pl.col("reasons").str.join(", "))
    )


def _ranked(ranker: TrainedRanker, amounts: NDArray[np.float64], name: str) -> pl.DataFrame:
    """One row per feature with its amount, share and rank; equal amounts rank in the order of the features."""
    total = amounts.sum()
    table = pl.DataFrame({"feature": ranker.features, name: amounts})
    return table.select(
        pl.lit(ranker.fold.test_year, dtype=pl.Int32).alias("test_year"),
        "feature",
        name,
        share=pl.col(name) / total if total > 0 else pl.lit(None, dtype=pl.Float64),
        rank=pl.col(name).rank("ordinal", descending=True).cast(pl.Int32),
    ).sort("rank")
