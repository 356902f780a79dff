"""What a simulated portfolio earned and whether to believe it, as one object of tables.

The formulas live in ``metrics``, ``information``, ``quantiles``, ``significance``, ``sectors`` and
``checklist``, the headline figures in ``figures``; drawing them is the report's business.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np
import polars as pl

from finpipe.backtest import metrics, tables
from finpipe.backtest.checklist import checklist
from finpipe.backtest.figures import Evidence, figures
from finpipe.backtest.information import decay, horizons_of, information_coefficients, summarise
from finpipe.backtest.quantiles import quantile_dates, quantile_equity, quantile_rows, quantile_table
from finpipe.backtest.sectors import sector_attribution
from finpipe.backtest.simulate import Simulation
from finpipe.market.schema import Table


@dataclass(frozen=True)
class Performance:
    """All results of one backtest; every frame follows its table in ``backtest.tables``.

    Returns are fractions (0.01 is one percent) and after costs unless a name says otherwise.

    Parameters
    ----------
    horizon
        Holding period in trading days.
    trials
        Number of strategies that were tried before this one was chosen; 1 means none but this.
    figures
        ``section, figure, period, value, unit, definition``: every headline number once.
    daily
        ``date, portfolio_return, benchmark_return, equity, benchmark_equity, drawdown,
        benchmark_drawdown, cash_share, turnover, cost, n_positions``.
    annual, monthly, drawdowns, rolling
        Calendar tables, the deepest drawdowns first, and trailing 252-day figures.
    ic, ic_decay
        Daily information coefficients at ``horizon``; their means over several horizons.
    quantiles, quantile_equity
        Returns of the five quantiles of the daily rank (5 is best), and their growth (q1 ... q5).
    sectors
        Mean weight and contribution by sector; no rows if no sectors were given.
    importance
        Gain of each feature per test year; no rows if it was not given.
    safety
        The six checks with their verdicts.

    Raises
    ------
    finpipe.market.schema.SchemaError
        A frame does not follow its table.
    """

    TABLES: ClassVar[dict[str, Table]] = {
        "figures": tables.FIGURES,
        "daily": tables.DAILY_PERFORMANCE,
        "annual": tables.ANNUAL,
        "monthly": tables.MONTHLY,
        "drawdowns": tables.DRAWDOWNS,
        "rolling": tables.ROLLING,
        "ic": tables.IC,
        "ic_decay": tables.IC_DECAY,
        "quantiles": tables.QUANTILES,
        "quantile_equity": tables.QUANTILE_EQUITY,
        "sectors": tables.SECTORS,
        "importance": tables.IMPORTANCE,
        "safety": tables.SAFETY,
    }

    horizon: int
    trials: int
    figures: pl.DataFrame
    daily: pl.DataFrame
    annual: pl.DataFrame
    monthly: pl.DataFrame
    drawdowns: pl.DataFrame
    rolling: pl.DataFrame
    ic: pl.DataFrame
    ic_decay: pl.DataFrame
    quantiles: pl.DataFrame
    quantile_equity: pl.DataFrame
    sectors: pl.DataFrame
    importance: pl.DataFrame
    safety: pl.DataFrame

    def __post_init__(self) -> None:
        for name, table in self.TABLES.items():
            table.validate(getattr(self, name))

    def frames(self) -> dict[str, pl.DataFrame]:
        """Return the frames by name, in the order of the fields."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name in self.TABLES}

    def figure(self, name: str, period: str = "all") -> float | None:
        """Return the value of a headline number, e.g. ``figure("sharpe", "2021")``.

        Raises
        ------
        KeyError
            There is no such figure for the period.
        """
        found = self.figures.filter((pl.col("figure") == name) & (pl.col("period") == period))
        if found.is_empty():
            known = ", ".join(self.figures["figure"].unique(maintain_order=True))
            raise KeyError(f"no figure {name!r} for period {period!r}; figures are {known}")
        value: float | None = found["value"].item()
        return value


def evaluate(
    simulation: Simulation,
    predictions: pl.DataFrame,
    realized: pl.DataFrame,
    benchmark: pl.DataFrame | None = None,
    sector: pl.DataFrame | None = None,
    *,
    horizon: int,
    trials: int = 1,
    trial_variance: float | None = None,
    risk_free: float = 0.0,
    importance: pl.DataFrame | None = None,
) -> Performance:
    """Work out all tables of a backtest.

    Parameters
    ----------
    simulation
        The portfolio.
    predictions
        The scores that it traded on, ``krx/predictions``.
    realized
        ``stock_code``, ``date`` and ``realized_return_{h}d`` for ``horizon`` and perhaps others, as in
        ``krx/forward_returns``. Its dates are taken as the market calendar.
    benchmark
        ``date``, ``close`` of an index; from the signal day on, so that the first day has a return.
    sector
        ``stock_code``, ``date``, ``sector``.
    horizon
        Trading days over which the score is judged.
    trials
        Number of strategies that were tried before this one was chosen, this one included.
    trial_variance
        Variance of their daily Sharpe ratios. Unknown, it is taken as 1 / days, which is how much the
        Sharpe ratios of worthless strategies vary.
    risk_free
        Fraction per year, for Sharpe, Sortino and alpha.
    importance
        ``test_year``, ``feature``, ``gain``, and ``shap_share`` and ``stability`` where known.

    Returns
    -------
    Performance

    Raises
    ------
    KeyError
        ``realized`` has no column for the horizon.
    """
    calendar = realized["date"].unique().sort()
    realized = realized.join(predictions, on=["stock_code", "date"], how="semi")
    daily = _daily(simulation, benchmark)
    ic = information_coefficients(predictions, realized, horizon)
    rows = quantile_rows(predictions, realized, horizon)
    by_date = quantile_dates(rows)
    growth = quantile_equity(by_date, calendar, horizon)
    annual = _annual(daily, ic, horizon, risk_free)
    evidence = Evidence(
        simulation=simulation,
        daily=daily,
        ic=ic,
        quantile_rows=rows,
        calendar=calendar,
        horizon=horizon,
        trials=trials,
        trial_variance=trial_variance,
        risk_free=risk_free,
    )
    mean_rank_ic = summarise(ic["rank_ic"].to_numpy(), horizon).mean
    return Performance(
        horizon=horizon,
        trials=trials,
        figures=figures(evidence),
        daily=daily,
        annual=annual,
        monthly=metrics.monthly_returns(daily),
        drawdowns=metrics.drawdown_table(daily),
        rolling=_rolling(daily),
        ic=ic,
        ic_decay=decay(predictions, realized, horizons_of(realized)),
        quantiles=quantile_table(by_date, growth, horizon),
        quantile_equity=growth,
        sectors=tables.SECTORS.empty() if sector is None else sector_attribution(simulation, sector),
        importance=_importance(importance),
        safety=checklist(annual, mean_rank_ic, evidence.spread().net),
    )


def _daily(simulation: Simulation, benchmark: pl.DataFrame | None) -> pl.DataFrame:
    days = simulation.daily
    if benchmark is None:
        benchmark = pl.DataFrame(schema={"date": pl.Date, "close": pl.Float64})
    levels = benchmark.drop_nulls("close").sort("date")
    growth = levels.select("date", benchmark_return=pl.col("close") / pl.col("close").shift(1) - 1)
    joined = days.join(growth, on="date", how="left", maintain_order="left")
    known = joined["benchmark_return"].is_not_null().any()
    ours = joined["portfolio_return"].to_numpy()
    theirs = joined["benchmark_return"].fill_null(0).to_numpy()
    frame = joined.select(
        "date",
        "portfolio_return",
        "benchmark_return",
        equity=pl.Series(np.cumprod(1 + ours)),
        benchmark_equity=pl.Series(np.cumprod(1 + theirs)) if known else pl.lit(None, dtype=pl.Float64),
        drawdown=pl.Series(metrics.drawdown(ours)),
        benchmark_drawdown=pl.Series(metrics.drawdown(theirs)) if known else pl.lit(None, dtype=pl.Float64),
        cash_share=pl.col("cash") / pl.col("equity"),
        turnover="turnover",
        cost=pl.col("gross_return") - pl.col("portfolio_return"),
        n_positions="n_positions",
    )
    return tables.DAILY_PERFORMANCE.validate(frame)


def _annual(daily: pl.DataFrame, ic: pl.DataFrame, horizon: int, risk_free: float) -> pl.DataFrame:
    rows = []
    coefficients = ic.with_columns(year=pl.col("date").dt.year())
    for (year,), part in daily.group_by(pl.col("date").dt.year(), maintain_order=True):
        ours = part["portfolio_return"].to_numpy()
        known = part["benchmark_return"].drop_nulls().to_numpy()
        theirs = metrics.total_return(known) if len(known) else None
        total = metrics.total_return(ours)
        in_year = coefficients.filter(pl.col("year") == year)["rank_ic"].to_numpy()
        summary = summarise(in_year, horizon)
        rows.append(
            {
                "year": year,
                "portfolio_return": total,
                "benchmark_return": theirs,
                "excess": None if theirs is None else total - theirs,
                "volatility": metrics.volatility(ours),
                "sharpe": metrics.sharpe(ours, risk_free),
                "max_drawdown": metrics.max_drawdown(ours),
                "turnover": float(part["turnover"].sum()),
                "mean_rank_ic": summary.mean,
                "icir": summary.icir,
                "n_days": part.height,
            }
        )
    schema = {column.name: column.dtype for column in tables.ANNUAL.columns}
    nullable = [column.name for column in tables.ANNUAL.columns if column.null]
    return tables.ANNUAL.validate(
        pl.DataFrame(rows, schema=schema, orient="row").with_columns(pl.col(nullable).fill_nan(None))
    )


def _rolling(daily: pl.DataFrame) -> pl.DataFrame:
    ours, theirs = daily["portfolio_return"].to_numpy(), daily["benchmark_return"].to_numpy()
    return tables.ROLLING.validate(
        daily.select(
            "date",
            sharpe_252d=pl.Series(metrics.rolling_sharpe(ours)),
            beta_252d=pl.Series(metrics.rolling_beta(ours, theirs)),
        ).with_columns(pl.col("sharpe_252d", "beta_252d").fill_nan(None))
    )


def _importance(importance: pl.DataFrame | None) -> pl.DataFrame:
    if importance is None:
        return tables.IMPORTANCE.empty()
    total = pl.col("gain").sum().over("test_year")
    share = pl.when(total > 0).then(pl.col("gain") / total).otherwise(0.0)
    known = [name for name in ("shap_share", "stability") if name in importance.columns]
    unknown = [name for name in ("shap_share", "stability") if name not in importance.columns]
    return tables.IMPORTANCE.validate(
        importance.select(
            pl.col("test_year").cast(pl.Int32),
            pl.col("feature").cast(pl.String),
            pl.col("gain", *known).cast(pl.Float64),
            *(pl.lit(None, dtype=pl.Float64).alias(name) for name in unknown),
        ).with_columns(share=share)
    )
