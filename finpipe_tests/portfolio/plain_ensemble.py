"""The ensemble forecast of one ticker, written down as its formula reads."""

from __future__ import annotations

import numpy as np
import pandas as pd


def plain_ensemble(prices: np.ndarray) -> float:
    known = prices[~np.isnan(prices)]
    if len(known) < 10 or len(known) < 0.5 * len(prices):
        return 0.05
    smoothed = pd.Series(known).ewm(alpha=0.3, adjust=False).mean().to_numpy()
    daily = pd.Series(known).pct_change().dropna()
    history = daily.mean() * 252 * (0.8 if daily.std() > 0.05 else 1.0)
    total = 0.4 * _line(smoothed[-30:]) + 0.3 * _line(known[-90:]) + 0.3 * history
    return float(np.clip(total, -0.5, 1.0))


def _line(values: np.ndarray) -> float:
    slope, intercept = np.polyfit(np.arange(len(values)), values, 1)
    return (intercept + slope * (len(values) + 252)) / values[-1] - 1
