"""Everything that decides a ranker apart from the data: label, objective, weights and LightGBM's parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Objective = Literal["regression", "lambdarank"]
TargetKind = Literal["raw", "alpha", "residual", "sector"]
Scalar = bool | int | float | str

LABELS: Mapping[str, str] = {
    "raw": "target_rank",
    "alpha": "target_alpha_rank",
    "residual": "target_residual_rank",
    "sector": "target_sector_rank",
}


class RankerError(ValueError):
    """A model cannot be trained, read or asked as it is set up; the message says what to change."""


@dataclass(frozen=True, slots=True)
class RankerConfig:
    """Everything that decides a model, apart from the data.

    Attributes
    ----------
    objective
        ``"regression"`` on the target rank, or ``"lambdarank"`` on its fifths, grouped by date.
    target
        Which rank is learned: of the ``"raw"`` forward return, its ``"alpha"`` over the median, its
        ``"residual"`` after beta, or the one within the ``"sector"``.
    horizon
        Trading days of the forward return.
    features
        Names of the features, or the name of a feature set.
    train_years
        Calendar years to train on; None or 0 for all years before the test year. In a home it is a setting
        of all studies.
    time_decay
        How much more late training days weigh than early ones: exp(2 * time_decay * p), where p goes from 0
        on the first day to 1 on the last; 0 weighs all alike. See ``weights.sample_weights``.
    risk_weighting
        Whether days with a ``macro_risk_score`` above 0.6 weigh double.
    early_stopping
        Rounds without a better daily rank correlation on the last training year after which to stop; None
        or 0 trains all ``rounds``. The number of rounds found is then used to train on the whole window.
    rounds, num_leaves, learning_rate, feature_fraction, bagging_fraction, bagging_freq, min_data_in_leaf, seed
        As LightGBM names them.
    extra
        Further LightGBM parameters.
    search_trials
        Configurations to try, for each test year inside its training window, before the model is trained
        with the best of them; see ``search.search``. 0 trains with the parameters as they stand.
    """

    objective: Objective = "regression"
    target: TargetKind = "raw"
    horizon: int = 21
    features: str | tuple[str, ...] = "v3"
    train_years: int | None = 3
    time_decay: float = 0.7
    risk_weighting: bool = False
    early_stopping: int | None = None
    rounds: int = 200
    num_leaves: int = 31
    learning_rate: float = 0.1
    feature_fraction: float = 0.8
    bagging_fraction: float = 0.8
    bagging_freq: int = 5
    min_data_in_leaf: int = 20
    seed: int = 42
    extra: Mapping[str, Scalar] = field(default_factory=dict)
    search_trials: int = 0

    def __post_init__(self) -> None:
        if self.objective not in ("regression", "lambdarank"):
            raise RankerError(f"objective must be regression or lambdarank, not {self.objective!r}")
        if self.target not in LABELS:
            raise RankerError(f"target must be one of {', '.join(LABELS)}, not {self.target!r}")
        for name in ("horizon", "rounds", "num_leaves", "min_data_in_leaf"):
            if getattr(self, name) < 1:
                raise RankerError(f"{name} must be 1 or more, not {getattr(self, name)}")
        if self.search_trials < 0:
            raise RankerError(f"search_trials must be 0 or more, not {self.search_trials}")

    @property
    def label(self) -> str:
        """Column that is learned, e.g. ``target_rank_21d``."""
        return f"{LABELS[self.target]}_{self.horizon}d"

    def parameters(self, threads: int) -> dict[str, Scalar]:
        """Return the parameters for LightGBM; the same model comes out whatever the number of threads."""
        return {
            "objective": self.objective,
            "num_leaves": self.num_leaves,
            "learning_rate": self.learning_rate,
            "feature_fraction": self.feature_fraction,
            "bagging_fraction": self.bagging_fraction,
            "bagging_freq": self.bagging_freq,
            "min_data_in_leaf": self.min_data_in_leaf,
            "seed": self.seed,
            **self.extra,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": threads,
            "verbosity": -1,
        }
