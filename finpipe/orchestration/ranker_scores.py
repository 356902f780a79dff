"""Where the two lines meet: the latest scores of the Korean ranker, for those who hold views on a Korean group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import polars as pl

from finpipe.orchestration.portfolio_tables import RANKER_SCORES
from finpipe.orchestration.studies import DEFAULT_PRESET

if TYPE_CHECKING:
    import dagster as dg

    from finpipe.orchestration.result_tables import ResultTables

PREDICTIONS = "krx/predictions"


def latest_scores(tables: ResultTables, instance: dg.DagsterInstance, tickers: Sequence[str]) -> pl.DataFrame:
    """Return the scores of the last day that a study of this home predicted; none without Korean ``tickers``.

    The study is one of the default preset, if there is one, else the first by name.

    Returns
    -------
    DataFrame
        ``RANKER_SCORES``: all stocks that were scored, for a score means something beside the others only.
    """
    import dagster as dg

    from finpipe.portfolio.views import KOREAN_SUFFIXES

    if not any(ticker.endswith(KOREAN_SUFFIXES) for ticker in tickers):
        return RANKER_SCORES.empty()
    made = instance.get_materialized_partitions(dg.AssetKey(PREDICTIONS.split("/")))
    known = sorted(made, key=lambda variant: (not variant.startswith(f"{DEFAULT_PRESET}-h"), variant))
    if not known:
        return RANKER_SCORES.empty()
    predictions: pl.DataFrame = tables.read(PREDICTIONS, known[0])
    latest = predictions.filter(pl.col("date") == pl.col("date").max())
    return latest.select(
        pl.col("stock_code").cast(pl.String), "date", "score", pl.lit(known[0]).alias("variant")
    ).sort("stock_code")
