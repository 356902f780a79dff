from __future__ import annotations

from finpipe.backtest.report import summary_table
from finpipe_tests.backtest import report_sample as sample


def test_summary_has_a_row_per_year_and_one_for_the_whole() -> None:
    performance = sample.performance(2021, 2024)
    rows = summary_table(performance)
    assert [row.period for row in rows] == ["2021", "2022", "2023", "2024", "all"]
    annual = performance.annual
    assert [row.annual_return for row in rows[:-1]] == annual["portfolio_return"].to_list()
    assert [row.mean_rank_ic for row in rows[:-1]] == annual["mean_rank_ic"].to_list()
    assert [row.icir for row in rows[:-1]] == annual["icir"].to_list()
    assert [row.sharpe for row in rows[:-1]] == annual["sharpe"].to_list()
    assert [row.max_drawdown for row in rows[:-1]] == annual["max_drawdown"].to_list()
    assert [row.turnover for row in rows[:-1]] == annual["turnover"].to_list()
    total = rows[-1]
    for value, figure in [
        (total.annual_return, "annual_return"),
        (total.benchmark_return, "benchmark_annual_return"),
        (total.mean_rank_ic, "mean_rank_ic"),
        (total.icir, "icir"),
        (total.sharpe, "sharpe"),
        (total.max_drawdown, "max_drawdown"),
        (total.turnover, "annual_turnover"),
    ]:
        assert value is not None
        assert value == performance.figure(figure)


def test_what_is_not_known_is_none() -> None:
    total = summary_table(sample.three_days())[-1]
    assert (total.annual_return, total.sharpe, total.turnover) == (None, None, None)
