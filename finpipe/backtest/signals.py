"""What a portfolio knows when it decides: the day's ranked candidates and how much may be invested.

Nothing here is later than the close of the signal day; choosing among the candidates is in ``selection``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from finpipe.backtest.exchange import Exchange
from finpipe.backtest.rules import Rules
from finpipe.backtest.selection import Candidates, invested_share


class SignalError(ValueError):
    """The rules look at something that is not given, or a predicted stock has no price."""


@dataclass(frozen=True, slots=True)
class Signals:
    """What is known at the close of each day on which a cohort decides.

    Parameters
    ----------
    candidates
        The ranked stocks by day; a day without predictions is absent.
    invested
        Share of the money that is not kept in cash by the cash rule, by day.
    notes
        What was unknown, in sentences with counts.
    """

    candidates: dict[int, Candidates]
    invested: dict[int, float]
    notes: tuple[str, ...]

    @classmethod
    def of(
        cls,
        ranked: pl.DataFrame,
        exchange: Exchange,
        rules: Rules,
        *,
        characteristics: pl.DataFrame | None,
        regime: pl.DataFrame | None,
    ) -> Signals:
        """Collect them from predictions, characteristics and regime scores.

        Raises
        ------
        SignalError
            The rules look at something that is not given, or a predicted stock has no price.
        """
        days = [day for day in range(len(exchange.dates) - 1) if rules.cohort_of(day) is not None]
        calendar = pl.DataFrame({"date": exchange.dates[days], "day": days})
        places = pl.DataFrame({"stock_code": exchange.codes, "stock": np.arange(len(exchange.codes))})
        rows = (
            ranked.select("stock_code", "date", "rank")
            .join(calendar, on="date")
            .join(places, on="stock_code")
        )
        rows = _with_characteristics(rows, rules, characteristics)
        unpriced = rows.filter(
            pl.Series(np.isnan(exchange.close[rows["day"].to_numpy(), rows["stock"].to_numpy()]))
        )
        if unpriced.height:
            code, at = unpriced.row(0)[:2]
            raise SignalError(f"{code} is predicted on {at} but has no price up to that day")
        candidates = {
            int(key[0]): Candidates.of(part, part["stock"].to_numpy().astype(np.int64))
            for key, part in rows.partition_by("day", as_dict=True).items()
        }
        invested, notes = _invested(calendar, rules, regime)
        silent = len(days) - len(candidates)
        if silent:
            notes.append(f"{silent} of {len(days)} rebalances had no predictions; positions were kept.")
        notes += _unknown(rows, rules)
        return cls(candidates, invested, tuple(notes))


def _with_characteristics(
    rows: pl.DataFrame, rules: Rules, characteristics: pl.DataFrame | None
) -> pl.DataFrame:
    needed = rules.characteristics
    if not needed:
        return rows
    given = [] if characteristics is None else characteristics.columns
    missing = [name for name in needed if name not in given]
    if characteristics is None or missing:
        raise SignalError(f"the rules look at {', '.join(needed)}; characteristics lack {', '.join(missing)}")
    return rows.join(
        characteristics.select("stock_code", "date", *needed), on=["stock_code", "date"], how="left"
    )


def _invested(
    calendar: pl.DataFrame, rules: Rules, regime: pl.DataFrame | None
) -> tuple[dict[int, float], list[str]]:
    if rules.regime_threshold is None:
        return dict.fromkeys(calendar["day"].to_list(), 1.0), []
    if regime is None:
        raise SignalError("the rules have a regime_threshold, but no regime is given")
    scores = calendar.join(regime.select("date", "market_regime_score"), on="date", how="left")
    scores = scores.with_columns(pl.col("market_regime_score").fill_nan(None))
    unknown = scores["market_regime_score"].null_count()
    notes = [f"{unknown} of {scores.height} rebalances had no regime score; money stayed invested."]
    invested = {
        day: invested_share(rules, score)
        for day, score in scores.select("day", "market_regime_score").iter_rows()
    }
    return invested, notes if unknown else []


def _unknown(rows: pl.DataFrame, rules: Rules) -> list[str]:
    meanings = {
        "sector": "they count as one sector",
        "amihud_rank": "they were no candidates",
        "volatility_20d": "they count as the median of the chosen",
    }
    counts = {name: rows[name].null_count() for name in rules.characteristics}
    return [
        f"{count} of {rows.height} candidates had no {name}; {meanings[name]}."
        for name, count in counts.items()
        if count
    ]
