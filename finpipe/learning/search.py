"""Search for hyper-parameters inside the training window of a fold; the test year is never looked at."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import polars as pl

from finpipe.learning.folds import Fold, is_labelled, validation_fold
from finpipe.learning.information import mean_rank_correlation
from finpipe.learning.ranker import TrainedRanker, train_ranker
from finpipe.learning.ranker_config import RankerConfig, RankerError

if TYPE_CHECKING:
    import optuna


SPACE: Mapping[str, tuple[float, float, bool]] = {
    "rounds": (50, 600, True),
    "num_leaves": (7, 127, True),
    "learning_rate": (0.01, 0.2, True),
    "feature_fraction": (0.4, 1.0, False),
    "bagging_fraction": (0.5, 1.0, False),
    "min_data_in_leaf": (10, 500, True),
}
"""Parameters that are searched: lowest and highest value, and whether on a logarithmic scale."""


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What a search has found.

    Attributes
    ----------
    config
        The configuration with the best parameters put in.
    information_coefficient
        Its mean daily rank correlation of score and label on the validation days.
    trials
        One row per trial: ``trial``, ``information_coefficient`` and the parameters tried. Their number is
        what a deflated Sharpe ratio has to know.
    validation
        The split that all trials were judged on.
    """

    config: RankerConfig
    information_coefficient: float
    trials: pl.DataFrame
    validation: Fold


def search(
    frame: pl.DataFrame,
    fold: Fold,
    features: Sequence[str],
    config: RankerConfig,
    *,
    trials: int = 30,
    threads: int = 1,
    days: Iterable[dt.date] | None = None,
) -> SearchResult:
    """Look for better parameters than those of ``config`` on the training days of ``fold``.

    Each trial trains on all training years but the last and is judged on the last, purged and embargoed
    like a test year, by the mean daily rank correlation of score and label. The first trial is ``config``
    itself, so that the result is at least as good there. Trials come from a seeded tree-structured Parzen
    estimator (Bergstra et al. 2011), so that the same input finds the same parameters.

    Parameters
    ----------
    frame
        ``krx/training_panel``, or the part of it that covers the training days.
    fold
        The fold to prepare; its test days are not used.
    features
        Columns to learn from.
    config
        Where the search starts. Searched are rounds, num_leaves, learning_rate, feature_fraction,
        bagging_fraction and min_data_in_leaf; all else stays as it is, and early stopping is off.
    trials
        Number of configurations to try, the first included.
    threads
        Threads of LightGBM; the result does not depend on it.
    days
        The market calendar; None takes the dates of ``frame``.

    Raises
    ------
    RankerError
        optuna is not installed, or ``trials`` is below 1.
    FoldError
        The training days cannot be split, or have too few rows.
    """
    if trials < 1:
        raise RankerError(f"a search needs 1 trial or more, not {trials}")
    inner = validation_fold(frame["date"].unique() if days is None else days, fold)
    start = replace(config, early_stopping=None)
    labelled = frame.filter(is_labelled(config.label))
    held_out = inner.test_rows(labelled).sort("date", "stock_code")

    def judge(changes: Mapping[str, Any]) -> float:
        ranker = train_ranker(labelled, inner, features, replace(start, **changes), threads=threads)
        return mean_rank_correlation(held_out, config.label, ranker.scores(held_out, threads=threads))

    tried = _optimized(judge, start, trials)
    best = max(tried, key=lambda trial: trial["information_coefficient"])
    found = {name: value for name, value in best.items() if name in SPACE}
    return SearchResult(replace(start, **found), best["information_coefficient"], pl.DataFrame(tried), inner)


def train_best(
    frame: pl.DataFrame,
    fold: Fold,
    features: Sequence[str],
    config: RankerConfig,
    *,
    threads: int = 1,
    days: Iterable[dt.date] | None = None,
) -> TrainedRanker:
    """Train the model of a fold with the best parameters that ``config.search_trials`` trials find.

    Parameters
    ----------
    frame, fold, features, config, threads, days
        As for :func:`finpipe.learning.ranker.train_ranker`, which is all that happens with 0 trials.

    Returns
    -------
    TrainedRanker
        Its ``config`` has the parameters found, its ``metrics`` how good they were on the validation days.

    Raises
    ------
    RankerError, FoldError
        As ``search`` and ``train_ranker`` do.
    """
    if not config.search_trials:
        return train_ranker(frame, fold, features, config, threads=threads, days=days)
    market_days = None if days is None else list(days)
    found = search(
        frame, fold, features, config, trials=config.search_trials, threads=threads, days=market_days
    )
    ranker = train_ranker(frame, fold, features, found.config, threads=threads, days=market_days)
    searched = {
        "search_trials": found.trials.height,
        "search_rank_correlation": found.information_coefficient,
    }
    return replace(ranker, metrics={**ranker.metrics, **searched})


def _optimized(
    judge: Callable[[Mapping[str, Any]], float], start: RankerConfig, trials: int
) -> list[dict[str, Any]]:
    """Return what every trial tried and how good it was, in order."""
    try:
        import optuna
    except ImportError as error:
        raise RankerError(
            "a search needs optuna, which is not installed: pip install 'finpipe[tune]'"
        ) from error

    def objective(trial: optuna.Trial) -> float:
        return judge({name: _suggested(trial, name, getattr(start, name)) for name in SPACE})

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=start.seed))
        study.enqueue_trial({name: getattr(start, name) for name in SPACE})
        study.optimize(objective, n_trials=trials)
    finally:
        optuna.logging.set_verbosity(verbosity)
    return [
        {"trial": trial.number, "information_coefficient": trial.value, **trial.params}
        for trial in study.trials
    ]


def _suggested(trial: optuna.Trial, name: str, start: float) -> float:
    """Draw a parameter from its range, widened to where the search starts."""
    low, high, logarithmic = SPACE[name]
    low, high = min(low, start), max(high, start)
    if isinstance(low, int) and isinstance(high, int):
        return trial.suggest_int(name, low, high, log=logarithmic)
    return trial.suggest_float(name, low, high, log=logarithmic)
