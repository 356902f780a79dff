"""The report about a backtest: a self-contained tear sheet, pictures, and rows for a terminal."""

from finpipe.backtest.report.page import render_report
from finpipe.backtest.report.picture import picture, thumbnail
from finpipe.backtest.report.summary import SummaryRow, summary_table

__all__ = ["SummaryRow", "picture", "render_report", "summary_table", "thumbnail"]
