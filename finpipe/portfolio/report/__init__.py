"""The report of an optimised portfolio: a self-contained page."""

from finpipe.portfolio.report.page import render, write_report

__all__ = ["render", "write_report"]
