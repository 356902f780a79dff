"""finpipe turns market databases into ranked stocks, honest backtests and optimised portfolios."""

__version__ = "0.1.0"
