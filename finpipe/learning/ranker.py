"""The ranker: a LightGBM model of one walk-forward fold, how it is trained, kept as text, and asked for scores."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from finpipe.learning.folds import Fold, validation_fold
from finpipe.learning.information import mean_rank_correlation
from finpipe.learning.ranker_config import RankerConfig, RankerError, Scalar
from finpipe.learning.weights import RISK_COLUMN, sample_weights
from finpipe.market import schema

if TYPE_CHECKING:
    import lightgbm

GRADES = 5
"""Relevance grades of lambdarank: fifths of the label on the date, 0 the worst."""

MODEL_FILE, SIDECAR_FILE = "model.txt", "model.json"


@dataclass(frozen=True, slots=True)
class TrainedRanker:
    """A model with all that is needed to use it and to know where it comes from.

    Attributes
    ----------
    model_text
        LightGBM's own text format.
    features
        Inputs, in the order that the model takes them.
    config, fold
        What it was trained with and on.
    metrics
        Figures of the training: rows, rows without label that were left out, days, rounds; with early
        stopping also the best rank correlation and the rows that it was measured on.
    """

    model_text: str
    features: tuple[str, ...]
    config: RankerConfig
    fold: Fold
    metrics: Mapping[str, Scalar]

    def booster(self) -> lightgbm.Booster:
        """Return the model as LightGBM's object."""
        import lightgbm

        return lightgbm.Booster(model_str=self.model_text)

    def scores(self, rows: pl.DataFrame, *, threads: int = 1) -> NDArray[np.float64]:
        """Return the raw output of the model for each row, higher is better; shape (rows,).

        Raises
        ------
        RankerError
            A feature is not in ``rows``.
        """
        _require(rows, self.features, "feature")
        if not rows.height:
            return np.empty(0)
        output = self.booster().predict(feature_matrix(rows, self.features), num_threads=threads)
        return np.asarray(output, dtype=np.float64)

    def to_files(self) -> dict[str, str]:
        """Return the contents of the files to keep by name: LightGBM's text, and a JSON beside it."""
        sidecar = {
            "label": self.config.label,
            "features": self.features,
            "config": asdict(self.config),
            "fold": asdict(self.fold),
            "metrics": dict(self.metrics),
        }
        text = json.dumps(sidecar, indent=2, ensure_ascii=False, default=dt.date.isoformat)
        return {MODEL_FILE: self.model_text, SIDECAR_FILE: text + "\n"}

    @classmethod
    def from_text(cls, model_text: str, sidecar: str) -> TrainedRanker:
        """Rebuild a ranker from the contents of its two files.

        Raises
        ------
        RankerError
            The JSON is not that of a ranker, or does not belong to this model.
        """
        try:
            content = json.loads(sidecar)
            config = dict(content["config"])
            if isinstance(config["features"], list):
                config["features"] = tuple(config["features"])
            fold = {name: _date_or_self(value) for name, value in content["fold"].items()}
            ranker = cls(
                model_text,
                tuple(content["features"]),
                RankerConfig(**config),
                Fold(**fold),
                content["metrics"],
            )
        except (ValueError, KeyError, TypeError) as error:
            raise RankerError(
                f"{SIDECAR_FILE} does not describe a ranker ({error}): train it again"
            ) from error
        named = re.search(r"^feature_names=(.*)$", model_text, flags=re.MULTILINE)
        if named is None or tuple(named[1].split()) != ranker.features:
            raise RankerError(f"{MODEL_FILE} and {SIDECAR_FILE} list different features: train it again")
        return ranker


def training_columns(features: Sequence[str], config: RankerConfig) -> list[str]:
    """Return the columns of the training panel that training reads."""
    risk = [RISK_COLUMN] if config.risk_weighting else []
    return list(dict.fromkeys(["stock_code", "date", *features, config.label, *risk]))


def train_ranker(
    frame: pl.DataFrame,
    fold: Fold,
    features: Sequence[str],
    config: RankerConfig,
    *,
    threads: int = 1,
    days: Iterable[dt.date] | None = None,
) -> TrainedRanker:
    """Train the model of one fold.

    Only rows of the fold's training days that have a label are learned from. They are put in the order of
    (date, stock_code) first, so that the order of ``frame`` does not matter. A null feature stays null.

    Parameters
    ----------
    frame
        ``krx/training_panel``, or the part of it that covers the fold's training days.
    fold
        The days to learn from.
    features
        Columns to learn from.
    config
        Label, objective and parameters.
    threads
        Threads of LightGBM; the model does not depend on it.
    days
        The market calendar, for the validation split of early stopping. None takes the dates of ``frame``;
        where those lack market days, more is purged than need be.

    Raises
    ------
    RankerError
        A feature or the label is not in ``frame``, or a feature is a label.
    FoldError
        Too few rows, or the training days cannot be split for early stopping.
    """
    _check_columns(frame, features, config)
    frame = frame.select(training_columns(features, config))
    rows = fold.training_rows(frame, config.label).sort("date", "stock_code")
    rounds, found = config.rounds, _NOT_VALIDATED
    if config.early_stopping:
        inner = validation_fold(frame["date"].unique() if days is None else days, fold)
        rounds, found = _stopping_round(
            rows, inner, features, config, patience=config.early_stopping, threads=threads
        )
    booster = _fit(rows, features, config, rounds, threads)
    span = frame.filter(pl.col("date").is_between(fold.train_first, fold.train_last))
    metrics: dict[str, Scalar] = {
        "rows": rows.height,
        "rows_without_label": span.height - rows.height,
        "days": rows["date"].n_unique(),
        "rounds": rounds,
        **found,
    }
    return TrainedRanker(_portable_text(booster), tuple(features), config, fold, metrics)


def predict(ranker: TrainedRanker, frame: pl.DataFrame, *, threads: int = 1) -> pl.DataFrame:
    """Score the rows of the fold's test days and rank them by date.

    Parameters
    ----------
    ranker
        The model of the fold.
    frame
        ``krx/training_panel``, or the part of it that covers the test days. Labels are not looked at.
    threads
        Threads of LightGBM; the scores do not depend on it.

    Returns
    -------
    DataFrame
        Under ``schema.PREDICTIONS``: rank 1 is the best score of its date, equal scores are ranked in the
        order of stock codes.

    Raises
    ------
    RankerError
        A feature is not in ``frame``.
    FoldError
        Too few rows to predict.
    """
    rows = ranker.fold.test_rows(frame).sort("stock_code", "date")
    scored = rows.select(
        "stock_code",
        "date",
        score=pl.Series(ranker.scores(rows, threads=threads)),
        test_year=pl.lit(ranker.fold.test_year, dtype=pl.Int32),
    )
    rank = pl.col("score").rank("ordinal", descending=True).over("date").cast(pl.Int32)
    return scored.with_columns(rank=rank).select(schema.PREDICTIONS.names)


def feature_matrix(rows: pl.DataFrame, features: Sequence[str]) -> NDArray[np.float32]:
    """Return the features as the model takes them: shape (rows, features), NaN where null."""
    return rows.select(pl.col(features).cast(pl.Float32)).to_numpy()


def _fit(
    rows: pl.DataFrame, features: Sequence[str], config: RankerConfig, rounds: int, threads: int
) -> lightgbm.Booster:
    import lightgbm

    parameters = config.parameters(threads)
    return lightgbm.train(parameters, _dataset(rows, features, config, parameters), num_boost_round=rounds)


def _stopping_round(
    rows: pl.DataFrame,
    inner: Fold,
    features: Sequence[str],
    config: RankerConfig,
    *,
    patience: int,
    threads: int,
) -> tuple[int, Mapping[str, Scalar]]:
    """Return the number of rounds that is best on the last training year, and how good it was."""
    import lightgbm

    parameters = config.parameters(threads) | {"metric": "None"}
    learned = _dataset(inner.training_rows(rows, config.label), features, config, parameters)
    held_out = inner.test_rows(rows)
    checked = _dataset(held_out, features, config, parameters, reference=learned)

    def judge(scores: NDArray[np.float64], _: lightgbm.Dataset) -> tuple[str, float, bool]:
        return "rank_correlation", mean_rank_correlation(held_out, config.label, scores), True

    booster = lightgbm.train(
        parameters,
        learned,
        num_boost_round=config.rounds,
        valid_sets=[checked],
        feval=judge,
        callbacks=[lightgbm.early_stopping(patience, verbose=False)],
    )
    return booster.best_iteration, {
        "validation_rank_correlation": float(booster.best_score["valid_0"]["rank_correlation"]),
        "validation_rows": held_out.height,
    }


def _dataset(
    rows: pl.DataFrame,
    features: Sequence[str],
    config: RankerConfig,
    parameters: Mapping[str, Any],
    reference: lightgbm.Dataset | None = None,
) -> lightgbm.Dataset:
    """Hand rows that are sorted by date to LightGBM."""
    import lightgbm

    ranking = config.objective == "lambdarank"
    label = pl.col(config.label).cast(pl.Float64)
    groups = rows.select(pl.col("date").rle().struct.field("len")).to_series().to_numpy() if ranking else None
    return lightgbm.Dataset(
        feature_matrix(rows, features),
        label=rows.select(_grade(label) if ranking else label).to_series().to_numpy(),
        weight=sample_weights(rows, time_decay=config.time_decay, risk_weighting=config.risk_weighting),
        group=groups,
        feature_name=list(features),
        params=dict(parameters),
        reference=reference,
    )


def _grade(label: pl.Expr) -> pl.Expr:
    """Fifths of the label on its date, 0 to 4; equal labels get equal grades."""
    fifths = (label.rank() / label.count()).over("date") * GRADES
    return (fifths.ceil() - 1).clip(0, GRADES - 1)


def _portable_text(booster: lightgbm.Booster) -> str:
    """Model text without the number of threads, which is no property of the model."""
    return re.sub(
        r"^\[num_threads: \d+\]$", "[num_threads: 0]", booster.model_to_string(), flags=re.MULTILINE
    )


def _check_columns(frame: pl.DataFrame, features: Sequence[str], config: RankerConfig) -> None:
    if not features:
        raise RankerError("no feature is given to learn from")
    _require(frame, [config.label], "label")
    _require(frame, features, "feature")
    _require(frame, training_columns([], config), "column")
    looking_ahead = [name for name in features if name.startswith(_LABEL_PREFIXES)]
    if looking_ahead:
        raise RankerError(f"{', '.join(looking_ahead)} look(s) ahead: a label cannot be a feature")


def _require(frame: pl.DataFrame, names: Sequence[str], kind: str) -> None:
    absent = [name for name in names if name not in frame.columns]
    if absent:
        raise RankerError(
            f"{kind}(s) {', '.join(absent)} are not in the training panel; materialize it again with them, "
            "or choose others"
        )


_NOT_VALIDATED: Mapping[str, Scalar] = {}
_LABEL_PREFIXES = ("forward_", "realized_", "target_")


def _date_or_self(value: Any) -> Any:  # noqa: ANN401 a value of JSON
    return dt.date.fromisoformat(value) if isinstance(value, str) else value
