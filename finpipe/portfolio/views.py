"""Views on future returns, as a caller states them or as a ranker's scores imply them, for Black-Litterman."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from statistics import NormalDist

import numpy as np
import polars as pl

from finpipe.market.daily_bars import listed
from finpipe.portfolio.returns import Floats

KOREAN_SUFFIXES = (".KS", ".KQ")
CONFIDENCE = 0.5
INFORMATION_COEFFICIENT = 0.05


@dataclass(frozen=True, slots=True)
class View:
    """One opinion on annual simple returns.

    Parameters
    ----------
    weights
        Share of each ticker. Shares that sum to 1 make an absolute view (``{"KO": 1}``: KO returns ``value``), shares
        that sum to 0 a relative one (``{"KO": 1, "PEP": -1}``: KO returns ``value`` more than PEP).
    value
        Annual simple return, or difference of returns.
    confidence
        Between 0 (ignored) and 1 (certain); 0.5 weighs view and prior alike.
    """

    weights: Mapping[str, float]
    value: float
    confidence: float = CONFIDENCE

    def __post_init__(self) -> None:
        total = sum(self.weights.values())
        if not self.weights or not isfinite(total) or min(abs(total), abs(total - 1)) > 1e-9:
            raise ValueError(
                f"the shares of a view must sum to 1 (absolute) or 0 (relative), not {total:g}: "
                f"{dict(self.weights)}"
            )
        if not isfinite(self.value):
            raise ValueError(
                f"the value of a view on {', '.join(self.weights)} is {self.value}, not a return"
            )
        if not 0 <= self.confidence <= 1:
            raise ValueError(
                f"the confidence of a view on {', '.join(self.weights)} is {self.confidence}; "
                "it must lie between 0 and 1"
            )


@dataclass(frozen=True, slots=True)
class ViewMatrix:
    """Views as matrices: ``pick`` (views, N), ``values`` (views,) and ``confidences`` (views,)."""

    pick: Floats
    values: Floats
    confidences: Floats


@dataclass(frozen=True, slots=True)
class RankerViews:
    """Views made of scores.

    Parameters
    ----------
    views
        One absolute view for each ticker of the portfolio that has a score.
    day
        Date of the scores; None if the frame has no dates.
    without_score
        Tickers of the portfolio on which the ranker is silent.
    outside
        Number of scored stocks that are not in the portfolio; they still shape the ranking.
    """

    views: tuple[View, ...]
    day: object
    without_score: tuple[str, ...]
    outside: int


def view_matrix(views: Sequence[View], tickers: Sequence[str]) -> ViewMatrix:
    """Lay views out over ``tickers``.

    Raises
    ------
    ValueError
        Names tickers of views that are not among ``tickers``.
    """
    at = {ticker: i for i, ticker in enumerate(tickers)}
    strange = sorted({ticker for view in views for ticker in view.weights} - set(at))
    if strange:
        raise ValueError(f"there are views on {listed(strange)}, which the portfolio does not hold")
    pick = np.zeros((len(views), len(tickers)))
    for row, view in enumerate(views):
        for ticker, share in view.weights.items():
            pick[row, at[ticker]] = share
    values = np.array([view.value for view in views], dtype=np.float64)
    return ViewMatrix(pick, values, np.array([view.confidence for view in views], dtype=np.float64))


def ranker_views(
    predictions: pl.DataFrame,
    tickers: Sequence[str],
    prior: Floats,
    volatilities: Floats,
    *,
    information_coefficient: float = INFORMATION_COEFFICIENT,
    confidence: float = CONFIDENCE,
) -> RankerViews:
    """Turn the latest scores of a ranker into views: prior + IC x volatility x z.

    The rule is Grinold's (Grinold and Kahn, "Active portfolio management", 2nd edition, chapter 10). z is the normal
    score of the stock's rank among all stocks scored that day, ties sharing their mean rank: Phi^-1((rank - 0.5) / n).

    Parameters
    ----------
    predictions
        ``score``, higher is better, and ``ticker`` or ``stock_code``; if there is a ``date``, the latest day counts.
        A six-digit stock code is matched with the ticker that has ``.KS`` or ``.KQ`` behind it.
    tickers
        Those of the portfolio, N.
    prior, volatilities
        Annual, (N,): the equilibrium returns that the views start from, and the tickers' standard deviations.
    information_coefficient
        Correlation of scores with the returns that followed, as the ranker's backtest shows it.
    confidence
        Of every view.

    Raises
    ------
    ValueError
        If columns are missing, a stock has two scores, nothing is scored, or no ticker of the portfolio is.
    """
    name = next((column for column in ("ticker", "stock_code") if column in predictions.columns), None)
    if name is None or "score" not in predictions.columns:
        raise ValueError(
            f"predictions need 'score' and 'ticker' or 'stock_code'; there are {predictions.columns}"
        )
    scored = predictions.filter(pl.col("score").is_not_null() & pl.col("score").is_not_nan())
    if scored.is_empty():
        raise ValueError("the predictions have no scores")
    day = None
    if "date" in scored.columns:
        day = scored["date"].max()
        scored = scored.filter(pl.col("date") == day)
    if scored[name].is_duplicated().any():
        twice = scored.filter(pl.col(name).is_duplicated())[name].unique().sort()
        raise ValueError(f"more than one score of {listed(list(twice.cast(pl.String)))} on the latest day")
    levels = (scored["score"].rank("average") - 0.5) / scored.height
    normal = NormalDist()
    z = {
        code: normal.inv_cdf(level) for code, level in zip(scored[name].cast(pl.String), levels, strict=True)
    }
    found = {ticker: z[code] for ticker in tickers for code in (ticker, _stock_code(ticker)) if code in z}
    if not found:
        raise ValueError(
            f"none of {listed(list(tickers))} has a score; scored are {listed(sorted(z))} "
            "(a stock code matches the ticker with .KS or .KQ behind it)"
        )
    views = tuple(
        View({ticker: 1.0}, float(level + information_coefficient * risk * found[ticker]), confidence)
        for ticker, level, risk in zip(tickers, prior, volatilities, strict=True)
        if ticker in found
    )
    silent = tuple(ticker for ticker in tickers if ticker not in found)
    return RankerViews(views, day, silent, len(z) - len(found))


def _stock_code(ticker: str) -> str:
    for suffix in KOREAN_SUFFIXES:
        if ticker.endswith(suffix):
            return ticker.removesuffix(suffix)
    return ticker
