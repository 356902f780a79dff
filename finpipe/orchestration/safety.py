"""The stress battery of a study in its home: what it runs on, and how models are trained again with one change.

The stresses themselves, and when they pass, are in ``backtest.safety``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from finpipe.backtest.baseline import Baseline
from finpipe.backtest.safety import RetrainError, battery
from finpipe.features.financial import financial_features
from finpipe.learning.folds import Fold, FoldError, walk_forward_folds
from finpipe.learning.ranker import TrainedRanker, predict, train_ranker, training_columns
from finpipe.learning.ranker_config import RankerConfig
from finpipe.learning.training_panel import Fill, training_panel
from finpipe.orchestration.studies import Study
from finpipe.panel.traded import is_traded

KEYS = ("stock_code", "date")


@dataclass(frozen=True, kw_only=True)
class Materials:
    """The assets that the battery of a study runs on, each under its own name."""

    predictions: pl.DataFrame
    daily_prices: pl.DataFrame
    stocks: pl.DataFrame
    macro_features: pl.DataFrame
    sector_features: pl.LazyFrame
    filings: pl.DataFrame
    universe: pl.DataFrame
    forward_returns: pl.LazyFrame
    residual_returns: pl.LazyFrame
    training_panel: pl.LazyFrame
    yearly_ranker: Mapping[str, TrainedRanker]
    study: str

    @classmethod
    def of(
        cls, load: Callable[[str, str | None], Any], partitions: Callable[[str], list[str]], variant: str
    ) -> Materials:
        """Return the materials of the study ``variant``.

        Parameters
        ----------
        load
            Returns the value of an asset at a partition.
        partitions
            Returns the partitions for which an asset has been made.
        """
        of_study = ("predictions", "study")
        values = {
            part.name: load(f"krx/{part.name}", variant if part.name in of_study else None)
            for part in fields(cls)
            if part.name != "yearly_ranker"
        }
        frames = {
            part.name: values[part.name].collect()
            for part in fields(cls)
            if part.type == "pl.DataFrame" and isinstance(values[part.name], pl.LazyFrame)
        }
        rankers = {
            key: load("krx/yearly_ranker", key)
            for key in partitions("krx/yearly_ranker")
            if key.endswith(f"|{variant}")
        }
        return cls(**{**values, **frames, "yearly_ranker": rankers})

    @classmethod
    def assets(cls) -> list[str]:
        """Return the keys of the assets."""
        return [f"krx/{part.name}" for part in fields(cls)]

    def of_years(self, years: Sequence[int] | None) -> Materials:
        """Return the same with the predictions and models of some test years only; None keeps all."""
        if years is None:
            return self
        rankers = {
            key: ranker for key, ranker in self.yearly_ranker.items() if ranker.fold.test_year in years
        }
        kept = self.predictions.filter(pl.col("test_year").is_in(list(years)))
        return replace(self, predictions=kept, yearly_ranker=rankers)


def stress_battery(
    materials: Materials,
    *,
    fill: Fill = "none",
    threads: int = 1,
    only: Sequence[str] | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> pl.DataFrame:
    """Run the battery of a study.

    Parameters
    ----------
    fill
        The setting of that name.
    threads
        Years that are trained side by side.
    only
        Names of stresses; all if None.
    progress
        Told what is at work.

    Returns
    -------
    DataFrame
        ``backtest.tables.STRESS_VERDICTS``.
    """
    study = Study.from_json(materials.study)
    predicted = materials.predictions.select(KEYS)
    panel = materials.training_panel.filter(pl.col("date") >= predicted["date"].min())
    labels = {
        name
        for frame in (materials.forward_returns, materials.residual_returns)
        for name in frame.collect_schema().names()
    }
    known = [name for name in panel.collect_schema().names() if name not in labels or name in KEYS]
    features = panel.select(known).collect().join(predicted, on=KEYS, how="semi", maintain_order="left")
    realized = materials.forward_returns.select(*KEYS, "^realized_return_.*$")
    baseline = Baseline(
        predictions=materials.predictions,
        daily_prices=materials.daily_prices,
        rules=study.rules,
        stocks=materials.stocks,
        realized=realized.filter(pl.col("date") >= predicted["date"].min()).collect(),
        universe=features.select(*KEYS, "market_cap"),
        horizon=study.horizon,
        characteristics=features.select(*KEYS, *study.rules.characteristics),
        regime=materials.macro_features.select("date", "market_regime_score"),
        features=features,
    )
    traded = materials.daily_prices.filter(is_traded()).select(*KEYS, "market_cap")
    sector = materials.sector_features.select("sector").collect()
    financials = Financials(traded.with_columns(sector), materials.filings, materials.universe, fill)
    rankers = [materials.yearly_ranker[key] for key in sorted(materials.yearly_ranker)]
    retrain = Retraining(materials.training_panel, rankers, financials, threads, progress)
    return battery(baseline, retrain, only=only)


@dataclass(frozen=True)
class Financials:
    """What financial features are made of, so that they can be made again from later filings.

    Parameters
    ----------
    rows
        Keys, ``market_cap`` and ``sector`` of the traded rows.
    filings
        ``krx/filings``.
    universe
        ``krx/universe``.
    fill
        What stands in for a missing feature; see ``learning.training_panel``.
    """

    rows: pl.DataFrame
    filings: pl.DataFrame
    universe: pl.DataFrame
    fill: Fill = "none"

    def lagged(self, days: int) -> pl.DataFrame:
        """Return financial features of the universe's rows as if every filing had become known ``days`` later.

        The day from which a filing counts as public moves too, so that it does not go stale before its
        time. The sector of a stock, which also comes from its filings, stays as it is.
        """
        known_later = pl.col("available_date", "filed_date").dt.offset_by(f"{days}d")
        features = financial_features(self.rows, self.filings.with_columns(known_later))
        rows = {"the traded rows": self.rows.select(KEYS)}
        panel = training_panel(self.universe, {"krx/financial_features": features}, rows, fill=self.fill)
        return panel.select(features.columns)


@dataclass(frozen=True)
class Retraining:
    """Trains the models of a study again with one change: the ``backtest.safety.Retrain`` of a home.

    Every year's model keeps the parameters that it was trained with, those found by a search included.

    Parameters
    ----------
    panel
        ``krx/training_panel``.
    rankers
        The study's models; their test years are walked through.
    financials
        For later filings.
    threads
        Years are trained side by side on this many threads.
    progress
        Told which change is at work, and how many years of it are done.
    """

    panel: pl.LazyFrame
    rankers: Sequence[TrainedRanker]
    financials: Financials
    threads: int = 1
    progress: Callable[[str], None] = field(default=lambda _: None)

    def __call__(
        self,
        *,
        shuffle_labels: int | None = None,
        embargo_days: int | None = None,
        filing_lag_days: int | None = None,
        horizon: int | None = None,
    ) -> pl.DataFrame:
        """Return ``krx/predictions`` after the change; see ``backtest.safety.Retrain``."""
        changes = {
            "labels shuffled": shuffle_labels is not None,
            f"embargo {embargo_days} days": embargo_days is not None,
            f"filings {filing_lag_days} days later": filing_lag_days is not None,
            f"horizon {horizon} days": horizon is not None,
        }
        change = ", ".join(name for name, is_made in changes.items() if is_made) or "unchanged"
        later = None if filing_lag_days is None else self.financials.lagged(filing_lag_days)

        def year(ranker: TrainedRanker) -> pl.DataFrame:
            config = ranker.config if horizon is None else replace(ranker.config, horizon=horizon)
            fold = self._fold(ranker.fold, config, embargo_days)
            rows = self._rows(
                fold.train_first, fold.train_last, training_columns(ranker.features, config), later
            )
            if shuffle_labels is not None:
                rows = shuffled(rows, config.label, seed=(shuffle_labels, fold.test_year))
            try:
                trained = train_ranker(rows, fold, ranker.features, config, threads=1, days=self._days)
            except FoldError as error:
                raise RetrainError(str(error)) from error
            test = self._rows(fold.test_first, fold.test_last, [*KEYS, *ranker.features], later)
            return predict(trained, test)

        parts = []
        self.progress(f"{change}: 0 of {len(self.rankers)} years")
        with ThreadPoolExecutor(max(1, min(self.threads, len(self.rankers)))) as pool:
            for part in pool.map(year, self.rankers):
                parts.append(part)
                self.progress(f"{change}: {len(parts)} of {len(self.rankers)} years")
        return pl.concat(parts).sort(KEYS)

    @cached_property
    def _days(self) -> list[dt.date]:
        return self.panel.select(pl.col("date").unique().sort()).collect().to_series().to_list()

    def _fold(self, own: Fold, config: RankerConfig, embargo_days: int | None) -> Fold:
        try:
            (fold,) = walk_forward_folds(
                self._days,
                [own.test_year],
                horizon=config.horizon,
                embargo_days=own.embargo_days if embargo_days is None else embargo_days,
                train_years=config.train_years,
                min_train_rows=own.min_train_rows,
                min_test_rows=own.min_test_rows,
            )
        except FoldError as error:
            raise RetrainError(str(error)) from error
        return fold

    def _rows(
        self, first: dt.date, last: dt.date, columns: Sequence[str], later: pl.DataFrame | None
    ) -> pl.DataFrame:
        """Return columns of the panel's rows of some days, with ``later`` features in the place of its own."""
        days = pl.col("date").is_between(first, last)
        rows = self.panel.filter(days).select(columns).collect()
        if later is None:
            return rows
        replaced = [name for name in later.columns if name in columns and name not in KEYS]
        return rows.with_columns(later.filter(days).select(replaced))


def shuffled(rows: pl.DataFrame, label: str, *, seed: Sequence[int]) -> pl.DataFrame:
    """Return the rows with the labels of each date dealt out anew among its stocks that have one."""
    has_label = (rows[label].is_not_null() & rows[label].is_not_nan()).to_numpy()
    places = np.flatnonzero(has_label)
    dates = rows["date"].to_physical().to_numpy()[places]
    random = np.random.default_rng(seed).random(len(places))
    labels = rows[label].to_numpy().copy()
    labels[places[np.argsort(dates, kind="stable")]] = labels[places[np.lexsort((random, dates))]]
    return rows.with_columns(pl.Series(label, labels, nan_to_null=True))
