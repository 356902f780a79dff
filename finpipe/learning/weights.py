"""Sample weights of the training rows: newer days count more, and stressed markets may count double."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

RISK_COLUMN = "macro_risk_score"
RISK_THRESHOLD = 0.6
RISK_WEIGHT = 2.0


def sample_weights(
    rows: pl.DataFrame, *, time_decay: float = 0.7, risk_weighting: bool = False
) -> NDArray[np.float64]:
    """Return one positive weight per row, with mean 1.

    With p the days since the first date over the span of all dates, the weight is exp(2 d p): at d = 0.7
    the newest row counts about four times as much as the oldest. Risk weighting doubles it where
    ``macro_risk_score`` is above 0.6 (not where it is null).

    Parameters
    ----------
    rows
        Has ``date``, and ``macro_risk_score`` if ``risk_weighting`` is set.
    time_decay
        d above; 0 weighs all days alike.
    risk_weighting
        Whether to double the rows of stressed markets.

    Returns
    -------
    ndarray of float64, shape (rows,)

    Raises
    ------
    ValueError
        Risk weights are asked for, but the rows have no ``macro_risk_score``.

    Notes
    -----
    krx reference §6 and §7.2.
    """
    if not rows.height:
        return np.empty(0)
    days = rows["date"].to_physical().to_numpy().astype(np.float64)
    span = np.ptp(days)
    progress = (days - days.min()) / span if span else np.zeros(len(days))
    weights = np.exp(2 * time_decay * progress)
    if risk_weighting:
        if RISK_COLUMN not in rows.columns:
            raise ValueError(
                f"risk weights need the column {RISK_COLUMN}: join krx/macro_features to the panel, or switch "
                "risk_weighting off"
            )
        stressed = (rows[RISK_COLUMN] > RISK_THRESHOLD).fill_null(value=False).to_numpy()
        weights[stressed] *= RISK_WEIGHT
    return np.asarray(weights / weights.mean())
