"""The stress battery: rerun a backtest with worse inputs and say whether its result survives.

Each stress says how it changes the inputs, when it passes and why that matters. Stresses of the model
need a way to train again; without one they are reported as not run. The six checks of an unstressed
result are in ``checklist``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import isnan
from typing import Protocol

import polars as pl

from finpipe.backtest import metrics
from finpipe.backtest.baseline import Baseline
from finpipe.backtest.information import horizons_of
from finpipe.backtest.leaks import SUSPICIOUS_IC, feature_leaks
from finpipe.backtest.tables import STRESS_VERDICTS

SLIPPAGES = (0.0, 0.001, 0.0025, 0.005, 0.01)
BEARABLE_SLIPPAGE = 0.005
LARGE_CAP = 1e12
GAPS = (21, 63)
FILING_LAG = 90
KEPT = 0.5
BAND = 2.58
BELIEVABLE_IC = 0.3
BELIEVABLE_SHARPE = 4.0
LEAK_DAYS = 500


class RetrainError(ValueError):
    """Models cannot be trained with a change; the message says why."""


class UnknownStressError(ValueError):
    """There is no stress of that name; the message lists those that there are."""


class Retrain(Protocol):
    """Trains the study's models again with a change, and returns the predictions of the test years."""

    def __call__(
        self,
        *,
        shuffle_labels: int | None = None,
        embargo_days: int | None = None,
        filing_lag_days: int | None = None,
        horizon: int | None = None,
    ) -> pl.DataFrame:
        """Return ``krx/predictions`` after one change.

        Parameters
        ----------
        shuffle_labels
            Seed; labels are permuted among the stocks of each date before training.
        embargo_days
            Trading days dropped before the test year, beyond the purge.
        filing_lag_days
            Calendar days by which every filing becomes known later.
        horizon
            Trading days of the label.

        Raises
        ------
        RetrainError
            There is too little data for the change; the stress is then reported as not run.
        """


@dataclass(frozen=True, slots=True)
class Case:
    """One measurement of a stress; without a value it was not run, and ``passed`` None is shown unjudged."""

    case: str
    measure: str
    value: float | None
    base: float | None
    threshold: float | None = None
    passed: bool | None = None


@dataclass(frozen=True, slots=True)
class Stress:
    """A way to make the inputs of a backtest worse.

    Parameters
    ----------
    name
        In snake_case.
    change
        What is changed.
    rule
        When it passes.
    why
        Why it matters.
    run
        Measures the cases.
    retrains
        Whether models have to be trained again, so that ``run`` needs a way to do it.
    """

    name: str
    change: str
    rule: str
    why: str
    run: Callable[[Baseline, Retrain], Iterator[Case]]
    retrains: bool = False

    def verdicts(self, baseline: Baseline, retrain: Retrain | None = None) -> pl.DataFrame:
        """Run the stress and return its rows of ``tables.STRESS_VERDICTS``."""
        cases: list[Case] = []
        try:
            if retrain is not None or not self.retrains:
                for case in self.run(baseline, retrain or _no_training):
                    cases.append(case)  # noqa: PERF402 cases before an error are kept
        except RetrainError as error:
            cases.append(Case(f"{self.change}: {error}", "mean_rank_ic", None, None))
        rows = [
            (
                self.name,
                case.case,
                case.measure,
                case.value,
                case.base,
                case.threshold,
                _verdict(case),
                self.rule,
                self.why,
            )
            for case in cases or [Case(self.change, "mean_rank_ic", None, None)]
        ]
        schema = {column.name: column.dtype for column in STRESS_VERDICTS.columns}
        table = pl.DataFrame(rows, schema=schema, orient="row")
        numbers = pl.col("value", "base", "threshold")
        return STRESS_VERDICTS.validate(table.with_columns(numbers.fill_nan(None)))


def battery(
    baseline: Baseline, retrain: Retrain | None = None, *, only: Sequence[str] | None = None
) -> pl.DataFrame:
    """Run the stresses one after the other.

    Parameters
    ----------
    retrain
        Trains again with a change; without it those stresses are reported as not run.
    only
        Names of the stresses to run; all by default.

    Returns
    -------
    pl.DataFrame
        ``tables.STRESS_VERDICTS``. The battery passes if no verdict is ``fail``.

    Raises
    ------
    UnknownStressError
        ``only`` names a stress that does not exist.
    """
    return pl.concat([stress.verdicts(baseline, retrain) for stress in chosen(only)])


def chosen(only: Sequence[str] | None) -> list[Stress]:
    """Return the stresses of these names; all of them if none is given.

    Raises
    ------
    UnknownStressError
        There is no stress of a name.
    """
    known = {stress.name: stress for stress in STRESSES}
    unknown = sorted(set(only or ()) - known.keys())
    if unknown:
        raise UnknownStressError(f"there is no stress {', '.join(unknown)}; there are {', '.join(known)}")
    return [known[name] for name in only] if only else list(STRESSES)


def _cost_sweep(baseline: Baseline, _: Retrain) -> Iterator[Case]:
    for slippage in SLIPPAGES:
        returns = baseline.returns(rules=replace(baseline.rules, slippage=slippage))
        value = metrics.annual_return(returns)
        is_judged = slippage <= BEARABLE_SLIPPAGE
        yield Case(
            f"slippage {slippage:.2%}",
            "annual_return",
            value,
            baseline.annual_return,
            0.0 if is_judged else None,
            value > 0 if is_judged else None,
        )


def _large_caps(baseline: Baseline, _: Retrain) -> Iterator[Case]:
    large = baseline.universe.filter(pl.col("market_cap") >= LARGE_CAP).select("stock_code", "date")
    kept = rerank(baseline.predictions.join(large, on=["stock_code", "date"], how="semi"))
    case = f"{LARGE_CAP / 1e12:g} trillion KRW or more"
    if kept["date"].n_unique() < 2:
        yield Case(case, "annual_return", None, baseline.annual_return, 0.0, passed=False)
        return
    value = metrics.annual_return(baseline.returns(kept))
    yield Case(case, "annual_return", value, baseline.annual_return, 0.0, value > 0)
    rank_ic = baseline.information(kept).mean
    yield Case(case, "mean_rank_ic", rank_ic, baseline.rank_ic, 0.0, rank_ic > 0)


def _execution_delay(baseline: Baseline, _: Retrain) -> Iterator[Case]:
    late = delayed(baseline.predictions, baseline.daily_prices["date"].unique().sort())
    yield _keeps("traded a day later", baseline, baseline.information(late).mean)
    value = metrics.annual_return(baseline.returns(late))
    yield Case("traded a day later", "annual_return", value, baseline.annual_return)


def _label_shuffle(baseline: Baseline, retrain: Retrain) -> Iterator[Case]:
    found = baseline.information(retrain(shuffle_labels=1))
    band = BAND * abs(found.mean / found.t)
    yield Case(
        "labels shuffled within each date",
        "mean_rank_ic",
        found.mean,
        baseline.rank_ic,
        band,
        abs(found.mean) <= band,
    )


def _purge_gap(baseline: Baseline, retrain: Retrain) -> Iterator[Case]:
    for gap in GAPS:
        found = baseline.information(retrain(embargo_days=gap))
        yield _keeps(f"embargo of {gap} trading days", baseline, found.mean)


def _filing_lag(baseline: Baseline, retrain: Retrain) -> Iterator[Case]:
    found = baseline.information(retrain(filing_lag_days=FILING_LAG))
    yield _keeps(f"filings known {FILING_LAG} days later", baseline, found.mean)


def _horizon_switch(baseline: Baseline, retrain: Retrain) -> Iterator[Case]:
    for horizon in horizons_of(baseline.realized):
        if horizon == baseline.horizon or horizon < min(baseline.horizon, 21):
            continue
        case = f"horizon {horizon} days"
        value = baseline.information(retrain(horizon=horizon), horizon).mean
        if isnan(value):
            yield Case(f"{case}: no return is known yet", "mean_rank_ic", None, baseline.rank_ic)
        else:
            yield Case(case, "mean_rank_ic", value, baseline.rank_ic, 0.0, value > 0)


def _plausibility(baseline: Baseline, _: Retrain) -> Iterator[Case]:
    rank_ic, ratio = baseline.rank_ic, metrics.sharpe(baseline.own_returns)
    yield Case("unchanged", "mean_rank_ic", rank_ic, rank_ic, BELIEVABLE_IC, rank_ic <= BELIEVABLE_IC)
    yield Case("unchanged", "sharpe", ratio, ratio, BELIEVABLE_SHARPE, not ratio > BELIEVABLE_SHARPE)


def _feature_leak(baseline: Baseline, _: Retrain) -> Iterator[Case]:
    if baseline.features is None:
        yield Case("no features given", "mean_rank_ic", None, None)
        return
    leaks = feature_leaks(
        baseline.features, baseline.realized, horizon=horizons_of(baseline.realized)[0], days=LEAK_DAYS
    )
    worst = leaks.filter(pl.col("suspicious"))
    for row in (worst if worst.height else leaks.head(1)).iter_rows(named=True):
        yield Case(
            row["feature"],
            "mean_rank_ic",
            row["mean_rank_ic"],
            None,
            SUSPICIOUS_IC,
            not row["suspicious"],
        )


def rerank(predictions: pl.DataFrame) -> pl.DataFrame:
    """Return predictions with ranks closed up within each date, after some were left out."""
    return predictions.with_columns(rank=pl.col("rank").rank("ordinal").over("date").cast(pl.Int32))


def delayed(predictions: pl.DataFrame, calendar: pl.Series) -> pl.DataFrame:
    """Return predictions as if each had become known one market day later; the last day's are lost."""
    following = pl.DataFrame({"date": calendar, "later": calendar.shift(-1)})
    return (
        predictions.join(following, on="date", how="left", maintain_order="left")
        .drop_nulls("later")
        .with_columns(date="later")
        .drop("later")
    )


def _keeps(case: str, baseline: Baseline, value: float) -> Case:
    """Judge what is left of the rank IC; where there was none, nothing can be lost."""
    if baseline.rank_ic <= 0:
        return Case(case, "mean_rank_ic", value, baseline.rank_ic)
    threshold = KEPT * baseline.rank_ic
    return Case(case, "mean_rank_ic", value, baseline.rank_ic, threshold, value >= threshold)


def _verdict(case: Case) -> str:
    if case.passed is None:
        return "not run" if case.value is None else "shown"
    return "pass" if case.passed else "fail"


def _no_training(**changes: int | None) -> pl.DataFrame:
    raise ValueError(f"this stress does not train models, but asked for {changes}")


STRESSES = (
    Stress(
        name="plausibility",
        change="nothing",
        rule=f"Mean rank IC is at most {BELIEVABLE_IC} and the Sharpe ratio at most {BELIEVABLE_SHARPE:g}.",
        why="Nobody ranks stocks that well: such a result is a leak until the opposite is proved.",
        run=_plausibility,
    ),
    Stress(
        name="feature_leak",
        change="nothing",
        rule=f"No feature has a mean rank IC beyond {SUSPICIOUS_IC} with the next day's return.",
        why="A feature that orders tomorrow's returns was made of them.",
        run=_feature_leak,
    ),
    Stress(
        name="cost_sweep",
        change="slippage from 0 to 1 percent a side",
        rule=f"The portfolio still earns something at {BEARABLE_SLIPPAGE:.1%} slippage a side.",
        why="Small, quickly traded edges are eaten by costs that no price table shows.",
        run=_cost_sweep,
    ),
    Stress(
        name="large_caps",
        change="only stocks of 1 trillion KRW or more",
        rule="Annual return and mean rank IC stay above 0.",
        why="An edge that lives in small stocks only is a premium for illiquidity that no size can harvest.",
        run=_large_caps,
    ),
    Stress(
        name="execution_delay",
        change="trades one day later",
        rule="At least half of the mean rank IC remains.",
        why="What is gone after a day cannot be traded, or was tomorrow's return in disguise.",
        run=_execution_delay,
    ),
    Stress(
        name="label_shuffle",
        change="labels shuffled among the stocks of each date",
        rule=f"Mean rank IC lies within {BAND} Newey-West standard errors of 0.",
        why="A model that learned from noise must know nothing; if it does, the test data leak.",
        run=_label_shuffle,
        retrains=True,
    ),
    Stress(
        name="purge_gap",
        change="a wider gap between training and test",
        rule="At least half of the mean rank IC remains at every gap.",
        why="If the edge fades as the gap grows, training labels reached into the test year.",
        run=_purge_gap,
        retrains=True,
    ),
    Stress(
        name="filing_lag",
        change=f"filings become known {FILING_LAG} days later",
        rule="At least half of the mean rank IC remains.",
        why="If later filings kill the edge, figures were used before anybody could read them.",
        run=_filing_lag,
        retrains=True,
    ),
    Stress(
        name="horizon_switch",
        change="other horizons from a month on",
        rule="Mean rank IC is above 0 at every other horizon.",
        why="An edge that exists at one horizon only was probably chosen by luck.",
        run=_horizon_switch,
        retrains=True,
    ),
)
"""The battery, cheapest first."""
