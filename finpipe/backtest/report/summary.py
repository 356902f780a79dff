"""The backtest in a few rows, one per year and one for the whole, for a terminal to print."""

from __future__ import annotations

from dataclasses import dataclass

from finpipe.backtest.performance import Performance
from finpipe.backtest.report import figures


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """One calendar year, or ``all`` days together; None is a figure that cannot be computed.

    Parameters
    ----------
    period
        The year as text, or ``all``.
    mean_rank_ic, icir
        Mean of the daily rank IC, and mean over standard deviation.
    annual_return
        Return of the year after costs; for ``all``, compound growth per year. A fraction.
    benchmark_return
        The same of the benchmark.
    sharpe
        Annualised Sharpe ratio.
    max_drawdown
        Deepest fall from a high, a fraction, at most 0.
    turnover
        One-way turnover of the year; for ``all``, per year. A fraction.
    """

    period: str
    mean_rank_ic: float | None
    icir: float | None
    annual_return: float | None
    benchmark_return: float | None
    sharpe: float | None
    max_drawdown: float | None
    turnover: float | None


def summary_table(performance: Performance) -> list[SummaryRow]:
    """Return a row per calendar year in their order, then the row of the whole period.

    The numbers are those of ``performance.annual`` and ``performance.figures``.
    """
    rows = [
        SummaryRow(
            period=str(year["year"]),
            mean_rank_ic=year["mean_rank_ic"],
            icir=year["icir"],
            annual_return=year["portfolio_return"],
            benchmark_return=year["benchmark_return"],
            sharpe=year["sharpe"],
            max_drawdown=year["max_drawdown"],
            turnover=year["turnover"],
        )
        for year in performance.annual.iter_rows(named=True)
    ]
    whole = {name: figure.value for name, figure in figures.whole_period(performance).items()}
    total = SummaryRow(
        period="all",
        mean_rank_ic=whole.get("mean_rank_ic"),
        icir=whole.get("icir"),
        annual_return=whole.get("annual_return"),
        benchmark_return=whole.get("benchmark_annual_return"),
        sharpe=whole.get("sharpe"),
        max_drawdown=whole.get("max_drawdown"),
        turnover=whole.get("annual_turnover"),
    )
    return [*rows, total]
